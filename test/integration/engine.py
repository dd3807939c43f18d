"""A Docker Engine of the test's own (tools/dockerd), and its API, spoken to without Berth's own client."""

import base64
import contextlib
import http.client
import io
import json
import os
import re
import shutil
import socket
import subprocess
import tarfile
import tempfile
import threading

from berth import BUILD, PATIENCE, ROOT, Program

DOCKERD = ROOT / "tools" / "dockerd"
START_PATIENCE = 120  # a fleet of containers on a busy machine


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=START_PATIENCE)
        self._path = str(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class Refusing:
    """Stands before an engine, and answers calls that refuses(method, path) is true for with 500."""

    def __init__(self, engine, refuses):
        self._engine, self._refuses = engine, refuses
        self._directory = tempfile.mkdtemp(prefix="berth-refusing-")
        path = os.path.join(self._directory, "docker.sock")
        self.env = {"DOCKER_HOST": f"unix://{path}"}
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(path)
        self._listener.listen(64)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        with contextlib.suppress(OSError):  # it is closed
            while True:
                client = self._listener.accept()[0]
                threading.Thread(target=self._serve, args=[client], daemon=True).start()

    def _serve(self, client):
        """A connection may carry several calls, and each is in a piece of its own."""
        server = socket.socket(socket.AF_UNIX)
        server.connect(f"{self._engine.path}/docker.sock")
        threading.Thread(target=self._pump, args=[server, client], daemon=True).start()
        self._pump(client, server, self._check)

    def _check(self, piece, client):
        line = re.match(rb"([A-Z]+) (/\S*) HTTP/1\.1\r\n", piece)
        if not line or not self._refuses(line[1].decode(), line[2].decode()):
            return False
        client.sendall(b'HTTP/1.1 500 No\r\nContent-Length: 21\r\n\r\n{"message":"refused"}')
        return True

    @staticmethod
    def _pump(source, target, check=lambda piece, source: False):
        with contextlib.suppress(OSError):
            while piece := source.recv(65536):
                if not check(piece, source):
                    target.sendall(piece)
            target.shutdown(socket.SHUT_WR)

    def stop(self):
        self._listener.close()
        shutil.rmtree(self._directory, ignore_errors=True)


class Engine:
    """A Docker Engine in a network namespace of its own; with "host", one that builds and runs with --network host
    where this machine is."""

    def __init__(self, *network):
        self.directory = tempfile.mkdtemp(prefix="berth-docker-")
        self.path = os.path.join(self.directory, "engine")
        result = subprocess.run([DOCKERD, "up", self.path, *network], capture_output=True, text=True, check=False)
        self.trouble = result.stderr.strip() if result.returncode else None
        self.env = {"DOCKER_HOST": f"unix://{self.path}/docker.sock"}

    def stop(self):
        if not self.trouble:
            self.remove_containers()  # or their files would be in use
        subprocess.run([DOCKERD, "down", self.path], check=self.trouble is None, capture_output=True)
        shutil.rmtree(self.directory, ignore_errors=True)

    def request(self, method, path, body=None, content_type="application/json"):
        """(status, body) of a call; a body that is JSON is read, lines of JSON stay text."""
        connection = UnixConnection(f"{self.path}/docker.sock")
        if isinstance(body, dict):
            body = json.dumps(body)
        connection.request(method, path, body, {"Content-Type": content_type} if body is not None else {})
        answer = connection.getresponse()
        text = answer.read().decode(errors="replace")
        connection.close()
        try:
            return answer.status, json.loads(text)
        except ValueError:
            return answer.status, text

    def get(self, path):
        status, answer = self.request("GET", path)
        assert status == 200, answer
        return answer

    def post(self, path, body=None):
        status, answer = self.request("POST", path, body)
        assert status < 300 or status == 304, answer
        return answer

    def containers(self, fleet="default", role="container"):
        """{name: what the engine says of it}, of all states."""
        label = json.dumps({"label": [f"berth.fleet={fleet}", f"berth.role={role}"]})
        found = self.get("/containers/json?all=true&filters=" + label.replace('"', "%22").replace(" ", ""))
        return {one["Names"][0].removeprefix(f"/berth-{fleet}-"): one for one in found}

    def remove_containers(self):
        for one in self.get("/containers/json?all=true"):
            self.request("DELETE", f"/containers/{one['Id']}?force=true")

    def left_of(self, fleet="default"):
        """What there is of a fleet: containers, networks, volumes."""
        label = "?all=true&filters=%7B%22label%22%3A%5B%22berth.fleet%3D" + fleet + "%22%5D%7D"
        volumes = self.get("/volumes" + label.replace("all=true&", ""))["Volumes"] or []
        return ([one["Names"][0] for one in self.get("/containers/json" + label)]
                + [one["Name"] for one in self.get("/networks" + label.replace("all=true&", ""))]
                + [one["Name"] for one in volumes])

    def build(self, tag, files, dockerfile):
        """An image of these files ({name: (bytes, mode)}), by the engine's own builder."""
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as tar:
            for name, (content, mode) in {**files, "Dockerfile": (dockerfile.encode(), 0o644)}.items():
                entry = tarfile.TarInfo(name)
                entry.size, entry.mode = len(content), mode
                tar.addfile(entry, io.BytesIO(content))
        status, answer = self.request("POST", f"/build?t={tag}", buffer.getvalue(), "application/x-tar")
        assert status == 200 and "errorDetail" not in str(answer), answer

    def run(self, *command, env=None, patience=START_PATIENCE, **options):
        """A program where the published ports are; the result has returncode, stdout and stderr."""
        return subprocess.run([DOCKERD, "run", self.path, *map(str, command)], env={**os.environ, **self.env, **(env or {})},
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=patience, check=False,
                              **options)

    def program(self, *command, env=None, cwd=None):
        """Likewise, one that runs beside the test."""
        return Program(DOCKERD, "run", self.path, *command, env={**self.env, **(env or {})}, cwd=cwd)

    def readyz(self, address):
        """What a front says of its containers."""
        result = self.run("curl", "-s", "--max-time", PATIENCE, f"http://{address}/berth/readyz")
        return json.loads(result.stdout) if result.stdout else {}

    def on_terminal(self, *command, env=None):
        """Likewise, with a terminal as its output: (exit code, what it has printed)."""
        terminal, its_end = os.openpty()
        with subprocess.Popen([DOCKERD, "run", self.path, *map(str, command)], env={**os.environ, **self.env, **(env or {})},
                              stdin=subprocess.DEVNULL, stdout=its_end, stderr=its_end) as process:
            os.close(its_end)
            output = b""
            with contextlib.suppress(OSError):  # EIO: nobody has the other end any more
                while piece := os.read(terminal, 65536):
                    output += piece
            os.close(terminal)
            return process.wait(START_PATIENCE), output.decode()

    def push(self, image, name, login=None):
        """An image of the engine goes to a registry under this name, and is not on the engine any more."""
        repository, _, tag = name.rpartition(":")
        self.post(f"/images/{image}/tag?repo={repository}&tag={tag}")
        connection = UnixConnection(f"{self.path}/docker.sock")
        connection.request("POST", f"/images/{repository}/push?tag={tag}", headers={
            "X-Registry-Auth": base64.urlsafe_b64encode(json.dumps(login or {}).encode()).decode()})
        answer = connection.getresponse()
        text = answer.read().decode()
        connection.close()
        assert answer.status == 200 and "errorDetail" not in text, text
        for one in (image, name):
            status, answer = self.request("DELETE", f"/images/{one}?force=true")
            assert status == 200, answer

    def berth(self, *arguments, env=None, cwd=None):
        return self.run(BUILD / "berth", *arguments, env=env, cwd=cwd)
