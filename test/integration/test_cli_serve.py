"""`berth serve` as a process: addresses, signals, sockets that are handed over, limits."""

import http.client
import json
import os
import pathlib
import re
import resource
import signal
import socket
import threading

import pytest

from berth import BUILD, READY, Program, request, wait_until


def test_one_line_says_that_it_is_ready(serve, container):
    berth = serve().containers(container(), container()).start()
    assert re.search(r"^berth: listening on http://127\.0\.0\.1:\d+, admin on 127\.0\.0\.1:\d+, 2 containers$", berth.output,
                     re.MULTILINE)
    assert berth.post("/run_model", b"hello").body == b"hello"


def test_the_line_of_the_issue(serve, container, tmp_path):
    """All flags of the one-line use, and the status file."""
    berth = (serve().containers(container(), container()).flag("slots", 1).flag("health-path", "/health")
             .flag("status-file", "status.json").start())
    berth.wait_for_slots(2)

    def both_free():
        file = tmp_path / "status.json"
        report = json.loads(file.read_text()) if file.exists() else {}
        return [report.get(name, {}).get("status") for name in ("container1", "container2")] == ["free", "free"]

    wait_until(both_free, "two free containers in the status file")


def test_several_listeners(serve, container, tmp_path):
    berth = serve().containers(container()).flag("listen", f"127.0.0.1:0,[::1]:0,unix:{tmp_path}/front.sock").start()
    assert len(berth.fronts) == 3
    for address in berth.fronts[:2]:
        assert request(address, "POST", "/", b"x").body == b"x"
    connection = http.client.HTTPConnection("localhost")
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.connect(f"{tmp_path}/front.sock")
    connection.request("POST", "/", b"y")
    assert connection.getresponse().read() == b"y"
    connection.close()


def test_a_configuration_file_and_flags(serve, container, tmp_path):
    (tmp_path / "berth.yaml").write_text(f"pools: [{{name: spam, containers: [{container().address}], slots: 3}}]\n")
    berth = serve().flag("queue-max", 7).start()
    pool = berth.pool("spam")
    assert (pool["queue"]["max"], pool["containers"][0]["slots"]) == (7, 3)


def test_a_port_that_is_taken(serve, container, run):
    first = serve().containers(container()).start()
    result = run("serve", "--listen", first.address, "--admin", "127.0.0.1:0", "--containers", "127.0.0.1:1")
    assert result.returncode == 2 and result.stdout == ""
    assert len(result.stderr.splitlines()) == 1
    assert result.stderr.startswith(f"berth serve: listen: cannot listen on {first.address}: Address already in use; ")
    result = run("serve", "--listen", "127.0.0.1:0", "--admin", first.admin, "--containers", "127.0.0.1:1")
    assert result.returncode == 2
    assert result.stderr.startswith(f"berth serve: admin: cannot listen on {first.admin}: Address already in use; ")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_lets_what_runs_finish(serve, container, number):
    slow = container().hold()
    berth = serve().containers(slow).start()
    answers = []
    client = threading.Thread(target=lambda: answers.append(berth.post("/", b"x")))
    client.start()
    wait_until(lambda: slow.in_flight == 1)
    berth.signal(number)
    berth.wait_for("once more stops at once")
    slow.release()
    client.join()
    assert answers[0].status == 200
    assert berth.wait() == 0


def test_a_second_signal_ends_it_at_once(serve, container):
    slow = container().hold()
    berth = serve().containers(slow).start()
    connection = berth.connection()
    connection.request("POST", "/", b"x")
    wait_until(lambda: slow.in_flight == 1)
    berth.signal(signal.SIGTERM)
    berth.wait_for("once more stops at once")
    berth.signal(signal.SIGTERM)
    assert berth.wait() == 0
    connection.close()


def test_sigusr1_reopens_the_access_log(serve, container, tmp_path):
    log = tmp_path / "access.log"
    berth = serve().containers(container()).flag("access-log", log).start()
    berth.post("/one")
    wait_until(lambda: "/one" in log.read_text(), "a line in the log")
    log.rename(tmp_path / "old.log")
    berth.signal(signal.SIGUSR1)
    wait_until(log.exists, "a new log")
    berth.post("/two")
    wait_until(lambda: "/two" in log.read_text(), "a line in the new log")
    assert "/two" not in (tmp_path / "old.log").read_text()


def test_sighup_takes_the_configuration_over(serve, container, tmp_path):
    config = tmp_path / "berth.yaml"
    first, second = container(), container()

    def write(*addresses):
        config.write_text("pools:\n  - name: a\n    containers: [" + ", ".join(f'"{a}"' for a in addresses) + "]\n")

    def names():
        return [c["name"] for c in berth.status()["pools"][0]["containers"]]

    write(first.address)
    berth = serve().config(config).start()
    assert names() == ["container1"]
    write(first.address, second.address)
    berth.signal(signal.SIGHUP).wait_for("reload: the configuration is taken over")
    assert names() == ["container1", "container2"]


def test_a_bad_file_changes_nothing(serve, container, tmp_path):
    config = tmp_path / "berth.yaml"
    config.write_text(f'pools:\n  - name: a\n    containers: ["{container().address}"]\n')
    berth = serve().config(config).start()
    config.write_text("pols: []\n")
    berth.signal(signal.SIGHUP).wait_for("reload: nothing has changed")
    assert "unknown key 'pols'" in berth.output
    assert berth.status()["pools"][0]["name"] == "a"


def test_the_limit_of_open_files_is_raised(serve, container):
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.prlimit(os.getpid(), resource.RLIMIT_NOFILE, (512, hard))
    try:
        berth = serve().containers(container()).start()
    finally:
        resource.prlimit(os.getpid(), resource.RLIMIT_NOFILE, (hard, hard))
    assert resource.prlimit(berth.process.pid, resource.RLIMIT_NOFILE) == (hard, hard)


def hand_over(sockets, environment, tmp_path, *flags):
    """`berth serve` with these sockets from descriptor 3 on, as a service manager starts it."""
    script = "".join(f"exec {3 + i}<&{s.fileno()}; " for i, s in enumerate(sockets))
    script += f"LISTEN_FDS={len(sockets)} LISTEN_PID=$$ exec \"$@\""
    program = Program("bash", "-c", script, "bash", BUILD / "berth", "serve", "--admin=127.0.0.1:0", *flags, cwd=tmp_path,
                      env=environment)
    program.pass_fds = [s.fileno() for s in sockets]
    return program


def test_a_socket_that_is_handed_over(started, container, environment, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        program = hand_over([listener], environment, tmp_path, "--containers", container().address)
        started.append(program)
        program.start()
        assert program.wait_for(READY)["fronts"] == f"http://127.0.0.1:{port}"
        assert request(f"127.0.0.1:{port}", "POST", "/", b"x").body == b"x"


def test_a_unix_socket_that_is_handed_over_outlives_the_program(started, container, environment, tmp_path):
    path = tmp_path / "front"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        for _ in range(2):  # as the service manager starts it anew
            program = hand_over([listener], environment, tmp_path, "--containers", container().address)
            started.append(program)
            program.start()
            assert program.wait_for(READY)["fronts"] == f"unix:{path}"
            assert program.signal(signal.SIGTERM).wait() == 0
            assert path.is_socket()


def test_what_is_handed_over_must_listen(started, environment, tmp_path):
    with socket.socket() as idle:
        program = hand_over([idle], environment, tmp_path, "--containers", "127.0.0.1:1")
        started.append(program)
        program.start()
        assert program.wait() == 2
        assert program.output == "berth serve: LISTEN_FDS: descriptor 3 is no socket that listens\n"


def test_descriptors_do_not_leak(serve, container):
    one = container()
    berth = serve().containers(one).start()
    directory = pathlib.Path(f"/proc/{berth.process.pid}/fd")
    berth.post("/", b"x")
    before = len(list(directory.iterdir()))
    for _ in range(20):
        berth.post("/", b"x")
    wait_until(lambda: len(list(directory.iterdir())) <= before + 1, "as few descriptors as before")
