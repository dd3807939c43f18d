"""What clients must not send: refused, with the connection closed, a line in the log, and nothing for a container."""

import contextlib
import json
import os
import re
import socket
import time

import pytest

from berth import Berth, wait_until
from containers import RawClient, end, gateway, scripted  # noqa: F401

HOST = "Host: h\r\n"


def assert_problem(answer, status, name):
    assert (answer.status, answer["Content-Type"]) == (status, "application/problem+json"), answer.body
    problem = json.loads(answer.body)
    assert (problem["type"], problem["status"]) == (f"urn:berth:problem:{name}", status)
    assert problem["title"] and problem["detail"]
    return problem


MALFORMED = {
    "no-http": "hello\r\n\r\n",
    "tls": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(32)) + b"\r\n\r\n",
    "http2": "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "no-version": "GET /\r\n\r\n",
    "two-spaces": f"GET  / HTTP/1.1\r\n{HOST}\r\n",
    "tab": f"GET\t/ HTTP/1.1\r\n{HOST}\r\n",
    "leading-space": f" GET / HTTP/1.1\r\n{HOST}\r\n",
    "method": f"GE(T / HTTP/1.1\r\n{HOST}\r\n",
    "target": f"GET a HTTP/1.1\r\n{HOST}\r\n",
    "target-fragment": f"GET /a#b HTTP/1.1\r\n{HOST}\r\n",
    "target-control": f"GET /\x01 HTTP/1.1\r\n{HOST}\r\n",
    "target-8-bit": f"GET /\xe4 HTTP/1.1\r\n{HOST}\r\n",
    "target-backslash": f"GET /a\\b HTTP/1.1\r\n{HOST}\r\n",
    "bare-lf": "GET / HTTP/1.1\nHost: h\n\n",
    "bare-lf-in-a-field": f"GET / HTTP/1.1\r\n{HOST}X: a\nY: b\r\n\r\n",
    "bare-cr": f"GET / HTTP/1.1\r\n{HOST}X: a\rb\r\n\r\n",
    "nul": f"GET / HTTP/1.1\r\n{HOST}X: a\0b\r\n\r\n",
    "no-colon": f"GET / HTTP/1.1\r\n{HOST}novalue\r\n\r\n",
    "no-name": f"GET / HTTP/1.1\r\n{HOST}: x\r\n\r\n",
    "name": f"GET / HTTP/1.1\r\n{HOST}X Y: x\r\n\r\n",
    "space-before-colon": f"GET / HTTP/1.1\r\n{HOST}X : y\r\n\r\n",
    "fold": f"GET / HTTP/1.1\r\n{HOST}X: a\r\n b\r\n\r\n",
    "no-host": "GET / HTTP/1.1\r\n\r\n",
    "two-hosts": f"GET / HTTP/1.1\r\n{HOST}{HOST}\r\n",
    "host": "GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
    "te-and-cl": f"POST / HTTP/1.1\r\n{HOST}Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n",
    "cl-and-te": f"POST / HTTP/1.1\r\n{HOST}Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "te-in-1.0": "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "te-not-last": f"POST / HTTP/1.1\r\n{HOST}Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
    "te-twice": f"POST / HTTP/1.1\r\n{HOST}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "te-odd": f"POST / HTTP/1.1\r\n{HOST}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "te-gzip": f"POST / HTTP/1.1\r\n{HOST}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "two-lengths": f"POST / HTTP/1.1\r\n{HOST}Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
    "same-lengths": f"POST / HTTP/1.1\r\n{HOST}Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
    "list-of-lengths": f"POST / HTTP/1.1\r\n{HOST}Content-Length: 3, 3\r\n\r\nabc",
    "length-plus": f"POST / HTTP/1.1\r\n{HOST}Content-Length: +3\r\n\r\nabc",
    "length-negative": f"POST / HTTP/1.1\r\n{HOST}Content-Length: -3\r\n\r\nabc",
    "length-hex": f"POST / HTTP/1.1\r\n{HOST}Content-Length: 0x3\r\n\r\nabc",
    "length-empty": f"POST / HTTP/1.1\r\n{HOST}Content-Length: \r\n\r\nabc",
    "length-too-long": f"POST / HTTP/1.1\r\n{HOST}Content-Length: 99999999999999999999\r\n\r\nabc",
}


@pytest.mark.parametrize("kind", MALFORMED)
def test_malformed(gateway, scripted, kind):
    container = scripted()
    berth = gateway(container)
    with RawClient(berth.address) as client:
        answer = client.send(MALFORMED[kind]).send(f"GET /smuggled HTTP/1.1\r\n{HOST}\r\n").answer()
        status = answer.status
        assert status == (505 if kind == "http2" else 501 if kind == "te-gzip" else 400), answer.body
        assert_problem(answer, status, {400: "bad-request", 501: "not-implemented", 505: "version"}[status])
        assert answer["Connection"] == "close"
        assert client.is_closed()  # and nothing that follows is looked at
    berth.wait_for(r"^berth: warning: bad request from 127\.0\.0\.1: ")
    assert not container.requests
    assert "berth_bad_requests_total 1\n" in berth.metrics()
    assert berth.post("/", b"others").body == b"others"


CHUNKS = {
    "no-number": b"x\r\nabc\r\n0\r\n\r\n",
    "empty": b"\r\n",
    "negative": b"-3\r\nabc\r\n0\r\n\r\n",
    "0x": b"0x3\r\nabc\r\n0\r\n\r\n",
    "overflow": b"fffffffffffffffff\r\nabc",
    "long": b"8000000000000000\r\nabc",
    "no-crlf-after": b"3\r\nabcX\r\n0\r\n\r\n",
    "bare-lf": b"3\nabc\n0\n\n",
    "space": b" 3\r\nabc\r\n0\r\n\r\n",
    "trailer": b"3\r\nabc\r\n0\r\nno colon\r\n\r\n",
}


@pytest.mark.parametrize("kind", CHUNKS)
def test_malformed_chunks(gateway, scripted, kind):
    container = scripted()
    berth = gateway(container)
    with RawClient(berth.address) as client:
        client.send(f"POST / HTTP/1.1\r\n{HOST}Transfer-Encoding: chunked\r\n\r\n").send(CHUNKS[kind])
        answer = client.answer()
        assert_problem(answer, 400, "bad-request")
        assert answer["Connection"] == "close"
        assert client.is_closed()
    berth.wait_for(r"^berth: warning: bad request from 127\.0\.0\.1: ")
    assert not container.requests
    assert "berth_bad_requests_total 1\n" in berth.metrics()


def test_malformed_after_good_requests(gateway, scripted):
    container = scripted()
    berth = gateway(container)
    with RawClient(berth.address) as client:
        for i in range(3):
            assert client.request("POST", "/", b"%d" % i).answer().body == b"%d" % i
        assert client.send("nonsense\r\n\r\n").answer().status == 400
        assert client.is_closed()
    assert len(container.requests) == 3


def test_malformed_after_somebody_elses_head(gateway, scripted):
    """Whether an answer has a body is decided by its own request."""
    berth = gateway(scripted())
    for words in ("\x16\x03\x01\x02\x00\r\n\r\n", "GE(T / HTTP/1.1\r\n\r\n"):
        assert berth.request("HEAD", "/berth/healthz").body == b""
        with RawClient(berth.address) as client:
            assert_problem(client.send(words).answer(), 400, "bad-request")


def test_malformed_behind_a_pipelined_request(gateway, scripted):
    """The good one is answered first."""
    with RawClient(gateway(scripted()).address) as client:
        client.send(f"POST / HTTP/1.1\r\n{HOST}Content-Length: 2\r\n\r\nokGET / HTTP/9.9\r\n\r\n")
        assert client.answer().body == b"ok"
        assert client.answer().status == 505
        assert client.is_closed()


@pytest.mark.parametrize("method", ["CONNECT", "TRACE"])
def test_methods_that_are_not_forwarded(gateway, scripted, method):
    container = scripted()
    with RawClient(gateway(container).address) as client:
        target = "h:80" if method == "CONNECT" else "/"
        assert_problem(client.request(method, target, head="Host: h:80\r\n").answer(), 501, "not-implemented")
    assert not container.requests


# ---- too much ----


@pytest.mark.parametrize("size, status", [(1024, 200), (1025, 413), (10 ** 12, 413)])
def test_the_limit_of_bodies(gateway, scripted, size, status):
    """Refused by its announced length, without reading it."""
    container = scripted()
    berth = gateway(container, limits_body="1KiB")
    with RawClient(berth.address) as client:
        client.send(f"POST / HTTP/1.1\r\n{HOST}Content-Length: {size}\r\n\r\n")
        if status == 200:
            assert client.send(b"x" * size).answer().body == b"x" * size
            return
        answer = client.answer()
        assert_problem(answer, 413, "body-too-large")
        assert answer["Connection"] == "close"
        assert client.is_closed()
    assert not container.requests


def test_the_limit_of_chunked_bodies(gateway, scripted):
    container = scripted()
    berth = gateway(container, limits_body="1KiB")
    with RawClient(berth.address) as client:
        client.send(f"POST / HTTP/1.1\r\n{HOST}Transfer-Encoding: chunked\r\n\r\n" + "200\r\n" + "x" * 512 + "\r\n")
        client.send("200\r\n" + "x" * 512 + "\r\n1\r\nx\r\n")
        assert_problem(client.answer(), 413, "body-too-large")
        assert client.is_closed()
    with RawClient(berth.address) as client:
        client.send(f"POST / HTTP/1.1\r\n{HOST}Transfer-Encoding: chunked\r\n\r\n400\r\n" + "y" * 1024 + "\r\n0\r\n\r\n")
        assert client.answer().body == b"y" * 1024
    assert len(container.requests) == 1


def test_a_413_is_read_although_the_client_is_still_sending(gateway, scripted):
    """The connection is closed slowly, so that a reset does not take the answer away."""
    berth = gateway(scripted(), limits_body="1KiB")
    for _ in range(5):
        with RawClient(berth.address) as client:
            client.send(f"POST / HTTP/1.1\r\n{HOST}Content-Length: 500000\r\n\r\n" + "x" * 400_000)
            assert_problem(client.answer(), 413, "body-too-large")


def test_413_instead_of_100(gateway, scripted):
    with RawClient(gateway(scripted(), limits_body="1KiB").address) as client:
        client.send(f"POST / HTTP/1.1\r\n{HOST}Expect: 100-continue\r\nContent-Length: 5000\r\n\r\n")
        assert_problem(client.answer(), 413, "body-too-large")


@pytest.mark.parametrize("head", [f"GET / HTTP/1.1\r\n{HOST}X: {'x' * 2000}\r\n\r\n", f"GET /{'x' * 2000} HTTP/1.1\r\n{HOST}\r\n",
                                  f"GET / HTTP/1.1\r\n{HOST}" + "X: y\r\n" * 200 + "\r\n", f"GET /{'x' * 3000}"])
def test_the_limit_of_heads(gateway, scripted, head):
    container = scripted()
    berth = gateway(container, limits_head="1KiB")
    with RawClient(berth.address) as client:
        answer = client.send(head).answer()
        assert_problem(answer, 431, "head-too-large")
        assert answer["Connection"] == "close"
        assert client.is_closed()
    berth.wait_for(r"^berth: warning: bad request from 127\.0\.0\.1: ")
    assert not container.requests


def test_too_many_fields(gateway, scripted):
    berth = gateway(scripted())
    with RawClient(berth.address) as client:
        assert client.request("GET", "/", head=HOST + "X: y\r\n" * 99).answer().status == 200
        assert_problem(client.request("GET", "/", head=HOST + "X: y\r\n" * 100).answer(), 431, "head-too-large")


def test_bodies_have_a_limit_all_together(gateway, scripted):
    """A body for which there is no room beside the others is refused like anything else, and all is given back."""
    container = scripted()
    berth = gateway(container, limits_body_memory="64KiB", limits_body="4MiB", limits_spool="4MiB")
    with RawClient(berth.address) as first, RawClient(berth.address) as second:
        first.send(f"POST / HTTP/1.1\r\n{HOST}Content-Length: 3000000\r\n\r\n").send(b"x" * 2_999_999)
        wait_until(lambda: re.search(r"^berth_spool_bytes 29\d{5}$", berth.metrics(), re.MULTILINE))
        with contextlib.suppress(ConnectionError):
            second.send(f"POST / HTTP/1.1\r\n{HOST}Content-Length: 3000000\r\n\r\n").send(b"y" * 3_000_000)
        assert_problem(second.answer(), 503, "overloaded")
        assert first.send(b"x").answer().body == b"x" * 3_000_000
    wait_until(lambda: "berth_memory_bytes 0\n" in berth.metrics() and "berth_spool_bytes 0\n" in berth.metrics())
    assert "berth_limit_refusals_total 1\n" in berth.metrics()
    assert len(container.requests) == 1


@pytest.mark.parametrize("prefer", ["", "Prefer: respond-async\r\n"])
def test_spool_files_that_cannot_be_written(started, environment, scripted, tmp_path, prefer):
    """Berth's own disk is no container's fault; nor the store's, to which a background request does not come."""
    container = scripted()
    berth = Berth("serve", cwd=tmp_path, env={**environment, "TMPDIR": "/nonexistent"})
    berth.containers(container).flag("limits-body-memory", "64KiB").flag("store", f"sqlite:{tmp_path}/berth.db").start()
    berth.wait_for_slots(1)
    for size in (100_000, 300_000, 3_000_000):
        for _ in range(4):
            with RawClient(berth.address) as client:
                with contextlib.suppress(ConnectionError):
                    client.send(f"POST / HTTP/1.1\r\n{HOST}{prefer}Content-Length: {size}\r\n\r\n").send(b"x" * size)
                assert_problem(client.answer(), 503, "overloaded")
    assert berth.post("/", b"small").body == b"small"
    [seen] = berth.pool()["containers"]
    assert (seen["status"], seen["failures"]) == ("free", 0)
    end(berth)


# ---- too slow ----


def test_a_head_that_does_not_come(gateway, scripted):
    container = scripted()
    berth = gateway(container, client_timeouts_head="150ms")
    with RawClient(berth.address) as client:
        start = time.monotonic()
        answer = client.send("GET / HTTP/1.1\r\nHo").answer()
        assert time.monotonic() - start >= 0.14
        assert_problem(answer, 408, "request-timeout")
        assert client.is_closed()
    with RawClient(berth.address) as client:  # a drip does not help
        start = time.monotonic()
        client.send("GET / HTTP/1.1\r\n")
        client.sock.settimeout(0.02)
        while True:
            try:
                assert client.answer().status == 408
                break
            except TimeoutError:
                client.send("X: y\r\n")
        assert time.monotonic() - start < 5
    assert not container.requests


def test_a_body_that_does_not_come(gateway, scripted):
    container = scripted()
    berth = gateway(container, client_timeouts_body="150ms")
    with RawClient(berth.address) as client:
        client.send(f"POST / HTTP/1.1\r\n{HOST}Content-Length: 10\r\n\r\nhalf")
        assert_problem(client.answer(), 408, "request-timeout")
        assert client.is_closed()
    assert not container.requests


def test_an_idle_connection_is_closed(gateway, scripted):
    berth = gateway(scripted(), client_timeouts_idle="100ms")
    with RawClient(berth.address) as client:
        assert client.is_closed()
    with RawClient(berth.address) as client:
        client.request("POST", "/", b"x").answer()
        assert client.is_closed()


def test_a_client_that_takes_nothing(gateway, scripted):
    """It is cut off, and what was kept for it is given back."""
    body = bytes(1_000_000)
    berth = gateway(scripted().always(lambda exchange: exchange.finish(
        b"HTTP/1.1 200 OK\r\nContent-Length: 9000000\r\n\r\n" + body * 9)), client_timeouts_send="150ms")
    with RawClient(berth.address, receive_buffer=4096) as client:
        client.request("GET", "/")
        wait_until(lambda: not re.search(r"^berth_memory_bytes 0$", berth.metrics(), re.MULTILINE), "bytes that wait")
        wait_until(lambda: re.search(r"^berth_memory_bytes 0$", berth.metrics(), re.MULTILINE), "they are given back")
        with pytest.raises(ConnectionError):
            client.answer()


def test_connections_without_a_word(gateway, scripted):
    """Hundreds of them cost nothing but themselves."""
    berth = gateway(scripted())
    clients = [RawClient(berth.address) for _ in range(300)]
    wait_until(lambda: berth.status()["connections"] >= 300)
    assert berth.post("/", b"x").body == b"x"
    for client in clients:
        client.close()
    wait_until(lambda: berth.status()["connections"] < 10)


def test_random_bytes(gateway, scripted):
    berth = gateway(scripted())
    for size in range(1, 2000, 37):
        with RawClient(berth.address) as client:
            with contextlib.suppress(ConnectionError):
                client.send(os.urandom(size)).half_close()
                client.reader.rest()
    assert berth.post("/", b"x").body == b"x"


def test_reset_at_every_byte(gateway, scripted):
    """Connections that are cut anywhere in a request."""
    container = scripted()
    berth = gateway(container)
    text = f"POST /cut HTTP/1.1\r\n{HOST}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n".encode()
    for n in range(len(text)):
        client = RawClient(berth.address)
        client.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client.send(text[:n]).reset()
    wait_until(lambda: berth.status()["connections"] <= 2)
    assert not container.requests
    assert berth.post("/", b"x").body == b"x"
