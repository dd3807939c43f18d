"""What chaos is made in: containers that are killed, stopped and made slow, workers that are cut off, and the record of it.

What is started here is ended by its own process id, also when the run is interrupted.
"""

import contextlib
import json
import os
import pathlib
import random
import signal
import socket
import subprocess
import sys
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
PYTHON = sys.executable


class Started:
    """Processes that end with us."""

    def __init__(self):
        self.processes = []

    def start(self, *command, **options):
        process = subprocess.Popen([str(word) for word in command], stdin=subprocess.DEVNULL, **options)
        self.processes.append(process)
        return process

    def kill(self, process):
        """kill -9; returns when it is gone."""
        process.kill()
        process.wait()
        for stream in (process.stdout, process.stderr):
            if stream:
                stream.close()
        if process in self.processes:
            self.processes.remove(process)

    def kill_all(self):
        for process in list(self.processes):
            self.kill(process)


started = Started()


class Machine:
    """Where containers run: this machine's loopback, or a worker's network namespace behind a cable (Worker)."""

    address = "127.0.0.1"
    enter = ()


class Worker(Machine):
    """A network namespace with one cable to ours. It is gone with the process that holds it."""

    def __init__(self, number):
        self.address, self.gateway = f"10.77.{number}.2", f"10.77.{number}.1"
        self.cable = f"chaos{number}"
        self.holder = started.start("unshare", "--net", "sleep", "infinity")
        self.enter = ("nsenter", "--net", "--target", str(self.holder.pid))
        inside = f"inner{number}"
        self._wait_for_namespace()
        run("ip", "link", "add", self.cable, "type", "veth", "peer", "name", inside)
        run("ip", "link", "set", inside, "netns", str(self.holder.pid))
        run("ip", "addr", "add", f"{self.gateway}/24", "dev", self.cable)
        run("ip", "link", "set", self.cable, "up")
        run(*self.enter, "ip", "addr", "add", f"{self.address}/24", "dev", inside)
        run(*self.enter, "ip", "link", "set", inside, "up")
        run(*self.enter, "ip", "link", "set", "lo", "up")

    def _wait_for_namespace(self):
        ours = os.readlink("/proc/self/ns/net")
        end = time.monotonic() + 10
        while os.readlink(f"/proc/{self.holder.pid}/ns/net") == ours:
            if time.monotonic() > end:
                raise RuntimeError("unshare made no network namespace")
            time.sleep(0.005)

    def drop(self):
        """Packets vanish, both ways."""
        run(*self.enter, "nft", "add table inet chaos; add chain inet chaos in { type filter hook input priority 0; policy drop; }")

    def undrop(self):
        run(*self.enter, "nft", "delete table inet chaos")

    def unplug(self):
        run("ip", "link", "set", self.cable, "down")

    def plug(self):
        run("ip", "link", "set", self.cable, "up")


def run(*command):
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stdout.strip()}")


class Container:
    """recorder.py at one address, through all its lives."""

    def __init__(self, machine, record):
        self.machine, self.record = machine, record
        self.process = None
        self.port = 0
        self.killed = {}   # pid: when it was killed
        self.stopped = []  # (from, to): when it did not run, or was cut off
        self.start()

    @property
    def address(self):
        return f"{self.machine.address}:{self.port}"

    def start(self):
        self.process = started.start(*self.machine.enter, PYTHON, "-B", HERE / "recorder.py", self.machine.address, self.port,
                                     self.record, stdout=subprocess.PIPE, text=True)
        self.port = int(self.process.stdout.readline())

    def die(self, pause_s):
        self.killed[self.process.pid] = time.monotonic()
        started.kill(self.process)
        time.sleep(pause_s)
        self.start()

    def sleep(self, pause_s):
        begin_s = time.monotonic()
        self.process.send_signal(signal.SIGSTOP)
        time.sleep(pause_s)
        self.process.send_signal(signal.SIGCONT)
        self.stopped.append((begin_s, time.monotonic()))

    def slow_down(self, pause_s, delay_ms):
        self.set_delay(delay_ms)
        time.sleep(pause_s)
        self.set_delay(2)

    def set_delay(self, delay_ms):
        with contextlib.suppress(OSError), socket.create_connection((self.machine.address, self.port), 5) as connection:
            connection.sendall(b"GET /delay/%d HTTP/1.1\r\nHost: chaos\r\n\r\n" % delay_ms)
            connection.recv(1024)


class Mischief:
    """Does things to victims, to each in a thread of its own. A lane is (victim, deeds, (least, most) seconds between two of
    them); a deed is a function of the victim and a random generator."""

    def __init__(self, lanes, seed):
        chance = random.Random(seed)
        self.over = threading.Event()
        self.count = {}
        self.errors = []
        self.threads = [threading.Thread(target=self._torment, args=(*lane, chance.randrange(1 << 30)), daemon=True)
                        for lane in lanes]

    def start(self):
        for thread in self.threads:
            thread.start()

    def _torment(self, victim, deeds, pause_s, seed):
        chance = random.Random(seed)
        while not self.over.wait(chance.uniform(*pause_s)):
            deed = chance.choice(deeds)
            try:
                deed(victim, chance)
            except (OSError, RuntimeError, ValueError) as error:
                self.errors.append(f"{deed.__name__}: {error}")
                return
            self.count[deed.__name__] = self.count.get(deed.__name__, 0) + 1

    def end(self):
        """How often each deed was done, in words."""
        self.over.set()
        for thread in self.threads:
            thread.join()
        if self.errors:
            raise RuntimeError("; ".join(self.errors))
        return "; ".join(f"{n} × {deed}" for deed, n in sorted(self.count.items()))


class Asker:
    """asker.py beside us."""

    def __init__(self, address, name, connections, seconds, patience_s=60):
        self.name = name
        self.process = started.start(PYTHON, "-B", HERE / "asker.py", address, name, connections, seconds, patience_s,
                                     stdout=subprocess.PIPE, text=True)

    def findings(self):
        out, _ = self.process.communicate(timeout=300)
        started.processes.remove(self.process)
        return json.loads(out)


class Wrk:
    """wrk with tokens.lua beside us."""

    def __init__(self, address, name, connections, seconds):
        self.connections = connections
        self.process = started.start("wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "60s", "-s",
                                     HERE / "tokens.lua", f"http://{address}/", "--", name, stdout=subprocess.PIPE, text=True)

    def findings(self):
        out, _ = self.process.communicate(timeout=300)
        started.processes.remove(self.process)
        found = json.loads(out.strip().rpartition("\n")[2])
        found["lost"] = max(0, found["open"] - self.connections)  # each connection may be at one when wrk stops
        return found
