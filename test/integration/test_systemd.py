"""The units of deploy/systemd: what systemd's own checks say, what Berth tells the service manager, and whether the system
calls that the programs make are among those that the units allow."""

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess

import pytest

from berth import BUILD, PATIENCE, ROOT, Program, model_runtime, request, wait_until
from containers import gateway, scripted  # noqa: F401
from discovery import free_port

UNITS = ROOT / "deploy" / "systemd"
SERVICES = ["berth.service", "berth-worker@.service"]

needs_systemd = pytest.mark.skipif(not shutil.which("systemd-analyze"),
                                   reason="no systemd-analyze: tools/setup --for test installs it")


@pytest.fixture
def units(tmp_path):
    """The units in a folder of their own, with the programs where they were built."""
    folder = tmp_path / "units"
    folder.mkdir()
    for unit in UNITS.iterdir():
        (folder / unit.name).write_text(unit.read_text().replace("/usr/bin/berth", str(BUILD / "berth")))
    return folder


def analyze(*arguments):
    return subprocess.run(["systemd-analyze", *map(str, arguments)], capture_output=True, text=True, timeout=PATIENCE)


def verify(unit):
    return analyze("verify", "--man=no", "--recursive-errors=yes", unit)


# ---- systemd's checks ----


@needs_systemd
@pytest.mark.parametrize("name", [*SERVICES, "berth.socket"])
def test_each_unit_is_in_order(units, name):
    done = verify(units / name)
    assert (done.returncode, done.stderr) == (0, "")


@needs_systemd
@pytest.mark.parametrize("planted", ["NoSuchKey=yes", "ProtectSystem=perhaps", "ExecStartPre=/no/such/program"])
def test_a_planted_error_is_found(units, planted):
    unit = units / "berth.service"
    unit.write_text(unit.read_text().replace("[Service]\n", f"[Service]\n{planted}\n"))
    done = verify(unit)
    assert done.returncode != 0 or planted.split("=")[0] in done.stderr


@needs_systemd
@pytest.mark.parametrize("name", SERVICES)
def test_each_service_is_hardened(units, name):
    done = analyze("security", "--offline=true", "--threshold=20", units / name)
    assert done.returncode == 0, done.stdout


@needs_systemd
def test_what_is_installed_fits_together(tmp_path):
    options = json.loads(subprocess.run(["meson", "introspect", "--buildoptions", BUILD], check=True, capture_output=True).stdout)
    prefix = next(option["value"] for option in options if option["name"] == "prefix").strip("/")
    subprocess.run(["meson", "install", "-C", BUILD, "--no-rebuild", "--quiet", "--destdir", tmp_path], check=True,
                   capture_output=True)
    root = tmp_path / prefix
    for name in ("berth", "berth-worker"):
        assert subprocess.run([root / "bin" / name, "--version"], check=True, capture_output=True).stdout
    for name in ("LICENSE", "NOTICE", "docs/systemd.md"):
        assert (root / "share" / "doc" / "berth" / name).read_bytes() == (ROOT / name).read_bytes()
    assert (root / "share" / "berth" / "models" / "spam" / "model.onnx").exists()
    units = root / "lib" / "systemd" / "system"
    assert sorted(unit.name for unit in units.iterdir()) == sorted(unit.name for unit in UNITS.iterdir())
    for unit in units.iterdir():
        named = re.findall(r"/\S*/(?:bin/berth\S*|berth/models/\S+)", unit.read_text())
        assert all((tmp_path / path.strip("/")).exists() for path in named)
        assert named or unit.suffix == ".socket"
        unit.write_text(unit.read_text().replace(f"/{prefix}/", f"{root}/"))
        done = verify(unit)
        assert (done.returncode, done.stderr) == (0, "")


# ---- system calls ----


def listed(word):
    """The names of a system call filter's set, as systemd has it."""
    if not word.startswith("@"):
        return {word}
    lines = analyze("syscall-filter", word).stdout.splitlines()[1:]
    names = [line.strip() for line in lines if line.strip() and not line.strip().startswith("#")]
    assert names, f"{word} is no set of system calls"
    return set().union(*(listed(name) for name in names))


def allowed(name):
    """What the service's SystemCallFilter lets through."""
    calls = set()
    for value in re.findall(r"^SystemCallFilter=(.*)$", (UNITS / name).read_text(), re.MULTILINE):
        named = set().union(*(listed(word) for word in value.lstrip("~").split()))
        calls = calls - named if value.startswith("~") else calls | named
    return calls


def traced(tmp_path, program):
    """Makes a program run under strace; returns a function for the calls that were made, each as name and line."""
    log = tmp_path / "strace"
    program.command[:0] = ["strace", "-f", "-qq", "-o", str(log)]

    def calls():
        text = log.read_text(errors="replace")
        return [(m[1], m[0]) for m in re.finditer(r"^\d+ +(?:<\.\.\. )?(\w+)(?:\(| resumed).*$", text, re.MULTILINE)]
    return calls


def check_calls(calls, name):
    permitted = allowed(name)
    if os.geteuid() == 0:
        permitted |= {"fchown"}  # by SQLite, which leaves it out where it is not root
    made = calls()
    assert len(made) > 100, "strace has not seen the program"
    execs = [i for i, (call, _) in enumerate(made) if call == "execve"]
    refused = {call for call, _ in made[execs[0] + 1:] if call not in permitted}
    assert not refused
    writable_code = [line for call, line in made if call in ("mmap", "mprotect", "pkey_mprotect")
                     and "PROT_WRITE" in line and "PROT_EXEC" in line]
    assert not writable_code, "MemoryDenyWriteExecute would refuse this"
    families = {m[1] for call, line in made if call == "socket" for m in [re.search(r"socket\((AF_\w+)", line)] if m}
    assert families <= {"AF_UNIX", "AF_INET", "AF_INET6"}


@needs_systemd
@pytest.mark.parametrize("planted", [
    ("reboot", "reboot(0)"), ("sched_setaffinity", "sched_setaffinity(0)"), ("socket", "socket(AF_PACKET, SOCK_RAW)"),
    ("mmap", "mmap(NULL, 4096, PROT_READ|PROT_WRITE|PROT_EXEC, MAP_PRIVATE)")])
def test_a_planted_call_is_found(planted):
    made = [("execve", "execve()"), *[("read", "read(3)")] * 100]
    check_calls(lambda: made, "berth.service")
    with pytest.raises(AssertionError):
        check_calls(lambda: [*made, planted], "berth.service")


needs_strace = pytest.mark.skipif(not shutil.which("strace") or "sanitize" in str(BUILD),
                                  reason="no strace (tools/setup --for test installs it), or a sanitizer's own calls")


@needs_systemd
@needs_strace
def test_the_orchestrators_system_calls_are_allowed(serve, scripted, tmp_path):
    container = scripted()
    (tmp_path / "list").write_text(container.address)
    berth = serve().containers("file:list", "dns:localhost:1").flag("store", "sqlite:berth.db")
    berth.flag("status-file", "status.json").flag("access-log", "access.log").flag("limits-body-memory", "4KiB")
    calls = traced(tmp_path, berth)
    berth.start()
    wait_until(lambda: berth.get("/berth/readyz").status == 200)
    assert berth.post("/run_model", b"x" * 100000).status == 200  # by way of a spool file
    job = berth.post("/new_request", b"x").json
    wait_until(lambda: berth.get(job["result_url"]).status == 200)
    for number in (signal.SIGHUP, signal.SIGUSR1):
        os.kill(child_of(berth), number)
    berth.wait_for("the configuration is taken over")
    os.kill(child_of(berth), signal.SIGTERM)
    assert berth.wait() == 0
    check_calls(calls, "berth.service")


@needs_systemd
@needs_strace
def test_the_workers_system_calls_are_allowed(started, tmp_path):
    worker = Program(BUILD / "berth-worker", "--model", ROOT / "models" / "spam", "--listen", "127.0.0.1:0",
                     env=model_runtime())
    started.append(worker)
    calls = traced(tmp_path, worker)
    worker.start()
    address = worker.wait_for(r"listening on (?:http://)?(\S+:\d+)")[1]
    wait_until(lambda: request(address, "GET", "/health").status == 200)
    assert request(address, "POST", "/run_model", b"Dear winner").status == 200
    os.kill(child_of(worker), signal.SIGTERM)
    assert worker.wait() == 0
    check_calls(calls, "berth-worker@.service")


def child_of(program):
    """The process that strace runs."""
    pid = program.process.pid
    with open(f"/proc/{pid}/task/{pid}/children") as children:
        return int(children.read().split()[0])


# ---- the service manager ----


class Manager:
    """The socket that a service manager listens on."""

    def __init__(self, name):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sock.bind(name)
        self.sock.settimeout(PATIENCE)

    def wait_for(self, key):
        """The value of the next line KEY=VALUE, and what came with it in its message."""
        while True:
            lines = dict(line.split("=", 1) for line in self.sock.recv(4096).decode().splitlines())
            if key in lines:
                return lines[key], lines


@pytest.fixture
def manager(tmp_path):
    made = []

    def make(name=None):
        made.append(Manager(name or str(tmp_path / "notify")))
        return made[-1]
    yield make
    for one in made:
        one.sock.close()


@pytest.mark.parametrize("abstract", [False, True])
def test_the_service_manager_is_told(serve, scripted, manager, tmp_path, abstract):
    name = f"berth-test-{os.getpid()}" if abstract else str(tmp_path / "notify")
    systemd = manager(f"\0{name}" if abstract else name)
    container = scripted()
    berth = serve().containers(container, "127.0.0.1:1").flag("drain-timeout", "7s")
    berth.env.update(NOTIFY_SOCKET=f"@{name}" if abstract else name, WATCHDOG_USEC="200000")
    berth.start()
    assert systemd.wait_for("READY")[0] == "1"
    while systemd.wait_for("STATUS")[0] != "1 of 2 containers are up, 0 drain; 0 requests run, 0 wait":
        pass
    for _ in range(3):
        assert systemd.wait_for("WATCHDOG")[0] == "1"
    berth.signal(signal.SIGHUP)
    assert int(systemd.wait_for("RELOADING")[1]["MONOTONIC_USEC"]) > 0
    assert systemd.wait_for("READY")[0] == "1"
    berth.signal(signal.SIGTERM)
    stopping, lines = systemd.wait_for("STOPPING")
    assert (stopping, lines["EXTEND_TIMEOUT_USEC"]) == ("1", "22000000")
    assert berth.wait() == 0


def test_a_watchdog_of_another_process_is_none_of_ours(serve, scripted, manager, tmp_path):
    systemd = manager()
    berth = serve().containers(scripted())
    berth.env.update(NOTIFY_SOCKET=str(tmp_path / "notify"), WATCHDOG_USEC="1000", WATCHDOG_PID="1")
    berth.start()
    assert systemd.wait_for("STATUS")
    berth.signal(signal.SIGTERM)
    seen = systemd.wait_for("STOPPING")[1]
    assert berth.wait() == 0 and "WATCHDOG" not in seen
    systemd.sock.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while True:
            assert b"WATCHDOG" not in systemd.sock.recv(4096)


@pytest.mark.parametrize("name", ["relative", "/" + "x" * 200, ""], ids=["relative", "long", "empty"])
def test_a_socket_that_cannot_be(run, environment, name):
    environment["NOTIFY_SOCKET"] = name
    done = run("serve", "--containers", "127.0.0.1:1")
    assert done.returncode == 2
    assert done.stderr.startswith('berth serve: NOTIFY_SOCKET: "') and "is no socket's path" in done.stderr


@pytest.mark.skipif(not shutil.which("systemd-socket-activate"), reason="no systemd-socket-activate")
def test_a_socket_that_systemd_hands_over(started, scripted, environment, tmp_path):
    container = scripted()
    port = free_port()
    program = Program("systemd-socket-activate", f"--listen=127.0.0.1:{port}", "--", BUILD / "berth", "serve",
                      f"--containers={container.address}", "--admin=127.0.0.1:0", env=environment, cwd=tmp_path)
    started.append(program)
    program.start()
    program.wait_for("Listening on")
    assert request(f"127.0.0.1:{port}", "POST", "/run_model", b"x").body == b"x"
    assert f"berth: listening on http://127.0.0.1:{port}, admin on" in program.output
