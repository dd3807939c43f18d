#!/usr/bin/python3
"""Clients that know exactly what became of each of their requests.

    asker.py HOST:PORT NAME CONNECTIONS SECONDS PATIENCE_S

Each connection sends a token to /run_model, waits for the answer, which has it as "input_text", and sends the next. No token comes
twice. After SECONDS nothing new is sent, and what has no answer PATIENCE_S later is lost. Prints one JSON object; times are of the
monotonic clock.
"""

import asyncio
import json
import sys
import time


class Findings:
    def __init__(self):
        self.requests = 0
        self.statuses = {}
        self.failed = []        # [token, status, when]: answered, but not with 200
        self.lost = []          # [token, when]: no answer
        self.foreign = []       # [token, body]: another's answer
        self.unasked_bytes = 0  # answered twice
        self.took_s = []

    def answered(self, token, sent_s, status, body):
        now_s = time.monotonic()
        self.took_s.append(now_s - sent_s)
        self.statuses[status] = self.statuses.get(status, 0) + 1
        if status != 200:
            self.failed.append([token, status, now_s])
        elif b'"input_text":"%s"' % token.encode() not in body:
            self.foreign.append([token, body.decode("latin-1")])

    def as_json(self):
        took = sorted(self.took_s) or [0.0]
        return json.dumps({
            "requests": self.requests, "statuses": self.statuses, "failed": self.failed, "lost": self.lost,
            "foreign": self.foreign, "unasked_bytes": self.unasked_bytes, "p50_s": took[len(took) // 2],
            "p99_s": took[len(took) * 99 // 100], "worst_s": took[-1]})


class Client(asyncio.Protocol):
    """One connection, which is opened again when it ends."""

    def __init__(self, crowd, number):
        self.crowd, self.findings, self.number = crowd, crowd.findings, number
        self.sequence = 0
        self.transport = self.token = None
        self.sent_s = 0.0
        self.bytes = b""

    def connection_made(self, transport):
        self.transport = transport
        self.bytes = b""
        self.ask()

    def ask(self):
        if time.monotonic() >= self.crowd.end_s:
            self.transport.close()
            self.crowd.leave(self)
            return
        self.sequence += 1
        self.token = f"{self.crowd.name}-{self.number}-{self.sequence}"
        self.sent_s = time.monotonic()
        self.findings.requests += 1
        self.transport.write(b"POST /run_model HTTP/1.1\r\nHost: chaos\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n%s"
                             % (len(self.token), self.token.encode()))

    def data_received(self, data):
        if self.token is None:
            self.findings.unasked_bytes += len(data)
            return
        self.bytes += data
        head, end, body = self.bytes.partition(b"\r\n\r\n")
        if not end:
            return
        fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
        length = int(fields[b"content-length"])
        if len(body) < length:
            return
        self.findings.unasked_bytes += len(body) - length
        token, self.token, self.bytes = self.token, None, b""
        self.findings.answered(token, self.sent_s, int(head.split(b" ", 2)[1]), body[:length])
        self.ask()

    def connection_lost(self, _error):
        if self.token is not None:
            self.findings.lost.append([self.token, time.monotonic()])
            self.token = None
        if self in self.crowd.present:
            self.crowd.connect_later(self)


class Crowd:
    def __init__(self, address, name, connections, seconds, patience_s):
        host, _, port = address.rpartition(":")
        self.host, self.port, self.name = host, int(port), name
        self.end_s = time.monotonic() + seconds
        self.patience_s = patience_s
        self.findings = Findings()
        self.present = {Client(self, number) for number in range(connections)}
        self.tasks = set()
        self.all_gone = asyncio.Event()

    def leave(self, client):
        self.present.discard(client)
        if not self.present:
            self.all_gone.set()

    def connect_later(self, client):
        task = asyncio.get_running_loop().create_task(self.connect(client))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def connect(self, client):
        while time.monotonic() < self.end_s:
            try:
                await asyncio.get_running_loop().create_connection(lambda: client, self.host, self.port)
                return
            except OSError:
                await asyncio.sleep(0.01)
        self.leave(client)

    async def run(self):
        for client in list(self.present):
            self.connect_later(client)
        try:
            await asyncio.wait_for(self.all_gone.wait(), self.end_s + self.patience_s - time.monotonic())
        except TimeoutError:
            now_s = time.monotonic()
            self.findings.lost += [[client.token, now_s] for client in self.present if client.token]
        return self.findings


async def main(address, name, connections, seconds, patience_s):
    findings = await Crowd(address, name, int(connections), float(seconds), float(patience_s)).run()
    print(findings.as_json())


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
