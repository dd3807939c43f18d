"""Requests through a proxy, one step at a time: what happens next is sent only when the proxy sleeps again, so that
the same run costs the same each time, however fast the machine is."""

import pathlib
import re
import socket
import time

REQUEST = (b"GET /run_model?client=%02d HTTP/1.1\r\nHost: berth.example\r\nUser-Agent: guard\r\nAccept: */*\r\n"
           b"Accept-Encoding: gzip, deflate\r\n\r\n")
ANSWER = (b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 41\r\n\r\n"
          b'{"label": "ham", "probabilities": [1, 0]}')
PATIENCE_S = 30


class Traffic:
    """Containers of one slot, and clients that wait in a queue for them."""

    def __init__(self, containers):
        self.listeners = []
        for _ in range(containers):
            listener = socket.create_server(("127.0.0.1", 0))
            listener.settimeout(PATIENCE_S)
            self.listeners.append(listener)
        self.pid = None
        self.clients = []
        self.slots = []  # (container's connection, number of the client whose request it has)

    def addresses(self):
        return ["127.0.0.1:%d" % listener.getsockname()[1] for listener in self.listeners]

    def connect(self, pid, port, clients):
        """The proxy runs as `pid` and listens on `port`."""
        self.pid = pid
        for _ in range(clients):
            self.clients.append(socket.create_connection(("127.0.0.1", port), PATIENCE_S))
        self.settle()

    def settle(self):
        """Returns when the proxy sleeps. What it was sent has woken it before the sending call was over."""
        end = time.monotonic() + PATIENCE_S
        while pathlib.Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0] != "S":
            if time.monotonic() > end:
                raise RuntimeError("the proxy does not come to rest")

    def ask(self, client):
        self.clients[client].sendall(REQUEST % client)
        self.settle()

    def answer(self, connection, client):
        connection.sendall(ANSWER)
        self.settle()
        if not read_head(self.clients[client]).startswith(b"HTTP/1.1 200 "):
            raise RuntimeError("not answered with 200")

    def through_a_queue(self, requests):
        """Every slot is taken, the others wait: each answer lets in the next of the queue, and its client asks again."""
        for client in range(len(self.clients)):
            self.ask(client)
        for listener in self.listeners:
            connection = listener.accept()[0]
            connection.settimeout(PATIENCE_S)
            self.slots.append((connection, read_client(connection)))
        for _ in range(requests):
            connection, client = self.slots.pop(0)
            self.answer(connection, client)
            self.slots.append((connection, read_client(connection)))
            self.ask(client)

    def one_by_one(self, requests):
        """One client and one container: nothing ever waits."""
        self.ask(0)
        connection = self.listeners[0].accept()[0]
        connection.settimeout(PATIENCE_S)
        for _ in range(requests):
            self.slots = [(connection, read_client(connection))]
            self.answer(connection, 0)
            self.ask(0)

    def close(self):
        for each in self.listeners + self.clients + [connection for connection, _ in self.slots]:
            each.close()


def read_head(connection):
    """A message that comes in one piece, as those here do."""
    data = connection.recv(65536)
    if b"\r\n\r\n" not in data:
        raise RuntimeError(f"received {data!r}")
    return data


def read_client(connection):
    """Whose request a container received."""
    return int(re.match(rb"GET /run_model\?client=(\d+) ", read_head(connection))[1])
