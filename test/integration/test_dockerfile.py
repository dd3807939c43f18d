"""deploy/Dockerfile, built for real over Debian 13's packages and run. Part of make test-all."""

import json
import os
import re
import shutil
import subprocess

import pytest

from berth import ROOT, request, wait_until
from engine import START_PATIENCE

BUILD_PATIENCE = 900
PROXIES = ("http_proxy", "https_proxy", "no_proxy")


@pytest.fixture(scope="module")
def base_image(host_engine, tmp_path_factory):
    """What the Dockerfile starts from is on the engine."""
    if not shutil.which("mmdebstrap"):
        pytest.skip("no base image without mmdebstrap (tools/setup --for test)")
    file = tmp_path_factory.mktemp("base") / "debian.tar"
    made = subprocess.run([ROOT / "tools" / "base-image", file], capture_output=True, text=True, check=False)
    if made.returncode:
        pytest.skip(f"Debian 13's packages cannot be had: {made.stderr.strip()}")
    result = host_engine.run("docker", "import", file, "debian:13-slim")
    assert result.returncode == 0, result.stderr
    file.unlink()


@pytest.fixture(scope="module")
def build(host_engine, base_image):
    """build("worker") builds that target as an image of this name."""
    def go(target):
        proxies = [f"--build-arg={name}={os.environ[name]}" for name in PROXIES if name in os.environ]
        result = host_engine.run("docker", "build", "--network", "host", *proxies, "-f", ROOT / "deploy" / "Dockerfile",
                                 "--target", target, "-t", target, ROOT, env={"DOCKER_BUILDKIT": "0"}, patience=BUILD_PATIENCE)
        assert result.returncode == 0, result.stdout[-4000:] + result.stderr[-4000:]
        return host_engine.get(f"/images/{target}/json")
    return go


def start(engine, image, *arguments):
    """Runs a container confined as `berth up` does it; returns the address that it listens on."""
    confined = ["--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--tmpfs", "/tmp"]
    result = engine.run("docker", "run", "-d", "--network", "host", *confined, image, *arguments)
    assert result.returncode == 0, result.stderr
    name = result.stdout.strip()

    def listens():
        logs = engine.run("docker", "logs", name)
        return re.search(r"listening on (?:http://)?(127\.0\.0\.1:\d+)", logs.stdout + logs.stderr)
    return wait_until(listens, f"{image} that listens", START_PATIENCE)[1]


def test_its_images_serve(host_engine, build):
    for target, most in (("worker", 40e6), ("orchestrator", 15e6)):
        image = build(target)
        assert image["Size"] <= most, image["Size"]
        assert image["Config"]["User"] == "65532:65532" and image["Config"]["Healthcheck"]["Test"][0] == "CMD"
        assert host_engine.run("docker", "run", "--rm", "--entrypoint", "/bin/sh", target, "-c", "true").returncode != 0
    worker = start(host_engine, "worker", "--listen", "127.0.0.1:0")
    front = start(host_engine, "orchestrator", "serve", "--listen", "127.0.0.1:0", "--admin", "off", "--status-file", "off",
                  "--containers", worker)
    answer = request(front, "POST", "/run_model", b"You have won a prize, click here", {"Content-Type": "text/plain"})
    assert answer.status == 200 and json.loads(answer.body), answer.body
