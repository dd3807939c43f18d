#!/usr/bin/python3
"""A container of one slot that leaves a record of what it ran, which outlives a kill -9.

    recorder.py ADDRESS PORT RECORD

A request's body is its token, and its answer has it as "input_text", as berth-worker's has. RECORD gets "S PID TOKEN" when the
request begins and "E PID TOKEN" when it is over, each line by one write, and "V PID TOKEN" for one that came while another ran.
Not recorded are GET /health, GET /delay/MS, which sets how long a request takes, and GET /long, whose answer has 160 KiB. PORT 0
lets the kernel choose; the port is printed when it listens.
"""

import asyncio
import os
import sys

LONG = 160 * 1024


class Container:
    def __init__(self, record):
        self.record = os.open(record, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        self.delay_s = 0.002
        self.running = 0

    def note(self, what, token):
        os.write(self.record, b"%s %d %s\n" % (what, os.getpid(), token))

    def begin(self, token):
        self.note(b"S" if self.running == 0 else b"V", token)
        self.running += 1

    def end(self, token):
        self.note(b"E", token)
        self.running -= 1
        return b'{"input_text":"%s","pid":%d}' % (token, os.getpid())


class Connection(asyncio.Protocol):
    def __init__(self, container):
        self.container = container
        self.transport = None
        self.bytes = b""

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.bytes += data
        head, end, rest = self.bytes.partition(b"\r\n\r\n")
        if not end:
            return
        length = 0
        for line in head.split(b"\r\n")[1:]:
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        if len(rest) < length:
            return
        self.bytes = rest[length:]
        self.take(head.split(b" ", 2)[1], rest[:length])

    def take(self, target, token):
        if target.startswith(b"/delay/"):
            self.container.delay_s = int(target[7:]) / 1000
        if target.startswith((b"/delay/", b"/health", b"/long")):
            self.answer(bytes(LONG) if target == b"/long" else b"")
            return
        self.container.begin(token)
        asyncio.get_running_loop().call_later(self.container.delay_s, self.finish, token)

    def finish(self, token):
        self.answer(self.container.end(token))

    def answer(self, body):
        self.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))


async def serve(address, port, record):
    container = Container(record)
    server = await asyncio.get_running_loop().create_server(lambda: Connection(container), address, port, backlog=512)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1], int(sys.argv[2]), sys.argv[3]))
