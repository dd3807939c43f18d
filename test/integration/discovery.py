"""What tests of discovery share: sources of containers that the test changes, and traffic that runs meanwhile."""

import contextlib
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import threading
import time

import pytest

from berth import PATIENCE, request, wait_until
from containers import echo

DNSMASQ = shutil.which("dnsmasq", path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")


class Traffic:
    """Clients that send one request after the other until stop(), which gives the answers as (status, body sent, body)."""

    def __init__(self, berth, clients=8):
        self._berth = berth
        self._over = threading.Event()
        self._answers = []
        self._threads = [threading.Thread(target=self._run, args=(i,), daemon=True) for i in range(clients)]
        for thread in self._threads:
            thread.start()

    def _run(self, number):
        sent = 0
        while not self._over.is_set():
            body = b"%d-%d" % (number, sent)
            try:
                answer = self._berth.post("/run_model", body)
                self._answers.append((answer.status, body, answer.body))
            except OSError as error:
                self._answers.append((str(error), body, b""))
            sent += 1

    @property
    def answered(self):
        return len(self._answers)

    def wait_for(self, more):
        """Until so many more requests have been answered."""
        goal = self.answered + more
        wait_until(lambda: self.answered >= goal, f"{more} more answers")

    def stop(self):
        self._over.set()
        for thread in self._threads:
            thread.join(PATIENCE)
        return self._answers

    def stop_and_check(self):
        """None was lost: each was answered, with its own bytes."""
        answers = self.stop()
        lost = [answer for answer in answers if answer[0] != 200 or answer[1] != answer[2]]
        assert answers and not lost, f"{len(lost)} of {len(answers)} were lost, such as {lost[:3]}"
        return len(answers)


class ContainerFile:
    """A file of containers, as a script would write it."""

    def __init__(self, path):
        self.path = pathlib.Path(path)
        self.source = f"file:{path}"

    def replace(self, *lines):
        """Writes a new file and renames it over the old one."""
        beside = self.path.with_suffix(".new")
        beside.write_text("".join(f"{line}\n" for line in lines))
        beside.rename(self.path)

    def overwrite(self, *lines):
        """Writes it in place."""
        self.path.write_text("".join(f"{line}\n" for line in lines))


class NameServer:
    """dnsmasq on loopback, which answers for *.test with what tell() has told it last, and refuses everything else."""

    def __init__(self, directory, ttl=1):
        self.directory = pathlib.Path(directory)
        self._hosts = self.directory / "hosts"
        self._hosts.write_text("")
        self._ttl = ttl
        self.port = free_port()
        self.address = f"127.0.0.1:{self.port}"
        self.process = None
        self.start()

    def start(self):
        log = (self.directory / "dnsmasq.log").open("a")
        self.process = subprocess.Popen(
            [DNSMASQ, "--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--bind-interfaces",
             "--listen-address=127.0.0.1", f"--port={self.port}", "--local=/test/", f"--local-ttl={self._ttl}",
             f"--addn-hosts={self._hosts}", "--log-facility=-", "--log-queries", "--user=", "--pid-file="],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        wait_until(self._answers, "an answer of dnsmasq")
        return self

    def _answers(self):
        assert self.process.poll() is None, self.log
        question = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x05probe\x04test\x00\x00\x01\x00\x01"
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.settimeout(0.2)
            sock.connect(("127.0.0.1", self.port))
            with contextlib.suppress(OSError):
                sock.send(question)
                return sock.recv(512)[:2] == b"\x12\x34"
        return False

    @property
    def log(self):
        return (self.directory / "dnsmasq.log").read_text()

    def tell(self, **names):
        """name=[addresses]: all that it knows from now on."""
        self._hosts.write_text("".join(f"{ip} {name}.test\n" for name, ips in names.items() for ip in ips))
        self.process.send_signal(signal.SIGHUP)

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(PATIENCE)


def free_port():
    """A port that is free for UDP and TCP just now."""
    while True:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp, socket.socket() as tcp:
            udp.bind(("127.0.0.1", 0))
            with contextlib.suppress(OSError):
                tcp.bind(udp.getsockname())
                return udp.getsockname()[1]


def containers_of(berth, pool="default"):
    """{address: status} of the pool's containers."""
    return {f"[{c['ip']}]:{c['port']}" if ":" in c["ip"] else f"{c['ip']}:{c['port']}": c["status"]
            for c in berth.pool(pool)["containers"]}


def wait_for_containers(berth, *addresses, pool="default", status=("free", "busy")):
    """Until the pool has exactly these containers, all in one of these states."""
    def there():
        found = containers_of(berth, pool)
        return set(found) == set(addresses) and all(state in status for state in found.values())
    wait_until(there, f"{addresses} as the pool's containers")


def source_of(berth, pool="default"):
    """The one source of the pool, as /status tells of it."""
    [source] = berth.pool(pool)["sources"]
    return source


def admin(berth, method, path, body=None):
    return request(berth.admin, method, path, body, {"Content-Type": "application/json"} if body else {})


@pytest.fixture
def container_file(tmp_path):
    return ContainerFile(tmp_path / "containers")


@pytest.fixture
def name_server(tmp_path):
    if not DNSMASQ:
        pytest.skip("no dnsmasq: tools/setup --for test installs it")
    directory = tmp_path / "dns"
    directory.mkdir()
    server = NameServer(directory)
    yield server
    server.stop()


def slow(seconds):
    """A step that echoes after so long, as a model would."""
    def step(exchange):
        time.sleep(seconds)
        echo(exchange)
    return step
