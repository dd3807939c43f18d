"""Requests through `berth serve` to containers, and their answers back."""

import hashlib
import os
import re
import shutil
import socket
import subprocess
import threading

import pytest

from berth import wait_until
from containers import Background, RawClient, echo, gateway, raw, reply, scripted, when  # noqa: F401

BIG = os.urandom(64 * 1024) * 48  # 3 MiB: more than body_memory


def needs(program):
    return pytest.mark.skipif(not shutil.which(program), reason=f"{program} is not installed")


def digest(data):
    return hashlib.sha256(data).hexdigest()


# ---- methods and bodies ----


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "BREW"])
def test_methods(gateway, scripted, method):
    container = scripted().always(reply(b"answer", X_Container="yes"))
    berth = gateway(container)
    body = b"body" if method in ("POST", "PUT", "PATCH") else None
    answer = berth.request(method, "/a/b?c=d", body)
    assert (answer.status, answer.body, answer.headers["X-Container"]) == (200, b"answer", "yes")
    [request] = container.requests
    assert (request.method, request.target, request.body) == (method, "/a/b?c=d", body or b"")
    assert request["Content-Length"] == ("4" if body else None)


def test_head(gateway, scripted):
    berth = gateway(scripted().always(raw(b"HTTP/1.1 200 OK\r\nContent-Length: 1234\r\nX-A: b\r\n\r\n")))
    with RawClient(berth.address) as client:
        for _ in range(2):  # and the connection goes on
            answer = client.request("HEAD", "/").answer(to_head=True)
            assert (answer.status, answer["Content-Length"], answer["X-A"]) == (200, "1234", "b")


def test_post_without_a_body_has_a_length(gateway, scripted):
    container = scripted()
    gateway(container).request("POST", "/", None, {"X-A": "b"})
    assert container.requests[0]["Content-Length"] == "0"


@pytest.mark.parametrize("status", [200, 201, 204, 304, 400, 404, 429, 500, 503, 599])
def test_statuses_pass_through(gateway, scripted, status):
    body = b"" if status in (204, 304) else b"x"
    berth = gateway(scripted().always(reply(body, status=status, framing="none" if not body else "length", ETag='"t"')))
    with RawClient(berth.address) as client:
        for _ in range(2):
            answer = client.request("GET", "/").answer()
            assert (answer.status, answer.body, answer["ETag"]) == (status, body, '"t"')
            assert answer.head.start == f"HTTP/1.1 {status} Reason"


@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
@pytest.mark.parametrize("size", [0, 1, 5000, 300_000])
def test_answers_however_they_are_framed(gateway, scripted, framing, size):
    body = os.urandom(size)
    berth = gateway(scripted().always(reply(body, framing=framing)))
    with RawClient(berth.address) as client:
        for _ in range(3):
            assert client.request("GET", "/").answer().body == body


def test_a_chunked_request_has_a_length_at_the_container(gateway, scripted):
    container = scripted()
    with RawClient(gateway(container).address) as client:
        client.send("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n")
        client.send("4;name=value\r\nfour\r\n0005\r\n five\r\n0\r\nX-Trailer: dropped\r\n\r\n")
        assert client.answer().body == b"four five"
    [request] = container.requests
    assert request["Content-Length"] == "9" and request["Transfer-Encoding"] is None
    assert request["X-Trailer"] is None


def test_an_empty_chunked_request(gateway, scripted):
    container = scripted()
    with RawClient(gateway(container).address) as client:
        client.send("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
        assert client.answer().status == 200
    assert container.requests[0]["Content-Length"] == "0"


@pytest.mark.parametrize("chunked", [False, True])
def test_bodies_longer_than_memory(gateway, scripted, chunked):
    """3 MiB up and down again, with spool files at both ends."""
    container = scripted()
    berth = gateway(container, limits_body_memory="64KiB")
    body = (BIG[i:i + 70_001] for i in range(0, len(BIG), 70_001)) if chunked else BIG
    for _ in range(2):
        answer = berth.post("/", BIG if not chunked else body)
        if chunked:
            body = iter([BIG])
        assert digest(answer.body) == digest(BIG)
        assert digest(container.requests[-1].body) == digest(BIG)
    metrics = berth.metrics()
    assert re.search(r"^berth_spool_bytes 0$", metrics, re.MULTILINE)
    assert re.search(r"^berth_memory_bytes 0$", metrics, re.MULTILINE)


def test_a_long_answer_in_many_small_pieces(gateway, scripted):
    body = os.urandom(40_000)
    pieces = [b"HTTP/1.1 200 OK\r\nContent-", b"Length: 40000\r\n", b"\r\n"] + [body[i:i + 371] for i in range(0, 40_000, 371)]
    assert gateway(scripted().always(raw(*pieces))).get("/").body == body


def test_interim_answers_stay_with_berth(gateway, scripted):
    container = scripted().always(raw(b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n",
                                      b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"))
    with RawClient(gateway(container).address) as client:
        answer = client.request("POST", "/", b"x").answer()
    assert (answer.status, answer.body, answer["Link"]) == (200, b"ok", None)


# ---- the slot and the client ----


def test_a_slow_client_does_not_hold_the_slot(gateway, scripted):
    """The container is free as soon as it has sent its last byte, whoever has yet to read it."""
    container = scripted().then(reply(BIG)).always(reply(b"next"))
    berth = gateway(container, limits_body_memory="64KiB")
    with RawClient(berth.address, receive_buffer=4096) as slow:
        slow.request("GET", "/big")
        wait_until(lambda: container.requests and not container.in_flight, "the container's last byte")
        assert berth.get("/next").body == b"next"  # on the only slot
        assert digest(slow.answer().body) == digest(BIG)


def test_a_slow_upload_takes_no_slot(gateway, scripted):
    container = scripted()
    berth = gateway(container)
    with RawClient(berth.address) as slow:
        slow.send("POST /slow HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nfive ")
        assert berth.post("/quick", b"x").body == b"x"
        assert container.seen() == [("POST", "/quick")]
        assert slow.send("bytes").answer().body == b"five bytes"
    assert container.in_flight_max == 1


def test_a_request_is_whole_before_it_is_dispatched(gateway, scripted):
    """Nothing reaches the container of a long request before its last byte is in."""
    container = scripted()
    berth = gateway(container, limits_body_memory="4KiB")
    with RawClient(berth.address) as client:
        client.send(f"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: {len(BIG)}\r\n\r\n").send(BIG[:-1])
        wait_until(lambda: re.search(r"^berth_spool_bytes [1-9]", berth.metrics(), re.MULTILINE), "bytes in the spool file")
        assert berth.pool()["slots"]["free"] == 1 and not container.requests
        assert digest(client.send(BIG[-1:]).answer().body) == digest(BIG)


def test_kept_alive_towards_the_container(gateway, scripted):
    container = scripted()
    berth = gateway(container)
    for i in range(20):
        assert berth.post("/", b"%d" % i).body == b"%d" % i
    assert container.connections == 1


def test_a_container_that_closes_after_each_answer(gateway, scripted):
    container = scripted().always(reply(b"x", Connection="close"))
    berth = gateway(container)
    for _ in range(5):
        assert berth.get("/").body == b"x"


# ---- connections of clients ----


def test_kept_alive_towards_the_client(gateway, scripted):
    berth = gateway(scripted())
    with RawClient(berth.address) as client:
        for i in range(20):
            answer = client.request("POST", "/", b"%d" % i).answer()
            assert (answer.body, answer["Connection"]) == (b"%d" % i, None)


def test_a_client_that_asks_to_close(gateway, scripted):
    with RawClient(gateway(scripted()).address) as client:
        answer = client.request("POST", "/", b"x", head="Host: h\r\nConnection: close\r\n").answer()
        assert (answer.body, answer["Connection"]) == (b"x", "close")
        assert client.is_closed()


def test_pipelined_requests_are_answered_in_order(gateway, scripted):
    """One exchange at a time: the answers come in the order of the requests, and with two slots too."""
    containers = scripted(), scripted()
    berth = gateway(*containers)
    with RawClient(berth.address) as client:
        client.send(b"".join(b"POST /%d HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\n%03d" % (i, i) for i in range(50)))
        for i in range(50):
            assert client.answer().body == b"%03d" % i
    assert sum(len(one.requests) for one in containers) == 50


def test_pipelined_bytes_in_every_split(gateway, scripted):
    berth = gateway(scripted())
    text = b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nabGET /berth/queue HTTP/1.1\r\nHost: h\r\n\r\n"
    with RawClient(berth.address) as client:
        client.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for i in range(1, len(text)):
            client.send(text[:i]).send(text[i:])
            assert client.answer().body == b"ab"
            assert client.answer().status == 200


def test_more_pipelined_bytes_than_berth_keeps(gateway, scripted):
    """The rest stays with the kernel until its turn comes."""
    berth = gateway(scripted())
    one = b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\n" + b"x" * 1000
    with RawClient(berth.address) as client:
        sender = threading.Thread(target=client.send, args=(one * 500,), daemon=True)
        sender.start()
        for _ in range(500):
            assert len(client.answer().body) == 1000


def test_http_1_0(gateway, scripted):
    container = scripted().then(reply(b"x")).then(reply(b"chunks", framing="chunked")).always(reply(b"y"))
    berth = gateway(container)
    with RawClient(berth.address) as client:  # without keep-alive the connection ends
        answer = client.send("GET / HTTP/1.0\r\n\r\n").answer()
        assert (answer.body, answer["Connection"], answer.head.start) == (b"x", "close", "HTTP/1.1 200 Reason")
        assert client.is_closed()
    with RawClient(berth.address) as client:  # no chunks for those who do not know them
        answer = client.send("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").answer()
        assert (answer.body, answer["Transfer-Encoding"]) == (b"chunks", None)
    with RawClient(berth.address) as client:
        for _ in range(2):
            answer = client.send("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").answer()
            assert (answer.body, answer["Connection"]) == (b"y", "keep-alive")
    assert all(request["Host"] == "localhost" for request in container.requests)


def test_a_stream_to_a_1_0_client_ends_with_the_connection(gateway, scripted):
    event = threading.Event()

    def two_pieces(exchange):
        exchange.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\none \r\n")
        event.wait(10)
        exchange.finish(b"3\r\ntwo\r\n0\r\n\r\n")
    berth = gateway(scripted().always(two_pieces))
    with RawClient(berth.address) as client:
        client.send("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        assert b"Connection: close" in client.reader.until(b"\r\n\r\n")
        assert client.reader.exactly(4) == b"one "
        event.set()
        assert client.reader.rest() == b"two"


def test_an_answer_flows_as_it_comes(gateway, scripted):
    event = threading.Event()

    def two_pieces(exchange):
        exchange.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\none \r\n")
        event.wait(10)
        exchange.finish(b"3\r\ntwo\r\n0\r\n\r\n")
    berth = gateway(scripted().always(two_pieces))
    with RawClient(berth.address) as client:
        client.request("GET", "/")
        client.reader.until(b"\r\n\r\n")
        assert client.reader.until(b"one \r\n") == b"4\r\none \r\n"
        event.set()
        assert client.reader.until(b"0\r\n\r\n") == b"3\r\ntwo\r\n0\r\n\r\n"


# ---- Expect: 100-continue ----


EXPECT = "Host: h\r\nExpect: 100-continue\r\n"


def test_100_continue(gateway, scripted):
    container = scripted()
    with RawClient(gateway(container).address) as client:
        client.send(f"POST / HTTP/1.1\r\n{EXPECT}Content-Length: 4\r\n\r\n")
        assert client.answer().status == 100
        answer = client.send("body").answer()
        assert (answer.status, answer.body) == (200, b"body")
    assert container.requests[0]["Expect"] is None


def test_no_100_for_a_body_that_is_there_already(gateway, scripted):
    with RawClient(gateway(scripted()).address) as client:
        client.send(f"POST / HTTP/1.1\r\n{EXPECT}Content-Length: 4\r\n\r\nbody")
        answer = client.answer()
        assert (answer.status, answer.body) == (200, b"body")


def test_100_continue_comes_after_the_request_could_be_admitted(gateway, scripted):
    """A request that would be refused is refused instead, and its body never read."""
    release = threading.Event()
    container = scripted().always(when(release, echo))
    berth = gateway(container, queue_max=0)
    first = Background(berth.post, "/", b"x")
    wait_until(lambda: container.in_flight == 1)
    with RawClient(berth.address) as client:
        client.send(f"POST / HTTP/1.1\r\n{EXPECT}Content-Length: 4\r\n\r\n")
        answer = client.answer()
        assert (answer.status, answer["Connection"]) == (503, "close")
        assert client.is_closed()
    release.set()
    assert first.result().status == 200
    assert len(container.requests) == 1


def test_an_expectation_that_nobody_knows(gateway, scripted):
    container = scripted()
    with RawClient(gateway(container).address) as client:
        answer = client.send("POST / HTTP/1.1\r\nHost: h\r\nExpect: a-miracle\r\nContent-Length: 4\r\n\r\n").answer()
        assert answer.status == 417
    assert not container.requests


# ---- clients that leave ----


def test_a_client_that_leaves_during_its_answer(gateway, scripted):
    container = scripted().then(reply(BIG)).always(reply(b"next"))
    berth = gateway(container)
    with RawClient(berth.address, receive_buffer=4096) as client:
        client.request("GET", "/")
        client.reader.until(b"\r\n\r\n")
        client.reset()
    assert berth.get("/").body == b"next"
    wait_until(lambda: re.search(r"^berth_memory_bytes 0$", berth.metrics(), re.MULTILINE))


def test_a_client_that_leaves_while_its_request_runs(gateway, scripted):
    """on_leave: finish: the slot stays taken until the container has answered, which nobody reads."""
    release = threading.Event()
    container = scripted().then(when(release, reply(BIG))).always(reply(b"next"))
    berth = gateway(container)
    with RawClient(berth.address) as client:
        client.request("GET", "/")
        wait_until(lambda: container.in_flight == 1)
    wait_until(lambda: berth.pool()["slots"]["zombie"] == 1, "a zombie")
    waiting = Background(berth.get, "/")
    berth.wait_for_queue(1)
    assert len(container.requests) == 1
    release.set()
    assert waiting.result().body == b"next"
    assert container.in_flight_max == 1
    assert berth.pool()["requests"]["left"] == 1


def test_a_client_that_half_closes_has_left(gateway, scripted):
    release = threading.Event()
    container = scripted().always(when(release, reply(b"x")))
    berth = gateway(container)
    with RawClient(berth.address) as client:
        client.request("GET", "/")
        wait_until(lambda: container.in_flight == 1)
        client.half_close()
        wait_until(lambda: berth.pool()["requests"]["left"] == 1)
    release.set()


def test_a_client_that_half_closes_may_wait(gateway, scripted):
    release = threading.Event()
    container = scripted().always(when(release, reply(b"x")))
    berth = gateway(container, half_close="wait")
    with RawClient(berth.address) as client:
        client.request("GET", "/")
        wait_until(lambda: container.in_flight == 1)
        client.half_close()
        release.set()
        assert client.answer().body == b"x"
        assert client.is_closed()


def test_what_came_before_the_half_close_is_answered(gateway, scripted):
    """Pipelined requests, with and without bodies, to a container and to Berth itself, and the beginning of one that is no more."""
    release = threading.Event()
    container = scripted().then(when(release, reply(b"first"))).always(echo)
    berth = gateway(container, half_close="wait")
    with RawClient(berth.address) as client:
        client.request("GET", "/1").request("GET", "/berth/readyz").request("POST", "/2", b"second").request("POST", "/3", b"third")
        wait_until(lambda: container.in_flight == 1)
        client.half_close()
        release.set()
        answers = [client.answer() for _ in range(4)]
        assert [(one.status, one["Connection"]) for one in answers] == [(200, None)] * 3 + [(200, "close")]
        assert [one.body for one in answers[:1] + answers[2:]] == [b"first", b"second", b"third"]
        assert client.is_closed()
    container.then(when(release, reply(b"first")))
    release.clear()
    with RawClient(berth.address) as client:
        client.request("GET", "/1").request("GET", "/berth/readyz").send("GET /2 HTTP/1.1\r\nHo")
        wait_until(lambda: container.in_flight == 1)
        client.half_close()
        release.set()
        assert [client.answer().status for _ in range(2)] == [200, 200]
        assert client.is_closed()
    assert len(container.requests) == 4
    wait_until(lambda: re.search(r"^berth_connections [01]$", berth.metrics(), re.MULTILINE), "nobody but who asks")


# ---- known clients ----


@needs("curl")
def test_curl(gateway, scripted, tmp_path):
    container = scripted()
    berth = gateway(container)
    (tmp_path / "body").write_bytes(BIG)
    result = subprocess.run(["curl", "-sS", "--data-binary", f"@{tmp_path}/body", "-w", "%{http_code} %{num_connects} ",
                             "-o", "out", f"http://{berth.address}/a", "--next", "-sS", "-o", "out2", "-w", "%{http_code}",
                             f"http://{berth.address}/b"], cwd=tmp_path, capture_output=True, text=True, timeout=30)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.startswith("200 1 200")
    assert digest((tmp_path / "out").read_bytes()) == digest(BIG)
    assert container.seen() == [("POST", "/a"), ("GET", "/b")]


@needs("wrk")
def test_wrk(gateway, scripted):
    """A second of load from many connections: no errors, and never two at once at a container."""
    containers = [scripted() for _ in range(3)]
    berth = gateway(*containers)
    result = subprocess.run(["wrk", "-t1", "-c24", "-d1", f"http://{berth.address}/"], capture_output=True, text=True, timeout=30)
    assert result.returncode == 0
    assert "Non-2xx" not in result.stdout and "Socket errors" not in result.stdout, result.stdout
    wait_until(lambda: berth.pool()["slots"]["free"] == 3)
    assert all(one.in_flight_max == 1 and len(one.requests) > 20 for one in containers)
