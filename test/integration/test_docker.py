"""berth up, status and down on a real Docker Engine, in a network namespace of its own."""

import json
import os
import pathlib
import re
import shutil
import signal
import subprocess

import pytest

from berth import BUILD, READY, ROOT, wait_until
from engine import START_PATIENCE, Refusing

MODEL = ["--model", ROOT / "models" / "spam"]


@pytest.fixture
def docker(engine, environment, tmp_path):
    """docker("up", …) runs a command to its end, on Docker; what a test leaves is removed after it."""
    fleets = set()

    def go(command, *arguments, on="docker", env=None):
        fleets.add(arguments[arguments.index("--name") + 1] if "--name" in arguments else "default")
        more = []
        if command == "up" and "--listen" not in arguments:
            more = ["--listen", "127.0.0.1:0", *([] if "--image" in arguments else MODEL)]
        return engine.berth(command, "--on", on, *more, *arguments, env={**environment, **(env or {})}, cwd=tmp_path)
    yield go
    for fleet in fleets:
        engine.berth("down", "--on", "docker", "--name", fleet, env=environment, cwd=tmp_path)
        assert engine.left_of(fleet) == []


def front_of(result):
    """Where a fleet that is up says that it answers."""
    assert result.returncode == 0, result.stderr
    return READY.search(result.stdout)["fronts"].removeprefix("http://")


def identities(engine, fleet="default"):
    """What changes when a container is made anew or started again."""
    found = {**engine.containers(fleet), **engine.containers(fleet, "orchestrator")}
    return {name: engine.get(f"/containers/{one['Id']}/json")["State"]["StartedAt"] for name, one in found.items()}


def wait_until_up(engine, front, n):
    wait_until(lambda: engine.readyz(front).get("up") == n, f"{n} containers that are up", START_PATIENCE)


def load(engine, front, environment, *arguments):
    result = engine.berth("load", "--url", f"http://{front}/new_request", "--wait", *arguments, env=environment)
    assert result.returncode == 0, result.stdout + result.stderr
    return result


# ---- a fleet's life ----


def test_a_fleet_comes_up_serves_heals_grows_shrinks_and_goes(engine, docker, environment):
    up = docker("up", "--workers", 4, "--containers", 2)
    front = front_of(up)
    assert "8/8 containers ready\n" in up.stdout
    assert {one["State"] for one in engine.containers().values()} == {"running"}
    load(engine, front, environment, "--requests", 100, "--clients", 5)

    before = identities(engine)
    assert len(before) == 9
    assert front_of(docker("up", "--workers", 4, "--containers", 2)) == front
    assert identities(engine) == before

    engine.post(f"/containers/{engine.containers()['container3']['Id']}/kill")
    wait_until(lambda: engine.readyz(front)["up"] == 7, "the killed container is down")
    engine.post(f"/containers/{engine.containers()['container3']['Id']}/start")
    wait_until_up(engine, front, 8)
    engine.request("DELETE", f"/containers/{engine.containers()['container5']['Id']}?force=true")
    engine.post(f"/containers/{engine.containers()['container6']['Id']}/kill")
    assert front_of(docker("up", "--workers", 4, "--containers", 2)) == front
    after = identities(engine)
    assert {name for name in before if before[name] != after[name]} == {"container3", "container5", "container6"}

    assert front_of(docker("up", "--workers", 6, "--containers", 2)) == front
    report = engine.readyz(front)
    assert (report["containers"], report["up"], report["draining"]) == (12, 12, 0)
    assert {k: v for k, v in identities(engine).items() if k in after} == after

    traffic = engine.program(BUILD / "berth", "load", "--url", f"http://{front}/run_model", "--sync", "--requests", 4000,
                             "--clients", 16, env=environment).start()
    assert front_of(docker("up", "--workers", 2, "--containers", 2)) == front
    assert traffic.wait(START_PATIENCE) == 0, traffic.output
    assert sorted(engine.containers()) == ["container1", "container2", "container3", "container4"]
    assert engine.readyz(front)["containers"] == 4

    down = docker("down")
    assert down.returncode == 0
    assert down.stdout == ('berth: the fleet "default" is down: removed 4 containers, the orchestrator, the network, '
                           'the volumes\n')
    assert engine.left_of() == []
    again = docker("down")
    assert again.returncode == 0
    assert again.stdout.startswith('berth: nothing is left of the fleet "default" on the Docker Engine at ')


def test_what_differs_is_replaced_worker_by_worker_while_requests_run(engine, docker, environment):
    front = front_of(docker("up", "--workers", 2, "--containers", 1))
    before = identities(engine)
    traffic = engine.program(BUILD / "berth", "load", "--url", f"http://{front}/run_model", "--sync", "--requests", 2000,
                             "--clients", 4, env=environment).start()
    assert front_of(docker("up", "--workers", 2, "--containers", 1, "--delay-ms", 1)) == front
    assert traffic.wait(START_PATIENCE) == 0, traffic.output
    after = identities(engine)
    assert after["orchestrator"] == before["orchestrator"]
    assert after["container1"] != before["container1"] and after["container2"] != before["container2"]


def would(result):
    """What a dry run says that it would do."""
    assert result.returncode == 0, result.stderr
    return re.findall(r"^berth: would (.*)$", result.stdout, re.MULTILINE)


def test_a_dry_run_tells_what_would_be_done_and_does_nothing(engine, docker, environment):
    def images():
        return sorted(one["Id"] for one in engine.get("/images/json"))

    before = images()
    told = would(docker("up", "--workers", 2, "--containers", 1, "--dry-run"))
    assert [line for line in told if not line.startswith("load the image berth")] == [
        "make the network berth-default", "make the volume berth-default", "make the volume berth-default-sockets",
        "make berth-default-container1", "make berth-default-container2", "make berth-default-orchestrator"]
    on_host = would(engine.berth(*HOST, "--workers", 1, "--dry-run", env=environment))
    assert on_host[-1] == "run the queue in this process, in the foreground"
    assert engine.left_of() == engine.left_of("host") == [] and images() == before
    assert not pathlib.Path(environment["XDG_RUNTIME_DIR"], "berth", "host.json").exists()

    front_of(docker("up", "--workers", 2, "--containers", 1))
    again = docker("up", "--workers", 2, "--containers", 1, "--dry-run")
    assert would(again) == [] and again.stdout.endswith("berth: all is as it shall be: nothing would be changed\n")
    engine.post(f"/containers/{engine.containers()['container2']['Id']}/kill")
    before = identities(engine)
    assert would(docker("up", "--workers", 1, "--containers", 1, "--queue-max", 7, "--delay-ms", 1, "--dry-run")) == [
        "replace berth-default-container1", "remove berth-default-container2", "replace berth-default-orchestrator"]
    assert would(docker("up", "--workers", 2, "--containers", 1, "--dry-run")) == ["start berth-default-container2"]
    assert identities(engine) == before
    missing = docker("up", "--image", "registry.invalid/team/model:7", "--workers", 2, "--containers", 1, "--dry-run")
    assert would(missing)[:2] == ["pull the image registry.invalid/team/model:7", "replace berth-default-container1"]


def test_containers_are_confined(engine, docker):
    docker("up", "--workers", 1, "--containers", 1, "--memory", "256MiB", "--cpu-percent", 50, "--pids", 64)
    worker = engine.get(f"/containers/{engine.containers()['container1']['Id']}/json")
    queue = engine.get(f"/containers/{engine.containers(role='orchestrator')['orchestrator']['Id']}/json")
    host = worker["HostConfig"]
    assert (host["Memory"], host["MemorySwap"], host["NanoCpus"], host["PidsLimit"]) == (
        256 << 20, 256 << 20, 500_000_000, 64)
    for one in (worker, queue):
        assert one["HostConfig"]["ReadonlyRootfs"] is True
        assert one["HostConfig"]["CapDrop"] == ["ALL"] and not one["HostConfig"]["CapAdd"]
        assert one["HostConfig"]["SecurityOpt"] == ["no-new-privileges"]
        assert one["HostConfig"]["RestartPolicy"]["Name"] == "unless-stopped"
        assert not one["HostConfig"]["Privileged"] and not one["HostConfig"]["Binds"]
        assert one["Config"]["User"] == "65532:65532"
    assert {mount["Destination"]: (mount["Type"], mount["RW"]) for mount in queue["Mounts"]} == {
        "/var/lib/berth": ("volume", True), "/run/berth": ("volume", False)}
    assert {mount["Destination"]: mount["Type"] for mount in worker["Mounts"]} == {"/run/berth": "volume"}
    assert not worker["HostConfig"]["PortBindings"]


def test_status(engine, docker):
    assert docker("status").returncode == 1
    front = front_of(docker("up", "--workers", 2, "--containers", 1, "--name", "blue"))
    table = docker("status", "--name", "blue")
    assert table.returncode == 0
    assert re.search(r"^orchestrator +- +\S+, port %s +Up " % front.rpartition(":")[2], table.stdout, re.MULTILINE)
    assert re.search(r"^container2 +worker2 +\S+ +Up ", table.stdout, re.MULTILINE)
    report = json.loads(docker("status", "--name", "blue", "--json").stdout)
    assert [(c["role"], c["number"], c["worker"], c["state"]) for c in report["containers"]] == [
        ("orchestrator", 0, 0, "running"), ("container", 1, 1, "running"), ("container", 2, 2, "running")]


def test_a_fleet_that_is_described_by_a_file(engine, docker, tmp_path):
    (tmp_path / "berth.yaml").write_text("""
listen: 127.0.0.1:0
trusted_proxies: [10.0.0.0/8]
pools:
  - {name: spam, match: {path_prefix: /spam/}, queue: {max: 7}}
  - {name: other, containers: ["10.9.9.9:80"]}
fleet: {name: filed, on: docker, workers: 1, containers: 1}
""")
    result = engine.berth("up", "--model", MODEL[1], env={}, cwd=tmp_path)
    try:
        assert result.returncode == 0, result.stderr
        queue = engine.containers("filed", "orchestrator")["orchestrator"]["Id"]
        status, answer = engine.request("POST", f"/containers/{queue}/exec", {
            "Cmd": ["/usr/bin/berth", "status", "--json", "--admin", "127.0.0.1:9091"], "AttachStdout": True})
        assert status == 201
        _, text = engine.request("POST", f"/exec/{answer['Id']}/start", {"Detach": False, "Tty": True})
        pools = {pool["name"]: pool for pool in (text if isinstance(text, dict) else json.loads(text))["pools"]}
        assert pools["spam"]["queue"]["max"] == 7
        assert [c["worker"] for c in pools["spam"]["containers"]] == ["worker1"]
        assert [c["ip"] for c in pools["other"]["containers"]] == ["10.9.9.9"]
    finally:
        down = engine.berth("down", cwd=tmp_path)
    assert "removed 1 container, the orchestrator" in down.stdout
    assert engine.left_of("filed") == []


# ---- how requests get to the containers ----


def by_socket_and_by_tcp(engine, fleet="default", pid=None):
    """The numbers of connections that an orchestrator, the fleet's container or this process, has to port 5000 and to
    sockets in /run/berth."""
    if pid is None:
        pid = engine.get(f"/containers/berth-{fleet}-orchestrator/json")["State"]["Pid"]
    net = pathlib.Path("/proc", str(pid), "net")  # where the kernel lists both: by who has connected
    return (len(re.findall(r" 03 +\d+ /run/berth/container\d+\.sock$", (net / "unix").read_text(), re.MULTILINE)),
            len(re.findall(r"^ +\d+: [0-9A-F]+:[0-9A-F]{4} [0-9A-F]+:1388 01 ", (net / "tcp").read_text(), re.MULTILINE)))


def test_containers_are_reached_by_sockets_again_after_a_kill_and_by_tcp_when_that_is_set(engine, docker, environment):
    front = front_of(docker("up", "--workers", 2, "--containers", 1))
    load(engine, front, environment, "--requests", 20, "--clients", 2)
    assert by_socket_and_by_tcp(engine) == (2, 0)
    engine.post(f"/containers/{engine.containers()['container1']['Id']}/kill")  # its socket's file stays
    wait_until(lambda: engine.readyz(front)["up"] == 1, "the killed container is down")
    engine.post(f"/containers/{engine.containers()['container1']['Id']}/start")
    wait_until_up(engine, front, 2)
    load(engine, front, environment, "--requests", 20, "--clients", 2)
    assert by_socket_and_by_tcp(engine) == (2, 0)
    assert front_of(docker("up", "--workers", 2, "--containers", 1, "--sockets", "off", "--listen", front, *MODEL)) == front
    load(engine, front, environment, "--requests", 20, "--clients", 2)
    assert by_socket_and_by_tcp(engine) == (0, 2)


# ---- the orchestrator on the host ----

HOST = ("up", "--on", "docker", "--orchestrator", "host", "--name", "host", "--containers", 1, "--listen", "127.0.0.1:0",
        "--admin", "127.0.0.1:0", *MODEL)


@pytest.fixture
def host(engine, docker, environment, tmp_path, started):
    """host(workers) starts a fleet whose orchestrator is a process beside the test: (it, its front)."""
    def start(workers):
        berth = engine.program(BUILD / "berth", *HOST, "--workers", workers, env=environment, cwd=tmp_path)
        started.append(berth)
        docker("status", "--name", "host")  # so that it is taken down in the end
        berth.start()
        front = re.search(r"listening on http://(\S+?),", berth.wait_for(r"^berth: listening on .*", START_PATIENCE)[0])[1]
        wait_until_up(engine, front, workers)
        return berth, front
    return start


def test_an_orchestrator_of_the_host_is_resized_by_another_berth_up_while_requests_run(engine, docker, environment, host):
    berth, front = host(2)
    assert engine.containers("host", "orchestrator") == {}
    load(engine, front, environment, "--requests", 20, "--clients", 2)  # connections that have never answered are not kept
    runtime = pathlib.Path(environment["XDG_RUNTIME_DIR"], "berth", "host.json")
    assert by_socket_and_by_tcp(engine, pid=json.loads(runtime.read_text())["pid"]) == (2, 0)
    before = identities(engine, "host")
    traffic = engine.program(BUILD / "berth", "load", "--url", f"http://{front}/run_model", "--sync", "--requests", 4000,
                             "--clients", 8, env=environment).start()
    again = engine.berth(*HOST, "--workers", 3, env=environment)
    assert front_of(again) == front and "3/3 containers ready\n" in again.stdout
    assert engine.readyz(front)["up"] == 3
    assert front_of(engine.berth(*HOST, "--workers", 1, env=environment)) == front
    assert traffic.wait(START_PATIENCE) == 0, traffic.output
    assert identities(engine, "host") == {"container1": before["container1"]}
    assert re.search(r"^container1 +worker1 .* free ",
                     engine.berth("status", "--name", "host", env=environment).stdout, re.MULTILINE)
    inside = docker("up", "--name", "host", "--workers", 1)
    assert inside.returncode == 2
    assert re.fullmatch(r'berth up: the queue of the fleet "host" runs here as process \d+: --orchestrator host changes it, '
                        r"berth down --name host ends it\n", inside.stderr)
    berth.signal(signal.SIGTERM)
    assert berth.wait() == 0
    assert list(engine.containers("host")) == ["container1"]


def test_down_ends_an_orchestrator_of_the_host_and_leaves_nothing(engine, docker, environment, host):
    berth, _ = host(1)
    runtime = pathlib.Path(environment["XDG_RUNTIME_DIR"], "berth")
    assert sorted(os.listdir(runtime)) == ["host.containers", "host.docker", "host.json"]
    down = docker("down", "--name", "host")
    assert down.stdout == 'berth: the fleet "host" is down: removed 1 container, the orchestrator, the network\n'
    assert berth.wait() == 0
    assert engine.left_of("host") == [] and os.listdir(runtime) == []


# ---- what another berth serve can see of it ----


def test_a_source_follows_the_engines_events(engine, docker, environment, tmp_path, started):
    front_of(docker("up", "--name", "seen", "--workers", 2, "--containers", 1))
    berth = engine.program(BUILD / "berth", "serve", "--listen", "127.0.0.1:0", "--admin", "off", "--containers",
                           "docker:fleet=seen", env=environment, cwd=tmp_path)
    started.append(berth)
    berth.start()
    front = re.search(r"listening on http://(\S+?),", berth.wait_for(r"^berth: listening on .*", START_PATIENCE)[0])[1]
    wait_until_up(engine, front, 2)
    one = engine.containers("seen")["container1"]["Id"]
    engine.post(f"/containers/{one}/kill")
    wait_until(lambda: engine.readyz(front)["containers"] == 1, "the killed container has left")
    engine.post(f"/containers/{one}/start")
    wait_until_up(engine, front, 2)


# ---- an image of one's own ----

SERVER = r"""
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int main(void)
{
	static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\nmine";
	struct sockaddr_in any = { .sin_family = AF_INET, .sin_port = htons(7000) };
	int one = 1, listener = socket(AF_INET, SOCK_STREAM, 0);
	char request[4096];
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	if (bind(listener, (struct sockaddr *)&any, sizeof any) || listen(listener, 64))
		return 1;
	for (;;) {
		int c = accept(listener, NULL, NULL);
		if (read(c, request, sizeof request) > 0)
			(void)!write(c, answer, sizeof answer - 1);
		shutdown(c, SHUT_WR);
		while (read(c, request, sizeof request) > 0)
			;
		close(c);
	}
}
"""


@pytest.fixture(scope="module")
def own_image(engine, tmp_path_factory):
    """An image that holds one static program, an HTTP server on port 7000, and nothing of Berth's."""
    directory = tmp_path_factory.mktemp("own")
    (directory / "server.c").write_text(SERVER)
    subprocess.run(["gcc", "-O1", "-static", "-o", directory / "server", directory / "server.c"], check=True)
    files = {"server": ((directory / "server").read_bytes(), 0o755)}
    engine.build("example.test/own:1", files, 'FROM scratch\nCOPY server /server\nCMD ["/server"]\n')
    engine.build("example.test/broken:1", files, 'FROM scratch\nCOPY server /server\nCMD ["/server-that-is-not"]\n')
    return "example.test/own:1"


def test_an_image_of_ones_own(engine, docker, own_image):
    front = front_of(docker("up", "--image", own_image, "--base-port", 7000, "--workers", 2, "--containers", 1))
    answer = engine.run("curl", "-s", f"http://{front}/anything")
    assert answer.stdout == "mine"
    assert {one["Image"] for one in engine.containers().values()} == {own_image}
    assert engine.left_of().count("berth-default-sockets") == 0


def test_a_container_that_cannot_start_leaves_nothing(engine, docker, own_image):
    result = docker("up", "--image", "example.test/broken:1", "--base-port", 7000, "--workers", 1, "--containers", 1)
    assert result.returncode == 1
    assert result.stderr.startswith("berth up: berth-default-container1 cannot be started: ")
    assert "server-that-is-not" in result.stderr and result.stderr.count("\n") == 1
    assert engine.left_of() == []


def test_a_container_that_ends_by_itself_is_told_with_its_last_words(engine, docker, tmp_path):
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "model.onnx").write_bytes(b"no model")
    result = docker("up", "--model", tmp_path / "bad", "--workers", 1, "--containers", 1, "--listen", "127.0.0.1:0")
    assert result.returncode == 1
    assert re.fullmatch(r"berth up: berth-default-container1 does not stay up \(.*\): berth-worker: error: .*model\.onnx.*\n",
                        result.stderr)
    assert engine.left_of() == []


# ---- an image from a registry ----


@pytest.fixture
def registry(engine, tmp_path, started):
    """The address of a registry where the engine is."""
    if not shutil.which("docker-registry"):
        pytest.skip("docker-registry is missing (tools/setup --for test)")
    (tmp_path / "registry.yml").write_text(json.dumps({
        "version": 0.1, "storage": {"filesystem": {"rootdirectory": str(tmp_path / "registry")}},
        "http": {"addr": "127.0.0.1:0"}}))
    server = engine.program("docker-registry", "serve", tmp_path / "registry.yml")
    started.append(server)
    server.start()
    return server.wait_for(r"listening on (127\.0\.0\.1:\d+)")[1]


def test_an_image_is_pulled_from_a_registry_with_progress(engine, docker, environment, registry, tmp_path):
    (tmp_path / "server.c").write_text(SERVER)
    subprocess.run(["gcc", "-O1", "-static", "-o", tmp_path / "server", tmp_path / "server.c"], check=True)
    files = {"server": ((tmp_path / "server").read_bytes(), 0o755), "one": (os.urandom(100000), 0o644)}
    engine.build("example.test/layers:1", files, 'FROM scratch\nCOPY one /one\nCOPY server /server\nCMD ["/server"]\n')
    image = f"{registry}/team/layers:7"
    engine.push("example.test/layers:1", image)
    docker("status", "--name", "pulled")  # so that it is taken down in the end
    code, output = engine.on_terminal(BUILD / "berth", "up", "--on", "docker", "--name", "pulled", "--image", image,
                                      "--base-port", 7000, "--workers", 1, "--containers", 1, "--listen", "127.0.0.1:0",
                                      env=environment)
    assert code == 0, output
    assert f"pulling {image}: 2 of 2 layers" in output
    assert engine.containers("pulled")["container1"]["Image"] == image
    front = re.search(r"listening on http://(\S+?),", output)[1]
    assert engine.run("curl", "-s", f"http://{front}/anything").stdout == "mine"
    missing = docker("up", "--name", "missing", "--image", f"{registry}/team/layers:8", "--workers", 1)
    assert missing.returncode == 1
    assert "layers:8" in missing.stderr and "manifest unknown" in missing.stderr
    assert engine.left_of("missing") == []


# ---- what can go wrong ----


def test_images_that_cannot_be_had(engine, docker):
    result = docker("up", "--image", "registry.invalid/team/model:7", "--workers", 1)
    assert result.returncode == 1
    assert result.stderr.startswith(
        "berth up: the image registry.invalid/team/model:7 is not on the Docker Engine and cannot be pulled: ")
    assert result.stderr.count("\n") == 1
    assert engine.left_of() == []


def test_a_port_that_is_taken(engine, docker):
    front = front_of(docker("up", "--name", "first", "--workers", 1, "--containers", 1))
    result = docker("up", "--name", "second", "--workers", 1, "--containers", 1, "--listen", front, *MODEL)
    assert result.returncode == 1
    assert result.stderr.startswith("berth up: the orchestrator cannot be started: ")
    assert front in result.stderr and "listen" in result.stderr
    assert engine.left_of("second") == [] and len(engine.left_of("first")) == 5


def test_a_front_that_cannot_move_stays(engine, docker, environment):
    other = front_of(docker("up", "--name", "first", "--workers", 1, "--containers", 1))
    fleet = ("--workers", 1, "--containers", 1, *MODEL)
    front = front_of(docker("up", *fleet))
    assert front_of(docker("up", *fleet, "--listen", front)) == front  # a port that it has again when it starts again
    result = docker("up", *fleet, "--listen", other)
    assert result.returncode == 1
    assert re.fullmatch(r"berth up: the orchestrator cannot be started: .*: listen names another address; the orchestrator "
                        r"that was there runs on as it was\n", result.stderr)
    assert list(engine.containers(role="orchestrator")) == ["orchestrator"]
    wait_until_up(engine, front, 1)
    load(engine, front, environment, "--requests", 4, "--clients", 2)


def test_ctrl_c_removes_what_was_made(engine, docker, environment, tmp_path, started):
    berth = engine.program(BUILD / "berth", "up", "--on", "docker", "--name", "cut", "--workers", 3, "--listen",
                           "127.0.0.1:0", *MODEL, env=environment, cwd=tmp_path)
    started.append(berth)
    docker("status", "--name", "cut")
    berth.start()
    wait_until(lambda: engine.containers("cut"), "the first container", START_PATIENCE)
    berth.signal(signal.SIGINT)
    assert berth.wait(START_PATIENCE) == 1
    assert berth.output.count("berth up: ") == 1 and "interrupted" in berth.output
    assert engine.left_of("cut") == []


def test_an_undoing_that_fails_is_told_in_the_same_line(engine, docker, environment, started):
    refusing = Refusing(engine, lambda method, path: (
        (method == "DELETE" and "/volumes/" in path) or path.endswith("/start")))
    started.append(refusing)
    result = docker("up", "--name", "left", "--workers", 1, "--containers", 1, env=refusing.env)
    assert result.returncode == 1
    assert result.stderr == (
        "berth up: berth-left-container1 cannot be started: refused; not all that this run made is removed again (the volume "
        "cannot be removed: refused): berth down --on docker --name left goes on\n")
    assert engine.left_of("left") == ["berth-left-sockets"]


def test_a_first_look_that_fails_takes_nothing_away(engine, docker, environment, started):
    front_of(docker("up", "--workers", 1, "--containers", 2))
    before, left = identities(engine), sorted(engine.left_of())
    failures = []
    refusing = Refusing(engine, lambda method, path: "/networks?" in path and not failures.append(path)
                        and len(failures) == 1)
    started.append(refusing)
    result = docker("up", "--workers", 1, "--containers", 2, env=refusing.env)
    assert result.returncode == 1 and result.stderr == "berth up: what there is cannot be seen: refused; nothing was changed\n"
    assert failures and identities(engine) == before and sorted(engine.left_of()) == left


def test_one_run_at_a_time_changes_a_fleet(engine, docker, environment, tmp_path, started):
    first = engine.program(BUILD / "berth", "up", "--on", "docker", "--workers", 2, "--listen", "127.0.0.1:0", *MODEL,
                           env=environment, cwd=tmp_path)
    started.append(first)
    first.start()
    wait_until(lambda: engine.containers(), "the first container", START_PATIENCE)
    for command in ("up", "down"):
        second = docker(command)
        assert (second.returncode, second.stderr) == (2, (
            f'berth {command}: another berth up or down of the fleet "default" is under way on this machine: it is to end '
            "first\n"))
    assert first.wait(START_PATIENCE) == 0, first.output


def test_down_removes_each_network_of_its_name(engine, docker):
    front_of(docker("up", "--workers", 1, "--containers", 1))
    twin = {"Name": "berth-default", "Labels": {"berth.fleet": "default"}, "CheckDuplicate": False}
    engine.post("/networks/create", twin)
    assert len(engine.get("/networks?filters=%7B%22name%22%3A%5B%22berth-default%22%5D%7D")) == 2
    assert docker("status").returncode == 0
    assert docker("down").returncode == 0
    assert engine.left_of() == []


def test_a_fleet_with_a_container_that_does_not_run_is_changed_and_a_change_that_fails_taken_back(engine, docker, own_image):
    mine = ("--image", own_image, "--base-port", 7000, "--containers", 1)
    front_of(docker("up", *mine, "--workers", 3))
    engine.post(f"/containers/{engine.containers()['container2']['Id']}/stop?t=0")
    front_of(docker("up", *mine, "--workers", 3, "--memory", "640MiB"))
    assert {one["State"] for one in engine.containers().values()} == {"running"}
    engine.post(f"/containers/{engine.containers()['container3']['Id']}/stop?t=0")
    front_of(docker("up", *mine, "--workers", 2, "--memory", "640MiB"))
    assert sorted(engine.containers()) == ["container1", "container2"]
    bad = docker("up", "--image", "example.test/broken:1", "--base-port", 7000, "--containers", 1, "--workers", 2)
    assert bad.returncode == 1
    assert sorted(one["Image"] for one in engine.containers().values()) == ["example.test/broken:1", own_image]
    front_of(docker("up", *mine, "--workers", 2))
    assert {one["Image"] for one in engine.containers().values()} == {own_image}


def test_a_front_whose_files_were_not_written_is_made_anew(engine, docker, environment, started):
    fleet = ("--workers", 1, "--containers", 1)
    front_of(docker("up", *fleet, "--queue-max", 7))
    refusing = Refusing(engine, lambda method, path: method == "PUT")
    started.append(refusing)
    failed = docker("up", *fleet, "--queue-max", 9, env=refusing.env)
    assert failed.returncode == 1
    front_of(docker("up", *fleet, "--queue-max", 9))
    one = engine.containers(role="orchestrator")["orchestrator"]["Id"]
    status, tarball = engine.request("GET", f"/containers/{one}/archive?path=/var/lib/berth/berth.yaml")
    assert status == 200 and re.search(r'"max": "9"', tarball), tarball


def test_the_only_workers_containers_take_turns(engine, docker, environment):
    front = front_of(docker("up", "--workers", 1, "--containers", 2))
    traffic = engine.program(BUILD / "berth", "load", "--url", f"http://{front}/run_model", "--sync", "--requests", 4000,
                             "--clients", 4, env=environment).start()
    front_of(docker("up", "--workers", 1, "--containers", 2, "--memory", "640MiB"))
    assert traffic.wait(START_PATIENCE) == 0, traffic.output


def test_an_orchestrator_that_moves_to_the_host_finishes_what_it_has(engine, docker, environment, started, tmp_path):
    slow = ("--workers", 1, "--containers", 1, "--delay-ms", 300)
    front = front_of(docker("up", *slow))
    traffic = engine.program(BUILD / "berth", "load", "--url", f"http://{front}/run_model", "--sync", "--requests", 8,
                             "--clients", 8, env=environment).start()
    wait_until(lambda: "waiting" in engine.run("curl", "-s", f"http://{front}/berth/queue").stdout, "a queue")
    moved = engine.program(BUILD / "berth", "up", "--on", "docker", "--orchestrator", "host", "--listen", "127.0.0.1:0",
                           *MODEL, *slow, env=environment, cwd=tmp_path)
    started.append(moved)
    moved.start()
    moved.wait_for(r"^berth: listening on .*", START_PATIENCE)
    assert traffic.wait(START_PATIENCE) == 0, traffic.output


def test_a_network_of_somebody_else_is_not_touched(engine, docker):
    engine.post("/networks/create", {"Name": "berth-theirs"})
    try:
        for command in ("up", "down"):
            result = docker(command, "--name", "theirs")
            assert result.returncode == 1
            assert "there is a network called berth-theirs that is not this fleet's" in result.stderr
    finally:
        engine.request("DELETE", "/networks/berth-theirs")


@pytest.mark.parametrize("host, words", [
    ("unix:///nowhere/docker.sock", "no Docker Engine at /nowhere/docker.sock: No such file or directory"),
    ("tcp://127.0.0.1:1", "no Docker Engine at 127.0.0.1:1: Connection refused"),
    ("ssh://root@example.test", 'DOCKER_HOST: expected unix:///PATH or tcp://HOST:PORT, found "ssh://root@example.test"'),
    ("tcp://", 'DOCKER_HOST: expected unix:///PATH or tcp://HOST:PORT, found "tcp://"'),
])
def test_engines_that_are_not_there(run, environment, host, words):
    environment["DOCKER_HOST"] = host
    for command in ("up", "status", "down"):
        result = run(command, "--on", "docker")
        assert result.returncode == 2, result.stderr
        assert words in result.stderr and result.stderr.count("\n") == 1


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become somebody else")
def test_a_socket_that_is_not_permitted(engine, environment, tmp_path):
    socket = f"{engine.path}/docker.sock"
    for directory in (engine.directory, engine.path):
        os.chmod(directory, 0o755)
    result = subprocess.run([BUILD / "berth", "down", "--on", "docker"], cwd="/", user="nobody", text=True,
                            capture_output=True, check=False,
                            env={**os.environ, "DOCKER_HOST": f"unix://{socket}", "XDG_RUNTIME_DIR": "/nonexistent"})
    assert result.returncode == 2
    assert result.stderr == (f"berth down: {socket}: Permission denied: the Docker Engine's socket is open to root and the "
                             "group docker\n")


@pytest.mark.parametrize("flags, words", [
    (["--base-port", "0"], "fleet.base_port: on Docker, the kernel cannot choose it"),
    (["--listen", "unix:/tmp/front.sock"], "listen: the orchestrator's container has up to 16 addresses"),
    (["--image", "two words"], '--image: "two words" is no name of an image'),
    (["--memory", "1"], '--memory: expected 16MiB to 16TiB, found "1"'),
])
def test_settings_that_mean_nothing_on_docker(run, flags, words):
    result = run("up", "--on", "docker", *flags)
    assert result.returncode == 2
    assert words in result.stderr and result.stderr.count("\n") == 1
