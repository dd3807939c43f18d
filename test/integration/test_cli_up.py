"""`berth up` and the commands that find it: with the real worker and the real model, on ports that the kernel chooses."""

import json
import os
import pathlib
import pty
import re
import shutil
import signal
import subprocess

import pytest

from berth import BUILD, ROOT, Program, request, wait_until

LAST_LINES = re.compile(r"^To try it:\n((?:  curl .*\n)+)", re.MULTILINE)


def children_of(pid):
    """The containers of this fleet: processes whose parent it is."""
    return [int(child) for child in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def is_gone(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return True


def wait_until_gone(pids):
    wait_until(lambda: all(map(is_gone, pids)), f"the end of {pids}")


def test_a_fleet_from_start_to_end(up, run):
    fleet = up().start()
    assert re.search(r"^berth: starting 2 containers on 1 worker with \S+models/spam$", fleet.output, re.MULTILINE)
    assert "2/2 containers ready\n" in fleet.output
    pids = children_of(fleet.process.pid)
    assert len(pids) == 2
    answer = fleet.post("/run_model", b"You have won a prize", headers={"Content-Type": "text/plain"})
    assert answer.status == 200 and answer.json["input_text"] == "You have won a prize"

    names = [(c["name"], c["worker"], c["ip"], c["status"]) for c in fleet.pool()["containers"]]
    assert names == [("container1", "worker1", "127.0.1.1", "free"), ("container2", "worker1", "127.0.1.1", "free")]

    result = run("down")
    assert result.returncode == 0
    assert result.stdout == f'berth: the fleet "default" (pid {fleet.process.pid}, 2 containers) is down\n'
    assert fleet.wait() == 0
    wait_until_gone(pids)
    result = run("down")
    assert (result.returncode, result.stdout) == (0, 'berth: no fleet is running under the name "default"\n')


def connected_sockets(name):
    """How many connections to unix sockets of this name there are."""
    lines = pathlib.Path("/proc/net/unix").read_text().splitlines()
    return sum(line.endswith(name) and line.split()[5] == "03" for line in lines)


def test_requests_go_by_unix_sockets_and_the_ports_answer_too(up, run):
    fleet = up().flag("name", "near").start()
    assert fleet.post("/run_model", b"hello", headers={"Content-Type": "text/plain"}).status == 200
    for container in fleet.pool()["containers"]:
        assert connected_sockets(f"/near.{container['name']}.sock") == 1
        assert request(f"{container['ip']}:{container['port']}", "GET", "/v2/health/ready").status == 200
    assert run("down", "--name", "near").returncode == 0
    assert fleet.wait() == 0
    assert "/near.container" not in pathlib.Path("/proc/net/unix").read_text()


def test_a_container_starts_again_after_a_reload(up):
    """By the settings that the fleet was started with, which the reload must leave in place."""
    fleet = up().start()
    fleet.signal(signal.SIGHUP).wait_for("reload: the configuration is taken over")
    os.kill(children_of(fleet.process.pid)[0], signal.SIGKILL)
    fleet.wait_for(r"container\d is up again")


def test_the_curl_lines_can_be_pasted(up):
    if not shutil.which("curl"):
        pytest.skip("curl is not installed")
    fleet = up().start()
    lines = fleet.wait_for(LAST_LINES)[1].splitlines()
    assert len(lines) == 3
    answers = [json.loads(subprocess.run(line + " -sS", shell=True, check=True, capture_output=True, timeout=30).stdout)
               for line in lines]
    assert answers[0]["label"] in ("ham", "spam")
    assert answers[1]["message"] == "Request received and being processed"
    assert isinstance(answers[2], dict)


def test_status(up, run):
    fleet = up().flag("name", "blue").start()
    result = run("status", "--name", "blue")
    assert result.returncode == 0
    assert result.stdout.startswith("pool default: 0 of at most 10000 in the queue")
    row = result.stdout.splitlines()[2].split()
    assert row[:2] == ["container1", "worker1"] and row[2].startswith("127.0.1.1:") and row[3:5] == ["free", "0/1"]
    raw = run("status", "--name", "blue", "--json")
    assert json.loads(raw.stdout)["pools"][0]["name"] == "default"
    assert run("status", "--admin", fleet.admin).returncode == 0
    nobody = run("status", "--admin", "127.0.0.1:1")
    assert nobody.returncode == 1 and "127.0.0.1:1" in nobody.stderr and len(nobody.stderr.splitlines()) == 1


def test_status_again_and_again(up, started, environment):
    up().start()
    watch = Program(BUILD / "berth", "status", "--watch", "50ms", env=environment)
    started.append(watch)
    watch.start()
    watch.wait_for(r"(?s)(pool default.*){3}")
    assert watch.is_running


def test_a_second_fleet_of_the_same_name(up, run):
    fleet = up().start()
    result = run("up", "--base-port", "0", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0")
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == (f'berth up: a fleet called "default" runs already (pid {fleet.process.pid}): berth down ends it, '
                             "--name gives this one another name\n")
    assert up().flag("name", "green").start().status()["pools"]


def test_a_runtime_file_that_was_left_behind(up, run, environment):
    """After a crash its process id may belong to somebody else by now: the start time tells."""
    directory = pathlib.Path(environment["XDG_RUNTIME_DIR"]) / "berth"
    directory.mkdir(mode=0o700)
    (directory / "default.json").write_text(json.dumps({"pid": os.getpid(), "start_time": 1, "admin": "127.0.0.1:1"}))
    assert run("down").stdout == 'berth: no fleet is running under the name "default"\n'
    up().start()


def test_a_runtime_directory_of_somebody_else_is_refused(run, environment):
    directory = pathlib.Path(environment["XDG_RUNTIME_DIR"]) / "berth"
    directory.mkdir(mode=0o700)
    directory.chmod(0o755)
    result = run("down")
    assert result.returncode == 2
    assert result.stderr == f"berth down: {directory} must be yours alone: remove it, or chmod 700 it\n"


def test_load_reads_every_result(up, run):
    up().flag("delay-ms", 10).start()
    result = run("load", "--requests", 60, "--clients", 5, "--wait")
    assert result.returncode == 0, result.stdout
    assert len(re.findall(r"^Response from http://127.0.0.1:\d+/new_request: 200, \{.*\}$", result.stdout, re.MULTILINE)) == 60
    assert len(re.findall(r"^Result from /berth/jobs/\w+/result: 200, \{.*\"label\".*\}$", result.stdout, re.MULTILINE)) == 60
    assert re.search(r"^  results +60 of 60 read$", result.stdout, re.MULTILINE)
    told = re.search(r"(\d+) received and being processed, (\d+) will be processed soon", result.stdout)
    assert int(told[1]) + int(told[2]) == 60 and int(told[1]) >= 2 and int(told[2]) >= 1
    assert int(re.search(r"longest queue +(\d+)", result.stdout)[1]) >= 1


def test_load_waits_for_synchronous_answers(up, run):
    up().start()
    result = run("load", "--requests", 20, "--sync", "--text", "Free money")
    assert result.returncode == 0
    assert result.stdout.count("/run_model: 200, ") == 20 and result.stdout.count('"input_text":"Free money"') == 20


def test_load_without_a_server(run):
    result = run("load", "--requests", 3, "--url", "http://127.0.0.1:1/new_request")
    assert result.returncode == 1
    assert "Connection refused" in result.stderr and len(result.stderr.splitlines()) == 1


def test_load_fails_when_a_request_does(serve, container, run):
    broken = container().answer(lambda handler, body: (500, {}, b"no"))
    berth = serve().containers(broken).start()
    result = run("load", "--requests", 5, "--url", f"http://{berth.address}/run_model")
    assert result.returncode == 1
    assert re.search(r"^  status 500 +5$", result.stdout, re.MULTILINE)
    assert run("load", "--requests", 5, "--wait", "--url", f"http://{berth.address}/new_request").returncode == 1


def test_a_container_that_is_killed_comes_back(up):
    fleet = up().start()
    victim = children_of(fleet.process.pid)[0]
    os.kill(victim, signal.SIGKILL)
    fleet.wait_for(r"^berth: warning: container\d has ended \(signal 9 \(Killed\)\) and starts again in 100ms$")
    fleet.wait_for(r"^berth: container\d is up again$")
    fleet.wait_for_slots(2)
    assert len(children_of(fleet.process.pid)) == 2


def test_containers_die_with_berth(up):
    fleet = up().start()
    pids = children_of(fleet.process.pid)
    fleet.signal(signal.SIGKILL)
    wait_until_gone(pids)


def test_the_end_finishes_what_runs(up):
    fleet = up().flag("delay-ms", 300).start()
    pids = children_of(fleet.process.pid)
    connection = fleet.connection()
    connection.request("POST", "/run_model", b"hello")
    wait_until(lambda: fleet.pool()["slots"]["busy"] == 1, "a busy slot")
    fleet.signal(signal.SIGINT)
    assert connection.getresponse().status == 200
    connection.close()
    assert fleet.wait() == 0
    wait_until_gone(pids)


def test_a_second_signal_ends_it_at_once(up):
    fleet = up().flag("delay-ms", 600000).start()
    pids = children_of(fleet.process.pid)
    connection = fleet.connection()
    connection.request("POST", "/run_model", b"hello")
    wait_until(lambda: fleet.pool()["slots"]["busy"] == 1, "a busy slot")
    fleet.signal(signal.SIGINT).wait_for("once more stops at once")
    fleet.signal(signal.SIGINT)
    wait_until(lambda: not fleet.is_running or not fleet.signal(signal.SIGINT), "the end")
    assert fleet.wait() == 0
    wait_until_gone(pids)
    connection.close()


def no_child_is_left(name):
    """No process has this word among its arguments."""
    for entry in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if name.encode() in entry.read_bytes():
                return False
        except (FileNotFoundError, ProcessLookupError):
            pass
    return True


@pytest.mark.parametrize(("make", "expected"), [
    (lambda path: None, "No such file"),
    (lambda path: path.write_text("this is no model"), "model"),
])
def test_a_model_that_cannot_be_loaded(up, tmp_path, make, expected):
    model = tmp_path / "some-model.onnx"
    make(model)
    fleet = up().flag("model", model)
    fleet.launch()
    assert fleet.wait() == 2
    lines = fleet.output.splitlines()
    assert len(lines) == 2 and lines[0].startswith("berth: starting")
    assert re.match(r"berth up: container\d cannot start: berth-worker: error: ", lines[1])
    assert str(model) in lines[1] and expected in lines[1]
    wait_until(lambda: no_child_is_left(str(model)), "the end of every container")


def test_a_runtime_library_that_is_missing(up):
    fleet = up()
    fleet.env["BERTH_ORT"] = "/nowhere/libonnxruntime.so"
    fleet.launch()
    assert fleet.wait() == 2
    lines = fleet.output.splitlines()
    assert len(lines) == 2 and "/nowhere/libonnxruntime.so" in lines[1]


def test_berth_worker_has_to_be_beside_berth(tmp_path, environment):
    shutil.copy(BUILD / "berth", tmp_path / "berth")
    result = subprocess.run([tmp_path / "berth", "up", "--listen=127.0.0.1:0", "--admin=127.0.0.1:0"],
                            env={**os.environ, **environment}, capture_output=True, text=True, timeout=30, check=False)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == (f"berth up: {tmp_path}/berth-worker: No such file or directory: berth-worker has to be beside berth "
                             "(make builds both)\n")


def lines_of(fleet):
    """Without the log's word of its new database."""
    return [line for line in fleet.output.splitlines() if not line.startswith("berth: store: made a new database")]


def test_a_front_port_that_is_taken(up, serve, container):
    other = serve().containers(container()).start()
    fleet = up().flag("listen", other.address)
    fleet.launch()
    assert fleet.wait() == 2
    lines = lines_of(fleet)
    assert lines[-1].startswith(f"berth up: listen: cannot listen on {other.address}: Address already in use")
    assert len(lines) == 2


def test_a_container_port_that_is_taken(up):
    """Ports of 127.0.1.1 that another fleet's containers have."""
    first = up().start()
    port = first.pool()["containers"][0]["port"]
    second = up().flag("name", "second").flag("base-port", port).flag("containers", 1)
    second.launch()
    assert second.wait() == 2
    assert re.search(rf"^berth up: container1 cannot start: .*127\.0\.1\.1:{port}.*$", second.output, re.MULTILINE)


def test_what_containers_print_goes_to_a_log_with_their_names(up, tmp_path):
    log = tmp_path / "containers.log"
    up().flag("log", log).start()
    lines = log.read_text().splitlines()
    assert any(line.startswith("container1: berth-worker: listening on 127.0.1.1:") for line in lines)
    assert any(line.startswith("container2: berth-worker: listening on 127.0.1.1:") for line in lines)


def test_quiet(up):
    fleet = up().flag("quiet").start()
    [line] = lines_of(fleet)
    assert line.startswith("berth: listening on ")


def test_a_terminal_sees_one_live_line(environment, tmp_path):
    leader, follower = pty.openpty()
    fleet = subprocess.Popen(
        [BUILD / "berth", "up", "--workers=1", "--containers=2", "--base-port=0", "--listen=127.0.0.1:0", "--admin=127.0.0.1:0",
         f"--model={ROOT}/models/spam"],
        env={**os.environ, **environment}, cwd=tmp_path, stdin=subprocess.DEVNULL, stdout=follower, stderr=follower)
    try:
        os.close(follower)
        seen = b""
        while b"/berth/queue" not in seen:
            seen += os.read(leader, 4096)
    finally:
        fleet.terminate()
        assert fleet.wait(30) == 0
        os.close(leader)
    assert re.search(rb"\r\x1b\[K1/2 containers ready\r\x1b\[K", seen)
    assert re.search(rb"\r\x1b\[K2/2 containers ready\r\n", seen)


def test_a_fleet_before_two_pools(up, container, tmp_path):
    other = container()
    (tmp_path / "berth.yaml").write_text(
        "pools:\n"
        f"  - {{name: other, match: {{path_prefix: /other}}, containers: [{other.address}]}}\n"
        "  - name: spam\n")
    fleet = up().start()
    assert request(fleet.address, "POST", "/other/x", b"echo").body == b"echo"
    assert fleet.post("/run_model", b"hello").json["input_text"] == "hello"
    assert [c["name"] for c in fleet.pool("spam")["containers"]] == ["container1", "container2"]
    assert [c["name"] for c in fleet.pool("other")["containers"]] == ["container3"]
