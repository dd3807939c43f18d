"""Containers that follow a script byte by byte, and clients that write and read raw bytes.

    container = ScriptedContainer().then(reply(b"first")).then(close()).always(reply(b"the rest"))

A step is a function of the exchange at hand: it may send, wait, close. Each request takes the next step; without one left, the
step of always(), which answers 200 with the request's body unless the test says otherwise.
"""

import contextlib
import os
import re
import signal
import socket
import struct
import subprocess
import threading

import pytest

from berth import PATIENCE, Berth


class Head:
    """A start line and its fields, as they came."""

    def __init__(self, raw):
        lines = raw.decode("latin-1").split("\r\n")
        self.start = lines[0]
        self.fields = [tuple(part.strip(" \t") for part in line.split(":", 1)) for line in lines[1:] if line]

    def all(self, name):
        return [value for field, value in self.fields if field.lower() == name.lower()]

    def get(self, name):
        """The value of a field that comes at most once; None without it."""
        values = self.all(name)
        assert len(values) < 2, f"{name} comes {len(values)} times: {self.fields}"
        return values[0] if values else None


class Reader:
    """Reads messages from a socket without reading past their ends."""

    def __init__(self, sock):
        self.sock = sock
        self.buffer = b""

    def fill(self):
        """More bytes; False at the end."""
        piece = self.sock.recv(65536)
        self.buffer += piece
        return bool(piece)

    def until(self, end):
        """Bytes up to and with `end`; None when the connection ends before any came."""
        while end not in self.buffer:
            if not self.fill():
                if not self.buffer:
                    return None
                raise ConnectionError(f"the connection ended after {self.buffer!r}")
        found, _, self.buffer = self.buffer.partition(end)
        return found + end

    def exactly(self, n):
        pieces, missing = [self.buffer], n - len(self.buffer)
        while missing > 0:
            pieces.append(self.sock.recv(min(missing, 1 << 20)))
            if not pieces[-1]:
                raise ConnectionError(f"the connection ended {missing} bytes early")
            missing -= len(pieces[-1])
        whole = b"".join(pieces)
        found, self.buffer = whole[:n], whole[n:]
        return found

    def chunks(self):
        body = b""
        while True:
            size = int(self.until(b"\r\n").split(b";")[0], 16)
            body += self.exactly(size)
            assert self.exactly(2) == b"\r\n"
            if size == 0:
                return body

    def rest(self):
        while self.fill():
            pass
        found, self.buffer = self.buffer, b""
        return found


class Message:
    """A request or an answer, read whole."""

    def __init__(self, head, body, raw_head):
        self.head = head
        self.body = body
        self.raw_head = raw_head

    def __getitem__(self, name):
        return self.head.get(name)

    @property
    def status(self):
        return int(self.head.start.split(" ")[1])

    @property
    def method(self):
        return self.head.start.split(" ")[0]

    @property
    def target(self):
        return self.head.start.split(" ")[1]


def read_message(reader, without_body=False):
    """A request, or an answer (to HEAD: without a body); None when the connection has ended."""
    raw = reader.until(b"\r\n\r\n")
    if raw is None:
        return None
    head = Head(raw)
    status = int(head.start.split(" ")[1]) if head.start.startswith("HTTP/") else None
    if without_body or (status and (status < 200 or status in (204, 304))):
        body = b""
    elif head.get("Transfer-Encoding"):
        body = reader.chunks()
    elif head.get("Content-Length"):
        body = reader.exactly(int(head.get("Content-Length")))
    else:
        body = reader.rest() if status else b""
    return Message(head, body, raw)


# ---- steps of a script ----


def render(status, body, fields, framing):
    lines = [f"HTTP/1.1 {status} Reason"] + [f"{name}: {value}" for name, value in fields.items()]
    if framing == "length":
        lines.append(f"Content-Length: {len(body)}")
    elif framing == "chunked":
        lines.append("Transfer-Encoding: chunked")
        body = b"".join(b"%x\r\n%s\r\n" % (len(body[i:i + 1000]), body[i:i + 1000]) for i in range(0, len(body), 1000))
        body += b"0\r\n\r\n"
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


def reply(body=b"", status=200, framing="length", **fields):
    """An answer, framed by "length", "chunked" or "close". Field names have underscores for dashes."""
    fields = {name.replace("_", "-"): value for name, value in fields.items()}

    def step(exchange):
        sent = body if exchange.request.method != "HEAD" else b""
        exchange.finish(render(status, sent, fields, framing))
        if framing == "close":
            exchange.close()
    return step


def echo(exchange):
    exchange.finish(render(200, exchange.request.body if exchange.request.method != "HEAD" else b"", {}, "length"))


def raw(*pieces, then_close=False):
    """Exactly these bytes, each piece in a packet of its own."""
    def step(exchange):
        for piece in pieces[:-1]:
            exchange.send(piece)
        exchange.finish(pieces[-1])
        if then_close:
            exchange.close()
    return step


def close(after=b""):
    """Ends the connection after these bytes."""
    def step(exchange):
        exchange.finish(after)
        exchange.close()
    return step


def reset(after=b""):
    def step(exchange):
        exchange.finish(after)
        exchange.reset()
    return step


def when(event, step):
    """Waits for the event first."""
    def waiting(exchange):
        event.wait(PATIENCE)
        step(exchange)
    return waiting


class Exchange:
    """A request that has come, and the connection to answer it on."""

    def __init__(self, container, sock, request):
        self.container = container
        self.sock = sock
        self.request = request
        self.is_over = False

    def send(self, data):
        self.sock.sendall(data)

    def finish(self, data):
        """The last bytes: the request counts as over before they go out."""
        self.over()
        self.send(data)

    def over(self):
        if not self.is_over:
            self.is_over = True
            self.container.request_is_over()

    def close(self):
        self.over()
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_RDWR)
        self.sock.close()

    def reset(self):
        self.over()
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()


class ScriptedContainer:
    def __init__(self, host="127.0.0.1", path=None, port=0, reads_bodies=True):
        self._lock = threading.Lock()
        self._reads_bodies = reads_bodies
        self._steps = []
        self._last = echo
        self._sockets = set()
        self.requests = []
        self.connections = 0
        self.in_flight = 0
        self.in_flight_max = 0
        self._host, self._path = host, path
        self.listen(port)

    def listen(self, port=0):
        """Listens (again, with the port that it had)."""
        if self._path:
            self._listener = socket.socket(socket.AF_UNIX)
            self._listener.bind(str(self._path))
            self._listener.listen(64)
            self.address = f"unix:{self._path}"
        else:
            family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
            self._listener = socket.create_server((self._host, port), family=family, backlog=64)
            self.port = self._listener.getsockname()[1]
            self.address = f"[{self._host}]:{self.port}" if ":" in self._host else f"{self._host}:{self.port}"
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()
        return self

    def then(self, step):
        self._steps.append(step)
        return self

    def always(self, step):
        self._last = step
        return self

    def seen(self):
        """Of the requests so far, method and target."""
        return [(request.method, request.target) for request in self.requests]

    def _accept(self, listener):
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            if not self._path:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                self.connections += 1
                self._sockets.add(sock)
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock):
        reader = Reader(sock)
        with contextlib.suppress(OSError, ValueError):
            while True:
                request = read_message(reader, without_body=not self._reads_bodies)
                if request is None:
                    break
                exchange = Exchange(self, sock, request)
                try:
                    self._begin(request)(exchange)
                finally:
                    exchange.over()
        with contextlib.suppress(OSError):
            sock.close()
        with self._lock:
            self._sockets.discard(sock)

    def _begin(self, request):
        with self._lock:
            self.in_flight += 1
            self.in_flight_max = max(self.in_flight_max, self.in_flight)
            self.requests.append(request)
            return self._steps.pop(0) if self._steps else self._last

    def request_is_over(self):
        with self._lock:
            self.in_flight -= 1

    def hang_up(self):
        """Ends the connections; it listens on."""
        with self._lock:
            sockets = list(self._sockets)
        for sock in sockets:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def die(self):
        """Neither listens nor is connected any more, as after a kill."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.hang_up()
        if self._path:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._path)

    def come_back(self):
        return self.listen(getattr(self, "port", 0))

    stop = die


# ---- clients ----


def connect(address, receive_buffer=None, source=None):
    """A socket to "host:port", "[host]:port" or "unix:path". receive_buffer: bytes that the kernel may keep for it. source: its own
    address."""
    if address.startswith("unix:"):
        sock = socket.socket(socket.AF_UNIX)
        target = address[5:]
    else:
        host, _, port = address.rpartition(":")
        sock = socket.socket(socket.AF_INET6 if host.startswith("[") else socket.AF_INET)
        target = (host.strip("[]"), int(port))
    if receive_buffer:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    if source:
        sock.bind((source, 0))
    sock.settimeout(PATIENCE)
    sock.connect(target)
    return sock


class RawClient:
    """A connection on which the test writes what it likes."""

    def __init__(self, address, **options):
        self.sock = connect(address, **options)
        self.reader = Reader(self.sock)

    def send(self, data):
        self.sock.sendall(data if isinstance(data, bytes) else data.encode("latin-1"))
        return self

    def request(self, method, target, body=None, head="Host: h\r\n"):
        """A request of HTTP/1.1, with Content-Length when there is a body."""
        length = "" if body is None else f"Content-Length: {len(body)}\r\n"
        return self.send(f"{method} {target} HTTP/1.1\r\n{head}{length}\r\n".encode("latin-1") + (body or b""))

    def answer(self, to_head=False):
        """The next answer, whole."""
        return read_message(self.reader, to_head)

    def is_closed(self):
        """Waits until the other side has ended the connection, and has sent nothing more before it."""
        try:
            return not self.reader.buffer and self.sock.recv(1) == b""
        except ConnectionResetError:
            return True

    def half_close(self):
        self.sock.shutdown(socket.SHUT_WR)
        return self

    def reset(self):
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def close(self):
        self.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Background(threading.Thread):
    """Runs a function beside the test; result() waits for what it gives."""

    def __init__(self, function, *arguments, **options):
        super().__init__(daemon=True)
        self._call = lambda: function(*arguments, **options)
        self._result = self._error = None
        self.start()

    def run(self):
        try:
            self._result = self._call()
        except Exception as error:  # given to whoever asks for the result
            self._error = error

    def result(self):
        self.join(PATIENCE)
        assert not self.is_alive(), "it did not come to an end"
        if self._error:
            raise self._error
        return self._result


# ---- fixtures: import them where they are used ----

TROUBLE = re.compile(r"berth: bug|Sanitizer|runtime error")


def end(berth):
    """Ends it as an operator in a hurry would; whatever the test did to it, its exit code is 0 and nothing was found in it."""
    for _ in range(2):
        if berth.is_running:
            berth.signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                berth.process.wait(0.3)
    code = berth.wait()
    assert not TROUBLE.search(berth.output), berth.output
    assert code == 0, berth.output


@pytest.fixture
def gateway(environment, tmp_path):
    """gateway(container, …, queue_max=3) starts a `berth serve` before them, with such flags, and waits until all slots are free."""
    started = []

    def start(*containers, wait=True, **flags):
        berth = Berth("serve", cwd=tmp_path, env=environment)
        if containers:
            berth.containers(*containers)
        for name, value in flags.items():
            berth.flag(name.replace("_", "-"), value)
        started.append(berth)
        berth.start()
        if wait:
            berth.wait_for_slots(len(containers) * int(flags.get("slots", 1)))
        return berth

    yield start
    for berth in reversed(started):
        if berth.process:
            end(berth)


@pytest.fixture
def scripted():
    """scripted() makes a container that follows a script."""
    made = []

    def make(*arguments, **options):
        made.append(ScriptedContainer(*arguments, **options))
        return made[-1]

    yield make
    for one in made:
        one.stop()
