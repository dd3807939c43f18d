"""berth-worker: starting, /run_model, slots, leaving, ending."""

import concurrent.futures
import contextlib
import json
import pathlib
import shutil
import signal
import socket
import stat
import subprocess
import time

import pytest

from berth import BUILD, ROOT, Program, wait_until
from worker import MODELS, Worker, read_answer

SPAM = ROOT / "models" / "spam"
SLOW = [{"name": "times", "shape": [], "datatype": "INT64", "data": [10**9]}]  # about a week


@pytest.fixture
def worker(started):
    """worker(model, flag=value) is one that has been started."""
    def make(model, **flags):
        made = Worker(model, **flags)
        started.append(made)
        return made.start()
    return make


@pytest.fixture
def text_model(tmp_path):
    """A directory with a text model whose probabilities are always 0.25 and 0.75."""
    directory = tmp_path / "quarters"
    directory.mkdir()
    shutil.copy(MODELS / "halves.onnx", directory / "model.onnx")
    (directory / "samples.json").write_text('["the first sample", "the second sample"]')
    (directory / "model.json").write_text(json.dumps({
        "name": "quarters", "version": "7", "labels": ["rare", "common"], "samples": "samples.json"}))
    return directory


def refused_start(*words, env=None, code=2):
    """The one line on stderr with which it refuses to start."""
    done = subprocess.run([BUILD / "berth-worker", *map(str, words)], capture_output=True, text=True, timeout=30,
                          stdin=subprocess.DEVNULL, env=env)
    assert (done.returncode, done.stdout) == (code, ""), done
    assert done.stderr.count("\n") == 1 and done.stderr.startswith("berth-worker: error: "), done.stderr
    return done.stderr


# ---- starting ----

def test_says_what_it_serves(worker, text_model):
    one = worker(text_model, slots=3)
    assert (one.model, one.kind) == ("quarters", "text")
    assert ", slots 3\n" in one.output
    assert one.health() == {"status": "ok", "model": "quarters", "version": "7", "slots": 3, "slots_taken": 0,
                            "in_flight": 0, "in_flight_max": 0}


def test_says_what_run_model_cannot_feed(worker):
    one = worker("add", name="sum of two")
    assert one.kind == "tensors" and one.model == "sum of two"
    one.wait_for(r"/run_model cannot feed this model \(it takes a FP32 \[-1,3\], b FP32 \[-1,3\]\)")
    answer = one.post("/run_model", b"hello")
    assert answer.status == 501 and answer.headers["Content-Type"] == "application/problem+json"
    assert "a FP32 [-1,3], b FP32 [-1,3]" in answer.json["detail"] and "infer" in answer.json["detail"]


def test_says_that_it_is_delayed(worker, text_model):
    one = worker(text_model, delay_ms=20, delay_jitter=50)
    one.wait_for(r"^berth-worker: each run is delayed by 20 ms, give or take 50 %$")
    begin = time.monotonic()
    assert one.post("/run_model", b"x").status == 200
    assert time.monotonic() - begin >= 0.009


def test_help_and_version():
    done = subprocess.run([BUILD / "berth-worker", "--help"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("usage: berth-worker --model") and "--slots N" in done.stdout
    done = subprocess.run([BUILD / "berth-worker", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("berth-worker ")


@pytest.mark.parametrize("words, says", [
    ([], "--model is missing"),
    (["--model", "/nowhere/model.onnx"], "/nowhere/model.onnx: No such file or directory"),
    (["--model", MODELS], "models/model.onnx: No such file or directory"),
    (["--model", MODELS / "nonsense.onnx"], "nonsense.onnx: not an ONNX model"),
    (["--modle", "x"], "--modle: unknown option"),
    (["--model"], "--model: needs a value"),
    (["extra"], "extra: not an option"),
    (["--model", "x", "--slots", "0"], "--slots 0: must be a whole number from 1 to 256"),
    (["--model", "x", "--slots", "two"], "--slots two"),
    (["--model", "x", "--listen", "localhost:80"], "--listen localhost:80: must be ADDRESS:PORT"),
    (["--model", "x", "--max-body", "3XB"], "--max-body 3XB: must be a size"),
    (["--model", "x", "--delay-ms", "-1"], "--delay-ms -1"),
    (["--model", "x", "--delay-jitter", "101"], "--delay-jitter 101"),
    (["--model", "x", "--name", ""], "--name"),
])
def test_refuses_to_start(words, says):
    assert says in refused_start(*words)


def test_port_taken():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen()
        port = s.getsockname()[1]
        said = refused_start("--model", MODELS / "add.onnx", "--listen", f"127.0.0.1:{port}")
    assert f"cannot listen on 127.0.0.1:{port}: Address already in use; take another port" in said


def test_runtime_missing(tmp_path):
    said = refused_start("--model", MODELS / "add.onnx", env={"BERTH_ORT": str(tmp_path / "no.so")})
    assert "no.so" in said and "npm ci --ignore-scripts" in said and "BERTH_ORT" in said
    (tmp_path / "no.so").write_text("not a library")
    assert "npm ci --ignore-scripts" in refused_start("--model", "x", env={"BERTH_ORT": str(tmp_path / "no.so")})


def test_another_library_is_no_runtime():
    libc = next(line.split()[-1] for line in pathlib.Path("/proc/self/maps").read_text().splitlines() if "libc.so" in line)
    assert "no OrtGetApiBase" in refused_start("--model", "x", env={"BERTH_ORT": libc})


@pytest.mark.parametrize("file, content, says", [
    ("model.json", '{"name": ', "model.json:1:9: "),
    ("model.json", "[]", "model.json: must be a JSON object"),
    ("model.json", '{"name": 1}', 'model.json: "name" must be a string'),
    ("model.json", '{"labels": [1, 2]}', 'model.json: "labels" must be an array of strings'),
    ("samples.json", '{"a": 1}', "samples.json: must be a JSON array"),
    ("samples.json", '["a", 1]', "samples.json: must be an array of strings"),
    ("samples.json", None, "samples.json"),
])
def test_wrong_model_directory(text_model, file, content, says):
    if content is None:
        (text_model / file).unlink()
    else:
        (text_model / file).write_text(content)
    assert says in refused_start("--model", text_model)


def test_unix_socket(started, text_model, tmp_path):
    path = tmp_path / "worker.sock"
    one = Worker(text_model, listen=f"unix:{path}")
    started.append(one)
    one.start()
    assert stat.filemode(path.stat().st_mode) == "srw-rw-rw-"
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(str(path))
        s.sendall(b"GET /v2/health/ready HTTP/1.1\r\nHost: a\r\n\r\n")
        assert read_answer(s).json == {"ready": True}
    one.signal(signal.SIGTERM)
    assert one.wait() == 0
    assert not path.exists()


# ---- /run_model ----

@pytest.mark.parametrize("body, content_type", [
    (b'{"text": "caf\\u00e9"}', "application/json"),
    (b' {"text": "caf\xc3\xa9", "more": 1}', None),
    (b"caf\xc3\xa9", None),
    (b"caf\xc3\xa9", "text/plain; charset=utf-8"),
])
def test_text_in(worker, text_model, body, content_type):
    answer = worker(text_model).post("/run_model", body, headers={"Content-Type": content_type} if content_type else {})
    assert answer.status == 200 and answer.headers["Content-Type"] == "application/json"
    assert answer.json == {"input_text": "café", "probabilities": [0.25, 0.75], "label": "common"}


def test_no_text_is_a_sample(worker, text_model):
    one = worker(text_model)
    bodies = [(b"", {}), (b"{}", {}), (b"null", {"Content-Type": "application/json"}), (b'{"text": null}', {})]
    texts = {one.post("/run_model", body, headers=headers).json["input_text"] for body, headers in bodies * 8}
    assert texts == {"the first sample", "the second sample"}
    assert one.get("/run_model").json["input_text"] in texts
    head = one.request("HEAD", "/run_model")
    assert head.status == 200 and head.body == b"" and int(head.headers["Content-Length"]) > 50


def test_no_text_and_no_samples(worker):
    answer = worker("halves").get("/run_model")
    assert answer.status == 400 and "without samples" in answer.json["detail"]


def test_labels_without_names(worker):
    assert worker("halves").post("/run_model", b"x").json == {
        "input_text": "x", "probabilities": [0.25, 0.75], "label": 1}
    assert worker("upper").post("/run_model", b"shout").json == {"input_text": "shout", "label": "SHOUT"}


@pytest.mark.parametrize("body, content_type, says", [
    (b'{"text": 5}', None, '"text" must be a string'),
    (b'["a"]', "application/json", "must be a JSON object"),
    (b'{"text": "a', None, "not JSON"),
    (b"caf\xe9", None, "not UTF-8: byte 3"),
])
def test_bad_text(worker, text_model, body, content_type, says):
    one = worker(text_model)
    answer = one.post("/run_model", body, headers={"Content-Type": content_type} if content_type else {})
    assert answer.status == 400 and answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json["type"] == "urn:berth:problem:bad-request" and says in answer.json["detail"]
    assert one.outcomes() == {"refused": 1}


def test_long_text(worker, text_model):
    one = worker(text_model)
    for length in (10, 5_000_000, 20):
        assert one.post("/run_model", b"x" * length).json["input_text"] == "x" * length
    answer = one.post("/run_model", b'{"text": "' + b"x" * 17_000_000 + b'"}')
    assert answer.status == 400 and "text/plain" in answer.json["detail"]


@pytest.mark.skipif(not (SPAM / "model.onnx").exists(), reason="models/spam is not there")
def test_the_models_own_samples(worker):
    one = worker(SPAM)
    assert one.model == "spam" and one.kind == "text"
    for _ in range(20):
        got = one.post("/run_model").json
        assert set(got) == {"input_text", "probabilities", "label"}
        assert abs(sum(got["probabilities"]) - 1) < 1e-6
        assert got["label"] == ("spam" if got["probabilities"][1] > 0.5 else "ham")
    assert one.post("/run_model", b'{"text": ""}').json["probabilities"] == [0.5, 0.5]


@pytest.mark.skipif(not (SPAM / "model.onnx").exists(), reason="models/spam is not there")
def test_memory(worker):
    one = worker(SPAM)
    if "libasan" in pathlib.Path(f"/proc/{one.process.pid}/maps").read_text():
        pytest.skip("memory is not measured under a sanitizer")
    for _ in range(300):
        one.post("/run_model")
    status = pathlib.Path(f"/proc/{one.process.pid}/status").read_text()
    resident_kib = int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1])
    assert resident_kib <= 40_000


# ---- slots ----

def test_busy_above_the_slots(worker, text_model):
    one = worker(text_model, slots=2, delay_ms=60_000)
    with one.socket() as a, one.socket() as b:
        for s in (a, b):
            s.sendall(b"POST /run_model HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx")
        one.wait_for_in_flight(2)
        refused = one.post("/run_model", b"x")
        assert refused.status == 503
        assert refused.headers["Berth-Busy"] == "1" and refused.headers["Retry-After"] == "1"
        assert refused.json["detail"] == "all 2 slots are taken"
        refused = one.post("/v2/models/quarters/infer", b"{}")
        assert refused.status == 503 and refused.headers["Berth-Busy"] == "1"
        assert refused.json == {"error": "all 2 slots are taken"}
        assert one.get("/berth/idle").json == {"in_flight": 2}
        assert one.health()["in_flight_max"] == 3
    one.wait_for_in_flight(0)
    assert one.outcomes() == {"busy": 2, "left": 2}
    assert one.metrics()["berth_worker_in_flight_max"] == 3


def test_a_slot_is_free_before_the_answer_ends(worker, text_model):
    """A quick successor on another connection never meets a busy slot."""
    one = worker(text_model)
    with contextlib.closing(one.connection()) as a, contextlib.closing(one.connection()) as b:
        for i in range(400):
            connection = (a, b)[i % 2]
            connection.request("POST", "/run_model", b"x")
            response = connection.getresponse()
            response.read()
            assert response.status == 200
    assert one.health()["in_flight_max"] == 1


def test_never_two_at_once(worker, text_model):
    """Whatever the clients do, each answer is a result or an honest refusal."""
    one = worker(text_model, delay_ms=2)

    def client(_):
        with contextlib.closing(one.connection()) as connection:
            statuses = []
            for _ in range(25):
                connection.request("POST", "/run_model", b"x")
                response = connection.getresponse()
                response.read()
                statuses.append(response.status)
            return statuses

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        statuses = sum(pool.map(client, range(8)), [])
    counted = one.outcomes()
    assert statuses.count(200) == counted["ok"] and statuses.count(503) == counted.get("busy", 0)
    assert len(statuses) == 200 == statuses.count(200) + statuses.count(503)
    assert one.health()["slots_taken"] == 0


def test_slots_run_at_once(worker):
    one = worker("slow", slots=2)
    with one.socket() as a, one.socket() as b:
        for s in (a, b):
            body = json.dumps({"inputs": SLOW}).encode()
            s.sendall(b"POST /v2/models/slow/infer HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s"
                      % (len(body), body))
        one.wait_for_in_flight(2)
        assert one.health()["slots_taken"] == 2
    one.wait_for_in_flight(0)


# ---- leaving ----

def send_slow(s):
    body = json.dumps({"inputs": SLOW}).encode()
    s.sendall(b"POST /v2/models/slow/infer HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))


def test_answers_while_it_runs(worker):
    one = worker("slow")
    with one.socket() as s:
        send_slow(s)
        one.wait_for_in_flight(1)
        assert one.health()["slots_taken"] == 1
        assert one.get("/v2/health/ready").json == {"ready": True}
        assert one.get("/berth/idle").json == {"in_flight": 1}


@pytest.mark.parametrize("reset", [False, True])
def test_run_of_a_client_that_left_is_ended(worker, reset):
    one = worker("slow")
    with one.socket() as s:
        send_slow(s)
        one.wait_for_in_flight(1)
        if reset:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    one.wait_for_in_flight(0)
    assert one.outcomes() == {"left": 1}
    answer = one.infer([dict(SLOW[0], data=[2])])
    assert answer.status == 200  # its successor is not ended with it
    assert answer.json["outputs"] == [{"name": "total", "datatype": "FP32", "shape": [], "data": [0]}]


def test_delay_of_a_client_that_left_is_over(worker, text_model):
    one = worker(text_model, delay_ms=600_000)
    with one.socket() as s:
        s.sendall(b"GET /run_model HTTP/1.1\r\nHost: a\r\n\r\n")
        one.wait_for_in_flight(1)
    one.wait_for_in_flight(0)
    assert one.outcomes() == {"left": 1} and one.health()["slots_taken"] == 0


def test_half_a_body_and_gone(worker, text_model):
    one = worker(text_model)
    with one.socket() as s:
        s.sendall(b"POST /run_model HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nhalf")
        one.wait_for_in_flight(1)
        assert one.health()["slots_taken"] == 0  # a slow sender holds no slot
        assert one.post("/run_model", b"x").status == 200
    one.wait_for_in_flight(0)
    assert one.outcomes() == {"ok": 1, "left": 1}


# ---- ending ----

def test_finishes_what_runs(worker, text_model):
    one = worker(text_model, delay_ms=700)
    with one.socket() as s, one.socket() as idle:
        s.sendall(b"POST /run_model HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx")
        one.wait_for_in_flight(1)
        one.signal(signal.SIGTERM).signal(signal.SIGINT)
        assert idle.recv(1) == b""
        answer = read_answer(s)
        assert answer.status == 200 and answer.headers["Connection"] == "close"
        assert answer.json["label"] == "common"
    assert one.wait() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_ends_when_idle(worker, text_model, number):
    one = worker(text_model)
    with one.socket():
        one.signal(number)
        assert one.wait() == 0
    with pytest.raises(OSError):
        one.get("/health")


# ---- the runtime's table ----

def test_places_in_the_runtimes_table():
    """Each place that worker/ort_api.h names holds the function of that name, by the library's own symbols."""
    said = Program("/usr/bin/python3", pathlib.Path(__file__).with_name("ort_table.py")).start()
    code = said.wait()
    if code == 77:
        pytest.skip(said.output.strip())
    assert code == 0, said.output
    assert int(said.output.split()[0]) > 40
