"""The scenarios. Each gives rows of the table."""

import contextlib
import os
import pathlib
import re
import resource
import signal
import socket
import subprocess
import sys
import time

import tally
import world
from world import HERE, Asker, Container, Machine, Mischief, Worker, Wrk, started

sys.path.insert(0, str(HERE.parent / "integration"))
import berth as programs  # noqa: E402

SETTLE_S = 20  # until every slot must be free again
ONE_UP = dict(retry="always", retry_budget_min=100000, health_backoff_max="200ms", timeouts_first_byte="30s")


def serve(containers, **flags):
    """A `berth serve` before them, ready."""
    berth = programs.Berth("serve", cwd=containers[0].record.parent)
    berth.containers(*containers)
    for name, value in flags.items():
        berth.flag(name.replace("_", "-"), value)
    berth.start()
    started.processes.append(berth.process)  # a scenario that fails leaves it running
    berth.wait_for_slots(len(containers))
    return berth


def missing_slots(berth):
    """Slots that are not free when all is quiet and every container is back."""
    end = time.monotonic() + SETTLE_S
    while True:
        slots = berth.pool()["slots"]
        missing = sum(slots.values()) - slots["free"]
        if missing == 0 or time.monotonic() > end:
            return missing
        time.sleep(0.05)


def finish(row, berth, containers):
    """What is looked at after every scenario."""
    record = tally.Record(containers)
    row.ran_twice, row.overlaps = record.ran_twice(), record.overlaps
    row.slots_missing = missing_slots(berth)
    if berth.stop() != 0:
        row.bars.append("berth's exit code is not 0")
    if "berth: bug" in berth.output or "Sanitizer" in berth.output:
        row.bars.append("berth says that it has a bug: " + berth.output[-2000:])
    return record


# ---- containers that are killed, stopped, made slow ----


def kill(container, chance):
    container.die(chance.uniform(0, 0.3))


def stop(container, chance):
    container.sleep(chance.uniform(0.1, 2.5))


def slow(container, chance):
    container.slow_down(chance.uniform(0.1, 0.5), 50)


def under_mischief(name, containers, lanes, seconds, seed, **flags):
    """Load by exact clients and by wrk while deeds are done; the row, what the exact clients found, and the record."""
    berth = serve(containers, **flags)
    mischief = Mischief(lanes, seed)
    row = tally.Row(name)
    asker = Asker(berth.address, "a", 24, seconds)
    wrk = Wrk(berth.address, "w", 8, seconds)
    mischief.start()
    asked = asker.findings()
    row.add_wrk(wrk.findings())
    row.add_asked(asked)
    row.notes.append(mischief.end())
    return row, asked, finish(row, berth, containers)


def six_of_which_one_is_spared(directory):
    containers = [Container(Machine(), directory / f"record{i}") for i in range(6)]
    return containers, [(container, [kill, kill, stop, slow], (0, 1)) for container in containers[1:]]


def always(directory, seconds, seed):
    """With retry: always nobody notices as long as one container is up."""
    containers, lanes = six_of_which_one_is_spared(directory)
    row, _, _ = under_mischief("retry: always", containers, lanes, seconds, seed, **ONE_UP)
    end(containers)
    return [row.judge()]


def safe(directory, seconds, seed):
    """By default a POST that ran on a container which died is answered with 502, on one that stopped with 504; nothing else."""
    first_byte_s = 1
    containers, lanes = six_of_which_one_is_spared(directory)
    row, asked, record = under_mischief("retry: safe", containers, lanes, seconds, seed, health_backoff_max="200ms",
                                        timeouts_first_byte=f"{first_byte_s}s", health_fall=1000)
    recorded, delivered, unexplained = record.explain(asked["failed"], first_byte_s)
    row.notes.append(f"{len(asked['failed'])} errors of the exact clients: {recorded} ran on a container that was killed or stopped, "
                     f"{delivered} were with one that was killed or stopped before it wrote them down")
    if unexplained:
        row.bars.append(f"errors without a reason: {unexplained[:10]}")
    end(containers)
    return [row.judge(allowed=(502, 504))]


def end(containers):
    for container in containers:
        started.kill(container.process)


# ---- workers that are cut off ----


def drop(worker, chance):
    cut(worker.drop, worker.undrop, chance.uniform(0.2, 3))


def unplug(worker, chance):
    cut(worker.unplug, worker.plug, chance.uniform(0.2, 3))


def drop_for_long(worker, _chance):
    """Longer than a peer may be silent: Berth must find out by itself."""
    cut(worker.drop, worker.undrop, 36)


def cut(off, on, seconds):
    off()
    try:
        time.sleep(seconds)
    finally:
        on()


def network(directory, seconds, seed):
    """Workers behind a cable of their own are cut off and come back: one again and again, one for longer than half a minute."""
    workers = [Worker(number) for number in range(1, 4)]
    containers = [Container(worker, directory / f"record{i}{k}") for i, worker in enumerate(workers) for k in range(2)]
    lanes = [(workers[1], [drop, unplug], (3, 6)), (workers[2], [drop_for_long], (1, 2))]
    row, _, _ = under_mischief("workers cut off", containers, lanes, seconds, seed, health_path="/health",
                               health_interval="500ms", **{**ONE_UP, "timeouts_first_byte": "60s"})
    end(containers)
    for worker in workers:
        started.kill(worker.holder)
    return [row.judge()]


# ---- a fleet of real workers ----


class Supervised:
    """A berth-worker that `berth up` starts again when it has ended."""

    def __init__(self, fleet, number):
        self.fleet, self.number = fleet, number

    def signal(self, number):
        pids = pathlib.Path(f"/proc/{self.fleet.process.pid}/task/{self.fleet.process.pid}/children").read_text().split()
        if self.number < len(pids):
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pids[self.number]), number)
            return int(pids[self.number])
        return None


def kill_worker(worker, chance):
    worker.signal(signal.SIGKILL)
    time.sleep(chance.uniform(0.3, 0.8))


def stop_worker(worker, chance):
    pid = worker.signal(signal.SIGSTOP)
    time.sleep(chance.uniform(0.1, 1.5))
    if pid:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


def fleet(directory, seconds, seed):
    """`berth up` with real workers that are killed and stopped; exact clients, wrk, and `berth load` that reads every job's result."""
    row = tally.Row("berth up")
    berth = programs.Berth("up", cwd=directory, env={"XDG_RUNTIME_DIR": str(directory), **programs.model_runtime()})
    for name, value in dict(ONE_UP, workers=2, containers=2, base_port=0, model=programs.ROOT / "models" / "spam",
                            job_attempts=100).items():
        berth.flag(name.replace("_", "-"), value)
    directory.chmod(0o700)
    berth.start()
    started.processes.append(berth.process)
    asker = Asker(berth.address, "fleet-a", 8, seconds)
    wrk = Wrk(berth.address, "fleet-w", 4, seconds)
    load = started.start(programs.BUILD / "berth", "load", "--requests", 200 * seconds, "--clients", 4, "--wait", "--url",
                         f"http://{berth.address}/new_request", stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    mischief = Mischief([(Supervised(berth, number), [kill_worker, stop_worker], (0, 0.7)) for number in range(1, 4)], seed)
    mischief.start()
    row.add_asked(asker.findings())
    row.add_wrk(wrk.findings())
    out, _ = load.communicate(timeout=300)
    started.processes.remove(load)
    row.notes.append(mischief.end())
    if load.returncode:
        row.bars.append("berth load: " + " ".join(out.rpartition("requests from")[2].split()))
    else:
        row.notes.append("berth load: " + " ".join(re.search(r"results +.*", out)[0].split()))
    row.slots_missing = missing_slots(berth)
    if berth.stop() != 0:
        row.bars.append("berth's exit code is not 0")
    return [row.judge()]


# ---- slow and idle clients ----


ATTACKS = {
    "slow headers": ("/run_model", "-H", "-i", 5, "-x", 24),
    "slow body": ("/run_model", "-B", "-i", 5, "-x", 10, "-s", 8192),
    "slow read": ("/long", "-X", "-n", 5, "-w", 10, "-y", 20, "-z", 5),
}
ATTACKERS = 4000


def beside_attack(cable, target, asked, options, name, seconds):
    """What the clients of `asked` find while `target` is attacked; how many of the attackers' connections stood at least, and how
    many of their requests still waited for a container, which are before the clients' own."""
    path, *options = options
    attacker = started.start(*cable.enter, "slowhttptest", "-c", ATTACKERS, "-r", 2000, "-l", 120, *options, "-u",
                             f"http://{target.fronts[1]}{path}", stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT)
    stood = wait_for_connections(target, ATTACKERS, 40)
    waiting = target.pool()["queue"]["length"]
    found = Asker(asked.address, name, 4, seconds).findings()
    stood = min(stood, connections(target))
    started.kill(attacker)
    return found, stood, waiting


def slow_loris(directory, seconds, _seed):
    """slowhttptest with 4,000 connections over a cable of its own: the p99 of others beside it, without it, and while it goes to
    another Berth: what is left then is what the attackers' own work takes from a machine of few cores."""
    cable = Worker(9)
    containers = [Container(Machine(), directory / f"record{i}") for i in range(4)]
    berth, other = (serve(containers[i:i + 2], listen=f"127.0.0.1:0,{cable.gateway}:0", client_timeouts_head="2m",
                          client_timeouts_send="2m") for i in (0, 2))
    rows = []
    alone = Asker(berth.address, "alone", 4, seconds).findings()
    for attack, options in ATTACKS.items():
        row = tally.Row(f"slow-loris: {attack}")
        elsewhere, _, _ = beside_attack(cable, other, berth, options, f"elsewhere-{attack[5:]}", seconds)
        beside, stood, waiting = beside_attack(cable, berth, berth, options, attack[5:], seconds)
        row.add_asked(beside)
        row.add_asked(elsewhere)
        here_ms, there_ms, alone_ms = (found["p99_s"] * 1000 for found in (beside, elsewhere, alone))
        row.notes.append(f"{stood} connections; others' p99 {here_ms:.1f} ms beside them, {there_ms:.1f} ms while another Berth has "
                         f"them: × {here_ms / there_ms:.2f}; {alone_ms:.1f} ms without any: × {here_ms / alone_ms:.2f}")
        if waiting:
            row.notes.append(f"{waiting} of the attackers' requests were still before the others in the queue: the machine is too busy "
                             "to tell what the attack costs")
        row.slots_missing = missing_slots(berth)
        rows.append(row.judge())
    for one, its in ((other, containers[2:]), (berth, containers[:2])):
        finish(rows[-1], one, its)
    end(containers)
    started.kill(cable.holder)
    return rows


def connections(berth):
    return int(re.search(r"^berth_connections (\d+)", berth.metrics(), re.MULTILINE)[1])


def wait_for_connections(berth, n, patience_s):
    """Until so many stand and nothing waits for a container; how many there were at most."""
    end_s = time.monotonic() + patience_s
    most = connections(berth)
    while (most < n or berth.pool()["queue"]["length"]) and time.monotonic() < end_s:
        time.sleep(0.1)
        most = max(most, connections(berth))
    return most


def idle(directory, seconds, _seed):
    """20,000 idle connections, or as many as the limit of open files allows: others' p99, memory, and are they still there?"""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    n = min(20000, limit - limit // 16 - 200)  # Berth keeps some for its slots and files
    containers = [Container(Machine(), directory / f"record{i}") for i in range(2)]
    berth = serve(containers, client_timeouts_idle="1h")
    row = tally.Row(f"{n} idle connections")
    alone = Asker(berth.address, "idle-0", 4, seconds).findings()
    before = resident_bytes(berth)
    host, _, port = berth.address.rpartition(":")
    # from several addresses: the kernel's search for a free port grows with those that are taken
    crowd = [socket.create_connection((host, int(port)), 10, (f"127.0.1.{i // 2000 + 1}", 0)) for i in range(n)]
    there = wait_for_connections(berth, n, 10)
    memory = resident_bytes(berth) - before
    beside = Asker(berth.address, "idle-1", 4, seconds).findings()
    for found in (alone, beside):
        row.add_asked(found)
    served = sum(is_served(connection) for connection in crowd[::max(1, n // 200)])
    row.notes.append(f"{there} at once, {memory / n:.0f} bytes each; others' p99 {beside['p99_s'] * 1000:.1f} ms beside them, "
                     f"{alone['p99_s'] * 1000:.1f} ms without")
    if n < 20000:
        row.notes.append(f"not 20,000: {limit} files may be open (ulimit -n)")
    if there < n or served < len(crowd[::max(1, n // 200)]):
        row.bars.append(f"{there} of {n} connections stood; of every {max(1, n // 200)}th, {served} were served")
    for connection in crowd:
        connection.close()
    finish(row, berth, containers)
    end(containers)
    return [row.judge()]


def resident_bytes(berth):
    return int(pathlib.Path(f"/proc/{berth.process.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


def is_served(connection):
    connection.sendall(b"GET /long HTTP/1.1\r\nHost: chaos\r\nConnection: close\r\n\r\n")
    answer = b""
    while piece := connection.recv(1 << 16):
        answer += piece
    return answer.startswith(b"HTTP/1.1 200 ") and len(answer) > 160 * 1024
