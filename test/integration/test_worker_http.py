"""berth-worker: HTTP itself."""

import email.utils
import json
import resource
import shutil
import socket
import time

import pytest

from berth import PATIENCE, wait_until
from worker import MODELS, Worker, binary_outputs, read_all, read_answer

POST = b"POST /run_model HTTP/1.1\r\nHost: a\r\n"


@pytest.fixture(scope="module")
def worker(tmp_path_factory):
    directory = tmp_path_factory.mktemp("model")
    shutil.copy(MODELS / "halves.onnx", directory / "model.onnx")
    (directory / "model.json").write_text(json.dumps({"name": "halves", "labels": ["a", "b"]}))
    one = Worker(directory, max_body="100kB").start()
    yield one
    one.stop()


@pytest.fixture
def s(worker):
    with worker.socket() as opened:
        yield opened


def text_of(answer):
    return answer.json["input_text"]


def test_keep_alive(s):
    for text in (b"one", b"", b"three"):
        s.sendall(POST + b"Content-Length: %d\r\n\r\n%s" % (len(text) + 2, b"<" + text + b">"))
        answer = read_answer(s)
        assert answer.status == 200 and text_of(answer) == f"<{text.decode()}>"
        assert "Connection" not in answer.headers
        sent = email.utils.parsedate_to_datetime(answer.headers["Date"]).timestamp()
        assert abs(sent - time.time()) < 5


def test_connection_close(s):
    s.sendall(POST + b"Connection: close\r\nContent-Length: 1\r\n\r\nx")
    head, _, body = read_all(s).partition(b"\r\n\r\n")
    assert b"\r\nConnection: close" in head and b'"label":"b"' in body


def test_http_1_0(worker):
    with worker.socket() as s:
        s.sendall(b"POST /run_model HTTP/1.0\r\nContent-Length: 1\r\n\r\nx")
        assert b'"label":"b"' in read_all(s)
    with worker.socket() as s:
        for _ in range(2):
            s.sendall(b"POST /run_model HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\nx")
            assert read_answer(s).headers["Connection"] == "keep-alive"


def test_pipelined(s):
    """Several requests in one go are answered one after the other."""
    texts = [f"text {i}" for i in range(20)]
    s.sendall(b"".join(POST + b"Content-Length: %d\r\n\r\n%s" % (len(t), t.encode()) for t in texts)
              + b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n")
    stream = s.makefile("rb")
    seen = []
    for _ in texts:
        assert stream.readline().startswith(b"HTTP/1.1 200")
        length = 0
        while (line := stream.readline()) != b"\r\n":
            if line.lower().startswith(b"content-length:"):
                length = int(line.split(b":")[1])
        seen.append(json.loads(stream.read(length))["input_text"])
    assert seen == texts
    assert stream.readline().startswith(b"HTTP/1.1 200")


def test_pipelined_beyond_the_buffer(worker):
    """More than the worker keeps for later waits in the kernel, and nothing is lost."""
    one = b"GET /health HTTP/1.1\r\nHost: a\r\nX-Padding: " + b"p" * 1000 + b"\r\n\r\n"
    with worker.socket() as s:
        s.sendall(POST + b"Content-Length: 1\r\n\r\nx" + one * 300 + b"GET /health HTTP/1.1\r\nHost: a\r\n"
                  b"Connection: close\r\n\r\n")
        assert read_all(s).count(b"HTTP/1.1 200") == 302


def test_byte_by_byte(s):
    for byte in POST + b"Transfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n2\r\nde\r\n0\r\nTrailer: t\r\n\r\n":
        s.sendall(bytes([byte]))
    assert text_of(read_answer(s)) == "abcde"
    s.sendall(b"GET /berth/idle HTTP/1.1\r\nHost: a\r\n\r\n")
    assert read_answer(s).json == {"in_flight": 0}


def test_chunked(worker):
    answer = worker.post("/run_model", iter([b"ab", b"", b"cd" * 1000]))
    assert text_of(answer) == "ab" + "cd" * 1000


def test_expect_continue(s):
    s.sendall(POST + b"Expect: 100-continue\r\nContent-Length: 5\r\n\r\n")
    assert s.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
    s.sendall(b"hello")
    assert text_of(read_answer(s)) == "hello"
    # A client that does not wait gets no 100.
    s.sendall(POST + b"Expect: 100-continue\r\nContent-Length: 5\r\n\r\nhello")
    assert text_of(read_answer(s)) == "hello"


def test_expect_continue_is_refused(s):
    s.sendall(POST + b"Expect: 100-continue\r\nContent-Length: 5000000\r\n\r\n")
    answer = read_answer(s)
    assert answer.status == 413 and answer.headers["Connection"] == "close"
    assert s.recv(1) == b""


def test_other_expectations(s):
    s.sendall(POST + b"Expect: miracles\r\nContent-Length: 0\r\n\r\n")
    assert read_answer(s).status == 417


def test_body_over_the_limit(worker):
    answer = worker.post("/run_model", b"x" * 100_001)
    assert answer.status == 413 and "--max-body" in answer.json["detail"]
    assert worker.post("/run_model", b"x" * 100_000).status == 200
    with worker.socket() as s:
        s.sendall(POST + b"Transfer-Encoding: chunked\r\n\r\n" + b"4000\r\n" + b"x" * 0x4000 + b"\r\n")
        for _ in range(6):
            s.sendall(b"4000\r\n" + b"x" * 0x4000 + b"\r\n")
        answer = read_answer(s)
        assert answer.status == 413 and answer.headers["Connection"] == "close"


def test_a_refused_body_is_read_and_the_connection_stays(s):
    s.sendall(b"POST /v2/models/other/infer HTTP/1.1\r\nHost: a\r\nContent-Length: 90000\r\n\r\n" + b"x" * 40000)
    answer = read_answer(s)
    assert answer.status == 404 and "Connection" not in answer.headers
    s.sendall(b"x" * 50000 + POST + b"Content-Length: 1\r\n\r\nx")
    assert read_answer(s).status == 200


def test_head_over_the_limit(s):
    s.sendall(b"GET /health HTTP/1.1\r\nHost: a\r\nX-Long: " + b"x" * 20000)
    answer = read_answer(s)
    assert answer.status == 431 and answer.json["type"] == "urn:berth:problem:head-too-large"
    assert s.recv(1) == b""


def test_what_does_not_come_in_time(worker):
    """Ten seconds for a head, and ten without a byte of a body; both at once here."""
    with worker.socket() as head, worker.socket() as body:
        head.sendall(b"GET /health HT")
        body.sendall(POST + b"Content-Length: 5\r\n\r\nab")
        for s, says in ((head, "head did not come within 10 s"), (body, "nothing of the body came for 10 s")):
            answer = read_answer(s)
            assert answer.status == 408 and says in answer.json["detail"] and answer.headers["Connection"] == "close"
    assert worker.health()["in_flight"] == 0


@pytest.mark.parametrize("data, status", [
    (b"nonsense\r\n\r\n", 400),
    (b"GET /health HTTP/1.1\r\n\r\n", 400),
    (b"GET /health HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400),
    (b"GET /health HTTP/1.1\nHost: a\n\n", 400),
    (b"GET /health HTTP/2.0\r\nHost: a\r\n\r\n", 505),
    (b"GET /health HTTP/1.1\r\nHost : a\r\n\r\n", 400),
    (POST + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\nx", 400),
    (POST + b"Content-Length: 1x\r\n\r\nx", 400),
    (POST + b"Transfer-Encoding: chunked\r\n\r\nx\r\n", 400),
])
def test_malformed(s, data, status):
    s.sendall(data)
    answer = read_answer(s)
    assert answer.status == status, answer.text
    assert answer.headers["Connection"] == "close" and answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json["status"] == status and answer.json["detail"]
    assert s.recv(1) == b""


@pytest.mark.parametrize("method, path, status", [
    ("GET", "/", 404), ("POST", "/", 404), ("GET", "/run_model/x", 404), ("GET", "/berth/jobs/1", 404),
    ("PUT", "/run_model", 405), ("OPTIONS", "/run_model", 405), ("DELETE", "/health", 405), ("POST", "/metrics", 405),
])
def test_unknown_paths_and_methods(worker, method, path, status):
    answer = worker.request(method, path)
    assert answer.status == status and answer.headers["Content-Type"] == "application/problem+json"
    if status == 405:
        assert "GET, HEAD" in answer.headers["Allow"]


@pytest.mark.parametrize("path", ["/health", "/berth/idle", "/metrics", "/v2", "/v2/models/halves", "/v2/health/live"])
def test_head(worker, path):
    get, head = worker.get(path), worker.request("HEAD", path)
    assert head.status == 200 and head.body == b""
    assert head.headers["Content-Length"] == str(len(get.body)) or path == "/metrics"
    assert head.headers["Content-Type"] == get.headers["Content-Type"]


def test_encoded_bodies(worker):
    answer = worker.post("/run_model", b"x", headers={"Content-Encoding": "gzip"})
    assert answer.status == 415
    assert worker.post("/run_model", b"x", headers={"Content-Encoding": "identity"}).status == 200


def test_absolute_form_and_query(worker):
    with worker.socket() as s:
        s.sendall(b"GET http://a/health?x=y HTTP/1.1\r\nHost: a\r\n\r\n")
        assert read_answer(s).json["status"] == "ok"


def test_metrics(worker):
    before = worker.metrics()
    worker.post("/run_model", b"x")
    after = worker.metrics()
    for name in ('requests_total{outcome="ok"}', "run_seconds_count", 'run_seconds_bucket{le="+Inf"}'):
        assert after["berth_worker_" + name] == before["berth_worker_" + name] + 1
    assert after["berth_worker_slots"] == 1 and after["berth_worker_in_flight"] == 0
    buckets = [value for name, value in after.items() if "run_seconds_bucket" in name]
    assert buckets == sorted(buckets) and buckets[-1] == after["berth_worker_run_seconds_count"]


def test_a_client_that_does_not_read(started):
    """Its answer waits, and its slot is free."""
    one = Worker("identity_fp32")
    started.append(one)
    one.start()
    data = bytes(range(256)) * 131072  # 32 MiB, more than the kernel holds
    head = json.dumps({"inputs": [{"name": "x", "shape": [1, len(data) // 4], "datatype": "FP32",
                                   "parameters": {"binary_data_size": len(data)}}],
                       "parameters": {"binary_data_output": True}}).encode()
    with one.socket() as s:
        s.sendall(b"POST /v2/models/identity_fp32/infer HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n"
                  b"Inference-Header-Content-Length: %d\r\n\r\n" % (len(head) + len(data), len(head)) + head + data)
        wait_until(lambda: one.outcomes() == {"ok": 1}, "the run")
        assert one.health()["in_flight"] == 0
        assert one.infer([{"name": "x", "shape": [1, 1], "datatype": "FP32", "data": [4]}]).status == 200
        _, found = binary_outputs(read_answer(s))
        assert found["y"] == data
        s.sendall(b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n")
        assert read_answer(s).status == 200


def test_many_connections(worker):
    """At the limit the connection that has been idle longest makes room."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 2048:
        pytest.skip(f"only {hard} files may be open")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 2048), hard))
    host, port = worker.address.rsplit(":", 1)
    opened = [socket.create_connection((host, int(port)), PATIENCE) for _ in range(1024)]
    try:
        wait_until(lambda: worker.metrics()["berth_worker_connections"] == 1024, "all connections")
        assert opened[0].recv(1) == b""
        opened[-1].sendall(b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n")
        assert read_answer(opened[-1]).status == 200
    finally:
        for one in opened:
            one.close()
