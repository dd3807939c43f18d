"""berth-worker as an object.

    with Worker("spam").start() as worker:
        assert worker.post("/run_model", b"hello").json["label"] == "ham"
"""

import contextlib
import http.client
import json
import pathlib
import re
import socket

from berth import BUILD, PATIENCE, Answer, Program, request, wait_until

MODELS = pathlib.Path(__file__).resolve().parent / "models"

READY = re.compile(r"^berth-worker: listening on (?P<address>\S+), model (?P<model>.+) \((?P<kind>text|tensors)\), "
                   r"slots (?P<slots>\d+)$", re.MULTILINE)


class Worker(Program):
    """A worker on a port that the kernel chooses. model: a path, or the name of one in models/ beside this file."""

    def __init__(self, model, **flags):
        path = MODELS / f"{model}.onnx"
        flags = {"listen": "127.0.0.1:0", "model": path if path.exists() else model, **flags}
        words = [word for name, value in flags.items() for word in (f"--{name.replace('_', '-')}", value)]
        super().__init__(BUILD / "berth-worker", *words)

    def start(self):
        super().start()
        try:
            ready = self.wait_for(READY)
        except BaseException:
            self.stop()
            raise
        self.address, self.model, self.kind = ready["address"], ready["model"], ready["kind"]
        return self

    def request(self, method, path, body=None, headers=None, timeout=PATIENCE):
        return request(self.address, method, path, body, headers, timeout)

    def get(self, path, **options):
        return self.request("GET", path, **options)

    def post(self, path, body=b"", **options):
        return self.request("POST", path, body=body, **options)

    def infer(self, inputs, **more):
        """An inference with JSON in and out."""
        body = json.dumps({"inputs": inputs, **more})
        return self.post(f"/v2/models/{self.model}/infer", body, headers={"Content-Type": "application/json"})

    def infer_binary(self, inputs, data, **more):
        """An inference with binary tensor data in and, if asked for, out."""
        head = json.dumps({"inputs": inputs, **more}).encode()
        return self.post(f"/v2/models/{self.model}/infer", head + data,
                         headers={"Inference-Header-Content-Length": str(len(head))})

    def connection(self, timeout=PATIENCE):
        return http.client.HTTPConnection(self.address, timeout=timeout)

    @contextlib.contextmanager
    def socket(self):
        host, port = self.address.rsplit(":", 1)
        with socket.create_connection((host, int(port)), PATIENCE) as s:
            yield s

    def raw(self, data, end=True):
        """Sends bytes as they are and gives all that comes until the worker closes."""
        with self.socket() as s:
            s.sendall(data)
            if end:
                s.shutdown(socket.SHUT_WR)
            return read_all(s)

    def health(self):
        return self.get("/health").json

    def metrics(self):
        """Name with labels → value."""
        lines = self.get("/metrics").text.splitlines()
        return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines if line[0] != "#")}

    def outcomes(self):
        found = {re.search(r'"(\w+)"', name)[1]: int(value) for name, value in self.metrics().items()
                 if name.startswith("berth_worker_requests_total")}
        return {name: count for name, count in found.items() if count}

    def wait_for_in_flight(self, n):
        wait_until(lambda: self.health()["in_flight"] == n, f"{n} in flight")
        return self


def read_all(s):
    got = b""
    while more := s.recv(65536):
        got += more
    return got


def read_answer(s, method="GET"):
    """One answer from a socket, which stays open."""
    response = http.client.HTTPResponse(s, method=method)
    response.begin()
    return Answer(response)


def binary_outputs(answer):
    """The JSON part, and name → bytes of the outputs that came in binary."""
    size = int(answer.headers["Inference-Header-Content-Length"])
    head, rest, found = json.loads(answer.body[:size]), answer.body[size:], {}
    for output in head["outputs"]:
        if "parameters" in output:
            n = output["parameters"]["binary_data_size"]
            found[output["name"]], rest = rest[:n], rest[n:]
    assert not rest
    return head, found
