"""The start-up scripts for real: run by bash beside a Docker Engine, a metadata service that gives keys which may do what the
machine's role may, and S3, until the front answers with what the containers say."""

import json
import os
import re
import shutil
import subprocess

import pytest

import aws
from berth import Program, wait_until

PATIENCE = 300
ECR = f"123456789012.dkr.ecr.{aws.REGION}.amazonaws.com"
LOGIN = {"username": "AWS", "password": "123456789012-auth-token"}  # that moto gives
HTPASSWD = "AWS:$2b$04$WlnLPMuobQfSalv3.lrNzeF0IF6RHDbPSQ6.REQuTMU.F8Hh2hBfu\n"

pytestmark = pytest.mark.skipif(os.environ.get("BERTH_TESTS") != "all", reason="takes minutes: BERTH_TESTS=all, make test-rest")


@pytest.fixture(autouse=True)
def no_containers_are_left(engine):
    yield
    engine.remove_containers()


@pytest.fixture(scope="module")
def namespace(engine):
    with open(os.path.join(engine.path, "netns"), encoding="utf-8") as file:
        it = aws.Namespace(file.read().strip())
    it.add_address("169.254.169.254")
    return it


class Machine:
    """Runs an instance's script as the instance would, its files in a directory of the test's."""

    def __init__(self, cluster, instance, engine, namespace, directory, registry=None):
        self.namespace = namespace
        directory.mkdir()
        for ip in (instance["PrivateIpAddress"], instance["PublicIpAddress"]):
            namespace.add_address(ip)
        script = cluster.user_data(instance)
        for path in ("/etc/berth", "/var/lib/berth", "/etc/sysctl.d", "/var/tmp"):
            (directory / path.strip("/")).mkdir(parents=True)
            script = script.replace(path, f"{directory}{path}")
        # The configuration and the workers are read within the container, where the paths are the usual ones.
        script = script.replace(f"seed={directory}", "seed=").replace(f"{directory}/var/lib/berth/status", "/var/lib/berth/status")
        script = re.sub(rf"-v (\S+):{re.escape(str(directory))}", r"-v \1:", script)
        script = script.replace(f"TMPDIR={directory}", "TMPDIR=").replace(f"--config {directory}", "--config ")
        # Here the metadata service has port 80 of an address of this machine, so the front takes but one.
        script = script.replace('"[::]:80"', f'"{instance["PublicIpAddress"]}:80"')
        script = script.replace("http://127.0.0.1:80/", f"http://{instance['PublicIpAddress']}:80/")
        if registry:
            script = script.replace(ECR, registry)
        (directory / "script").write_text(script)
        self.program = Program(*namespace.command("bash", directory / "script"), env=engine.env, cwd=directory)

    def start(self):
        """To the end of its script."""
        self.program.start()
        code = self.program.wait(PATIENCE)
        assert code == 0, self.program.output


def keys_of_role(cloud, cluster, role):
    """A session with the policy that the role has. moto lets no service take a role on, so it is another role."""
    policy = cloud.call("iam", "get_role_policy", RoleName=f"berth-{cluster.name}-{aws.REGION}-{role}", PolicyName="berth")
    trust = {"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"AWS": "*"}}]}
    name = f"machine-{cluster.name}-{role}"
    arn = cloud.call("iam", "create_role", RoleName=name, AssumeRolePolicyDocument=json.dumps(trust))["Role"]["Arn"]
    cloud.call("iam", "put_role_policy", RoleName=name, PolicyName="it", PolicyDocument=json.dumps(policy["PolicyDocument"]))
    keys = cloud.call("sts", "assume_role", RoleArn=arn, RoleSessionName="machine")["Credentials"]
    return {"id": keys["AccessKeyId"], "secret": keys["SecretAccessKey"], "token": keys["SessionToken"]}


def is_healthy(engine, container):
    """What the health check of a container says now; by itself it runs each half a minute."""
    word, *command = engine.get(f"/containers/{container}/json")["Config"]["Healthcheck"]["Test"]
    assert word == "CMD"
    made = engine.post(f"/containers/{container}/exec", {"Cmd": command, "AttachStdout": True, "AttachStderr": True})
    engine.post(f"/exec/{made['Id']}/start", {"Detach": False})
    return engine.get(f"/exec/{made['Id']}/json")["ExitCode"] == 0


def test_scripts_start_a_fleet(cloud, engine, namespace, environment, tmp_path):
    proxy = aws.Proxy(cloud, namespace)
    operator = aws.Operator(cloud, "real", tmp_path, environment, proxy.endpoint, image=None)
    operator.environment["AWS_ENDPOINT_URL_EC2"] = proxy.endpoint
    cluster = operator.cluster
    operator.flags.remove("--no-wait")
    process = operator.start_up("--workers", 1, namespace=namespace)
    wait_until(lambda: cluster.of_role("orchestrator"), "the orchestrator", 120)
    (worker,), (front,) = cluster.workers(), cluster.of_role("orchestrator")

    service = aws.Metadata(keys_of_role(cloud, cluster, "worker"), namespace, 80)
    Machine(cluster, worker, engine, namespace, tmp_path / "worker").start()
    service.keys = keys_of_role(cloud, cluster, "orchestrator")
    Machine(cluster, front, engine, namespace, tmp_path / "orchestrator").start()

    out, err = process.communicate(timeout=PATIENCE)
    host = front["PublicIpAddress"]
    assert process.returncode == 0 and f"is up at http://{host}\n" in out, out + err
    status, body = namespace.connect(host, "POST", "/run_model", b"You have won a prize, click here")
    assert status == 200 and json.loads(body), body
    assert is_healthy(engine, "berth") and is_healthy(engine, "berth-worker-0")
    for one in engine.get("/containers/json"):
        settings = engine.get(f"/containers/{one['Id']}/json")
        assert settings["HostConfig"]["ReadonlyRootfs"] and settings["HostConfig"]["CapDrop"] == ["ALL"]
        assert settings["Config"]["User"] == "65532:65532"
    service.stop()
    proxy.stop()


@pytest.fixture
def registry(engine, tmp_path, started):
    """The address of a registry that lets in nobody but those whom ECR's tokens are for."""
    if not shutil.which("docker-registry"):
        pytest.skip("docker-registry is missing (tools/setup --for test)")
    (tmp_path / "htpasswd").write_text(HTPASSWD)
    (tmp_path / "registry.yml").write_text(json.dumps({
        "version": 0.1, "storage": {"filesystem": {"rootdirectory": str(tmp_path / "registry")}},
        "http": {"addr": "127.0.0.1:0"}, "auth": {"htpasswd": {"realm": "ecr", "path": str(tmp_path / "htpasswd")}}}))
    server = engine.program("docker-registry", "serve", tmp_path / "registry.yml")
    started.append(server)
    server.start()
    return server.wait_for(r"listening on (127\.0\.0\.1:\d+)")[1]


def test_an_image_of_a_private_registry_is_pulled_with_the_role_of_the_machine(cloud, engine, namespace, environment, registry,
                                                                               started, tmp_path):
    (tmp_path / "wait.c").write_text("#include <unistd.h>\nint main(void) { for (;;) pause(); }\n")
    subprocess.run(["gcc", "-static", "-o", tmp_path / "wait", tmp_path / "wait.c"], check=True)
    engine.build("example.test/waits:1", {"wait": ((tmp_path / "wait").read_bytes(), 0o755)},
                 'FROM scratch\nCOPY wait /wait\nCMD ["/wait"]\n')
    engine.push("example.test/waits:1", f"{registry}/team/waits:7", LOGIN)
    assert engine.request("POST", f"/images/create?fromImage={registry}/team/waits&tag=7")[0] >= 400  # not without a login

    proxy = aws.Proxy(cloud, namespace)
    started.append(proxy)
    operator = aws.Operator(cloud, "private", tmp_path, environment, proxy.endpoint, image=f"{ECR}/team/waits:7")
    process = operator.start_up("--workers", 1, namespace=namespace)
    out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, out + err
    (worker,) = operator.cluster.workers()
    policy = cloud.call("iam", "get_role_policy", RoleName=f"berth-private-{aws.REGION}-worker", PolicyName="berth")
    assert {"Effect": "Allow", "Action": ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"],
            "Resource": f"arn:aws:ecr:{aws.REGION}:123456789012:repository/team/waits"} in policy["PolicyDocument"]["Statement"]

    service = aws.Metadata(keys_of_role(cloud, operator.cluster, "worker"), namespace, 80)
    started.append(service)
    Machine(operator.cluster, worker, engine, namespace, tmp_path / "worker", registry).start()
    assert {one["Image"] for one in engine.get("/containers/json")} == {f"{registry}/team/waits:7"}
