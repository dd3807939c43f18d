"""What lasts: event streams, heartbeats, WebSocket and other protocols that a connection is switched to."""

import asyncio
import contextlib
import json
import re
import select
import socket
import threading
import time

import pytest

from berth import wait_until
from containers import Background, RawClient, echo, gateway, reply, scripted, when  # noqa: F401

websockets = pytest.importorskip("websockets")

EVENTS = "Host: h\r\nAccept: text/event-stream\r\n"


def position_lines(client):
    """A chunk of heartbeats: its text."""
    size = int(client.reader.until(b"\r\n"), 16)
    text = client.reader.exactly(size).decode()
    assert client.reader.exactly(2) == b"\r\n"
    return text


# ---- event streams ----


def test_events_flow_as_they_come_and_hold_the_slot(gateway, scripted):
    more = threading.Event()

    def stream(exchange):
        exchange.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
        exchange.send(b"data: one\n\n")
        more.wait(20)
        exchange.finish(b"data: two\n\n")
        exchange.close()
    container = scripted().then(stream).always(echo)
    berth = gateway(container)
    with RawClient(berth.address) as client:
        client.request("GET", "/", head=EVENTS)
        assert b"text/event-stream" in client.reader.until(b"\r\n\r\n")
        assert client.reader.until(b"data: one\n\n\r\n") == b"b\r\ndata: one\n\n\r\n"  # before the second is there
        waiting = Background(berth.post, "/", b"next")
        berth.wait_for_queue(1)
        assert berth.pool()["slots"]["busy"] == 1
        more.set()
        assert client.reader.until(b"0\r\n\r\n").endswith(b"data: two\n\n\r\n0\r\n\r\n")
        assert waiting.result().body == b"next"


def test_an_event_stream_outlasts_the_whole_time(gateway, scripted):
    """timeouts.total is for answers that come to an end by themselves; an event stream only must not fall silent."""
    def stream(exchange):
        exchange.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
        for _ in range(8):
            exchange.send(b"data: x\n\n")
            time.sleep(0.05)
        exchange.finish(b"data: last\n\n")
        exchange.close()
    berth = gateway(scripted().always(stream), timeouts_connect="150ms", timeouts_first_byte="150ms", timeouts_idle="150ms",
                    timeouts_total="150ms")
    assert berth.get("/").body.endswith(b"data: last\n\n")


def test_retry_always_holds_no_event_stream_back(gateway, scripted):
    more = threading.Event()

    def stream(exchange):
        exchange.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: one\n\n")
        more.wait(20)
        exchange.finish(b"")
        exchange.close()
    berth = gateway(scripted().always(stream), retry="always")
    with RawClient(berth.address) as client:
        client.request("GET", "/", head=EVENTS).reader.until(b"data: one\n\n")
        more.set()


# ---- heartbeats ----


def test_heartbeats_while_a_stream_waits(gateway, scripted):
    """Comments with the place, from the first second on; then the container's events, in the same answer."""
    gate, events = threading.Event(), b"data: hello\n\n"
    container = scripted().then(when(gate, echo)).always(reply(events, framing="close", Content_Type="text/event-stream"))
    berth = gateway(container)
    running = Background(berth.post, "/", b"first")
    wait_until(lambda: container.in_flight == 1)
    with RawClient(berth.address) as client:
        client.request("GET", "/", head=EVENTS + "Berth-Heartbeat: 1\r\n")
        berth.wait_for_queue(1)
        head = client.reader.until(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 ") and b"\r\nContent-Type: text/event-stream\r\n" in head
        for _ in range(2):
            assert re.fullmatch(r": position 1(, eta_ms \d+)?\n\n", position_lines(client))
        gate.set()
        rest = client.reader.until(b"0\r\n\r\n")
        assert events in rest and b"HTTP/1.1" not in rest
    assert running.result().status == 200
    assert all(request["Berth-Heartbeat"] is None for request in container.requests)


@pytest.mark.parametrize("head", [EVENTS, "Host: h\r\nBerth-Heartbeat: 1\r\n", EVENTS + "Berth-Heartbeat: often\r\n"])
def test_no_heartbeats_unless_asked_for(gateway, scripted, head):
    gate = threading.Event()
    container = scripted().then(when(gate, echo)).always(reply(b"x", Content_Type="text/event-stream"))
    berth = gateway(container)
    running = Background(berth.post, "/", b"first")
    wait_until(lambda: container.in_flight == 1)
    with RawClient(berth.address) as client:
        client.request("GET", "/", head=head)
        berth.wait_for_queue(1)
        start = time.monotonic()
        wait_until(lambda: time.monotonic() > start + 1.2)
        gate.set()
        assert client.answer().body == b"x"
    assert running.result().status == 200


def test_a_stream_that_began_with_heartbeats_ends_with_its_problem(gateway, scripted):
    """Its head has gone: what went wrong is an event, and the stream's end."""
    gate = threading.Event()
    container = scripted().then(when(gate, echo)).always(reply(b"no events", status=500))
    berth = gateway(container, queue_max_wait="1500ms")
    running = Background(berth.post, "/", b"first")
    wait_until(lambda: container.in_flight == 1)
    for expected in ("queue-timeout", "bad-answer"):
        with RawClient(berth.address) as client:
            client.request("GET", "/", head=EVENTS + "Berth-Heartbeat: 1\r\n").reader.until(b": position")
            if expected == "bad-answer":
                gate.set()
            text = client.reader.until(b"0\r\n\r\n").decode()
            problem = json.loads(re.search(r"event: problem\ndata: (\{.*\})\n\n", text)[1])
            assert problem["type"] == f"urn:berth:problem:{expected}"
    assert running.result().status == 200


# ---- WebSocket ----


class WebSocketContainer:
    """A server by the websockets library, which sends back what it gets; its address is that of a container."""

    def __init__(self):
        self.loop = asyncio.new_event_loop()
        self.open = 0
        self.requests = []
        ready = threading.Event()
        self.thread = threading.Thread(target=self._run, args=(ready,), daemon=True)
        self.thread.start()
        assert ready.wait(20)

    def _run(self, ready):
        asyncio.set_event_loop(self.loop)
        server = self.loop.run_until_complete(websockets.serve(self._serve, "127.0.0.1", 0, max_size=1 << 24,
                                                               process_request=self._see))
        self.address = "127.0.0.1:%d" % server.sockets[0].getsockname()[1]
        ready.set()
        self.loop.run_forever()
        server.close()
        self.loop.run_until_complete(server.wait_closed())

    async def _see(self, path, headers):
        self.requests.append((path, headers))

    async def _serve(self, connection, _path=None):
        self.open += 1
        try:
            async for message in connection:
                if message == "close, please":
                    await connection.close(4001, "as you like")
                    return
                await connection.send(message)
        finally:
            self.open -= 1

    def stop(self):
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(20)


@pytest.fixture
def talker(started):
    container = WebSocketContainer()
    started.append(container)
    return container


def talk(berth, conversation, **options):
    async def go():
        async with websockets.connect(f"ws://{berth.address}/chat?room=1", max_size=1 << 24, **options) as connection:
            return await conversation(connection)
    return asyncio.run(asyncio.wait_for(go(), 30))


def test_websocket_passes_through(gateway, talker):
    """Text, binary, pings, a megabyte in fragments, both ways; its slot is taken as long as it lasts."""
    berth = gateway(talker)

    async def conversation(connection):
        await connection.send("hello")
        assert await connection.recv() == "hello"
        await connection.send(bytes(range(256)))
        assert await connection.recv() == bytes(range(256))
        await asyncio.wait_for(await connection.ping(), 20)
        large = [b"x" * 300_000, b"y" * 700_000, b"z"]
        await connection.send(large)
        assert await connection.recv() == b"".join(large)
        assert await asyncio.to_thread(berth.pool) and (await asyncio.to_thread(berth.pool))["slots"]["busy"] == 1
        return connection.subprotocol
    assert talk(berth, conversation) is None
    berth.wait_for_slots(1)
    [(path, headers)] = talker.requests
    assert path == "/chat?room=1"
    assert headers["Via"] == "1.1 berth" and headers["Connection"].lower() == "upgrade" and headers["X-Forwarded-For"] == "127.0.0.1"
    assert berth.pool()["requests"]["done"] == 1


def test_websocket_is_ended_by_the_container(gateway, talker):
    berth = gateway(talker)

    async def conversation(connection):
        await connection.send("close, please")
        with pytest.raises(websockets.ConnectionClosed) as closed:
            await connection.recv()
        return closed.value.rcvd.code, closed.value.rcvd.reason
    assert talk(berth, conversation) == (4001, "as you like")
    berth.wait_for_slots(1)


def test_websocket_whose_client_vanishes(gateway, talker):
    """The container hears of it, and the slot is free."""
    berth = gateway(talker)

    async def conversation(connection):
        await connection.send("x")
        await connection.recv()
        assert talker.open == 1
        connection.transport.abort()
    with contextlib.suppress(websockets.ConnectionClosed):
        talk(berth, conversation)
    wait_until(lambda: talker.open == 0, "the container's end of it")
    berth.wait_for_slots(1)


def test_websocket_waits_in_the_queue_like_others(gateway, talker):
    berth = gateway(talker)
    order = []

    async def first(connection):
        second = threading.Thread(target=lambda: talk(berth, second_conversation))
        second.start()
        await asyncio.to_thread(berth.wait_for_queue, 1)
        order.append("first")
        await connection.close()
        await asyncio.to_thread(second.join, 20)

    async def second_conversation(connection):
        await connection.send("x")
        await connection.recv()
        order.append("second")
    talk(berth, first)
    assert order == ["first", "second"]
    berth.wait_for_slots(1)


def test_websocket_without_a_word_for_too_long(gateway, talker):
    berth = gateway(talker, timeouts_tunnel="150ms")

    async def conversation(connection):
        with pytest.raises(websockets.ConnectionClosed):
            await asyncio.wait_for(connection.recv(), 20)
    talk(berth, conversation, ping_interval=None)
    berth.wait_for_slots(1)


def test_a_slow_reader_behind_a_tunnel_is_waited_for(gateway, scripted):
    """20 MB towards a client that does not read: Berth keeps a bounded part of them, and all come in the end."""
    pieces = 200

    def pour(exchange):
        exchange.send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: pour\r\n\r\n")
        with contextlib.suppress(OSError):
            for i in range(pieces):
                exchange.send(bytes([i]) * 100_000)
        exchange.close()
    berth = gateway(scripted().always(pour), limits_memory="4MiB")
    with RawClient(berth.address, receive_buffer=1 << 16) as client:
        client.request("GET", "/", head="Host: h\r\nConnection: upgrade\r\nUpgrade: pour\r\n").reader.until(b"\r\n\r\n")
        start = time.monotonic()
        wait_until(lambda: time.monotonic() > start + 0.5)
        memory = int(re.search(r"^berth_memory_bytes (\d+)$", berth.metrics(), re.MULTILINE)[1])
        assert memory < 5 << 20
        got = [client.reader.buffer]
        while piece := client.sock.recv(1 << 16):
            got.append(piece)
    assert b"".join(got) == b"".join(bytes([i]) * 100_000 for i in range(pieces))


def kept(berth):
    """Bytes in memory and in files."""
    return sum(int(value) for value in re.findall(r"^berth_(?:memory|spool)_bytes (\d+)$", berth.metrics(), re.MULTILINE))


@pytest.mark.parametrize("crowd", [0, 15])
def test_a_slow_container_behind_a_tunnel_is_waited_for(gateway, scripted, crowd):
    """40 MB towards a container that does not read yet: the client is made to wait with most of them, and all come in the end.
    A crowd that waits in the queue leaves little memory for it."""
    read, heard = threading.Event(), []

    def swallow(exchange):
        exchange.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
        exchange.send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: pour\r\n\r\n")
        read.wait(20)
        while piece := exchange.sock.recv(1 << 16):
            heard.append(piece)
        exchange.close()
    berth = gateway(scripted().then(swallow).always(echo), half_close="wait", limits_body_memory="64KiB", limits_memory="1MiB",
                    limits_spool="1MiB", limits_body="1MiB")
    sent = b"".join(bytes([i]) * 200_000 for i in range(200))
    with RawClient(berth.address) as client:
        client.request("GET", "/", head="Host: h\r\nConnection: upgrade\r\nUpgrade: pour\r\n").reader.until(b"\r\n\r\n")
        others = [Background(berth.post, "/", bytes(61_000)) for _ in range(crowd)]
        berth.wait_for_queue(crowd)
        before = kept(berth)
        taken = 0
        while select.select([], [client.sock], [], 0.3)[1]:
            taken += client.sock.send(sent[taken:taken + 65536])
        assert taken < len(sent)
        assert kept(berth) - before < 300_000
        read.set()
        client.send(sent[taken:]).half_close()
        assert client.is_closed()
    assert b"".join(heard) == sent
    assert [other.result().status for other in others] == [200] * crowd
    berth.wait_for_slots(1)


def test_another_protocol_and_bytes_that_come_early(gateway, scripted):
    """Whatever is switched to: bytes pass both ways, also those that come with the head of either side."""
    def shout(exchange):
        exchange.send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: shout/1\r\n\r\nWELCOME ")
        while piece := exchange.sock.recv(100):
            exchange.send(piece.upper())
            if piece.endswith(b"!"):
                break
        exchange.close()
    container = scripted().always(shout)
    berth = gateway(container)
    with RawClient(berth.address) as client:
        client.request("GET", "/", head="Host: h\r\nConnection: upgrade\r\nUpgrade: shout/1\r\n").send(b"early ")
        head = client.reader.until(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101 ") and b"Upgrade: shout/1\r\n" in head
        client.send(b"late!")
        assert client.reader.rest() == b"WELCOME EARLY LATE!"
    assert container.requests[0]["Upgrade"] == "shout/1"


SWITCH = "Host: h\r\nConnection: upgrade\r\nUpgrade: x\r\n"
SWITCHED = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n"


class Switching:
    """What a container does with a connection that it switches: hears it to its end, and ends it when it may."""

    def __init__(self):
        self.may_switch, self.may_end = threading.Event(), threading.Event()
        self.heard = None

    def __call__(self, exchange):
        self.may_switch.wait(20)
        exchange.send(SWITCHED)
        heard = b""
        while piece := exchange.sock.recv(100):
            heard += piece
        self.heard = heard
        self.may_end.wait(20)
        with contextlib.suppress(OSError):
            exchange.send(b"answer to " + heard)
        exchange.close()


def holds_its_slot(berth, container, switching):
    """The client of a switched connection has left: a zombie until the container ends it, and never two requests at once."""
    wait_until(lambda: berth.pool()["slots"]["zombie"] == 1)
    following = Background(berth.post, "/", b"next")
    berth.wait_for_queue(1)
    switching.may_end.set()
    assert following.result().body == b"next"
    assert container.in_flight_max == 1


@pytest.mark.parametrize("end", [RawClient.close, RawClient.reset])
def test_a_switched_connection_holds_its_slot_until_the_container_ends_it(gateway, scripted, end):
    """The client leaves: the container gets what it has sent, is told of the end, and may take its time."""
    switching = Switching()
    switching.may_switch.set()
    container = scripted().then(switching).always(echo)
    berth = gateway(container)
    client = RawClient(berth.address)
    client.request("GET", "/", head=SWITCH).reader.until(b"\r\n\r\n")
    client.send(b"last words")
    wait_until(lambda: berth.pool()["slots"]["busy"] == 1)
    end(client)
    holds_its_slot(berth, container, switching)
    assert switching.heard in ((b"last words",) if end is RawClient.close else (b"last words", b""))


def test_a_client_that_leaves_before_the_switch(gateway, scripted):
    switching = Switching()
    container = scripted().then(switching).always(echo)
    berth = gateway(container)
    with RawClient(berth.address) as client:
        client.request("GET", "/", head=SWITCH)
        wait_until(lambda: container.in_flight == 1)
    wait_until(lambda: berth.pool()["slots"]["zombie"] == 1)
    switching.may_switch.set()
    wait_until(lambda: switching.heard == b"")
    holds_its_slot(berth, container, switching)


def test_a_switched_connection_that_its_container_does_not_end(gateway, scripted):
    """Past zombie_timeout it is cut, and its container is out until it answers again."""
    def deaf(exchange):
        exchange.send(SWITCHED)
        with contextlib.suppress(OSError):
            while True:
                exchange.send(b"x" * 1000)
        exchange.close()
    container = scripted().then(deaf).always(echo)
    berth = gateway(container, zombie_timeout="200ms")
    with RawClient(berth.address) as client:
        client.request("GET", "/", head=SWITCH).reader.until(b"\r\n\r\n")
    berth.wait_for("does not end a switched connection whose client has left")
    berth.wait_for("container1: down")
    berth.wait_for_slots(1)
    assert berth.post("/", b"next").body == b"next"


def test_closing_a_switched_connection(gateway, scripted):
    """on_leave: close: it is closed at once, and the slot is free when the container says that it is idle."""
    idle = threading.Event()
    idle.set()
    switching = Switching()
    switching.may_switch.set()
    switching.may_end.set()

    def answer(exchange):
        if exchange.request.target == "/idle":
            reply(b"idle" if idle.is_set() else b"busy")(exchange)
        elif exchange.request.target == "/switch":
            switching(exchange)
        else:
            echo(exchange)
    container = scripted().always(answer)
    berth = gateway(container, on_leave="close", idle_probe_path="/idle", idle_probe_expect="idle")
    idle.clear()
    with RawClient(berth.address) as client:
        client.request("GET", "/switch", head=SWITCH).reader.until(b"\r\n\r\n")
    wait_until(lambda: switching.heard == b"")
    asked = container.seen().count(("GET", "/idle"))
    following = Background(berth.post, "/", b"next")
    wait_until(lambda: container.seen().count(("GET", "/idle")) > asked + 1)
    assert berth.pool()["slots"]["zombie"] == 1 and ("POST", "/") not in container.seen()
    idle.set()
    assert following.result().body == b"next"


@pytest.mark.parametrize("early", [False, True])
def test_half_a_switched_connection(gateway, scripted, early):
    """half_close: wait: the client shuts its sending side down, before the switch or after it, and gets what is left."""
    switching = Switching()
    switching.may_end.set()
    container = scripted().always(switching)
    berth = gateway(container, half_close="wait")
    with RawClient(berth.address) as client:
        client.request("GET", "/", head=SWITCH)
        if early:
            client.send(b"question").half_close()
            wait_until(lambda: container.in_flight == 1)
        switching.may_switch.set()
        client.reader.until(b"\r\n\r\n")
        if not early:
            client.send(b"question").half_close()
        assert client.reader.rest() == b"answer to question"
    berth.wait_for_slots(1)
    assert berth.pool()["requests"]["done"] == 1


def test_a_switch_that_the_container_declines(gateway, scripted):
    container = scripted().always(reply(b"plain"))
    berth = gateway(container)
    with RawClient(berth.address) as client:
        for _ in range(2):
            answer = client.request("GET", "/", head="Host: h\r\nConnection: upgrade\r\nUpgrade: websocket\r\n").answer()
            assert (answer.status, answer.body, answer["Upgrade"]) == (200, b"plain", None)
