"""Programs under test as objects: `berth serve`, `berth up`, other commands, and containers whose behaviour the test decides.

    with Berth("serve").containers(container).flag("queue-max", 3).start() as berth:
        assert berth.post("/run_model", b"hello").status == 200

Every port is chosen by the kernel; a program is ready when it has said so. BERTH_BUILD names the build directory. With
BERTH_VALGRIND, which names a directory, berth runs under valgrind, and what valgrind finds is written there.
"""

import contextlib
import http.client
import http.server
import json
import os
import pathlib
import re
import signal
import subprocess
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("BERTH_BUILD", ROOT / "build")).resolve()
VALGRIND = os.environ.get("BERTH_VALGRIND")
PATIENCE = 120 if VALGRIND else 30  # seconds after which a test that waits has failed

READY = re.compile(r"^berth: listening on (?P<fronts>.+?)(?:, admin on (?P<admin>\S+))?, (?P<containers>\d+) containers?(?:, \d+ sources?)?$",
                   re.MULTILINE)


def model_runtime():
    """What berth-worker needs in its environment to find its runtime when the build directory is elsewhere."""
    found = sorted((ROOT / "node_modules").glob("sherpa-onnx-linux-*/libonnxruntime.so"))
    return {"BERTH_ORT": str(found[0])} if "BERTH_ORT" not in os.environ and found else {}


def wait_until(condition, what="the condition", patience=PATIENCE):
    """Calls condition until it gives something true, which is returned."""
    end = time.monotonic() + patience
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < end, f"{what} did not come true within {patience} s"
        time.sleep(0.005)


class Answer:
    """What a request was answered with."""

    def __init__(self, response):
        self.status = response.status
        self.headers = response.headers
        self.body = response.read()

    @property
    def text(self):
        return self.body.decode()

    @property
    def json(self):
        return json.loads(self.body)


def request(address, method, path, body=None, headers=None, timeout=PATIENCE):
    """One request to "host:port" on a connection of its own."""
    connection = http.client.HTTPConnection(address, timeout=timeout)
    with contextlib.closing(connection):
        connection.request(method, path, body, headers or {})
        return Answer(connection.getresponse())


class Program:
    """A program that runs beside the test; its lines are gathered as they come."""

    def __init__(self, *command, env=None, cwd=None):
        self.command = [str(word) for word in command]
        self.env = {**os.environ, **(env or {})}
        self.cwd = cwd
        self.pass_fds = ()
        self.process = None
        self._output = []
        self._readers = []

    def start(self):
        self.process = subprocess.Popen(self.command, env=self.env, cwd=self.cwd, stdin=subprocess.DEVNULL,
                                        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
                                        pass_fds=self.pass_fds)
        reader = threading.Thread(target=self._output.extend, args=(self.process.stdout,), daemon=True)
        reader.start()
        self._readers.append(reader)
        return self

    @property
    def output(self):
        return "".join(self._output)

    @property
    def is_running(self):
        return self.process.poll() is None

    def wait_for(self, pattern, patience=PATIENCE):
        """Waits until the output has the pattern (multi-line), and gives the match."""
        compiled = re.compile(pattern, re.MULTILINE) if isinstance(pattern, str) else pattern

        def found():
            running = self.is_running
            if not running:
                self._read_out()
            match = compiled.search(self.output)
            assert match or running, f"exit code {self.process.returncode}, no {compiled.pattern!r} in: {self.output}"
            return match

        return wait_until(found, f"{compiled.pattern!r} in the output", patience)

    def _read_out(self):
        for reader in self._readers:
            reader.join(PATIENCE)

    def signal(self, number):
        self.process.send_signal(number)
        return self

    def wait(self, patience=PATIENCE):
        """The exit code; all output is read then."""
        code = self.process.wait(patience)
        self._read_out()
        return code

    def stop(self):
        """Ends it if it still runs: SIGTERM twice (berth ends at once at the second), then SIGKILL."""
        if self.process is None:
            return None
        for number in (signal.SIGTERM, signal.SIGTERM, signal.SIGKILL):
            if self.process.poll() is not None:
                break
            self.process.send_signal(number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(2 if number == signal.SIGTERM else PATIENCE)
        return self.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


def under_valgrind(*command):
    """The command, or valgrind with it where that is asked for."""
    if not VALGRIND:
        return command
    return ("valgrind", "--quiet", f"--log-file={VALGRIND}/%p", "--leak-check=full", "--show-leak-kinds=definite,possible",
            "--num-callers=30", *command)


class Berth(Program):
    """`berth serve` or `berth up` on ports that the kernel chooses."""

    def __init__(self, command, cwd=None, env=None):
        super().__init__(*under_valgrind(BUILD / "berth", command), cwd=cwd, env=env)
        self._flags = {"listen": "127.0.0.1:0", "admin": "127.0.0.1:0", "io": os.environ.get("BERTH_IO")}
        self._configured = False

    def flag(self, name, value=True):
        """--name value; True: without a value; None: leaves out what is there by default."""
        self._flags[name] = value
        return self

    def containers(self, *containers):
        """Addresses, or containers of this module."""
        return self.flag("containers", ",".join(getattr(c, "address", None) or str(c) for c in containers))

    def config(self, path):
        return self.flag("config", path)

    def launch(self):
        """Starts it without waiting until it is ready."""
        if not self._configured:
            for name, value in self._flags.items():
                if value is True:
                    self.command.append(f"--{name}")
                elif value is not None:
                    self.command.append(f"--{name}={value}")
            self._configured = True
        return super().start()

    def start(self):
        self.launch()
        try:
            ready = self.wait_for(READY)
        except BaseException:
            self.stop()
            raise
        self.fronts = [front.removeprefix("http://") for front in ready["fronts"].split(" and ")]
        self.address = self.fronts[0]
        self.admin = ready["admin"]
        return self

    def request(self, method, path, body=None, headers=None, timeout=PATIENCE):
        return request(self.address, method, path, body, headers, timeout)

    def get(self, path, **options):
        return self.request("GET", path, **options)

    def post(self, path, body=b"", **options):
        return self.request("POST", path, body=body, **options)

    def connection(self, timeout=PATIENCE):
        """A connection of its own, for several requests."""
        return http.client.HTTPConnection(self.address, timeout=timeout)

    def status(self):
        """The admin listener's report."""
        return request(self.admin, "GET", "/status").json

    def metrics(self):
        return request(self.admin, "GET", "/metrics").text

    def pool(self, name="default"):
        return next(pool for pool in self.status()["pools"] if pool["name"] == name)

    def wait_for_slots(self, free, pool="default"):
        """Until so many slots are free."""
        wait_until(lambda: self.pool(pool)["slots"]["free"] == free, f"{free} free slots")
        return self

    def wait_for_queue(self, length, pool="default"):
        wait_until(lambda: self.pool(pool)["queue"]["length"] == length, f"a queue of {length}")
        return self


def run(*arguments, env=None, cwd=None, patience=PATIENCE):
    """A command of berth that ends by itself; the result has returncode, stdout and stderr."""
    return subprocess.run([str(BUILD / "berth"), *map(str, arguments)], env={**os.environ, **(env or {})}, cwd=cwd,
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=patience)


class Container:
    """A model server whose behaviour the test decides. It tells how many requests it saw at once.

    hold(): requests wait until release(). answer(function): what it answers, function(request handler, body) -> (status, headers, body).
    """

    def __init__(self):
        self._lock = threading.Lock()
        self._open = threading.Event()
        self._open.set()
        self._answer = lambda handler, body: (200, {}, body or b"{}")
        self.in_flight = 0
        self.in_flight_max = 0
        self.requests = []
        container = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(self):
                container._handle(self)

            do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = do_OPTIONS = do_PATCH = handle_any

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.address = "127.0.0.1:%d" % self.server.server_address[1]
        self._thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()

    def hold(self):
        self._open.clear()
        return self

    def release(self):
        self._open.set()
        return self

    def answer(self, function):
        self._answer = function
        return self

    def _handle(self, handler):
        body = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        with self._lock:
            self.in_flight += 1
            self.in_flight_max = max(self.in_flight_max, self.in_flight)
            self.requests.append((handler.command, handler.path, body))
        try:
            self._open.wait(PATIENCE)
            status, headers, answer = self._answer(handler, body)
        finally:
            with self._lock:  # free before the last byte, or a quick successor would be counted as a second
                self.in_flight -= 1
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(answer)))
        handler.end_headers()
        if handler.command != "HEAD":
            handler.wfile.write(answer)

    def close(self):
        self.release()
        self.server.shutdown()
        self.server.server_close()
