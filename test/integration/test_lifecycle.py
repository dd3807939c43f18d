"""A life of `berth serve` with what happens in one: reloads under load, full disks, an unclean end, signals."""

import contextlib
import json
import os
import re
import signal
import threading
import time

import pytest

from berth import BUILD, Berth, Program, request, wait_until
from containers import Background, RawClient, echo, end, gateway, raw, reply, scripted, when  # noqa: F401


def write_config(path, *containers, more=""):
    path.write_text("pools:\n  - name: default\n    containers: [" + ", ".join(f'"{one.address}"' for one in containers) + "]\n" +
                    more)


def taken_over(berth):
    """Reloads, and waits until that is through."""
    before = berth.output.count("the configuration is taken over")
    berth.signal(signal.SIGHUP)
    wait_until(lambda: berth.output.count("the configuration is taken over") > before, "the reload")


class Traffic:
    """Clients that ask without a pause until they are told to stop, and what they were answered."""

    def __init__(self, berth, clients=6):
        self.berth = berth
        self.over = threading.Event()
        self.answers = 0
        self.clients = [Background(self._ask, number) for number in range(clients)]

    def _ask(self, number):
        asked = 0
        with RawClient(self.berth.address) as client:
            while not self.over.is_set():
                body = b"%d of %d" % (asked, number)
                answer = client.request("POST", "/", body).answer()
                assert (answer.status, answer.body) == (200, body)
                asked += 1
                self.answers += 1
        return asked

    def go_on(self, n=20):
        """Until so many more were answered."""
        goal = self.answers + n
        wait_until(lambda: self.answers >= goal or not any(client.is_alive() for client in self.clients), f"{n} answers")

    def end(self):
        self.over.set()
        return [client.result() for client in self.clients]


def some_time(exchange):
    time.sleep(0.002)
    echo(exchange)


# ---- reloads ----


def test_containers_come_and_go_under_load(gateway, scripted, tmp_path):
    """Nobody is lost, and no container runs two requests at once, whichever leaves."""
    containers = [scripted().always(some_time) for _ in range(3)]
    config = tmp_path / "fleet.yaml"
    write_config(config, *containers[:2])
    berth = gateway(config=config, wait=False)
    berth.wait_for_slots(2)
    traffic = Traffic(berth)
    for i in range(12):
        write_config(config, *(containers[(i + k) % 3] for k in range(2)))
        taken_over(berth)
        traffic.go_on()
    assert min(traffic.end()) > 0
    assert [one.in_flight_max for one in containers] == [1, 1, 1]
    assert min(len(one.requests) for one in containers) > 10
    berth.wait_for_slots(2)


@pytest.mark.parametrize("bad", ["pols: []\n", "pools:\n  - name: default\n    slots: 0\n", "a: [", ""])
def test_a_bad_file_under_load(gateway, scripted, tmp_path, bad):
    """Nothing changes, and the log says why."""
    container = scripted().always(some_time)
    config = tmp_path / "fleet.yaml"
    write_config(config, container)
    berth = gateway(config=config, wait=False)
    berth.wait_for_slots(1)
    traffic = Traffic(berth)
    traffic.go_on()
    if bad:
        config.write_text(bad)
    else:
        config.unlink()
    berth.signal(signal.SIGHUP).wait_for("reload: nothing has changed")
    assert re.search(rf"^berth: error: reload: .*{re.escape(str(config))}", berth.output, re.MULTILINE)
    traffic.go_on()
    traffic.end()
    assert [one["name"] for one in berth.pool()["containers"]] == ["container1"]


def test_the_queue_stays(gateway, scripted, tmp_path):
    """Those who wait keep their places, with a limit that they would not be let in by any more."""
    release = threading.Event()
    container = scripted().then(when(release, echo)).always(echo)
    config = tmp_path / "fleet.yaml"
    write_config(config, container)
    berth = gateway(config=config, wait=False)
    berth.wait_for_slots(1)
    clients = []
    for i in range(5):
        clients.append(Background(berth.post, "/", b"%d" % i))
        if i:
            berth.wait_for_queue(i)
        else:
            wait_until(lambda: container.in_flight == 1)
    write_config(config, container, more="    queue: {max: 1}\n")
    berth.signal(signal.SIGHUP).wait_for("the configuration is taken over")
    assert berth.pool()["queue"]["length"] == 4
    assert berth.post("/", b"late").status == 503
    release.set()
    assert [client.result().body for client in clients] == [b"%d" % i for i in range(5)]
    assert [one.body for one in container.requests] == [b"%d" % i for i in range(5)]


def test_health_checks_follow_a_reload(gateway, scripted, tmp_path):
    """Of containers that are up: checks that are new, and those whose pause has become shorter."""
    container = scripted()
    config = tmp_path / "fleet.yaml"
    write_config(config, container)
    berth = gateway(config=config, wait=False)
    berth.wait_for_slots(1)
    write_config(config, container, more="    health: {path: /health, interval: 50ms}\n")
    taken_over(berth)
    wait_until(lambda: container.seen().count(("GET", "/health")) >= 3, "health checks that are new")
    write_config(config, container, more="    health: {path: /health, interval: 1h}\n")
    taken_over(berth)
    wait_until(lambda: container.seen().count(("GET", "/health")) >= 4, "the one that was due")
    write_config(config, container, more="    health: {path: /health, interval: 50ms}\n")
    taken_over(berth)
    wait_until(lambda: container.seen().count(("GET", "/health")) >= 7, "health checks at shorter intervals")


def test_connections_follow_a_reload(gateway, scripted, tmp_path):
    """Also of more addresses than there could be connections before."""
    container = scripted()
    config = tmp_path / "fleet.yaml"

    def limit(**limits):
        write_config(config, container, more=f"limits: {json.dumps(limits)}\n")

    limit(connections=2)
    berth = gateway(config=config, wait=False)
    berth.wait_for_slots(1)
    limit(connections=1000)
    taken_over(berth)
    with contextlib.ExitStack() as open_ones:
        for i in range(100):
            client = open_ones.enter_context(RawClient(berth.address, source=f"127.0.9.{i + 1}"))
            assert client.request("GET", "/").answer().status == 200
        limit(connections=1000, connections_per_address=1)
        taken_over(berth)
        late = open_ones.enter_context(RawClient(berth.address, source="127.0.9.1"))
        assert late.request("GET", "/").answer().status == 429
        limit(connections=100)
        taken_over(berth)
        late = open_ones.enter_context(RawClient(berth.address, source="127.0.9.200"))
        assert late.request("GET", "/").answer().status == 503


def test_who_is_connected_is_served_after_a_reload(gateway, scripted, tmp_path):
    """Though there may be far fewer by now."""
    release = threading.Event()
    container = scripted().always(when(release, echo))
    config = tmp_path / "fleet.yaml"
    write_config(config, container)
    berth = gateway(config=config, wait=False)
    berth.wait_for_slots(1)
    with contextlib.ExitStack() as open_ones:
        clients = [open_ones.enter_context(RawClient(berth.address)) for _ in range(100)]
        wait_until(lambda: "berth_connections 100" in berth.metrics(), "the connections")
        write_config(config, container, more="limits: {connections: 1}\njobs: {max: 1}\n")
        taken_over(berth)
        for client in clients:
            client.request("GET", "/")
        berth.wait_for_queue(99)
        release.set()
        assert [client.answer().status for client in clients] == [200] * 100


def test_the_age_of_results_follows_a_reload(gateway, scripted, tmp_path):
    """Of those that are kept already."""
    container = scripted()
    config = tmp_path / "fleet.yaml"
    write_config(config, container)
    berth = gateway(config=config, wait=False)
    berth.wait_for_slots(1)
    job = berth.post("/new_request", b"x").json["status_url"]
    wait_until(lambda: berth.get(job + "/result").status == 200, "the result")
    write_config(config, container, more="jobs: {max_age: 1s, record_age: 1s, key_age: 1s}\n")
    taken_over(berth)
    wait_until(lambda: berth.get(job).status == 404, "the job's end")


def test_a_zombie_outlives_its_idle_probe(gateway, environment, scripted, tmp_path):
    """A request that was given up may still run when a reload takes the probe away, by which its container is asked until it is over."""
    environment["MALLOC_PERTURB_"] = "165"  # what reads a file that nothing needs any more is overwritten
    idle, release = threading.Event(), threading.Event()
    idle.set()

    def answer(exchange):
        target = exchange.request.target
        if target == "/idle":
            reply(b"idle" if idle.is_set() else b"busy")(exchange)
        else:
            (when(release, echo) if target == "/long" else echo)(exchange)
    container = scripted().always(answer)
    config = tmp_path / "fleet.yaml"
    write_config(config, container, more="    on_leave: close\n    idle_probe: {path: /idle, expect: idle}\n")
    berth = gateway(config=config, wait=False)
    berth.wait_for_slots(1)
    idle.clear()
    with RawClient(berth.address) as client:
        client.request("GET", "/long")
        wait_until(lambda: ("GET", "/long") in container.seen())
    wait_until(lambda: container.seen().count(("GET", "/idle")) >= 2)
    write_config(config, container)
    taken_over(berth)
    asked = container.seen().count(("GET", "/idle"))
    wait_until(lambda: container.seen().count(("GET", "/idle")) >= asked + 2, "idle probes after the reload")
    assert berth.pool()["slots"]["zombie"] == 1
    idle.set()
    berth.wait_for_slots(1)
    assert berth.post("/", b"x").body == b"x"
    assert all(request.target for request in container.requests)
    release.set()


def test_files_outlive_the_configuration_that_named_them(started, environment, scripted, tmp_path):
    """After a reload the old configuration's memory is gone, and overwritten here; access log and status file stay where they were."""
    container = scripted()
    config, log, status = (tmp_path / name for name in ("fleet.yaml", "access.log", "status.json"))
    config.write_text(f"access_log: {log}\nstatus_file: {status}\n")
    write_config(tmp_path / "pools.yaml", container)
    config.write_text(config.read_text() + (tmp_path / "pools.yaml").read_text())
    berth = Berth("serve", cwd=tmp_path, env={**environment, "MALLOC_PERTURB_": "165"}).config(config)
    started.append(berth)
    berth.start().wait_for_slots(1)
    berth.signal(signal.SIGHUP).wait_for("the configuration is taken over")
    wait_until(status.exists, "the status file")
    status.unlink()
    log.rename(tmp_path / "old.log")
    assert berth.post("/", b"x").status == 200
    wait_until(status.exists, "the status file again")
    berth.signal(signal.SIGUSR1)
    wait_until(log.exists, "the access log")


# ---- what cannot be written ----


def redirected(redirection, environment, tmp_path, *flags):
    """`berth serve` whose output goes where a shell's redirection says."""
    return Program("bash", "-c", f'exec "$@" {redirection}', "bash", BUILD / "berth", "serve", "--listen=127.0.0.1:0",
                   "--admin=127.0.0.1:0", *flags, cwd=tmp_path, env=environment)


def addresses(program):
    found = program.wait_for(r"listening on http://(\S+), admin on (\S+), ")
    return found[1], found[2]


def dropped_lines(admin):
    return int(re.search(r"^berth_log_lines_dropped_total (\d+)$", request(admin, "GET", "/metrics").text, re.MULTILINE)[1])


def test_the_logs_disk_is_full(started, environment, scripted, tmp_path):
    container = scripted()
    program = redirected("2>/dev/full", environment, tmp_path, "--containers", container.address)
    started.append(program)
    front, admin = addresses(program.start())
    wait_until(lambda: request(front, "POST", "/", b"x").status == 200)
    container.then(raw(b"nonsense\r\n\r\n"))
    assert request(front, "POST", "/", b"x").status == 502  # which the log would tell
    assert dropped_lines(admin) >= 1
    assert request(front, "POST", "/", b"x").body == b"x"
    assert program.signal(signal.SIGTERM).wait() == 0


def test_the_access_logs_disk_is_full(gateway, scripted):
    berth = gateway(scripted(), access_log="/dev/full")
    for i in range(7):
        assert berth.post("/", b"%d" % i).body == b"%d" % i
    wait_until(lambda: dropped_lines(berth.admin) == 7)


def test_a_line_of_the_access_log_that_did_not_fit(started, environment, scripted, tmp_path):
    """It is counted, and the log's other lines are whole. A limit on files' lengths takes the disk's place."""
    log = tmp_path / "access.log"
    container = scripted()
    program = Program("bash", "-c", 'trap "" XFSZ; ulimit -f 1; exec "$@"', "bash", BUILD / "berth", "serve", "--listen=127.0.0.1:0",
                      "--admin=127.0.0.1:0", "--containers", container.address, "--access-log", log, cwd=tmp_path, env=environment)
    started.append(program)
    front, admin = addresses(program.start())
    wait_until(lambda: request(front, "POST", "/", b"x").status == 200)
    for _ in range(10):
        request(front, "POST", "/", b"x")
    wait_until(lambda: dropped_lines(admin) > 0)
    assert log.stat().st_size == 1024
    *lines, torn = log.read_text().split("\n")
    assert torn and all(json.loads(line)["status"] == 200 for line in lines)
    log.rename(tmp_path / "old.log")
    program.signal(signal.SIGUSR1)
    wait_until(log.exists)
    request(front, "POST", "/new", b"x")
    assert json.loads(wait_until(log.read_text).split("\n")[0])["target"] == "/new"


class StoppedReader:
    """A FIFO that is not read until somebody asks for its lines."""

    def __init__(self, path):
        os.mkfifo(path)
        self.path = path
        self.fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        self.text = b""

    def lines(self):
        with contextlib.suppress(BlockingIOError):
            while piece := os.read(self.fd, 1 << 20):
                self.text += piece
        return self.text.decode().split("\n")[:-1]


def test_nobody_reads_the_log(started, environment, scripted, tmp_path):
    """`berth serve | something that has stopped`: requests are served, and the log tells how many lines it has lost."""
    container = scripted()
    log = StoppedReader(tmp_path / "log")
    program = redirected(f"2>{log.path}", environment, tmp_path, "--containers", container.address)
    started.append(program)
    front, admin = addresses(program.start())
    wait_until(lambda: request(front, "POST", "/", b"x").status == 200)

    def more_lines():
        for _ in range(50):
            with RawClient(front) as client:
                client.send("nonsense\r\n\r\n").answer()
        return dropped_lines(admin)
    wait_until(more_lines, "lost lines")
    assert request(front, "POST", "/", b"x").body == b"x"
    lost = dropped_lines(admin)
    last = wait_until(lambda: [line for line in log.lines() if "lines of this log were lost" in line], "the log's end")
    assert last == [f"berth: warning: {lost} lines of this log were lost: nobody read them in time"]
    assert sum("bad request" in line for line in log.lines()) > 64 * 1024 // 100
    request(front, "POST", "/", b"x")
    assert dropped_lines(admin) == lost
    assert program.signal(signal.SIGTERM).wait() == 0


def test_nobody_reads_the_access_log(gateway, scripted, tmp_path):
    """Not even when it starts; what was kept comes in order, each line whole."""
    os.mkfifo(tmp_path / "early")
    gateway(scripted(), access_log=tmp_path / "early")
    log = StoppedReader(tmp_path / "log")
    berth = gateway(scripted(), access_log=log.path)
    sent = 0
    while dropped_lines(berth.admin) == 0:
        assert berth.post(f"/{sent}/{'x' * 7000}", b"x").status == 200
        sent += 1
    assert sent > (1 << 20) // 8000
    targets = wait_until(lambda: [json.loads(line)["target"] for line in log.lines()][-1:] == [f"/{sent - 2}/{'x' * 7000}"]
                         and [json.loads(line)["target"] for line in log.lines()], "all that was kept")
    assert [int(target.split("/")[1]) for target in targets] == list(range(sent - 1))
    berth.wait_for("access_log: 1 lines for .* were lost")


def test_a_status_file_whose_directory_goes_and_comes_back(gateway, scripted, tmp_path):
    directory = tmp_path / "there"
    directory.mkdir()
    container = scripted()
    berth = gateway(container, status_file=directory / "status.json")
    wait_until(lambda: (directory / "status.json").exists())
    directory.rename(tmp_path / "gone")
    assert berth.post("/", b"x").body == b"x"
    berth.wait_for("cannot write the status file")
    directory.mkdir()
    assert berth.post("/", b"x").body == b"x"
    wait_until(lambda: (directory / "status.json").exists())


def test_a_status_file_is_right_in_the_end(gateway, scripted, tmp_path):
    """The change could not be written, and there is no other one."""
    directory, release = tmp_path / "there", threading.Event()
    directory.mkdir()
    berth = gateway(scripted().always(when(release, echo)), status_file=directory / "status.json")

    def status():
        return json.loads((directory / "status.json").read_text())["container1"]["status"]
    wait_until(lambda: (directory / "status.json").exists() and status() == "free")
    directory.rename(tmp_path / "gone")
    running = Background(berth.post, "/", b"x")
    berth.wait_for("cannot write the status file")
    (tmp_path / "gone").rename(directory)
    wait_until(lambda: status() == "busy")
    release.set()
    assert running.result().status == 200
    assert berth.output.count("cannot write the status file") == 1


# ---- an unclean end ----


def test_the_start_after_an_unclean_end(started, environment, scripted, tmp_path):
    """The container is still at a request of the life before: with an idle probe, it gets nothing until it says that it is idle."""
    release, idle = threading.Event(), threading.Event()
    idle.set()

    def answer(exchange):
        if exchange.request.target == "/idle":
            reply(b"idle" if idle.is_set() else b"at work")(exchange)
        elif exchange.request.target == "/old":
            release.wait(20)
            exchange.close()
        else:
            echo(exchange)
    container = scripted().always(answer)

    def start():
        berth = Berth("serve", cwd=tmp_path, env=environment).containers(container)
        berth.flag("idle-probe-path", "/idle").flag("idle-probe-expect", "idle").flag("health-backoff-max", "200ms")
        started.append(berth)
        return berth.start()
    first = start().wait_for_slots(1)
    old = RawClient(first.address).request("POST", "/old", b"x")
    wait_until(lambda: ("POST", "/old") in container.seen())
    idle.clear()
    first.signal(signal.SIGKILL).wait()
    old.close()
    second = start()
    asked = container.seen().count(("GET", "/idle"))
    waiting = Background(second.post, "/new", b"y")
    wait_until(lambda: container.seen().count(("GET", "/idle")) >= asked + 2, "idle probes")
    assert ("POST", "/new") not in container.seen()
    release.set()
    idle.set()
    first_answer = waiting.result()
    if first_answer.status != 200:  # between two probes that said no, nothing was up
        assert first_answer.json["type"] == "urn:berth:problem:no-container"
        second.wait_for_slots(1)
        assert second.post("/new", b"y").body == b"y"
    end(second)


# ---- signals ----


def test_sigterm_under_load(gateway, scripted):
    """Everything that was accepted is answered; then the exit code is 0."""
    container = scripted().always(some_time)
    berth = gateway(container)
    clients = [RawClient(berth.address).request("POST", "/", b"%d" % i) for i in range(30)]
    wait_until(lambda: berth.pool()["queue"]["length"] + len(container.requests) >= 30)
    berth.signal(signal.SIGTERM)
    for i, client in enumerate(clients):
        assert client.answer().body == b"%d" % i
        assert client.is_closed()
    assert berth.wait() == 0
    assert len(container.requests) == 30


def test_signals_that_come_in_a_burst(gateway, scripted, tmp_path):
    """SIGHUP and SIGUSR1 by the hundred, under load."""
    container = scripted().always(some_time)
    config = tmp_path / "fleet.yaml"
    write_config(config, container)
    berth = gateway(config=config, access_log=tmp_path / "access.log", wait=False)
    berth.wait_for_slots(1)
    traffic = Traffic(berth)
    for _ in range(100):
        os.kill(berth.process.pid, signal.SIGHUP)
        os.kill(berth.process.pid, signal.SIGUSR1)
    traffic.go_on()
    traffic.end()
    berth.wait_for_slots(1)
