"""What AWS does now and then, at every call of a fleet's life in turn: however it fails, the first `berth up` ends with the
whole fleet or with nothing, one that replaces it with the whole old one or the whole new one, and `berth down` leaves nothing.

The calls are learnt from a life without a fault. Each gets one kind of fault, by rotation; with BERTH_TESTS=all each gets
each kind; with BERTH_TESTS=alone, each kind has a life of its own.
"""

import collections
import concurrent.futures
import itertools
import json
import os
import re
import subprocess
import time

import pytest

import aws

EXTENT = os.environ.get("BERTH_TESTS")
AT_ONCE = 4  # lives side by side, each with a fleet of its own
PER_LIFE = 10  # faults that pass by themselves in one life
PER_CLOUD = 48  # lives, after which moto forgets what has ended: it looks at all of that at each call


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
PHASES = ["up", "change", "down"]
KINDS = [throttle, loses_the_answer, denies, trouble, never_arrives, acts_and_denies, answers_nonsense]


class Life:
    """A fleet's life through a proxy of its own: up, change (up with another specification, which replaces every instance
    and a rule), down. faults: {(phase, name, number): kind}."""

    def __init__(self, cloud, name, directory, environment, faults=None):
        self.faults = faults or {}
        self.phase = "up"
        self.proxy = aws.Proxy(cloud)
        self.proxy.on_call = self._on_call
        directory.mkdir()
        self.operator = aws.Operator(cloud, name, directory, environment, self.proxy.endpoint)
        self.happened = []  # what, in words
        self.struck = set()  # which of the faults

    def _on_call(self, call, forward):
        at = (self.phase, call.name, call.number)
        kind = self.faults.get(at)
        if not kind:
            return forward()
        self.struck.add(at)
        self.happened.append(f"{self.phase}: {call} {kind.__name__}")
        return kind(call, forward)

    def up(self, *more):
        return self.operator.up("--workers", 2, "--containers", 1, *more)

    def change(self):
        self._begin("change")
        return self.operator.up("--workers", 2, "--containers", 2)

    def down(self):
        self._begin("down")
        return self.operator.down()

    def _begin(self, phase):
        self.phase = phase
        self.proxy.forget()

    def serving(self):
        """What a fleet serves with: the instances that live, whether each drains, and the ports that the rules let in."""
        c = self.operator.cluster
        return ({i["InstanceId"]: aws.tags(i).get("berth:state") for i in c.instances()},
                sorted(rule["ToPort"] for g in c.groups().values() for rule in g["IpPermissions"]))

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
        wrong = self._look_at_up(up)
        self.faults = {at: kind for at, kind in self.faults.items() if at[0] != "up"}
        if not wrong and up.returncode != 0 and self.faults:
            self.happened.append("up again")
            wrong = self._look_at_up(self.up())
        if not wrong and self._faults_of("change"):
            wrong = self._look_at_change()
        return wrong or self._look_at_down(self.down())

    def _faults_of(self, phase):
        return {at: kind for at, kind in self.faults.items() if at[0] == phase}

    def _look_at_up(self, up):
        left = self.operator.cluster.leftovers()
        if up.returncode == 0 and not self.is_complete():
            return f"{self.happened}: up says that all is well, and there is only {left}"
        if up.returncode != 0 and left:
            return f"{self.happened}: up has failed and left {left}: {up.stderr}"
        if up.returncode != 0 and up.stderr.count("\n") != 1:
            return f"{self.happened}: not one line: {up.stderr}"
        lasting = any(kind in LASTING for kind in self._faults_of("up").values())
        if up.returncode != 0 and not lasting:
            return f"{self.happened}: up gave up: {up.stderr}"
        return None

    def _look_at_change(self):
        before, change = self.serving(), self.change()
        after, complete = self.serving(), self.is_complete()
        new = set(after[0]) - set(before[0])
        if change.returncode == 0:
            whole = complete and len(new) == 3
        else:
            whole = len(new) == 3 if "what is new stays" in change.stderr else after == before
        if not whole or change.stderr.count("\n") > 1:
            return f"{self.happened}: before a change there was {before}, then {after}: {change.stderr}"
        lasting = any(kind in LASTING for kind in self._faults_of("change").values())
        if change.returncode != 0 and not lasting:
            return f"{self.happened}: change gave up: {change.stderr}"
        self.faults = self._faults_of("down")
        return None if change.returncode == 0 else self.look_at_change_again()

    def look_at_change_again(self):
        again = self.change()
        if again.returncode != 0 or not self.is_complete() or self.serving()[1] != [80, 5001]:
            return f"{self.happened}: a second change ends with {self.serving()}: {again.stderr}"
        return None

    def _look_at_down(self, down):
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
    calls = []
    for phase in (life.up, life.change, life.down):
        assert phase().returncode == 0
        calls += [(life.phase, call.name, call.number) for call in life.proxy.calls]
    life.proxy.stop()
    return calls


def spread(faults, per_life):
    """Faults for each life, those of one life from all over the list: a call has but one of them at a time."""
    n = -(-len(faults) // per_life)
    return [dict(faults[i::n]) for i in range(n)]


def lives_with(faults):
    """Those that pass by themselves several in one life; the others one in each phase of it. Few lives have a change."""
    passing = [[fault for fault in faults if fault[1] in PASSING and (fault[0][0] == "change") == change]
               for change in (False, True)]
    lasting = [[fault for fault in faults if fault[1] in LASTING and fault[0][0] == phase] for phase in PHASES]
    return (spread(passing[0], PER_LIFE) + spread(passing[1], PER_LIFE) +
            [dict(filter(None, each)) for each in itertools.zip_longest(*lasting)])


def lives_to_lead(calls):
    each = [(call, kind) for call in calls for kind in KINDS]
    if EXTENT == "alone":
        return [dict([fault]) for fault in each]
    if EXTENT == "all":
        return lives_with(each)
    some = [call for call in calls if call[0] != "change" or not aws.READ_ONLY.match(call[1])]
    return lives_with([(call, KINDS[i % len(KINDS)]) for i, call in enumerate(some)])


def test_every_call_may_fail(cloud, learnt, environment, tmp_path):
    assert len(learnt) > 50
    lives = lives_to_lead(learnt)
    wrong, happened = [], 0

    def lead(i):
        life = Life(cloud, f"fault-{i}", tmp_path / f"life-{i}", environment, lives[i])
        return life.run(), len(life.struck)

    for first in range(0, len(lives), PER_CLOUD):
        cloud.reset()
        with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
            for text, struck in pool.map(lead, range(first, min(first + PER_CLOUD, len(lives)))):
                happened += struck
                wrong += [text] if text else []
    assert not wrong, "\n".join(wrong)
    planned = sum(map(len, lives))
    assert happened > 0.9 * planned, f"{happened} faults of {planned} have happened"


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


def test_instances_are_not_seen_at_first_and_then_pending(life):
    """Between the call that makes them and the answers that tell of them."""
    hidden, pending = [], []

    def on_call(call, forward):
        status, body = forward()
        if call.name != "DescribeInstances" or b"<instanceId>" not in body:
            return status, body
        if len(hidden) < 2:
            hidden.append(call)
            body = re.sub(rb"<reservationSet>.*</reservationSet>", b"<reservationSet/>", body, flags=re.DOTALL)
        elif b"<name>running</name>" in body and len(pending) < 2:
            pending.append(call)
            body = body.replace(b"<name>running</name>", b"<name>pending</name>")
        return status, body
    check_life(life("unseen", on_call))
    assert len(hidden) == len(pending) == 2


def test_what_replaces_others_is_not_undone_once_those_end(life):
    """A call is denied when the first instance of the old fleet has ended, and then the last call of all: what is new
    serves on, and the next run goes on."""
    one = life("forward", lambda call, forward: forward())
    assert one.up().returncode == 0
    old = set(one.serving()[0])
    for name, number in (("TerminateInstances", 2), ("RevokeSecurityGroupIngress", 1)):
        one.proxy.on_call = lambda call, forward, last=(name, number): (
            aws.error("ec2", "OperationNotPermitted", "no", 400) if (call.name, call.number) == last else forward())
        change = one.change()
        assert change.returncode == 1
        assert re.search(rf"{name}: OperationNotPermitted.*what is new stays.*berth up goes on\n$", change.stderr), change.stderr
        assert len(set(one.serving()[0]) - old) == 3
    one.proxy.on_call = lambda call, forward: forward()
    assert not one.look_at_change_again()
    assert one.down().returncode == 0 and not one.operator.cluster.leftovers()


# What an answer looks like that does not show what was made a moment ago.
UNSEEN = {
    "DescribeInstances": (200, b"<DescribeInstancesResponse><reservationSet/></DescribeInstancesResponse>"),
    "DescribeSecurityGroups": (200, b"<DescribeSecurityGroupsResponse><securityGroupInfo/></DescribeSecurityGroupsResponse>"),
    "GetInstanceProfile": aws.error("iam", "NoSuchEntity", "not yet", 404),
    "GetRole": aws.error("iam", "NoSuchEntity", "not yet", 404),
    "GetRolePolicy": aws.error("iam", "NoSuchEntity", "not yet", 404),
}


def test_what_is_not_seen_at_first_is_undone(life):
    """A run fails a moment after it has made most of a fleet, of which the first look shows nothing, and a second one all but
    the instances and what the roles may do."""
    failed, hidden = [], collections.Counter()

    def on_call(call, forward):
        if call.name == "RunInstances" and call.number == 2:
            failed.append(call)
            return aws.error("ec2", "VcpuLimitExceeded", "no more", 400)
        times = 2 if call.name in ("DescribeInstances", "GetRolePolicy") else 1
        if failed and call.name in UNSEEN and hidden[call.name, str(call.form)] < times:
            hidden[call.name, str(call.form)] += 1
            return UNSEEN[call.name]
        return forward()
    one = life("overlooked", on_call)
    up = one.up()
    assert up.returncode == 1 and re.search("VcpuLimitExceeded: .*removed again\n$", up.stderr), up.stderr
    assert not one.operator.cluster.leftovers()
    assert {name for name, _ in hidden} == set(UNSEEN)


def test_what_is_gone_may_be_shown_for_some_seconds(life):
    """IAM goes on showing roles for a while after it has said that they are deleted."""
    answers, since = {}, []

    def on_call(call, forward):
        role = call.form.get("RoleName")
        if call.name == "DeleteRole" and not since:
            since.append(time.monotonic())
        if call.name == "GetRole" and since and time.monotonic() < since[0] + 5:
            return answers[role]
        answer = forward()
        if call.name == "GetRole" and answer[0] == 200:
            answers[role] = answer
        return answer
    one = life("ghosts", on_call)
    assert one.up().returncode == 0
    down = one.down()
    assert down.returncode == 0 and not one.operator.cluster.leftovers(), down.stderr


NO_PROFILE = "Value (x) for parameter iamInstanceProfile.name is invalid. Invalid IAM Instance Profile name"

# What is refused at first, with which code and message, and how often.
PASSES = {
    "AddRoleToInstanceProfile": ("NoSuchEntity", "not yet", 1),
    "AuthorizeSecurityGroupIngress": ("InvalidGroup.NotFound", "not yet", 1),
    "CreateTags": ("InvalidInstanceID.NotFound", "not yet", 1),
    "DeleteBucket": ("BucketNotEmpty", "not yet", 1),
    "DeleteRole": ("DeleteConflict", "not yet", 1),
    "DeleteSecurityGroup": ("DependencyViolation", "not yet", 3),
    "PutObject": ("NoSuchBucket", "not yet", 1),
    "PutRolePolicy": ("NoSuchEntity", "not yet", 1),
    "RunInstances": ("InvalidParameterValue", NO_PROFILE, 3),
    "TerminateInstances": ("InvalidInstanceID.NotFound", "not yet", 2),
}


def test_what_passes_by_itself_is_waited_out(life):
    """Each of PASSES, in one life: instances, rules and profiles that AWS does not know everywhere yet."""
    refused = collections.Counter()

    def on_call(call, forward):
        code, message, times = PASSES.get(call.name, (None, None, 0))
        if refused[call.name] < times:
            refused[call.name] += 1
            return aws.error(call.service, code, message, 400)
        return forward()
    one = life("passes", on_call)
    assert one.up().returncode == 0 and one.is_complete()
    assert one.up("--workers", 1).returncode == 0
    assert one.down().returncode == 0 and not one.operator.cluster.leftovers()
    assert refused == {name: times for name, (*_, times) in PASSES.items()}


def one_by_one(body, thing, end, token):
    """Answers in place of one, with a thing each; behind all but the last stands the token of the next. thing: what each
    begins with; token: of a number."""
    head, *things = body.split(thing)
    pages = [head + thing + one + end % token(i + 1) for i, one in enumerate(things[:-1])]
    return pages + [head + thing + things[-1]]


def test_answers_come_in_pages(life):
    """Of one instance and of one object, with tokens that have to be encoded."""
    whole, asked = {}, collections.Counter()

    def token(i):
        return b"+/%d=&amp;" % i

    def on_call(call, forward):
        page = next((call.form[key] for key in ("NextToken", "continuation-token") if key in call.form), None)
        if page is None:
            whole[call.name] = forward()
        status, body = whole.get(call.name, (0, b""))
        if call.name == "DescribeInstances" and b"<reservationId>" in body:
            pages = one_by_one(body, b"<item><reservationId>",
                               b"</reservationSet><nextToken>%s</nextToken></DescribeInstancesResponse>", token)
        elif call.name == "ListObjectsV2" and b"<Contents>" in body:
            pages = one_by_one(body, b"<Contents>", b"<NextContinuationToken>%s</NextContinuationToken></ListBucketResult>", token)
        else:
            return status, body
        asked[call.name, page] += 1
        return status, pages[int(re.fullmatch(r"\+/(\d)=&", page)[1]) if page else 0]
    one = life("pages", on_call)
    assert one.up().returncode == 0
    (bucket,) = one.operator.cluster.buckets()
    for i in range(2):
        one.operator.cluster.cloud.call("s3", "put_object", Bucket=bucket, Key=f"berth-pages/{i}", Body="x")
    one.proxy.forget()
    asked.clear()
    assert one.up().returncode == 0 and not one.proxy.changes, one.proxy.changes
    assert asked == {(name, page): 1 for name in ("DescribeInstances", "ListObjectsV2") for page in (None, "+/1=&", "+/2=&")}
    assert one.down().returncode == 0 and not one.operator.cluster.leftovers()


def test_undoing_restores_what_roles_might_do(life):
    """Another image changes what workers may read; then a machine is refused, and IAM shows the policy of before for a while."""
    before, put, stale = {}, [], []

    def on_call(call, forward):
        role = call.form.get("RoleName")
        if call.name == "RunInstances":
            return aws.error("ec2", "VcpuLimitExceeded", "no more", 400)
        if call.name == "PutRolePolicy":
            put.append(role)
        if call.name != "GetRolePolicy":
            return forward()
        answer = before.setdefault(role, forward())
        if put != [role] or stale:
            return forward()
        stale.append(role)
        return answer

    def policies():
        return {role: cluster.cloud.call("iam", "get_role_policy", RoleName=role, PolicyName="berth")["PolicyDocument"]
                for role in cluster.roles()}
    one = life("policy", lambda call, forward: forward())
    cluster = one.operator.cluster
    assert one.up().returncode == 0
    there = policies()
    one.proxy.on_call = on_call
    up = one.up("--image", f"123456789012.dkr.ecr.{aws.REGION}.amazonaws.com/theirs:1")
    assert up.returncode == 1 and "set policy of the worker's role\n" in up.stdout, up.stderr
    assert "restored policy of the worker's role\n" in up.stdout and policies() == there, up.stdout
    assert len(put) == 2 and stale
    one.proxy.on_call = lambda call, forward: forward()
    assert one.down().returncode == 0 and not cluster.leftovers()


def pages_of(body, list_of):
    """An answer of IAM with a list, as one answer a member."""
    head, members, tail = re.fullmatch(rb"(.*<%s>)(.*)(</%s>.*)" % (list_of, list_of), body, re.DOTALL).groups()
    each = re.findall(rb"<member>.*?</member>", members, re.DOTALL) or [b""]
    tail = re.sub(rb"<IsTruncated>.*?</IsTruncated>", b"", tail)
    more = b"<IsTruncated>true</IsTruncated><Marker>+/%d=&amp;</Marker>"
    return [head + one + tail.replace(b"</%s>" % list_of, b"</%s>" % list_of +
                                      (more % (i + 1) if i + 1 < len(each) else b"<IsTruncated>false</IsTruncated>"))
            for i, one in enumerate(each)]


POLICY_LISTS = {"ListRolePolicies": b"PolicyNames", "ListAttachedRolePolicies": b"AttachedPolicies"}


def test_policies_of_others_go_with_the_roles(life):
    """Somebody attaches managed policies to the roles and puts others into them; IAM lists one at a time, and does not see for
    some seconds that they are gone, which is told once."""
    refused, markers, whole = [], collections.Counter(), {}

    def on_call(call, forward):
        if call.name == "DeleteRole" and (not refused or time.monotonic() < refused[0] + 3.5):
            refused.append(time.monotonic())
            return aws.error("iam", "DeleteConflict", "Cannot delete entity, must detach all policies first.", 409)
        if call.name not in POLICY_LISTS:
            return forward()
        of = (call.name, call.form["RoleName"])
        marker = call.form.get("Marker")
        if marker is None:
            whole[of] = pages_of(forward()[1], POLICY_LISTS[call.name])
        markers[call.name] += marker is not None
        return 200, whole[of][int(re.fullmatch(r"\+/(\d)=&", marker)[1]) if marker else 0]
    one = life("policies", on_call)
    assert one.up().returncode == 0 and not markers, "lists are asked for on the way down only"
    cluster = one.operator.cluster
    managed = [cluster.cloud.call("iam", "create_policy", PolicyName=name, PolicyDocument=json.dumps(aws.EVERYTHING))["Policy"]["Arn"]
               for name in ("QuickSetup", "Agent")]
    for role in cluster.roles():
        for arn in managed:
            cluster.cloud.call("iam", "attach_role_policy", RoleName=role, PolicyArn=arn)
        for name in ("theirs", "theirs too"):
            cluster.cloud.call("iam", "put_role_policy", RoleName=role, PolicyName=name, PolicyDocument=json.dumps(aws.EVERYTHING))
    down = one.down()
    assert down.returncode == 0 and not cluster.leftovers(), down.stderr
    assert all(times >= 4 for times in markers.values()) and len(markers) == 2, markers
    assert f"detached policy {managed[0]} of the worker's role\n" in down.stdout
    assert "removed policy theirs too of the orchestrator's role\n" in down.stdout
    waits = re.findall(r"^berth: trying again to remove role of the \w+: iam DeleteRole: DeleteConflict: Cannot delete entity, "
                       r"must detach all policies first\.$", down.stdout, re.MULTILINE)
    assert len(waits) == down.stdout.count("trying again") == 1, down.stdout


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
