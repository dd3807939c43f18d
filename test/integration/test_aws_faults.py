"""What AWS does now and then, at every call of a fleet's life in turn: however it fails, `berth up` ends with the whole
fleet or with nothing, and `berth down` leaves nothing.

The calls are learnt from a life without a fault. Each gets one kind of fault, by rotation; with BERTH_TESTS=all each gets
each kind, one a life.
"""

import concurrent.futures
import os
import re
import subprocess

import pytest

import aws

ALL = os.environ.get("BERTH_TESTS") == "all"
AT_ONCE = 3  # lives side by side, each with a fleet of its own
PER_LIFE = 5  # faults that pass by themselves in one life, but with BERTH_TESTS=all


def throttle(call, forward):
    if call.service == "s3":
        return aws.error("s3", "SlowDown", "Please reduce your request rate.", 503)
    return aws.error(call.service, "RequestLimitExceeded" if call.service == "ec2" else "Throttling", "Rate exceeded", 400)


def trouble(call, forward):
    return aws.error(call.service, "InternalError", "An internal error has occurred", 500)


def never_arrives(call, forward):
    return None


def loses_the_answer(call, forward):
    forward()
    return None


def answers_nonsense(call, forward):
    return 200, b"<html><body>Welcome to the hotel's network</body></html>"


def denies(call, forward):
    return aws.error(call.service, "AccessDenied", "You are not authorized", 403)


def acts_and_denies(call, forward):
    forward()
    return denies(call, forward)


PASSING = [throttle, trouble, never_arrives, loses_the_answer, answers_nonsense]
LASTING = [denies, acts_and_denies]
KINDS = [throttle, loses_the_answer, denies, trouble, never_arrives, acts_and_denies, answers_nonsense]


class Life:
    """A fleet's life from up to down through a proxy of its own. faults: {(phase, name, number): kind}."""

    def __init__(self, cloud, name, directory, environment, faults=None):
        self.faults = faults or {}
        self.phase = "up"
        self.proxy = aws.Proxy(cloud)
        self.proxy.on_call = self._on_call
        directory.mkdir()
        self.operator = aws.Operator(cloud, name, directory, environment, self.proxy.endpoint)
        self.happened = []

    def _on_call(self, call, forward):
        kind = self.faults.get((self.phase, call.name, call.number))
        if not kind:
            return forward()
        self.happened.append(f"{self.phase}: {call} {kind.__name__}")
        return kind(call, forward)

    def up(self, *more):
        return self.operator.up("--workers", 2, "--containers", 1, *more)

    def down(self):
        self.phase = "down"
        self.proxy.forget()
        return self.operator.down()

    def is_complete(self):
        c = self.operator.cluster
        groups = c.groups().values()
        profiles = [c.cloud.call("iam", "get_instance_profile", InstanceProfileName=p)["InstanceProfile"] for p in c.profiles()]
        (bucket,) = c.buckets()
        return (len(c.workers()) == 2 and len(c.of_role("orchestrator")) == 1 and len(groups) == 2 and
                all(len(g["IpPermissions"]) == 1 for g in groups) and len(c.roles()) == 2 and
                [len(p["Roles"]) for p in profiles] == [1, 1] and len(c.objects(bucket)) == 1)

    def run(self):
        """None, or what went wrong."""
        try:
            return self._run()
        except subprocess.TimeoutExpired as error:
            return f"{self.happened}: no end: {error}"
        finally:
            self.proxy.stop()

    def _run(self):
        up = self.up()
        left = self.operator.cluster.leftovers()
        if up.returncode == 0 and not self.is_complete():
            return f"{self.happened}: up says that all is well, and there is only {left}"
        if up.returncode != 0 and left:
            return f"{self.happened}: up has failed and left {left}: {up.stderr}"
        if up.returncode != 0 and up.stderr.count("\n") != 1:
            return f"{self.happened}: not one line: {up.stderr}"
        lasting = any(kind in LASTING for (phase, *_), kind in self.faults.items() if phase == "up")
        if up.returncode != 0 and not lasting:
            return f"{self.happened}: up gave up: {up.stderr}"
        down = self.down()
        if down.returncode != 0:
            self.faults = {}
            down = self.down()
        left = self.operator.cluster.leftovers()
        if down.returncode != 0 or left:
            return f"{self.happened}: down leaves {left}: {down.stderr}"
        return None


@pytest.fixture(scope="module")
def learnt(cloud, tmp_path_factory):
    """The calls of a life without a fault: [(phase, name, number)]."""
    directory = tmp_path_factory.mktemp("learn") / "life"
    life = Life(cloud, "learn", directory, {})
    assert life.up().returncode == 0
    calls = [("up", call.name, call.number) for call in life.proxy.calls]
    assert life.down().returncode == 0
    calls += [("down", call.name, call.number) for call in life.proxy.calls]
    life.proxy.stop()
    return calls


def lives_by_rotation(calls):
    """Faults for each life: one of each call; those that pass by themselves several in one life."""
    chosen = [(call, KINDS[i % len(KINDS)]) for i, call in enumerate(calls)]
    passing = [(call, kind) for call, kind in chosen if kind in PASSING]
    lives = [dict(passing[i::-(-len(passing) // PER_LIFE)]) for i in range(-(-len(passing) // PER_LIFE))]
    lasting = {phase: [(call, kind) for call, kind in chosen if kind in LASTING and call[0] == phase] for phase in ("up", "down")}
    for i in range(max(len(l) for l in lasting.values())):  # one while it goes up, and one while it goes down
        lives.append(dict(lasting["up"][i:i + 1] + lasting["down"][i:i + 1]))
    return lives


def test_every_call_may_fail(cloud, learnt, environment, tmp_path):
    assert len(learnt) > 50
    lives = [{call: kind} for call in learnt for kind in KINDS] if ALL else lives_by_rotation(learnt)
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        found = pool.map(lambda i: Life(cloud, f"fault-{i}", tmp_path / f"life-{i}", environment, lives[i]).run(),
                         range(len(lives)))
        wrong = [text for text in found if text]
    assert not wrong, "\n".join(wrong)


# ---- what only some calls do ----

@pytest.fixture
def life(cloud, environment, tmp_path):
    made = []

    def make(name, on_call):
        one = Life(cloud, name, tmp_path / name, environment)
        one.proxy.on_call = on_call
        made.append(one)
        return one
    yield make
    for one in made:
        one.proxy.stop()


def check_life(one):
    wrong = one._run()
    assert not wrong, wrong


def test_instances_are_pending_for_a_while(life):
    seen = []

    def on_call(call, forward):
        status, body = forward()
        if call.name == "DescribeInstances" and b"<name>running</name>" in body and len(seen) < 2:
            seen.append(call)
            body = body.replace(b"<name>running</name>", b"<name>pending</name>")
        return status, body
    check_life(life("pending", on_call))
    assert len(seen) == 2


def test_instances_are_not_seen_at_first(life):
    """Between the call that makes them and the answers that tell of them."""
    hidden = []

    def on_call(call, forward):
        status, body = forward()
        if call.name == "DescribeInstances" and b"<instanceId>" in body and len(hidden) < 2:
            hidden.append(call)
            body = re.sub(rb"<reservationSet>.*</reservationSet>", b"<reservationSet/>", body, flags=re.DOTALL)
        return status, body
    check_life(life("hidden", on_call))
    assert len(hidden) == 2


@pytest.mark.parametrize("name, code, times", [
    ("TerminateInstances", "InvalidInstanceID.NotFound", 2),
    ("CreateTags", "InvalidInstanceID.NotFound", 1),
    ("DeleteSecurityGroup", "DependencyViolation", 3),
    ("AuthorizeSecurityGroupIngress", "InvalidGroup.NotFound", 1),
    ("AddRoleToInstanceProfile", "NoSuchEntity", 1),
    ("PutRolePolicy", "NoSuchEntity", 1),
    ("PutObject", "NoSuchBucket", 1),
    ("DeleteBucket", "BucketNotEmpty", 1),
    ("DeleteRole", "DeleteConflict", 1)])
def test_what_passes_by_itself_is_waited_out(life, name, code, times):
    refused = []

    def on_call(call, forward):
        if call.name == name and len(refused) < times:
            refused.append(call)
            return aws.error(call.service, code, "not yet", 400)
        return forward()
    one = life("passes-" + name.lower()[:20], on_call)
    assert one.up().returncode == 0
    assert one.up("--workers", 1).returncode == 0
    assert one.down().returncode == 0 and not one.operator.cluster.leftovers()
    assert len(refused) == times


def test_a_profile_that_ec2_does_not_know_yet(life):
    refused = []

    def on_call(call, forward):
        if call.name == "RunInstances" and len(refused) < 3:
            refused.append(call)
            return aws.error("ec2", "InvalidParameterValue", "Value (x) for parameter iamInstanceProfile.name is invalid. "
                             "Invalid IAM Instance Profile name", 400)
        return forward()
    check_life(life("profile", on_call))
    assert len(refused) == 3


def test_a_token_of_an_instance_that_has_ended(life):
    """EC2 remembers tokens longer than it tells of the instances."""
    tokens = []

    def on_call(call, forward):
        if call.name == "RunInstances" and len(tokens) < 2:
            tokens.append(call.form["ClientToken"])
            return aws.error("ec2", "IdempotentInstanceTerminated", "the instance has been terminated", 400)
        return forward()
    one = life("token", on_call)
    check_life(one)
    assert len(set(tokens)) == 2


def test_an_instance_that_ends_at_once(life):
    def on_call(call, forward):
        status, body = forward()
        if call.name == "DescribeInstances" and call.number > 1:
            body = body.replace(b"<name>running</name>", b"<name>terminated</name>", 1)
        return status, body
    one = life("ends", on_call)
    up = one.up()
    assert up.returncode == 1 and re.search(r"ended as soon as it had started: .*removed again", up.stderr), up.stderr
    one.proxy.on_call = lambda call, forward: forward()
    assert one.down().returncode == 0 and not one.operator.cluster.leftovers()
