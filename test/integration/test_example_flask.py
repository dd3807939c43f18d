"""examples/flask as its README runs it: the application knows nothing of Berth."""

import concurrent.futures
import os
import re
import signal
import subprocess
import sys

import pytest

from berth import PATIENCE, ROOT, Program, request, wait_until

EXAMPLE = ROOT / "examples" / "flask"
PYTHON = "/usr/bin/python3"  # the distribution's, which has the distribution's Flask
SERVERS = {
    "flask": [PYTHON, "-B", "-m", "flask", "--app", "app", "run", "--port", "0"],
    "gunicorn": [PYTHON, "-B", "-m", "gunicorn", "--bind", "127.0.0.1:0", "app:app"],
}


def has(module):
    return subprocess.run([PYTHON, "-c", f"import {module}"], capture_output=True).returncode == 0


@pytest.fixture(params=SERVERS)
def servers(request, started):
    """Two of them, ready."""
    for module in ("flask", request.param):
        if not has(module):
            pytest.skip(f"{PYTHON} has no {module}: tools/setup --for test installs Flask, gunicorn is optional")
    made = []
    for _ in range(2):
        server = Program(*SERVERS[request.param], cwd=EXAMPLE, env={"PYTHONUNBUFFERED": "1"})
        started.append(server)
        made.append(server.start())
    for server in made:
        server.address = server.wait_for(r"(?:Running on|Listening at:) http://(127\.0\.0\.1:\d+)")[1]
    return made


@pytest.fixture
def berth(serve, servers):
    program = serve().config(EXAMPLE / "berth.yaml").containers(*(server.address for server in servers))
    program.start()
    program.wait_for_slots(2, pool="flask")
    return program


def serves_as_before(berth, servers):
    texts = ["call now to claim your free prize", "see you at lunch tomorrow"]
    for text, label in zip(texts, ("spam", "ham")):
        direct = request(servers[0].address, "POST", "/run_model", text)
        through = berth.post("/run_model", text)
        assert through.json == direct.json and through.json["label"] == label
        assert (through.status, through.headers["Content-Type"]) == (200, direct.headers["Content-Type"])
    assert berth.post("/run_model", b"").json == {"error": "the body is the text to classify"}
    assert berth.post("/run_model", b"").status == 400  # the application's own
    assert berth.get("/nothing").status == 404


def serves_many(berth):
    with concurrent.futures.ThreadPoolExecutor(16) as clients:
        answers = list(clients.map(lambda i: berth.post("/run_model", f"lunch at {i}"), range(200)))
    assert [answer.status for answer in answers] == [200] * 200
    jobs = [berth.post("/new_request", f"win a free prize of {i}").json for i in range(20)]
    for job in jobs:
        assert berth.get(f"{job['result_url']}?wait=30").json["label"] == "spam"
    counts = [container["requests"] for container in berth.pool("flask")["containers"]]
    assert sum(counts) >= 220 and all(counts)  # both had their part


def goes_round_a_server_that_dies(berth, servers):
    os.kill(servers[0].process.pid, signal.SIGKILL)
    servers[0].wait()
    for group in re.findall(r"Booting worker with pid: (\d+)", servers[0].output):  # gunicorn's, which outlive it
        try:
            os.kill(int(group), signal.SIGKILL)
        except ProcessLookupError:
            pass
    wait_until(lambda: [c["status"] for c in berth.pool("flask")["containers"]].count("down") == 1)
    for i in range(10):
        assert berth.post("/run_model", f"text {i}").status == 200


def test_served_unchanged(berth, servers):
    serves_as_before(berth, servers)
    serves_many(berth)
    goes_round_a_server_that_dies(berth, servers)


def test_the_configuration_is_in_order(run):
    done = run("check", EXAMPLE / "berth.yaml")
    assert done.returncode == 0 and done.stdout.endswith("ok: 1 pool, 2 containers\n")


def test_what_the_readme_says_of_the_model():
    told = subprocess.run([sys.executable, "-B", EXAMPLE / "classifier.py"], capture_output=True, text=True, timeout=PATIENCE)
    right = re.match(r"(\d+ of \d+ right)", told.stdout)[1]
    assert right in (EXAMPLE / "README.md").read_text()
