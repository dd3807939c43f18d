"""Containers that die, answer nonsense, are slow or busy, and what their clients see."""

import contextlib
import http.client
import re
import socket
import threading
import time

import pytest

from berth import PATIENCE, wait_until
from containers import Background, RawClient, close, echo, gateway, raw, reply, reset, scripted, when  # noqa: F401


def assert_problem(answer, status, name):
    assert (answer.status, answer.headers["Content-Type"]) == (status, "application/problem+json"), answer.body
    assert answer.json["type"] == f"urn:berth:problem:{name}"


def metric(berth, text):
    found = re.search(rf"^{re.escape(text)} (\d+)$", berth.metrics(), re.MULTILINE)
    return int(found[1]) if found else 0


# ---- a container that dies in the middle of a request ----


@pytest.mark.parametrize("how", [close(), reset(), close(b"HTTP/1.1 2"), close(b"HTTP/1.1 200 OK\r\n"),
                                 close(b"HTTP/1.1 100 Continue\r\n\r\n")])
def test_a_post_is_not_run_twice(gateway, scripted, how):
    container = scripted().then(how).always(echo)
    berth = gateway(container)
    assert_problem(berth.post("/", b"x"), 502, "container-lost")
    assert len(container.requests) == 1
    berth.wait_for_slots(1)
    assert berth.post("/", b"next").body == b"next"
    assert metric(berth, 'berth_container_failures_total{pool="default",container="container1"}') == 1
    berth.wait_for("container1: ")


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"])
def test_what_is_idempotent_is_tried_again(gateway, scripted, method):
    container = scripted().then(close()).then(close(b"HTTP/1.1 200 OK\r\nContent-Le")).always(reply(b"at last"))
    berth = gateway(container)
    answer = berth.request(method, "/", b"x" if method == "PUT" else None)
    assert (answer.status, answer.body) == (200, b"at last" if method != "HEAD" else b"")
    assert container.seen() == [(method, "/")] * 3
    assert metric(berth, 'berth_retries_total{pool="default"}') == 2


def test_the_second_try_goes_to_another_container(gateway, scripted):
    dying, alive = scripted().always(close()), scripted()
    berth = gateway(dying, alive, health_fall=100)
    for _ in range(6):
        assert berth.get("/").status == 200
    assert len(alive.requests) == 6 and 1 <= len(dying.requests) <= 6


def test_tries_have_an_end(gateway, scripted):
    container = scripted().always(close())
    berth = gateway(container, health_fall=100)
    assert_problem(berth.get("/"), 502, "container-lost")
    assert len(container.requests) == 5


def test_what_never_reached_a_container_is_tried_on_all_of_them(gateway, scripted):
    """Seven have died while no connection told of it: each refuses once, and the eighth answers."""
    containers = [scripted() for _ in range(8)]
    berth = gateway(*containers, health_backoff_min="10s", health_backoff_max="10s")
    wait_until(lambda: not any(one._sockets for one in containers), "idle connections that Berth has closed")
    for one in containers[:-1]:
        one.die()
    assert berth.post("/", b"x").body == b"x"
    assert metric(berth, 'berth_retries_total{pool="default"}') == 7
    assert [one["status"] for one in berth.pool()["containers"]] == ["down"] * 7 + ["free"]


def test_the_budget_of_retries(gateway, scripted):
    """A fleet that fails everything is not asked five times for everything."""
    container = scripted().always(close())
    berth = gateway(container, health_fall=1000, retry_budget_percent=0, retry_budget_min=3)
    for _ in range(5):
        assert_problem(berth.get("/"), 502, "container-lost")
    assert len(container.requests) == 5 + 3


def test_rules_of_retry(gateway, scripted):
    for rule, method, runs in (("always", "POST", 2), ("never", "GET", 1)):
        container = scripted().then(close()).always(reply(b"x"))
        berth = gateway(container, retry=rule)
        answer = berth.request(method, "/", b"x")
        assert (answer.status, len(container.requests)) == ((200, 2) if runs == 2 else (502, 1))


def test_a_body_that_is_tried_again_comes_whole(gateway, scripted):
    body = bytes(range(256)) * 4096  # 1 MiB through the spool file, twice
    container = scripted().then(close()).always(echo)
    berth = gateway(container, limits_body_memory="16KiB")
    assert berth.request("PUT", "/", body).body == body
    assert [request.body == body for request in container.requests] == [True, True]


def test_half_an_answer_is_not_taken_for_whole(gateway, scripted):
    """The client has part of it: the connection is cut, and nothing is tried again."""
    half = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n" + b"x" * 50
    chunk = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n32\r\n" + b"x" * 50 + b"\r\n"
    container = scripted().then(close(half)).then(close(chunk)).always(reply(b"next"))
    berth = gateway(container)
    for _ in range(2):
        with RawClient(berth.address) as client:
            client.request("GET", "/")
            with pytest.raises((ConnectionError, ValueError)):
                client.answer()
    assert berth.get("/").body == b"next"
    assert len(container.requests) == 3


def test_retry_always_holds_half_an_answer_back(gateway, scripted):
    half = b"HTTP/1.1 200 OK\r\nX-First: yes\r\nContent-Length: 100\r\n\r\n" + b"x" * 50
    berth = gateway(scripted().then(close(half)).always(reply(b"whole")), retry="always")
    answer = berth.post("/", b"x")
    assert (answer.body, answer.headers["X-First"]) == (b"whole", None)


def test_a_request_that_comes_back_keeps_its_turn(gateway, scripted):
    """What failed is ahead of those that were waiting behind it."""
    release = threading.Event()
    container = scripted().then(when(release, close())).always(echo)
    berth = gateway(container)
    first = Background(berth.get, "/first")
    wait_until(lambda: container.in_flight == 1)
    others = []
    for i in range(3):
        others.append(Background(berth.get, f"/{i}"))
        berth.wait_for_queue(i + 1)
    release.set()
    assert first.result().status == 200
    for one in others:
        assert one.result().status == 200
    assert [target for _, target in container.seen()] == ["/first", "/first", "/0", "/1", "/2"]


# ---- a container that answers before it has read the request ----


LONG = bytes(12 * 1000 * 1000)  # longer than the kernel takes, and than Berth keeps in memory
TOO_LARGE = b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nbig"


def refuse(answer):
    """Closes with the request's body unread, which resets the connection: it may overtake the answer."""
    def step(exchange):
        exchange.finish(answer)
        exchange.sock.close()
    return step


def test_an_early_answer_is_passed_on(gateway, scripted):
    container = scripted(reads_bodies=False).always(refuse(TOO_LARGE))
    berth = gateway(container)
    for _ in range(12):  # who is quicker differs
        answer = berth.post("/", LONG)
        assert (answer.status, answer.body) == (413, b"big")
    assert len(container.requests) == 12
    assert metric(berth, 'berth_container_failures_total{pool="default",container="container1"}') == 0


def test_an_early_answer_without_its_end_is_not_taken_for_whole(gateway, scripted):
    """After a reset nobody knows whether that was all of an answer that the connection's end shall end."""
    berth = gateway(scripted(reads_bodies=False).always(refuse(b"HTTP/1.1 413 Too Large\r\n\r\nbig")))
    for _ in range(4):
        try:
            answer = berth.post("/", LONG)
        except (http.client.IncompleteRead, ConnectionResetError):
            continue
        assert answer.status in (502, 503)


def test_a_container_that_stops_to_read(gateway, scripted, tmp_path):
    """It takes no more of the request: it may answer, but nobody waits for that as for one that is at work."""
    def stops_to_read(exchange):
        exchange.sock.shutdown(socket.SHUT_RD)
        while exchange.sock.recv(1 << 20):
            pass

    def answers(exchange):
        stops_to_read(exchange)
        refuse(TOO_LARGE)(exchange)

    def is_silent(exchange):
        stops_to_read(exchange)
        over.wait(PATIENCE)

    over = threading.Event()
    container = scripted(path=tmp_path / "model", reads_bodies=False).then(answers).then(is_silent)
    berth = gateway(container)
    assert berth.post("/", LONG).status == 413
    began = time.monotonic()
    assert_problem(berth.post("/", LONG), 502, "container-lost")
    assert time.monotonic() - began < PATIENCE / 2
    over.set()
    berth.wait_for("container1: takes no more of its request and does not answer")


# ---- kept-alive connections that have ended ----


def test_an_idle_connection_that_the_container_closes(gateway, scripted):
    """POSTs as well go through on a new connection, and nothing is counted as a failure."""
    container = scripted()
    berth = gateway(container)
    for i in range(5):
        assert berth.post("/", b"%d" % i).body == b"%d" % i
        container.hang_up()
    assert metric(berth, 'berth_container_failures_total{pool="default",container="container1"}') == 0
    assert len(container.requests) == 5


def test_a_connection_that_ends_as_the_request_is_sent(gateway, scripted):
    """The container closes right when the next request is on its way: nothing was run, so even a POST is sent again."""
    def answer_and_hang_up(exchange):
        exchange.finish(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx")  # keep-alive, it says
        exchange.sock.close()
    container = scripted().always(answer_and_hang_up)
    berth = gateway(container)
    with RawClient(berth.address) as client:
        for _ in range(30):
            answer = client.request("POST", "/", b"x").answer()
            assert (answer.status, answer.body) == (200, b"x")


def test_a_post_that_dies_on_a_kept_alive_connection_is_not_run_twice(gateway, scripted):
    """The connection has served before, but this request reached the container, which died at it."""
    def dies_later(exchange):
        time.sleep(0.1)
        exchange.close()
    container = scripted().then(echo).then(dies_later).always(echo)
    berth = gateway(container)
    assert berth.post("/", b"x").body == b"x"
    assert_problem(berth.post("/", b"y"), 502, "container-lost")
    assert container.connections == 1
    assert [request.body for request in container.requests] == [b"x", b"y"]


# ---- nonsense ----


NONSENSE = {
    "no-http": b"hello\r\n\r\n",
    "ssh": b"SSH-2.0-OpenSSH_9.2\r\n",
    "binary": bytes(range(256)),
    "version": b"HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n",
    "status": b"HTTP/1.1 99 Low\r\nContent-Length: 0\r\n\r\n",
    "bare-lf": b"HTTP/1.1 200 OK\nContent-Length: 0\n\n",
    "two-lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
    "length-and-chunked": b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "coding": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
    "space-before-colon": b"HTTP/1.1 200 OK\r\nContent-Length : 0\r\n\r\n",
    "folded": b"HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 0\r\n\r\n",
    "chunk-size": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
    "endless-head": b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000,
    "switch": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
}


@pytest.mark.parametrize("kind", NONSENSE)
def test_nonsense(gateway, scripted, kind):
    """502, the slot is free again, the container marked, its connection not used any more."""
    container = scripted().then(raw(NONSENSE[kind])).always(echo)
    berth = gateway(container)
    assert_problem(berth.post("/", b"x"), 502, "bad-answer")
    berth.wait_for_slots(1)
    assert metric(berth, 'berth_container_failures_total{pool="default",container="container1"}') == 1
    assert metric(berth, 'berth_requests_total{pool="default",outcome="bad-answer"}') == 1
    berth.wait_for("^berth: warning: container1: ")
    assert berth.post("/", b"next").body == b"next"
    assert container.connections == 2


def test_broken_chunks_in_the_middle_of_an_answer(gateway, scripted):
    begun = threading.Event()

    def breaks(exchange):
        exchange.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
        begun.wait(10)
        exchange.finish(b"nonsense\r\n")
    berth = gateway(scripted().then(breaks).always(echo))
    with RawClient(berth.address) as client:
        client.request("POST", "/", b"x").reader.until(b"abc\r\n")
        begun.set()
        with pytest.raises(ConnectionError):  # not an end that looks like one
            client.reader.rest()
    assert berth.post("/", b"next").body == b"next"


def test_more_bytes_than_the_answer_has(gateway, scripted):
    """The answer is whole; what follows belongs to nobody, least of all to the next client."""
    extra = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"
    container = scripted().then(raw(extra)).always(echo)
    berth = gateway(container)
    assert berth.get("/").body == b"ok"
    assert berth.post("/", b"good").body == b"good"
    assert container.connections == 2


def test_bytes_that_nobody_asked_for(gateway, scripted):
    """They come later, on the idle connection."""
    later = threading.Event()

    def answer_then_talk(exchange):
        exchange.finish(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        later.wait(10)
        exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
    container = scripted().then(answer_then_talk).always(echo)
    berth = gateway(container)
    assert berth.get("/").body == b"ok"
    later.set()
    berth.wait_for("container1: sent bytes that nobody asked for")
    assert berth.post("/", b"good").body == b"good"


def test_a_container_that_fails_again_and_again_is_out(gateway, scripted):
    bad, good = scripted().always(raw(b"nonsense\r\n\r\n")), scripted()
    berth = gateway(bad, good, health_fall=3, health_backoff_min="10s", health_backoff_max="10s")
    answers = [berth.post("/", b"x").status for _ in range(12)]
    assert answers.count(502) == 3 and answers.count(200) == 9
    assert [one["status"] for one in berth.pool()["containers"]] == ["down", "free"]
    berth.wait_for("container1: down")


# ---- slowness ----


def test_no_first_byte_in_time(gateway, scripted):
    release = threading.Event()
    container = scripted().then(when(release, echo)).always(echo)
    berth = gateway(container, timeouts_first_byte="150ms")
    start = time.monotonic()
    answer = berth.get("/")
    assert time.monotonic() - start >= 0.14
    assert_problem(answer, 504, "upstream-timeout")
    assert len(container.requests) == 1  # it may be at it still: nothing is tried again, and nothing more is sent to it
    assert berth.pool()["slots"]["zombie"] == 1
    release.set()
    berth.wait_for_slots(1)
    assert berth.post("/", b"next").body == b"next"
    assert container.in_flight_max == 1


def test_silence_in_the_middle_of_an_answer(gateway, scripted):
    release = threading.Event()

    def half(exchange):
        exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf ")
        release.wait(10)
        exchange.finish(b"later")
    berth = gateway(scripted().then(half).always(echo), timeouts_idle="150ms")
    with RawClient(berth.address) as client:
        client.request("GET", "/")
        with pytest.raises(ConnectionError):
            client.answer()
    release.set()
    berth.wait_for_slots(1)
    assert berth.post("/", b"next").body == b"next"


def test_a_drip_that_never_ends(gateway, scripted):
    stop = threading.Event()

    def drip(exchange):
        exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
        while not stop.wait(0.02):
            exchange.send(b"x")
        exchange.close()
    berth = gateway(scripted().always(drip), timeouts_connect="200ms", timeouts_idle="200ms", timeouts_total="300ms")
    with RawClient(berth.address) as client:
        client.request("GET", "/")
        with pytest.raises(ConnectionError):
            client.answer()
    stop.set()


@contextlib.contextmanager
def full_backlog(listener):
    """No further connection to it comes to an end."""
    fillers = [socket.socket() for _ in range(4)]
    for filler in fillers:
        filler.setblocking(False)
        filler.connect_ex(listener.getsockname())
    yield
    for filler in fillers:
        filler.close()


def test_a_container_that_does_not_accept(gateway, scripted):
    """Its backlog is full: the connect does not come to an end."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener, full_backlog(listener):
        other = scripted()
        berth = gateway(f"127.0.0.1:{listener.getsockname()[1]}", other, wait=False, timeouts_connect="100ms")
        berth.wait_for_slots(1)
        wait_until(lambda: [one["status"] for one in berth.pool()["containers"]] == ["down", "free"])
        assert berth.post("/", b"x").body == b"x"


def test_a_connect_that_takes_too_long_names_its_setting(gateway):
    """The container was there at the start; then its connection is closed, and the next one does not come to an end."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        berth = gateway(f"127.0.0.1:{listener.getsockname()[1]}", wait=False, timeouts_connect="100ms", retry="never")
        first, _ = listener.accept()
        berth.wait_for_slots(1)
        assert first.recv(1) == b""  # Berth keeps none that has never carried an answer
        with full_backlog(listener):
            answer = berth.post("/", b"x")
            assert_problem(answer, 502, "container-lost")
            assert "timeouts.connect" in answer.json["detail"]
        first.close()


# ---- busy answers ----


def test_a_busy_answer_is_tried_elsewhere(gateway, scripted):
    busy, idle = scripted().always(reply(b"no", status=503, Berth_Busy="1")), scripted()
    berth = gateway(busy, idle, busy_status=503, busy_header="Berth-Busy")
    for _ in range(5):
        assert berth.post("/", b"x").body == b"x"
    assert len(idle.requests) == 5


def test_a_busy_answer_passes_through_at_last(gateway, scripted):
    container = scripted().always(reply(b"no", status=503, Berth_Busy="1"))
    answer = gateway(container, busy_status=503, busy_header="Berth-Busy").post("/", b"x")
    assert (answer.status, answer.body, len(container.requests)) == (503, b"no", 4)


def test_only_what_is_named_means_busy(gateway, scripted):
    container = scripted().always(reply(b"no", status=503))
    answer = gateway(container, busy_status=503, busy_header="Berth-Busy").post("/", b"x")
    assert (answer.status, len(container.requests)) == (503, 1)


# ---- health ----


def test_a_container_that_dies_and_comes_back(gateway, scripted):
    container, other = scripted(), scripted()
    berth = gateway(container, other)
    berth.get("/")
    container.die()
    for _ in range(4):
        assert berth.get("/").status == 200
    wait_until(lambda: [one["status"] for one in berth.pool()["containers"]] == ["down", "free"])
    container.come_back()
    berth.wait_for_slots(2)
    berth.wait_for("container1: up again")


def test_health_probes(gateway, scripted):
    ready = threading.Event()

    def health(exchange):
        (reply(b"ok") if ready.is_set() else reply(b"loading", status=503))(exchange)
    container = scripted().always(lambda exchange: (health if exchange.request.target == "/health" else echo)(exchange))
    berth = gateway(container, wait=False, health_path="/health", health_interval="50ms", health_backoff_min="20ms",
                    health_backoff_max="100ms")
    wait_until(lambda: len(container.requests) >= 3)
    assert berth.pool()["slots"]["free"] == 0
    assert_problem(berth.get("/"), 503, "no-container")
    ready.set()
    berth.wait_for_slots(1)
    assert berth.post("/", b"x").body == b"x"
    seen = len(container.requests)
    wait_until(lambda: len(container.requests) >= seen + 3, "probes of an idle container")
    ready.clear()
    wait_until(lambda: berth.pool()["slots"]["down"] == 1, "health.fall probes")
    assert all(request["Host"] == container.address for request in container.requests if request.target == "/health")
    assert berth.pool()["requests"]["done"] == 1  # probes are no requests


def test_a_container_that_is_not_ready_is_asked_with_pauses(gateway, scripted):
    container = scripted().always(reply(b"loading", status=503))
    gateway(container, wait=False, health_path="/health", health_backoff_min="100ms", health_backoff_max="100ms")
    wait_until(lambda: len(container.requests) >= 3)
    start, before = time.monotonic(), len(container.requests)
    wait_until(lambda: time.monotonic() - start > 0.5)
    assert len(container.requests) - before <= 6


def test_busy_containers_are_not_probed(gateway, scripted):
    release = threading.Event()
    container = scripted().always(lambda exchange: (echo if exchange.request.target == "/health" else when(release, echo))(exchange))
    berth = gateway(container, slots=2, wait=False, health_path="/health", health_interval="20ms")
    berth.wait_for_slots(2)
    running = Background(berth.get, "/")
    wait_until(lambda: ("GET", "/") in container.seen())
    before = len(container.requests)
    start = time.monotonic()
    wait_until(lambda: time.monotonic() - start > 0.2)
    assert len(container.requests) == before
    release.set()
    assert running.result().status == 200


def test_a_late_health_check_beside_a_request(gateway, scripted):
    """A request may keep its container from a check that came before it: both hold their slots, and the check takes nobody out."""
    slow, release = threading.Event(), threading.Event()

    def answer(exchange):
        if exchange.request.target != "/health" or slow.is_set():
            release.wait(20)
        echo(exchange)
    container = scripted().always(answer)
    berth = gateway(container, slots=2, wait=False, health_path="/health", health_interval="20ms", health_timeout="300ms")
    berth.wait_for_slots(2)
    slow.set()
    wait_until(lambda: container.in_flight == 1)
    running = Background(berth.get, "/")
    berth.wait_for("its health check is not answered")
    start = time.monotonic()
    wait_until(lambda: time.monotonic() - start > 1.2, "as many time-outs as take a container out")
    assert berth.pool()["slots"]["busy"] == 2 and "down" not in berth.output
    release.set()
    assert running.result().status == 200
    berth.wait_for_slots(2)
    assert container.in_flight_max == 2


@pytest.mark.parametrize("status", [404, 405, 501])
def test_a_probe_that_is_not_known_counts_as_alive(gateway, scripted, status):
    berth = gateway(scripted().always(reply(b"", status=status)), health_path="/health", health_interval="20ms")
    berth.wait_for(f"container1: answers {status} to its health check /health")
    assert berth.output.count("health check") == 1


# ---- given-up requests ----


def test_closing_what_was_given_up(gateway, scripted):
    """on_leave: close: the connection is closed, and the slot is free when the container says that it is idle."""
    release = threading.Event()
    idle = threading.Event()

    def answer(exchange):
        if exchange.request.target == "/idle":
            reply(b"idle" if idle.is_set() else b"1 in flight")(exchange)
        elif exchange.request.target == "/stuck":
            release.wait(10)
            exchange.close()
        else:
            echo(exchange)
    container = scripted().always(answer)
    berth = gateway(container, wait=False, on_leave="close", idle_probe_path="/idle", idle_probe_expect="idle")
    idle.set()
    berth.wait_for_slots(1)
    idle.clear()
    with RawClient(berth.address) as client:
        client.request("GET", "/stuck")
        wait_until(lambda: ("GET", "/stuck") in container.seen())
    wait_until(lambda: berth.pool()["slots"]["zombie"] == 1)
    waiting = Background(berth.post, "/", b"x")
    berth.wait_for_queue(1)
    seen = len(container.requests)
    wait_until(lambda: len(container.requests) >= seen + 2, "idle probes")
    assert ("POST", "/") not in container.seen()
    idle.set()
    assert waiting.result().body == b"x"
    release.set()


def test_a_zombie_that_does_not_end_takes_its_container_out(gateway, scripted):
    release = threading.Event()
    container = scripted().then(when(release, echo)).always(echo)
    berth = gateway(container, zombie_timeout="100ms")
    with RawClient(berth.address) as client:
        client.request("GET", "/")
        wait_until(lambda: container.in_flight == 1)
    berth.wait_for("zombie_timeout is over")
    wait_until(lambda: berth.pool()["containers"][0]["status"] == "down")
    release.set()  # it does end, late
    berth.wait_for_slots(1)
    assert berth.post("/", b"x").body == b"x"
    assert container.in_flight_max == 1


# ---- what others do not notice ----


def test_a_container_that_always_says_busy_starves_nobody(gateway, scripted):
    """Its requests go to the other one; it is asked again with growing pauses, and no answer of its is passed on."""
    busy, idle = scripted().always(reply(b"no", status=503, Berth_Busy="1")), scripted()
    berth = gateway(busy, idle, busy_status=503, busy_header="Berth-Busy")
    clients = [Background(lambda number=number: [berth.post("/", b"%d" % number).body for _ in range(10)]) for number in range(6)]
    for number, client in enumerate(clients):
        assert client.result() == [b"%d" % number] * 10
    assert len(idle.requests) == 60
    assert 1 <= len(busy.requests) < 30
    assert berth.pool()["queue"]["length"] == 0


def test_time_outs_take_a_container_out(gateway, scripted):
    release = threading.Event()
    container = scripted().always(when(release, echo))
    berth = gateway(container, slots=4, timeouts_first_byte="100ms", health_fall=2)
    for status in ("free", "down"):
        assert_problem(berth.post("/", b"x"), 504, "upstream-timeout")
        assert berth.pool()["containers"][0]["status"] == status
    assert_problem(berth.post("/", b"x"), 503, "no-container")
    assert len(container.requests) == 2
    release.set()
    berth.wait_for_slots(1)  # they come back one by one
    wait_until(lambda: berth.post("/", b"x").status == 200 and berth.pool()["slots"]["free"] == 4)


def test_retry_always_lets_long_answers_flow(gateway, scripted):
    """What is longer than retry_buffer, or chunked, is not held back, and so cannot be tried again."""
    long = b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + b"x" * 50_000
    chunk = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"
    container = scripted().then(close(long)).then(close(chunk)).always(reply(b"next"))
    berth = gateway(container, retry="always", retry_buffer="64KiB")
    for beginning in (b"x" * 100, b"abc"):
        with RawClient(berth.address) as client:
            client.request("POST", "/", b"x").reader.until(beginning)
            with pytest.raises(ConnectionError):
                client.reader.rest()
    assert berth.post("/", b"x").body == b"next"
    assert len(container.requests) == 3
