"""The start-up scripts for real: run by bash beside a Docker Engine, a metadata service that gives keys which may do what the
machine's role may, and S3, until the front answers with what the containers say."""

import json
import os
import re

import pytest

import aws
from berth import Program, wait_until
from engine import Engine

PATIENCE = 300

pytestmark = pytest.mark.skipif(os.environ.get("BERTH_TESTS") != "all", reason="takes minutes: BERTH_TESTS=all, make test-rest")


@pytest.fixture(scope="module")
def engine():
    it = Engine()
    if it.trouble:
        it.stop()
        pytest.skip(it.trouble)
    yield it
    for one in it.get("/containers/json?all=true"):  # or their files would be in use
        it.request("DELETE", f"/containers/{one['Id']}?force=true")
    it.stop()


@pytest.fixture
def namespace(engine):
    with open(os.path.join(engine.path, "netns"), encoding="utf-8") as file:
        it = aws.Namespace(file.read().strip())
    it.add_address("169.254.169.254")
    return it


class Machine:
    """Runs an instance's script as the instance would, its files in a directory of the test's."""

    def __init__(self, cluster, instance, engine, namespace, directory):
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
    name = f"machine-{role}"
    arn = cloud.call("iam", "create_role", RoleName=name, AssumeRolePolicyDocument=json.dumps(trust))["Role"]["Arn"]
    cloud.call("iam", "put_role_policy", RoleName=name, PolicyName="it", PolicyDocument=json.dumps(policy["PolicyDocument"]))
    keys = cloud.call("sts", "assume_role", RoleArn=arn, RoleSessionName="machine")["Credentials"]
    return {"id": keys["AccessKeyId"], "secret": keys["SecretAccessKey"], "token": keys["SessionToken"]}


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
    for one in engine.get("/containers/json"):
        settings = engine.get(f"/containers/{one['Id']}/json")
        assert settings["HostConfig"]["ReadonlyRootfs"] and settings["HostConfig"]["CapDrop"] == ["ALL"]
        assert settings["Config"]["User"] == "65532:65532"
    service.stop()
    proxy.stop()
