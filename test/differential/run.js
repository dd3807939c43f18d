'use strict';
// Holds Berth's reader of requests against node's (llhttp): node run.js FRAMING HTTP_MD [--show]
//
// FRAMING is the program of framing.c, HTTP_MD the page that lists every kind of difference. Where the two would
// read different requests from the same bytes, Berth must be the one that refuses; a request that only llhttp
// refuses cannot be read in another way there. Fails on a difference that is not listed, on one that is listed
// for Berth and was not met, and wherever both accept and do not agree. --show prints a few of each kind.

const { spawnSync } = require('node:child_process');
const { readFileSync } = require('node:fs');
const { HTTPParser } = require('_http_common');
const { corpus } = require('./corpus.js');

const LEAST = 2000; // inputs
const HEAD_MAX = 16 * 1024;

// ---- both sides ----

// What framing.c prints, for llhttp. It gets the bytes one by one, so that where a message ends is known exactly.
function readByLlhttp(bytes) {
  const parser = new HTTPParser();
  const messages = [];
  let at = 0, start = 0, stop = false, message = null;
  parser.initialize(HTTPParser.REQUEST, {}, HEAD_MAX);
  parser[HTTPParser.kOnHeadersComplete | 0] = (major, minor, fields, method, url, status, reason, upgrade, keepAlive) => {
    message = { head: at + 1 - start, body: 0, next: 0, keep: keepAlive ? 1 : 0, upgrade, version: `${major}.${minor}`, fields };
    return 0;
  };
  parser[HTTPParser.kOnBody | 0] = (piece, from, length) => {
    message.body += length === undefined ? piece.length : length;
  };
  parser[HTTPParser.kOnMessageComplete | 0] = () => {
    message.next = start = at + 1;
    messages.push(message);
    stop = !message.keep || message.upgrade;
    message = null;
  };
  for (; at < bytes.length && !stop; at++) {
    const result = parser.execute(bytes.subarray(at, at + 1));
    if (result instanceof Error)
      return { messages, end: 'bad', why: `${result.code} ${result.reason}` };
  }
  parser.close();
  return { messages, end: stop || start === bytes.length ? 'end' : 'more', pending: message };
}

function readByBerth(program, inputs) {
  const parts = inputs.flatMap(({ bytes }) => {
    const length = Buffer.alloc(4);
    length.writeUInt32LE(bytes.length);
    return [length, bytes];
  });
  const run = spawnSync(program, { input: Buffer.concat(parts), maxBuffer: 1 << 28 });
  if (run.status !== 0)
    throw new Error(`${program} ended with ${run.status ?? run.signal}: ${run.stderr}`);
  return run.stdout.toString('latin1').trimEnd().split('\n').map(parseLine);
}

function parseLine(line) {
  const parts = line.split('; ');
  const last = parts.pop();
  const messages = parts.map((part) => {
    const [head, body, next, keep] = part.split(' ').map(Number);
    return { head, body, next, keep };
  });
  const bad = /^bad (\d+) (.*)$/.exec(last);
  return bad ? { messages, end: 'bad', status: Number(bad[1]), why: bad[2] } : { messages, end: last };
}

// ---- differences ----

// What is refused by Berth alone: by the reason that it gives.
const BERTH_REFUSES = [
  ['version', /^the HTTP version/], ['start-line', /^the first line/], ['method', /^the method/], ['target', /^the request target/],
  ['line-end', /^a line does not end/], ['field-name', /^a field name/], ['field-value', /^a field value/], ['fold', /^a field line starts/],
  ['host', /^Host/], ['content-length', /^Content-Length/], ['other-coding', /^Transfer-Encoding names/],
  ['transfer-encoding', /^Transfer-Encoding is/], ['too-many-fields', /^there are more than/], ['too-large', /^the head is longer/],
  ['chunked-body', /^the body's framing/], ['connect', /^CONNECT/],
];

// What is refused by llhttp alone: by its reason and by what must stand in the input, so that nothing else that
// has the same reason goes unseen.
const LLHTTP_REFUSES = [
  ['method', /^HPE_INVALID_(METHOD|CONSTANT|VERSION) (Invalid method|Expected space after method|Expected HTTP\/2)/, /[!-~]+ \S+ HTTP\/1\.[01]\r\n/],
  ['chunk-extension', /^HPE_\w+ Invalid character in chunk extensions/, /\r\n[0-9a-f]+[ \t]*;[^\r\n]*\r\n/i],
  ['blank-before-extension', /^HPE_INVALID_CHUNK_SIZE Invalid character/, /\r\n[0-9a-f]+[ \t]+;/i],
  ['tab-after-value', /^HPE_INVALID_CONTENT_LENGTH Invalid character/, /content-length:[ \t]*\d+[ \t]*\t[ \t]*\r\n/i],
  ['tab-after-value', /^HPE_INVALID_TRANSFER_ENCODING Request has/, /transfer-encoding:[ \t]*chunked[ \t]*\t[ \t]*\r\n/i],
  ['trailer', /^HPE_/, /\r\n0[^\r\n]*\r\n([!-~]+:[^\r\n]*\r\n)*(content-length|transfer-encoding|connection|upgrade):/i],
];

function refusal(side, table, why, text) {
  const found = table.find(([, reason, input]) => reason.test(why) && (!input || input.test(text)));
  return found ? `${side} refuses: ${found[0]}` : `unlisted: ${side} refuses: ${why}`;
}

// The kind of difference between two readings of one input; null: none. 'framing' must not be.
function compare(text, berth, llhttp) {
  for (let i = 0; ; i++) {
    const b = berth.messages[i], l = llhttp.messages[i];
    if (b && l) {
      if (b.head !== l.head || b.body !== l.body || b.next !== l.next)
        return 'framing';
      if (b.keep !== l.keep)
        return b.keep ? 'llhttp closes' : 'berth closes';
      if (l.upgrade)
        return null; // what follows may be another protocol
    } else if (b) {
      return llhttp.end === 'bad' ? refusal('llhttp', LLHTTP_REFUSES, llhttp.why, text) : 'framing';
    } else if (l) {
      return berth.end === 'bad' ? refusal('berth', BERTH_REFUSES, berth.why) : 'framing';
    } else {
      return null;
    }
  }
}

function show(text) {
  const quoted = JSON.stringify(text);
  return quoted.length > 300 ? `${quoted.slice(0, 300)}…` : quoted;
}

function main([program, page, ...options]) {
  const listed = new Set([...readFileSync(page, 'utf8').matchAll(/^\| `((?:berth|llhttp) [a-z: -]+)` \|/gm)].map(([, kind]) => kind));
  const inputs = corpus();
  const readings = readByBerth(program, inputs);
  const met = new Map();
  let failed = inputs.length < LEAST || listed.size === 0;
  inputs.forEach(({ group, bytes }, i) => {
    const text = bytes.toString('latin1'), llhttp = readByLlhttp(bytes);
    const kind = compare(text, readings[i], llhttp);
    if (!kind)
      return;
    const count = met.get(kind) ?? 0;
    met.set(kind, count + 1);
    failed ||= !listed.has(kind);
    if (count < 3 && (!listed.has(kind) || options.includes('--show')))
      console.log(`${kind} (${group}): ${show(text)}\n  berth:  ${JSON.stringify(readings[i])}\n  llhttp: ${JSON.stringify(llhttp)}`);
  });
  for (const kind of [...listed].filter((kind) => !met.has(kind))) {
    console.log(`listed in ${page} and not met: ${kind}`);
    failed ||= kind.startsWith('berth'); // other versions of llhttp may agree more
  }
  const different = [...met.values()].reduce((sum, n) => sum + n, 0);
  console.log(`${inputs.length} inputs, llhttp ${process.versions.llhttp}: ${inputs.length - different} read alike`);
  for (const [kind, count] of [...met].sort())
    console.log(`${String(count).padStart(6)} ${kind}`);
  process.exitCode = failed ? 1 : 0;
}

main(process.argv.slice(2));
