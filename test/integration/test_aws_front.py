"""berth up --on aws waits until the front says that all is ready: the machines are processes in a network namespace with the
addresses that moto gives, the orchestrator runs with the configuration out of its start-up script, and finds the workers by
their tags."""

import json
import os
import re
import shutil
import subprocess
import threading

import pytest

import aws
from berth import BUILD, ROOT, Program, wait_until

MAY_ONLY_LOOK = {"Version": "2012-10-17", "Statement": [
    {"Effect": "Allow", "Action": "ec2:DescribeInstances", "Resource": "*"}]}
DELAY_MS = 3000


class Machines:
    """Plays the instances of a cluster: whatever moto starts gets its address and its processes."""

    def __init__(self, cloud, operator, namespace, started, directory):
        self.cloud, self.operator, self.namespace, self.started, self.directory = (
            cloud, operator, namespace, started, directory / "machine")
        self.directory.mkdir()
        self.addresses = {}
        self.processes = {}

    def give_address(self, instance):
        for ip in (instance["PrivateIpAddress"], instance["PublicIpAddress"]):
            if ip not in self.addresses:
                self.namespace.add_address(ip)
                self.addresses[ip] = instance["InstanceId"]

    def _start(self, instance, *words, env):
        program = Program(*self.namespace.command(*words), env=env, cwd=self.directory).start()
        self.started.append(program)
        self.processes.setdefault(instance["InstanceId"], []).append(program)

    def start_worker(self, instance):
        self.give_address(instance)
        script = self.operator.cluster.user_data(instance)
        assert "for i in $(seq 0 1)" in script
        for port in (5000, 5001):
            self._start(instance, BUILD / "berth-worker", "--model", ROOT / "models" / "spam", "--delay-ms", DELAY_MS,
                        "--listen", f"{instance['PrivateIpAddress']}:{port}", env=self.operator.environment)

    def start_orchestrator(self, instance):
        """With keys that may do no more than its role."""
        self.give_address(instance)
        script = self.operator.cluster.user_data(instance)
        keys = self.cloud.make_user("front-" + self.operator.cluster.name, MAY_ONLY_LOOK)
        for name in ("berth.yaml", "workers"):
            text = re.search(rf">/etc/berth/{name} <<'(\S+)'\n(.*?)^\1$", script, re.DOTALL | re.MULTILINE)[2]
            text = text.replace("/etc/berth", str(self.directory)).replace("/var/lib/berth", str(self.directory))
            (self.directory / name).write_text(text)
        self._start(instance, BUILD / "berth", "serve", "--config", self.directory / "berth.yaml",
                    env={**self.operator.environment, "AWS_ACCESS_KEY_ID": keys["id"], "AWS_SECRET_ACCESS_KEY": keys["secret"]})

    def end(self, instance):
        self.cloud.call("ec2", "terminate_instances", InstanceIds=[instance["InstanceId"]])
        for program in self.processes.pop(instance["InstanceId"]):
            program.process.kill()
            program.wait()


@pytest.fixture
def namespace():
    if os.geteuid() != 0 or not shutil.which("ip") or not shutil.which("nsenter"):
        pytest.skip("a network namespace needs root, ip and nsenter")
    it = aws.Namespace()
    yield it
    it.remove()


@pytest.fixture
def machines(cloud, namespace, started, environment, tmp_path):
    proxy = aws.Proxy(cloud, namespace)
    operator = aws.Operator(cloud, "front", tmp_path, environment, proxy.endpoint)
    operator.flags.remove("--no-wait")
    operator.proxy = proxy
    yield Machines(cloud, operator, namespace, started, tmp_path)
    proxy.stop()


def finish(process, code=0):
    out, err = process.communicate(timeout=120)
    assert process.returncode == code, out + err
    return out


def test_up_waits_for_the_front(machines, namespace):
    operator, cluster = machines.operator, machines.operator.cluster

    def up(*more):
        return operator.start_up("--workers", 2, *more, namespace=namespace)

    process = up()
    wait_until(lambda: operator.proxy.times("RunInstances") == 3, "the instances", 60)
    (front,) = wait_until(lambda: cluster.of_role("orchestrator"), "the orchestrator")
    host = front["PublicIpAddress"]
    workers = cluster.workers()
    machines.start_orchestrator(front)
    machines.start_worker(workers[0])
    wait_until(lambda: machines.namespace.counts(host).get("up") == 2, "the first worker", 60)
    assert process.poll() is None, "the second worker is not up yet"
    machines.start_worker(workers[1])
    assert f'is up at http://{host}\n' in finish(process)
    assert machines.namespace.connect(host, "POST", "/run_model", b"you have won a prize")[0] == 200

    operator.proxy.forget()
    assert "all is as it shall be" in finish(up()) and not operator.proxy.changes

    lost = cluster.workers()[0]
    machines.end(lost)
    operator.proxy.forget()
    process = up()
    wait_until(lambda: operator.proxy.times("RunInstances") == 1, "the successor", 60)
    (new,) = [i for i in cluster.workers() if aws.tags(i)["berth:generation"] == "2"]
    assert process.poll() is None, "its containers are not up yet"
    machines.start_worker(new)
    finish(process)
    counts = machines.namespace.counts(host)
    assert (counts["containers"], counts["up"], counts["draining"]) == (4, 4, 0)
    assert sorted(g["containers"] for g in counts["generations"].values()) == [2, 2]

    check_that_draining_lets_requests_finish(machines, host)
    check_that_a_worker_that_serves_nothing_is_replaced(machines, host)
    down = subprocess.run(namespace.command(BUILD / "berth", "down", *operator.common), env={**os.environ, **operator.environment},
                          capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    assert down.returncode == 0 and not cluster.leftovers(), down.stderr


def check_that_draining_lets_requests_finish(machines, host):
    """Every container has a request when the fleet is made smaller: each is answered, and only then its worker ends."""
    events, answers = [], []
    operator = machines.operator

    def on_call(call, forward):
        if call.name in ("CreateTags", "TerminateInstances"):
            events.append(call.name)
        return forward()
    operator.proxy.on_call = on_call

    def ask():
        answers.append(machines.namespace.connect(host, "POST", "/run_model", b"hello")[0])
        events.append("answer")
    clients = [threading.Thread(target=ask) for _ in range(4)]
    process = machines.operator.start_up("--workers", 1, namespace=machines.namespace)
    wait_until(lambda: "CreateTags" in events, "the worker's tag", 60)
    for client in clients:
        client.start()
    finish(process)
    for client in clients:
        client.join()
    assert answers == [200] * 4
    assert "TerminateInstances" in events and len(operator.cluster.workers()) == 1


def check_that_a_worker_that_serves_nothing_is_replaced(machines, host):
    """Its containers are gone, and EC2 says that it runs: status and up's error tell which it is. Once it has run for longer
    than a start may take, up replaces it, and ends it when its successor is up."""
    operator, namespace, cluster = machines.operator, machines.namespace, machines.operator.cluster
    operator.proxy.on_call = lambda call, forward: forward()
    (broken,) = cluster.workers()
    who, number = broken["InstanceId"], aws.tags(broken)["berth:index"]
    for program in machines.processes.pop(who):
        program.process.kill()
        program.wait()
    wait_until(lambda: machines.namespace.counts(host)["up"] == 0, "its containers are down")

    def status(*more):
        return subprocess.run(namespace.command(BUILD / "berth", "status", *operator.common, *more), capture_output=True,
                              env={**os.environ, **operator.environment}, text=True, check=True).stdout
    (told,) = [i for i in json.loads(status("--json"))["instances"] if i["role"] == "worker"]
    assert (told["id"], told["containers"], told["up"]) == (who, 2, 0)
    text = status()
    assert re.search(rf"^worker {number} +{who} +running +0 of 2 up +t3", text, re.MULTILINE), text
    assert re.search(rf"^worker {number} \({who}\) has no container that is up .*berth up replaces it", text, re.MULTILINE), text

    def launched(year):
        def on_call(call, forward):
            code, body = forward()
            return code, re.sub(rb"<launchTime>[^<]*<", b"<launchTime>%d-01-01T00:00:00.000Z<" % year, body)
        return on_call
    operator.proxy.forget()
    operator.proxy.on_call = launched(2100)  # it is young
    process = operator.start_up("--workers", 1, "--ready-timeout", "1s", namespace=namespace)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1 and not operator.proxy.changes
    assert re.search(rf"^berth up: 0 of 2 containers are up after 1 s .*: worker {number} \({who}\) has 0 of 2; berth status", err), err

    operator.proxy.on_call = launched(2020)
    process = operator.start_up("--workers", 1, namespace=namespace)
    wait_until(lambda: operator.proxy.times("RunInstances") == 1, "the successor", 60)
    (new,) = [i for i in wait_until(lambda: len(cluster.workers()) == 2 and cluster.workers(), "both", 60)
              if i["InstanceId"] != who]
    assert not operator.proxy.times("TerminateInstances")
    machines.start_worker(new)
    assert f"worker {number} ({who}) runs, and none of its containers is up: it is replaced\n" in finish(process)
    assert [i["InstanceId"] for i in cluster.workers()] == [new["InstanceId"]]


def test_a_front_that_does_not_answer_is_given_up(machines, namespace):
    operator = machines.operator
    process = operator.start_up("--workers", 1, "--ready-timeout", "2s", namespace=namespace)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 1
    assert re.search(r"the front at http://\S+ has not answered within .*--admin-cidr.*--no-wait.*removed again\n$", err), err
    assert not operator.cluster.leftovers()
