'use strict';
// What clients might send over one connection: a list of { group, bytes }. Hand-made cases of every known way to
// make two readers see different requests, products of these, every byte at every kind of place, and changes
// that a seed decides. The same at every run.

const SMUGGLED = 'GET /second HTTP/1.1\r\nHost: a\r\n\r\n';
const CHUNKED = '3\r\nabc\r\n0\r\n\r\n';

const bytesOf = (text) => Buffer.from(text, 'latin1');

function head({ method = 'POST', target = '/p', version = 'HTTP/1.1', host = 'Host: a\r\n', fields = '' }) {
  return `${method} ${target} ${version}\r\n${host}${fields}\r\n`;
}

// ---- values and names that have been used against parsers ----

const LENGTHS = ['3', '0', '', ' ', '003', '+3', '-3', '-0', '3 ', '\t3', '3\t', '3,3', '3, 3', '3, 4', '3,', ',3', '0x3', '0X3', '3.0',
  '3e0', '3;a', '3 3', '"3"', "'3'", '\x0b3', '3\x0b', '\x0c3', '3\x00', '\x003', '\xa03', '3\xa0', '3a', 'a', 'three', '1_0',
  '\xb3', '%33', '0b11', '0o3', '00000000000000000000000000000003', '2147483648', '4294967295', '4294967296', '4294967299',
  '9223372036854775807', '9223372036854775808', '18446744073709551615', '18446744073709551616', '18446744073709551619',
  '99999999999999999999999999999999', '3\r\n 3', '3\r\n\t', '\r\n 3', '3\n', '3\r', '3 \r\n'];

const CODINGS = ['chunked', 'Chunked', 'CHUNKED', 'chunKed', 'chunked ', ' chunked', '\tchunked', 'chunked\t', ' \t chunked \t ',
  'chunked,', 'chunked, ', ',chunked', ', chunked', 'chunked,,', 'identity', 'identity, chunked', 'chunked, identity', 'gzip',
  'gzip, chunked', 'chunked, gzip', 'deflate,chunked', 'chunked, chunked', 'chunked,chunked', '"chunked"', "'chunked'",
  'chunked;q=1', 'chunked;a=b', 'chunked; a=b', 'x chunked', 'chunked x', 'xchunked', 'x-chunked', 'chunkedx', 'chunke', 'chunk', 'cow',
  '', ' ', 'chu\x00nked', 'chunked\x00', '\x00chunked', 'chun ked', 'c hunked', '\x0bchunked', 'chunked\x0b', '\x0cchunked',
  'chunked\x0c', '\xa0chunked', 'chunked\xa0', '\xc2\xa0chunked', '\x85chunked', 'chunked\x7f', 'chun\x08ked', 'chunked\r\n ',
  'chunked\r\n x', '\r\n chunked', '\r\n\tchunked', 'chunked\n', '\nchunked', 'chunked\r', '\rchunked', 'chunked\n x: y',
  'chunked\r\r', '\xffchunked', '\u212aunked', 'chunked:', ':chunked', '=chunked', 'chunked=1', '(chunked)', 'chunked,identity',
  'trailers', 'chunked, trailers', 'null', 'chunked\\', 'chun%6bed'];

const LENGTH_NAMES = ['Content-Length', 'content-length', 'CONTENT-LENGTH', 'Content-Length ', 'Content-Length\t', ' Content-Length',
  '\tContent-Length', 'Content_Length', 'Content Length', 'Content-Length\x00', '\x00Content-Length', 'Content-Length\x0b',
  'Content-\r\nLength', 'Content-\nLength', 'X\nContent-Length', 'X\rContent-Length', 'Content-Len\x00gth', 'Content-Length\xa0',
  '\xefContent-Length', '"Content-Length"', 'Content-Length,', 'Content-Length;', 'Content--Length', 'Content-Lengt', 'Content-Lengthh'];

const CODING_NAMES = ['Transfer-Encoding', 'transfer-encoding', 'TRANSFER-ENCODING', 'Transfer-Encoding ', 'Transfer-Encoding\t',
  ' Transfer-Encoding', '\tTransfer-Encoding', 'Transfer_Encoding', 'Transfer Encoding', 'Transfer-Encoding\x00',
  '\x00Transfer-Encoding', 'Transfer-Encoding\x0b', 'Transfer-Encoding\x0c', 'Transfer-\r\nEncoding', 'X\nTransfer-Encoding',
  'X\rTransfer-Encoding', 'Transfer-Enc\x00oding', 'Transfer-Encoding\xa0', '"Transfer-Encoding"', 'Transfer--Encoding', 'Transfer-Encodin',
  'Transfer-Encodingg', 'TE', 'Transfer\xadEncoding', 'Foo: bar\r\n Transfer-Encoding', 'Foo:\r\n Transfer-Encoding'];

const SIZES = ['3', '03', '003', '0000000000000000000000000000000003', '0x3', '0X3', '+3', '-3', ' 3', '3 ', '\t3', '3\t', '3  ', '3;', '3;a',
  '3;a=b', '3;a="b"', '3;a="b;c"', '3;a="\\""', '3; a', '3 ;a', '3\t;a', '3;;', '3;a;b', '3;a=', '3;=b', '3;a b', '3;a\x00', '3;\x7f', '3;\xff',
  '3;a\x0b', '3;a\n', '3;a\nx', '3;a\rx', '3;a\r', '3a', '3g', 'g', '', ';', ';a', '3,', '3.0', '3:', '3\x00', '\x003', '3\x0b', '3\xa0', '3\n', '3\r',
  '3\r\r', '3\n\n', '\r\n3', '\n3', '3 3', '3"', '1_0', '7fffffffffffffff', '8000000000000000', 'ffffffffffffffff', '10000000000000003',
  'fffffffffffffffff', `3;${'a'.repeat(200)}`, `3;${'a'.repeat(300)}`, '\uff13'];

const CHUNKED_ENDS = ['0\r\n\r\n', '00\r\n\r\n', '000000000000000000000\r\n\r\n', '0;a\r\n\r\n', '0;a="b"\r\n\r\n', '0 \r\n\r\n', '0\t\r\n\r\n', '0\n\n', '0\r\n\n',
  '0\n\r\n', '0\r\r', '0\r\n\r', '0\r\n\rX', '0\r\r\n\r\n', '-0\r\n\r\n', '+0\r\n\r\n', '0x0\r\n\r\n', '0\r\nX: y\r\n\r\n', '0\r\nX:y\r\nZ: z\r\n\r\n',
  '0\r\nX : y\r\n\r\n', '0\r\n X: y\r\n\r\n', '0\r\nX: y\r\n z\r\n\r\n', '0\r\nX\r\n\r\n', '0\r\n: y\r\n\r\n', '0\r\nX: \x00\r\n\r\n', '0\r\nX: y\n\r\n',
  '0\r\nX: y\r\n\n', '0\r\nX: \xff\r\n\r\n', '0\r\nContent-Length: 5\r\n\r\n', '0\r\nTransfer-Encoding: chunked\r\n\r\n',
  '0\r\nHost: b\r\n\r\n', '0\r\nConnection: close\r\n\r\n', `0\r\nX: ${'y'.repeat(5000)}\r\n\r\n`, '0\r\nX: \x7f\r\n\r\n', '0\r\nX\x00: y\r\n\r\n'];

const AFTER_DATA = ['\r\n', '\n', '\r', '', ' \r\n', '\r\n\r\n', 'x\r\n', '\r\r\n', '\n\r', '\x00\r\n', '\r\n ', 'abc\r\n'];

const VERSIONS = ['HTTP/1.1', 'HTTP/1.0', 'HTTP/0.9', 'HTTP/1.2', 'HTTP/1.9', 'HTTP/2.0', 'HTTP/2', 'HTTP/3.0', 'HTTP/9.9', 'HTTP/0.0', 'HTTP/1.10',
  'HTTP/1.11', 'HTTP/01.1', 'HTTP/11.1', 'http/1.1', 'Http/1.1', 'HTTP/1.', 'HTTP/1', 'HTTP/', 'HTTP', '', 'HTTP 1.1', 'HTTP/1,1', 'HTTP/-1.1',
  'HTTP/+1.1', 'HTTP/1.1 ', ' HTTP/1.1', 'HTTP/1.1\t', '\tHTTP/1.1', 'HTTP/1.1x', 'HTTP/x.y', 'HTTPS/1.1', 'ICY/1.1', 'RTSP/1.0', 'HTTP/1.1\x00',
  'HTTP/1.1\r', 'HTTP/1.1 HTTP/1.1', 'x HTTP/1.1', 'HTTP//1.1', 'HTTP\\1.1', 'HTTP/\xb9.1'];

const TARGETS = ['/', '/p?q', '/p?q?r', '//p', '//p//', '/%2e%2e/', '/../p', '/p#f', '/p?q#f', '#', '?', '?q', 'p', 'p/q', '*', '**', '*/p', '/*', 'a:80', 'a',
  ':80', 'http://a', 'http://a/', 'http://a/p', 'HTTP://a/p', 'http://b/p', 'https://a/p', 'http:/a/p', 'http:///p', 'http://', 'http://u@a/p',
  'http://u:p@a/p', 'http://a:80/p', 'http://a:/p', 'http://a:x/p', 'http://[::1]/p', 'http://[::1/p', 'http://a?q', 'http://a#f', 'http://a b/p',
  'ftp://a/p', 'ws://a/p', 'x://a/p', 'file:///p', 'javascript:x', '/p q', '/p\tq', '/p\x00', '/p\x7f', '/p\xff', '/p\xc3\xa9', '/{p}', '/|', '/[p]',
  '/"p"', '/<p>', '/^', '/`', '/\\p', '\\p', '/p\\..\\q', '/%', '/%zz', '/%00', '/%0d%0a', '/p;q', '/p:q', '/@a', '/p\r', `/${'p'.repeat(8000)}`,
  '/p HTTP/1.1 x', '/p\x0bq', '/p\x0cq', 'http://a\\b/p', 'http://%61/p', 'http://a%00/p'];

const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'OPTIONS', 'PATCH', 'TRACE', 'CONNECT', 'PROPFIND', 'PURGE', 'QUERY', 'M-SEARCH', 'PRI', 'get', 'Get', 'gET',
  'GETX', 'GE', 'FOO', 'X-Y', 'a.b', "!#$%&'*+-.^_`|~", '', ' GET', '\tGET', 'GET ', 'G ET', 'GET\t', 'G\x00ET', '\x00GET', 'GET\x00', '\xffGET', 'GET/', '(GET)', 'GET:',
  '"GET"', 'POST,GET', 'GET\xa0', 'G'.repeat(32), 'G'.repeat(33), 'SOURCE', 'ANNOUNCE', 'SETUP', 'DESCRIBE', 'BREW'];

const HOSTS = ['Host: a\r\n', '', 'Host:\r\n', 'Host: \r\n', 'Host: a\r\nHost: a\r\n', 'Host: a\r\nHost: b\r\n', 'host: a\r\n', 'HOST: a\r\n', 'Host: a, b\r\n', 'Host: a b\r\n',
  'Host: a:80\r\n', 'Host: a:\r\n', 'Host: a:x\r\n', 'Host: a:99999\r\n', 'Host: :80\r\n', 'Host: u@a\r\n', 'Host: a/p\r\n', 'Host: a?q\r\n', 'Host: a#f\r\n', 'Host: http://a\r\n',
  'Host: [::1]\r\n', 'Host: [::1\r\n', 'Host: ::1\r\n', 'Host: %61\r\n', 'Host: a\\b\r\n', 'Host: a\x00\r\n', 'Host: \xe9\r\n', 'Host: a_b\r\n', 'Host: "a"\r\n', 'Host: a\tb\r\n', 'Host : a\r\n',
  ' Host: a\r\n', 'Host\r\n', 'X: y\r\n Host: a\r\n', 'Host: a\r\n b\r\n', "Host: !$&'()*+,;=\r\n", 'Host: *\r\n', 'Host: <a>\r\n', 'Host: {a}\r\n', 'Host: a|b\r\n', 'Host: a^b\r\n'];

const CONNECTIONS = ['close', 'keep-alive', 'Close', 'KEEP-ALIVE', 'close, keep-alive', 'keep-alive, close', 'close,', ',close', 'xclose', 'close x', 'x close', 'close;q=1', '"close"',
  'upgrade', 'upgrade, close', 'keep-alive, upgrade', 'Upgrade, HTTP2-Settings', 'Content-Length', 'Transfer-Encoding', 'Host', 'te', 'close\x00', 'clo se', '', ' ', ',', ',,,,',
  'keep-alivex', 'keep-alive\tclose', 'close\t', '\tclose', 'proxy-connection', Array(33).fill('x').join(','), Array(32).fill('x').join(',')];

const FIELDS = ['X: y', 'X:y', 'X:', 'X: ', 'X : y', 'X\t: y', ' X: y', '\tX: y', ': y', 'X', 'X y', 'X;: y', 'X:: y', 'X: :', 'X(: y', 'X"y": z', 'X\x00: y', 'X: \x00', 'X: y\x00', 'X: \x01', 'X: \x1f', 'X: \x7f',
  'X: \x80', 'X: \xff', 'X\xff: y', 'X\x80: y', 'X: y\r\n z', 'X: y\r\n\tz', 'X: y\r\n  ', 'X:\r\n z', 'X: y\n', 'X: y\r', 'X: y\rz', 'X: y\nz', 'X: y\r\r', 'X: y\n\r', 'X\r: y', 'X\n: y', '\rX: y', '\nX: y', 'X:\ry', 'X:\ny',
  'X: "y', "X'y: z", 'X,Y: z', 'X/Y: z', 'X[0]: z', 'X{y}: z', 'X@y: z', 'X=y: z', 'X?y: z', 'X<y>: z', 'X\\y: z', 'X!y: z', "#$%&'*+-.^_`|~: z", 'x'.repeat(300) + ': y', 'X: ' + 'y'.repeat(5000),
  Array(99).fill('X: y').join('\r\n'), Array(100).fill('X: y').join('\r\n'), Array(150).fill('X: y').join('\r\n'), 'X: ' + 'y'.repeat(16500),
  'Expect: 100-continue', 'Expect: 200-ok', 'Upgrade: websocket', 'Upgrade: h2c\r\nConnection: Upgrade', 'TE: trailers', 'TE: chunked', 'Trailer: X', 'Keep-Alive: timeout=5', 'Proxy-Connection: close',
  'Proxy-Connection: keep-alive', 'HTTP/1.1 200 OK', 'GET / HTTP/1.1', 'X: y\r\n\r\nGET /x HTTP/1.1\r\nHost: a', 'Content-Length: 0\r\nContent-Length: 0', 'Content-Type: multipart/byteranges; boundary=x'];

const BEFORE = ['', '\r\n', '\r\n\r\n', '\r\n\r\n\r\n', '\n', '\n\n', '\r', '\r\r\n', ' ', '\t', ' \r\n', '\x00', '\ufeff', '\xef\xbb\xbf', '0\r\n\r\n', 'x', '\x0b', '\x0c', '\x16\x03\x01', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'];

const LINE_ENDS = ['\n', '\r', '\r\r\n', '\n\r', '\r\n\r\n', ' \r\n', '\t\r\n', '\x00\r\n', '\r \n', '\r\x00\n', '\x0b\r\n', '\x85', '\u2028', ''];

// ---- products ----

function* lengths() {
  for (const version of ['HTTP/1.1', 'HTTP/1.0']) {
    for (const value of LENGTHS) {
      for (const name of ['Content-Length', 'content-length'])
        yield ['length', head({ version, fields: `${name}: ${value}\r\n` }) + 'abc' + SMUGGLED];
      yield ['length, no blank', head({ version, fields: `Content-Length:${value}\r\n` }) + 'abc' + SMUGGLED];
      for (const other of ['3', '0', '4']) {
        yield ['two lengths', head({ version, fields: `Content-Length: ${value}\r\nContent-Length: ${other}\r\n` }) + 'abc' + SMUGGLED];
        yield ['two lengths', head({ version, fields: `Content-Length: ${other}\r\nX: y\r\nContent-Length: ${value}\r\n` }) + 'abc' + SMUGGLED];
      }
    }
    for (const name of LENGTH_NAMES)
      yield ['length, name', head({ version, fields: `${name}: 3\r\n` }) + 'abc' + SMUGGLED];
  }
  for (const method of ['GET', 'HEAD', 'DELETE', 'OPTIONS', 'CONNECT', 'TRACE']) {
    yield ['CL.0', head({ method, target: method === 'CONNECT' ? 'a:80' : '/p', fields: `Content-Length: ${SMUGGLED.length}\r\n` }) + SMUGGLED];
    yield ['CL.0', head({ method, target: method === 'CONNECT' ? 'a:80' : '/p' }) + SMUGGLED];
  }
  for (const expect of ['100-continue', '100-Continue', ' 100-continue', '100-continue, x', 'x'])
    yield ['0.CL', head({ fields: `Expect: ${expect}\r\nContent-Length: ${SMUGGLED.length}\r\n` }) + SMUGGLED];
}

function* codings() {
  const length = (n) => `Content-Length: ${n}\r\n`;
  for (const value of CODINGS) {
    const te = `Transfer-Encoding: ${value}\r\n`;
    for (const version of ['HTTP/1.1', 'HTTP/1.0']) {
      yield ['TE', head({ version, fields: te }) + CHUNKED + SMUGGLED];
      yield ['TE, no blank', head({ version, fields: `Transfer-Encoding:${value}\r\n` }) + CHUNKED + SMUGGLED];
      yield ['CL.TE', head({ version, fields: length(CHUNKED.length + SMUGGLED.length) + te }) + '0\r\n\r\n' + SMUGGLED];
      yield ['CL.TE', head({ version, fields: te + length(6) }) + '0\r\n\r\nG' + SMUGGLED];
      yield ['TE.CL', head({ version, fields: length(4) + te }) + `${SMUGGLED.length.toString(16)}\r\n${SMUGGLED}\r\n0\r\n\r\n`];
      yield ['TE.CL', head({ version, fields: te + length(0) }) + CHUNKED + SMUGGLED];
    }
    for (const other of ['chunked', 'identity', 'gzip', '']) {
      yield ['TE.TE', head({ fields: te + `Transfer-Encoding: ${other}\r\n` }) + CHUNKED + SMUGGLED];
      yield ['TE.TE', head({ fields: `Transfer-encoding: ${other}\r\n` + te }) + CHUNKED + SMUGGLED];
    }
  }
  for (const name of CODING_NAMES) {
    yield ['TE, name', head({ fields: `${name}: chunked\r\n` }) + CHUNKED + SMUGGLED];
    yield ['CL.TE, name', head({ fields: `${length(6)}${name}: chunked\r\n` }) + '0\r\n\r\nG' + SMUGGLED];
    yield ['TE.TE, name', head({ fields: `Transfer-Encoding: chunked\r\n${name}: identity\r\n` }) + CHUNKED + SMUGGLED];
  }
}

function* chunks() {
  const start = head({ fields: 'Transfer-Encoding: chunked\r\n' });
  for (const size of SIZES) {
    for (const end of ['\r\n', '\n'])
      yield ['chunk size', `${start}${size}${end}abc\r\n0\r\n\r\n${SMUGGLED}`];
    yield ['chunk size', `${start}3\r\nabc\r\n${size}\r\nabc\r\n0\r\n\r\n${SMUGGLED}`];
  }
  for (const after of AFTER_DATA)
    yield ['after chunk', `${start}3\r\nabc${after}0\r\n\r\n${SMUGGLED}`];
  for (const end of CHUNKED_ENDS) {
    yield ['last chunk', `${start}3\r\nabc\r\n${end}${SMUGGLED}`];
    yield ['last chunk', `${start}${end}${SMUGGLED}`];
  }
}

function* lines() {
  for (const version of VERSIONS) {
    yield ['version', head({ version, fields: 'Content-Length: 3\r\n' }) + 'abc' + SMUGGLED];
    yield ['version', head({ method: 'GET', version, host: '' }) + SMUGGLED];
    yield ['version', head({ version, fields: 'Transfer-Encoding: chunked\r\n' }) + CHUNKED + SMUGGLED];
  }
  yield ['0.9', `GET /p\r\n\r\n${SMUGGLED}`];
  yield ['0.9', `GET /p\r\n${SMUGGLED}`];
  for (const target of TARGETS) {
    for (const method of ['GET', 'OPTIONS', 'CONNECT', 'POST'])
      yield ['target', head({ method, target, fields: 'Content-Length: 3\r\n' }) + 'abc' + SMUGGLED];
  }
  for (const method of METHODS)
    yield ['method', head({ method, target: method === 'CONNECT' ? 'a:80' : '/p', fields: 'Content-Length: 3\r\n' }) + 'abc' + SMUGGLED];
  for (const host of HOSTS) {
    for (const version of ['HTTP/1.1', 'HTTP/1.0']) {
      yield ['host', head({ version, host, fields: 'Connection: keep-alive\r\nContent-Length: 3\r\n' }) + 'abc' + SMUGGLED];
      yield ['host', head({ version, host, target: 'http://b/p', fields: 'Content-Length: 3\r\n' }) + 'abc' + SMUGGLED];
    }
  }
  for (const value of CONNECTIONS) {
    for (const version of ['HTTP/1.1', 'HTTP/1.0']) {
      yield ['connection', head({ version, fields: `Connection: ${value}\r\nContent-Length: 3\r\n` }) + 'abc' + SMUGGLED];
      yield ['connection', head({ version, fields: `Connection: ${value}\r\nConnection: keep-alive\r\nContent-Length: 3\r\n` }) + 'abc' + SMUGGLED];
      yield ['connection', head({ version, fields: `Upgrade: x\r\nConnection: ${value}\r\nContent-Length: 3\r\n` }) + 'abc' + SMUGGLED];
    }
  }
  for (const field of FIELDS) {
    yield ['field', head({ fields: `${field}\r\nContent-Length: 3\r\n` }) + 'abc' + SMUGGLED];
    yield ['field', head({ fields: `Content-Length: 3\r\n${field}\r\n` }) + 'abc' + SMUGGLED];
    yield ['field', head({ method: 'GET', host: `${field}\r\nHost: a\r\n` }) + SMUGGLED];
  }
  for (const before of BEFORE) {
    yield ['before', before + head({ fields: 'Content-Length: 3\r\n' }) + 'abc' + before + SMUGGLED];
    yield ['before', before + SMUGGLED + before + SMUGGLED];
  }
}

function* lineEnds() {
  const whole = [head({ fields: 'X: y\r\nContent-Length: 3\r\n' }) + 'abc' + SMUGGLED,
    head({ fields: 'X: y\r\nTransfer-Encoding: chunked\r\n' }) + '3;a=b\r\nabc\r\n0\r\nX: y\r\n\r\n' + SMUGGLED];
  for (const text of whole) {
    for (let at = text.indexOf('\r\n'); at >= 0; at = text.indexOf('\r\n', at + 1)) {
      for (const end of LINE_ENDS)
        yield ['line end', text.slice(0, at) + end + text.slice(at + 2)];
    }
    for (const end of LINE_ENDS)
      yield ['line end', text.replaceAll('\r\n', end)];
  }
}

// Every byte at a place of each kind: put there, and in the place of what stands there.
function* everyByte() {
  const text = 'POST /p?q HTTP/1.1\r\nHost: a\r\nX-Y: z z\r\nTransfer-Encoding: chunked\r\n\r\n3;a=b\r\nabc\r\n0\r\nX: y\r\n\r\n' + SMUGGLED;
  const lengthText = 'POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc' + SMUGGLED;
  const places = ['POST', ' /p', '/p?', 'q HTTP', ' HTTP', '/1.1', '1.1\r', 'Host', ': a', 'a\r\nX', 'X-Y', '-Y', ': z', ' z\r', 'z\r\n', 'chunked', 'ked\r', '\r\n\r\n3', '3;a', ';a=b', '=b', '\r\nabc',
    '\r\n0', '0\r\nX', 'X: y\r\n\r', ': y\r\n\r', '\r\nGET'];
  const lengthPlaces = ['Content', '-Length', ': 3', ' 3\r', '3\r\n', '\r\n\r\nabc'];
  for (const [from, list] of [[text, places], [lengthText, lengthPlaces]]) {
    for (const place of list) {
      const at = from.indexOf(place);
      for (let byte = 0; byte < 256; byte++) {
        const c = String.fromCharCode(byte);
        yield ['byte put in', from.slice(0, at) + c + from.slice(at)];
        yield ['byte changed', from.slice(0, at) + c + from.slice(at + 1)];
      }
    }
  }
}

// ---- changes that a seed decides ----

function randomOf(seed) {
  let state = BigInt(seed); // splitmix64
  return (below) => {
    state = BigInt.asUintN(64, state + 0x9e3779b97f4a7c15n);
    let z = state;
    z = BigInt.asUintN(64, (z ^ (z >> 30n)) * 0xbf58476d1ce4e5b9n);
    z = BigInt.asUintN(64, (z ^ (z >> 27n)) * 0x94d049bb133111ebn);
    return Number((z ^ (z >> 31n)) % BigInt(below));
  };
}

function* changed(bases, count) {
  const random = randomOf(1);
  const pieces = ['\r\n', '\n', '\r', ' ', '\t', '\x00', ':', ',', ';', '0', '3', 'chunked', 'Content-Length: 3\r\n', 'Transfer-Encoding: chunked\r\n',
    'Connection: close\r\n', 'Host: a\r\n', '\r\n\r\n', '0\r\n\r\n', 'HTTP/1.0', '\xff', SMUGGLED];
  for (let i = 0; i < count; i++) {
    let text = bases[random(bases.length)][1];
    if (text.length > 2000)
      continue;
    for (let n = 1 + random(3); n; n--) {
      const at = random(text.length + 1);
      const length = random(6);
      switch (random(4)) {
        case 0: text = text.slice(0, at) + pieces[random(pieces.length)] + text.slice(at); break;
        case 1: text = text.slice(0, at) + text.slice(at + length); break;
        case 2: text = text.slice(0, at) + text.slice(at, at + 2 * length) + text.slice(at); break;
        default: text = text.slice(0, at) + String.fromCharCode(random(256)) + text.slice(at + 1);
      }
    }
    yield ['changed', text];
  }
}

function corpus() {
  const products = [lengths, codings, chunks, lines, lineEnds].flatMap((make) => [...make()]);
  const all = [...products, ...everyByte(), ...changed(products, 6000)];
  const seen = new Map();
  for (const [group, text] of all) {
    if (!seen.has(text))
      seen.set(text, { group, bytes: bytesOf(text) });
  }
  return [...seen.values()];
}

module.exports = { corpus };
