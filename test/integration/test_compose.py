"""deploy/compose.yaml under Docker Compose v2, on a real engine. Part of make test-all."""

import os
import re
import subprocess

import pytest

from berth import BUILD, ROOT, wait_until
from engine import START_PATIENCE

COMPOSE = ["docker", "compose", "-f", ROOT / "deploy" / "compose.yaml"]
PORT = 18080


@pytest.fixture(scope="module")
def compose(engine, tmp_path_factory):
    """compose("up", …, WORKERS=6) runs Compose; Berth's images are on the engine."""
    directory = tmp_path_factory.mktemp("compose")
    result = subprocess.run([ROOT / "tools" / "compose", directory], capture_output=True, text=True, check=False)
    if result.returncode:
        pytest.skip(f"no Compose v2: {result.stderr.strip()}")
    for what in ("worker", "orchestrator"):
        image = subprocess.run([BUILD / "berth", "image", "--what", what, "--model", ROOT / "models" / "spam", "--output",
                                "-"], check=True, capture_output=True).stdout
        status, answer = engine.request("POST", "/images/load?quiet=1", image, "application/x-tar")
        assert status == 200 and "errorDetail" not in str(answer)

    def go(*arguments, **environment):
        env = {"DOCKER_CONFIG": str(directory), "LISTEN": f"127.0.0.1:{PORT}", "HEALTH_INTERVAL": "1s",
               **{name: str(value) for name, value in environment.items()}}
        result = engine.run(*COMPOSE, *arguments, env=env, patience=2 * START_PATIENCE)
        assert result.returncode == 0, result.stderr
        return result.stdout
    yield go
    go("down", "-v")


def test_compose_brings_a_fleet_up_scales_it_and_takes_it_down(engine, compose, environment):
    compose("up", "-d", "--wait")
    wait_until(lambda: engine.readyz(f"127.0.0.1:{PORT}").get("up") == 8, "eight containers", START_PATIENCE)
    for flags in (["--wait"], ["--sync"]):
        path = "new_request" if "--wait" in flags else "run_model"
        result = engine.berth("load", "--url", f"http://127.0.0.1:{PORT}/{path}", "--requests", 100, *flags, env=environment)
        assert result.returncode == 0, result.stdout + result.stderr
    compose("up", "-d", "--wait", WORKERS=5)
    wait_until(lambda: engine.readyz(f"127.0.0.1:{PORT}").get("up") == 10, "ten containers", START_PATIENCE)
    compose("up", "-d", "--wait", WORKERS=2)
    wait_until(lambda: engine.readyz(f"127.0.0.1:{PORT}").get("containers") == 4, "four containers", START_PATIENCE)
    compose("down", "-v")
    assert engine.get("/containers/json?all=true") == []
    assert not engine.get("/volumes")["Volumes"]


def test_compose_confines_its_containers_as_berth_up_does():
    text = (ROOT / "deploy" / "compose.yaml").read_text()
    for line in ("read_only: true", "cap_drop: [ALL]", "security_opt: [no-new-privileges]"):
        assert len(re.findall(r"^ +" + re.escape(line) + "$", text, re.MULTILINE)) == 2
    assert os.path.exists(ROOT / "deploy" / "Dockerfile")
