"""berth up, status and down --on aws, against moto with signatures and policies checked. What exists afterwards is read
back through boto3."""

import json
import os
import re
import shutil
import signal
import subprocess
import threading

import pytest

import aws
from berth import ROOT, wait_until

CONTAINER_PORTS = {"FromPort": 5000, "ToPort": 5001}


def one_line(text):
    """An error is one line."""
    assert text.count("\n") == 1, text
    return text


def role_policy(cloud, role):
    policy = cloud.call("iam", "get_role_policy", RoleName=role, PolicyName="berth")["PolicyDocument"]
    return {(action, statement["Resource"]) for statement in policy["Statement"]
            for action in [statement["Action"]] if statement["Effect"] == "Allow"}


def check_instance(cloud, instance, group, profile):
    assert [g["GroupId"] for g in instance["SecurityGroups"]] == [group["GroupId"]]
    assert instance["IamInstanceProfile"]["Arn"].endswith("/" + profile)
    assert instance["MetadataOptions"]["HttpTokens"] == "required"
    assert instance["MetadataOptions"]["HttpPutResponseHopLimit"] == 1
    assert instance["InstanceType"] == "t3.small" and instance["ImageId"] == cloud.image
    assert "KeyName" not in instance


def check_groups(groups, name):
    workers, front = groups[f"berth-{name}-worker"], groups[f"berth-{name}-orchestrator"]
    (rule,) = workers["IpPermissions"]
    assert {key: rule[key] for key in CONTAINER_PORTS} == CONTAINER_PORTS and rule["IpProtocol"] == "tcp"
    assert [pair["GroupId"] for pair in rule["UserIdGroupPairs"]] == [front["GroupId"]] and not rule["IpRanges"]
    (rule,) = front["IpPermissions"]
    assert (rule["FromPort"], rule["ToPort"]) == (80, 80)
    assert [r["CidrIp"] for r in rule["IpRanges"]] == ["203.0.113.7/32"] and not rule["UserIdGroupPairs"]
    return workers, front


def configuration_in(script):
    return json.loads(re.search(r"<<'END-OF-CONFIGURATION'\n(.*?)\nEND-OF-CONFIGURATION", script, re.DOTALL)[1])


def check_everything(cloud, cluster, name):
    """All that a fleet of four workers with two containers each is made of."""
    workers, (front,) = cluster.workers(), cluster.of_role("orchestrator")
    worker_group, front_group = check_groups(cluster.groups(), name)
    for instance in workers:
        check_instance(cloud, instance, worker_group, f"berth-{name}-{aws.REGION}-worker")
    check_instance(cloud, front, front_group, f"berth-{name}-{aws.REGION}-orchestrator")
    assert [aws.tags(i)["berth:index"] for i in workers] == ["1", "2", "3", "4"]
    assert cluster.roles() == cluster.profiles() == [f"berth-{name}-{aws.REGION}-{r}" for r in ("orchestrator", "worker")]

    (bucket,) = cluster.buckets()
    readable = f"arn:aws:s3:::{bucket}/berth-{name}/*"
    assert role_policy(cloud, f"berth-{name}-{aws.REGION}-worker") == {("s3:GetObject", readable)}
    assert role_policy(cloud, f"berth-{name}-{aws.REGION}-orchestrator") == {
        ("s3:GetObject", readable), ("ec2:DescribeInstances", "*")}
    profile = cloud.call("iam", "get_instance_profile", InstanceProfileName=cluster.profiles()[0])["InstanceProfile"]
    assert [r["RoleName"] for r in profile["Roles"]] == [cluster.roles()[0]]

    keys = cluster.objects(bucket)
    assert sorted(re.sub("-[0-9a-f]{64}", "", key) for key in keys) == [
        f"berth-{name}/{what}.tar" for what in ("model", "orchestrator", "worker")]
    script = cluster.user_data(workers[0])
    for key in keys:
        digest = re.search("[0-9a-f]{64}", key)[0]
        assert ("orchestrator-" in key) == (f"'{key}' '{digest}'" not in script)
    front_script = cluster.user_data(front)
    assert "\t-e BERTH_HEALTH_URL=http://127.0.0.1:80/berth/readyz " in front_script
    pool = configuration_in(front_script)["pools"][0]
    assert pool["containers"] == [f"aws:cluster={name},region={aws.REGION},ports=5000-5001,seed=/etc/berth/workers"]
    for instance in workers:
        assert re.search(rf"^{aws.tags(instance)['berth:index']} [0-9a-f]{{16}}-1 {re.escape(instance['PrivateIpAddress'])}$",
                         front_script, re.MULTILINE)


def resources_of(cluster):
    """How many things there are: rules and policies count as things of their own."""
    rules = sum(len(g["IpPermissions"]) for g in cluster.groups().values())
    return (len(cluster.instances()) + len(cluster.groups()) + rules + 2 * len(cluster.roles()) + len(cluster.profiles()) +
            sum(1 + len(cluster.objects(b)) for b in cluster.buckets()))


def test_life_of_a_fleet(cloud, proxy, operator):
    blue = operator("blue", image=None)
    cluster = blue.cluster
    plan = blue.up("--dry-run")
    assert plan.returncode == 0 and plan.stdout.count("would start worker") == 4 and not proxy.changes

    proxy.forget()
    made = blue.up()
    assert made.returncode == 0, made.stderr
    check_everything(cloud, cluster, "blue")
    (front,) = cluster.of_role("orchestrator")
    assert f"http://{front['PublicIpAddress']}" in made.stdout
    assert len(proxy.calls) <= resources_of(cluster) + 20, proxy.calls

    proxy.forget()
    again = blue.up()
    assert again.returncode == 0 and not proxy.changes, proxy.changes

    lost = cluster.workers()[1]["InstanceId"]
    cloud.call("ec2", "terminate_instances", InstanceIds=[lost])
    proxy.forget()
    assert blue.up().returncode == 0
    assert [call.name for call in proxy.changes] == ["RunInstances"]
    assert [aws.tags(i)["berth:generation"] for i in cluster.workers()] == ["1", "2", "1", "1"]
    assert lost not in [i["InstanceId"] for i in cluster.workers()]

    before = {i["InstanceId"] for i in cluster.instances()}
    assert blue.up("--workers", 6).returncode == 0
    assert len(cluster.workers()) == 6 and before <= {i["InstanceId"] for i in cluster.instances()}
    proxy.forget()
    assert blue.up("--workers", 2).returncode == 0
    assert [aws.tags(i)["berth:index"] for i in cluster.workers()] == ["1", "2"]
    names = [call.name for call in proxy.changes]
    assert names == ["CreateTags"] * 4 + ["TerminateInstances"] * 4, "drained first"
    assert [i["role"] for i in blue.status()["instances"]] == ["orchestrator", "worker", "worker"]

    down = blue.down()
    assert down.returncode == 0 and not cluster.leftovers()
    for what in ("worker 1", "orchestrator", "rule", "security group", "instance profile", "bucket", "role", "s3://"):
        assert what in down.stdout
    again = blue.down()
    assert again.returncode == 0 and "nothing is left" in again.stdout


def test_objects_are_uploaded_once_and_a_bucket_of_ones_own_stays(cloud, proxy, operator):
    cloud.call("s3", "create_bucket", Bucket="mine-alone",
               CreateBucketConfiguration={"LocationConstraint": aws.REGION})
    cloud.call("s3", "put_object", Bucket="mine-alone", Key="berth-own-not/keep", Body="x")
    own = operator("own", image=None)
    assert own.up("--workers", 1, "--bucket", "mine-alone").returncode == 0
    keys = own.cluster.objects("mine-alone")
    assert len(keys) == 4 and not own.cluster.buckets()
    for key in keys:
        digest = re.search("[0-9a-f]{64}", key)
        body = cloud.call("s3", "get_object", Bucket="mine-alone", Key=key)["Body"]
        assert not digest or body == digest[0]
    proxy.forget()
    assert own.up("--workers", 2, "--bucket", "mine-alone").returncode == 0
    assert [call.name for call in proxy.changes] == ["RunInstances"]
    other = own.up("--bucket", "another")
    assert other.returncode == 2 and "this fleet's bucket is mine-alone" in one_line(other.stderr)
    assert own.down().returncode == 0, "the bucket is known by the roles' tags"
    assert own.cluster.objects("mine-alone") == ["berth-own-not/keep"] and not own.cluster.leftovers()


def test_another_specification_replaces_instances_and_adds_before_it_ends(cloud, proxy, operator):
    green = operator("green")
    assert green.up("--workers", 2).returncode == 0
    before = {i["InstanceId"] for i in green.cluster.instances()}
    proxy.forget()
    assert green.up("--workers", 2, "--instance-type", "t3.large", "--admin-cidr", "198.51.100.0/24").returncode == 0
    names = [call.name for call in proxy.changes]
    assert max(i for i, n in enumerate(names) if n == "RunInstances") < names.index("CreateTags")
    assert not before & {i["InstanceId"] for i in green.cluster.instances()}
    assert {i["InstanceType"] for i in green.cluster.instances()} == {"t3.large"}
    ranges = green.cluster.groups()["berth-green-orchestrator"]["IpPermissions"][0]["IpRanges"]
    assert sorted(r["CidrIp"] for r in ranges) == ["198.51.100.0/24", "203.0.113.7/32"]
    assert green.up("--workers", 2, "--instance-type", "t3.large").returncode == 0
    ranges = green.cluster.groups()["berth-green-orchestrator"]["IpPermissions"][0]["IpRanges"]
    assert [r["CidrIp"] for r in ranges] == ["203.0.113.7/32"], "what is not named any more is revoked"
    assert green.down().returncode == 0 and not green.cluster.leftovers()


def test_the_first_region_is_not_named_to_s3(operator):
    """A bucket in us-east-1 is asked for without a body."""
    one = operator("virginia", region="us-east-1")
    made = one.up("--workers", 1)
    assert made.returncode == 0, made.stderr
    (bucket,) = one.cluster.buckets()
    assert len(one.cluster.objects(bucket)) == 1 and len(one.cluster.workers()) == 1
    assert one.down().returncode == 0 and not one.cluster.leftovers()


def test_a_subnet_elsewhere_than_the_fleet_is_refused(cloud, proxy, operator):
    vpc = cloud.call("ec2", "create_vpc", CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    subnet = cloud.call("ec2", "create_subnet", VpcId=vpc, CidrBlock="10.9.0.0/24")["Subnet"]["SubnetId"]
    one = operator("settled")
    assert one.up("--workers", 1).returncode == 0
    proxy.forget()
    result = one.up("--workers", 2, "--subnet", subnet)
    assert result.returncode == 2 and not proxy.changes
    assert re.search(rf"the subnet {subnet} is in {vpc}, and this fleet's security groups are in vpc-\w+: --subnet",
                     one_line(result.stderr))
    assert one.down().returncode == 0 and not one.cluster.leftovers()


def no_more_than(value):
    """A configuration with a text of so many bytes, which the script carries."""
    return "pools: [{name: p, match: {path_prefix: /" + "x" * value + "}}]\n"


# What is asked for wrongly: flags, changes of the environment, the exit code, what the line says.
WRONG = {
    "secret": ([], {"AWS_SECRET_ACCESS_KEY": "wrong"}, 2, r"the key or the secret is not right.*clock.*region"),
    "key": ([], {"AWS_ACCESS_KEY_ID": "AKIAUNKNOWN000000000"}, 2, r"\(credentials of the environment"),
    "no credentials": ([], {"AWS_ACCESS_KEY_ID": ""}, 2, r"no AWS credentials: set AWS_ACCESS_KEY_ID"),
    "no such profile": (["--profile", "blue"], {}, 2, r'no keys of the profile "blue"'),
    "no region": ([], {"AWS_REGION": "", "AWS_DEFAULT_REGION": ""}, 2, r"no AWS region: --region"),
    "region": (["--region", "Frankfurt!"], {}, 2, r'"Frankfurt!" is no AWS region'),
    "long region": (["--region", "eu-central-1" + "x" * 40], {}, 2, r'"eu-central-1x{40}" is no AWS region'),
    "long token": ([], {"AWS_SESSION_TOKEN": "x" * 8192}, 2, r"AWS_SESSION_TOKEN has 8192 bytes, and 8191 are the most"),
    "long image": (["--ami", "ami-" + "0" * 40], {}, 2, r'--ami: expected up to 31 characters, found "ami-0{40}"'),
    "long type": (["--instance-type", "t" * 32], {}, 2, r"--instance-type: expected up to 31 characters"),
    "long bucket": (["--bucket", "b" * 64], {}, 2, r"--bucket: expected up to 63 characters"),
    "name of an image": (["--image", "two words"], {}, 2, r'--image: "two words" is no name of an image'),
    "option for an image": (["--image", "--privileged"], {}, 2, r'--image: "--privileged" is no name of an image'),
    "no such host": ([], {"AWS_ENDPOINT_URL_EC2": "http://ec2.eu-nowhere.invalid"}, 2,
                     r"resolve host name \(tried 3 times\); is the region right, and is http://ec2\.eu-nowhere\.invalid within"),
    "endpoint": ([], {"AWS_ENDPOINT_URL": "localhost"}, 2, r"AWS_ENDPOINT_URL: expected a URL"),
    "image": (["--ami", "ami-00000000000000000"], {}, 2, r"ami-00000000000000000.*--ami"),
    "subnet": (["--subnet", "subnet-1"], {}, 2, r"--subnet names a subnet"),
    "name": (["--name", "Blue_1"], {}, 2, r'--name: a fleet\'s name on AWS is of .* found "Blue_1"'),
    "long name": (["--name", "x" * 31], {}, 2, r"up to 30 characters"),
    "network": (["--admin-cidr", "10.0.0.0/33"], {}, 2, r"10.0.0.0/33"),
    "everybody": (["--admin-cidr", "0.0.0.0/0"], {}, 2, r"lets everybody in.*--open-to-all"),
    "everybody, IPv6": (["--admin-cidr", "::/0"], {}, 2, r"lets everybody in.*--open-to-all"),
    "model": (["--image", "off", "--model", "/nowhere"], {}, 2, r"--model: /nowhere: No such file"),
    "base port": (["--base-port", "0"], {}, 2, r"base_port: 0"),
    "bucket": (["--bucket", "not-there-at-all"], {}, 2, r"there is no bucket not-there-at-all"),
    "key pair": (["--key", "nobodys"], {}, 2, r"--key names a key pair"),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_is_wrong_is_said_in_a_line_and_leaves_nothing(operator, what):
    flags, environment, code, pattern = WRONG[what]
    name = "wrong-" + re.sub("[^a-z0-9]", "-", what.lower()).strip("-")
    one = operator(name)
    one.environment.update(environment)
    result = one.up(*flags)
    assert result.returncode == code and re.search(pattern, one_line(result.stderr)), result.stderr
    assert not one.cluster.leftovers()


def test_who_may_reach_the_front_has_to_be_said(operator):
    one = operator("nobody")
    one.flags = one.flags[:2]
    result = one.up()
    assert result.returncode == 2 and "who may reach the front? --admin-cidr" in one_line(result.stderr)


def test_everybody_may_be_let_in_when_it_is_said(operator):
    one = operator("open")
    one.flags = [*one.flags[:2], "--no-wait"]
    assert one.up("--workers", 1, "--admin-cidr", "0.0.0.0/0,::/0", "--open-to-all").returncode == 0
    (rule4, *rule6) = one.cluster.groups()["berth-open-orchestrator"]["IpPermissions"]
    ranges = [r["CidrIp"] for r in rule4["IpRanges"]] + [r["CidrIpv6"] for rule in [rule4, *rule6] for r in rule["Ipv6Ranges"]]
    assert sorted(ranges) == ["0.0.0.0/0", "::/0"]
    assert one.down().returncode == 0 and not one.cluster.leftovers()


def test_a_script_that_is_too_long_is_refused_before_anything_is_made(operator, tmp_path):
    one = operator("long")
    (tmp_path / "berth.yaml").write_text(no_more_than(15000))
    result = one.up()
    assert result.returncode == 2
    assert re.search(r"the orchestrator's start-up script has \d+ bytes, and EC2 takes 16384", one_line(result.stderr))
    assert not one.cluster.leftovers()


def test_a_session_that_has_ended_is_said(proxy, operator):
    one = operator("expired")
    one.environment["AWS_SESSION_TOKEN"] = "old"
    proxy.on_call = lambda call, forward: aws.error(
        call.service, "RequestExpired" if call.service == "ec2" else "ExpiredToken", "The security token is expired", 400)
    result = one.up()
    assert result.returncode == 2 and "the session has ended: get new credentials" in one_line(result.stderr)


def test_who_does_not_answer_is_told_once(proxy, operator):
    """Several calls at once are not answered, twice each, in both rounds of a look."""
    one = operator("silent")
    proxy.on_call = lambda call, forward: None if call.number <= 2 and call.name.startswith("Get") else forward()
    result = one.down()
    assert "nothing is left" in result.stdout, result.stderr
    assert result.stdout.count(f"{proxy.endpoint} does not answer") == result.stdout.count("trying again") == 2


def test_an_action_that_is_denied_is_said_and_undone(cloud, operator):
    policy = {"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Action": "*", "Resource": "*"},
        {"Effect": "Deny", "Action": "ec2:RunInstances", "Resource": "*"}]}
    one = operator("denied", keys=cloud.make_user("limited", policy))
    result = one.up("--workers", 1)
    assert result.returncode == 1
    assert re.search(r"RunInstances: .*may not do that; docs/aws\.md.*removed again", one_line(result.stderr))
    assert not one.cluster.leftovers()


def test_a_role_that_is_somebody_elses_is_left_alone(cloud, operator):
    one = operator("taken")
    role = f"berth-taken-{aws.REGION}-worker"
    cloud.call("iam", "create_role", RoleName=role, AssumeRolePolicyDocument="{}")
    result = one.up()
    assert result.returncode == 2 and f"{role} is there already" in one_line(result.stderr)
    assert "nothing is left" in one.down().stdout
    assert one.cluster.leftovers() == [role]
    cloud.call("iam", "delete_role", RoleName=role)


# ---- where credentials come from ----

def test_credentials_of_a_profile(cloud, operator, tmp_path):
    one = operator("profile")
    (tmp_path / ".aws").mkdir()
    keys = cloud.make_user("file", aws.EVERYTHING)
    (tmp_path / ".aws" / "credentials").write_text(
        "[default]\naws_access_key_id = no\naws_secret_access_key = no\n"
        f"[blue]\naws_access_key_id = {keys['id']}\naws_secret_access_key = {keys['secret']}\n")
    (tmp_path / ".aws" / "config").write_text(
        f"[profile blue]\ns3 =\n  region = nowhere\nregion = {aws.REGION}\n[profile sso]\nsso_session = x\nregion = {aws.REGION}\n"
        f"[profile long]\naws_access_key_id = no\naws_secret_access_key = no\naws_session_token = {'x' * 8192}\n")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION"):
        one.environment[name] = ""
    assert "nothing is left" in aws.run("down", *one.common, "--profile", "blue", env=one.environment).stdout
    one.environment["AWS_PROFILE"] = "blue"
    assert "nothing is left" in one.down().stdout
    one.environment["AWS_PROFILE"] = "sso"
    assert "aws configure export-credentials --profile sso" in one_line(one.down().stderr)
    exported = {"AWS_ACCESS_KEY_ID": keys["id"], "AWS_SECRET_ACCESS_KEY": keys["secret"], "AWS_DEFAULT_REGION": ""}
    assert "nothing is left" in aws.run("down", *one.common, env={**one.environment, **exported}).stdout
    one.environment["AWS_PROFILE"] = "long"
    assert "the value of aws_session_token is too long" in one_line(one.down().stderr)
    one.environment["AWS_PROFILE"] = "default"
    one.environment["AWS_REGION"] = aws.REGION
    assert 'the profile "default"' in one_line(one.down().stderr)


def test_credentials_of_the_instance(cloud, operator):
    service = aws.Metadata(cloud.make_user("instance", aws.EVERYTHING))
    one = operator("instance")
    one.environment.update({"AWS_ACCESS_KEY_ID": "", "AWS_REGION": "", "AWS_DEFAULT_REGION": "",
                            "AWS_EC2_METADATA_DISABLED": "", "AWS_EC2_METADATA_SERVICE_ENDPOINT": service.endpoint})
    result = one.down()
    service.stop()
    assert "nothing is left" in result.stdout, result.stderr
    assert ("PUT", "/latest/api/token") in service.asked


# ---- runs that are cut off ----

class Held:
    """Holds the calls of a name back until it is told to let them go."""

    def __init__(self, proxy, name):
        self.reached, self.go = threading.Event(), threading.Event()

        def on_call(call, forward):
            if call.name == name:
                self.reached.set()
                self.go.wait(60)
            return forward()
        proxy.on_call = on_call


def test_ctrl_c_undoes_what_the_run_has_made(proxy, operator):
    one = operator("interrupted")
    held = Held(proxy, "RunInstances")
    process = one.start_up("--workers", 2)
    assert held.reached.wait(60)
    process.send_signal(signal.SIGINT)
    held.go.set()
    out, err = process.communicate(timeout=60)
    assert process.returncode == 1 and "interrupted" in one_line(err) and "removed again" in err, out + err
    assert not one.cluster.leftovers()


def test_ctrl_c_gives_an_upload_up(proxy, operator):
    """S3 takes a bit of an image and no more: how much is uploaded is told, and an interruption ends it at once. What was on
    its way is looked for and, like all else, is gone."""
    held, go = threading.Event(), threading.Event()

    def on_head(handler):
        if handler.command == "PUT" and int(handler.headers["Content-Length"]) > 16 << 20:
            held.set()
            go.wait(60)
    proxy.on_head = on_head
    one = operator("stuck", image=None)
    process = one.start_up("--workers", 1)
    told = next((line for line in process.stdout if "MiB (" in line), None)
    percent = re.fullmatch(r"berth: uploaded \d+\.\d of \d+\.\d MiB \((\d+) %\)\n", told)
    assert held.is_set() and 0 < int(percent[1]) < 100, told
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert not go.is_set() and process.returncode == 1
    assert "s3 PutObject: Interrupted: the upload was given up" in one_line(err) and "removed again" in err, out + err
    go.set()
    assert not one.cluster.leftovers()


def test_ctrl_c_leaves_what_was_there_before(cloud, proxy, operator):
    one = operator("resized")
    assert one.up("--workers", 1).returncode == 0
    before = sorted(one.cluster.leftovers())
    held = Held(proxy, "RunInstances")
    process = one.start_up("--workers", 3)
    assert held.reached.wait(60)
    process.send_signal(signal.SIGINT)
    held.go.set()
    process.communicate(timeout=60)
    assert process.returncode == 1 and sorted(one.cluster.leftovers()) == before
    proxy.forget()
    assert one.up("--workers", 1).returncode == 0 and not proxy.changes
    assert one.down().returncode == 0 and not one.cluster.leftovers()


def test_keep_keeps_and_down_removes(proxy, operator):
    one = operator("kept")
    proxy.on_call = lambda call, forward: (
        aws.error("ec2", "InsufficientInstanceCapacity", "none", 400) if call.name == "RunInstances" else forward())
    result = one.up("--keep")
    assert result.returncode == 1 and "is kept (--keep)" in one_line(result.stderr)
    assert one.cluster.groups() and one.cluster.roles()
    assert one.down().returncode == 0 and not one.cluster.leftovers()


def test_a_run_that_was_killed_is_gone_on_with(proxy, operator, tmp_path):
    one = operator("killed")
    held = Held(proxy, "RunInstances")
    process = one.start_up("--workers", 2)
    assert held.reached.wait(60)
    second = one.up("--workers", 2)
    assert second.returncode == 2 and "is under way on this machine" in one_line(second.stderr)
    process.kill()
    process.communicate()
    (journal,) = (tmp_path / "state" / "berth").glob("*.journal")
    text = journal.read_text()
    assert f"aws-{aws.REGION}-killed.journal" == journal.name and '"text":"start worker 1 (t3.small)"' in text
    assert one.environment["AWS_SECRET_ACCESS_KEY"] not in text and one.environment["AWS_ACCESS_KEY_ID"] not in text
    assert os.stat(journal).st_mode & 0o077 == 0
    held.go.set()
    wait_until(lambda: len(one.cluster.workers()) == 2, "the killed run's last calls")
    again = one.up("--workers", 2)
    assert again.returncode == 0 and "the run before was cut off at: start worker" in again.stdout, again.stderr
    assert len(one.cluster.workers()) == 2 and len(one.cluster.of_role("orchestrator")) == 1
    assert one.down().returncode == 0 and not one.cluster.leftovers() and not journal.exists()


def test_containers_are_confined_as_on_docker(operator):
    one = operator("confined")
    assert one.up("--workers", 1, "--memory", "256MiB", "--cpu-percent", 50, "--pids", 64).returncode == 0
    (worker,) = one.cluster.workers()
    limits = f"--pids-limit 64 --memory {256 << 20} --memory-swap {256 << 20}"
    assert f"{limits} --cpu-quota 50000 --read-only " in one.cluster.user_data(worker)
    assert one.up("--workers", 1, "--memory", "256MiB", "--cpu-percent", 0, "--pids", 64, "--writable-root", "yes").returncode == 0
    (worker,) = one.cluster.workers()
    assert f"{limits} 'example.org/own'" in one.cluster.user_data(worker)
    assert one.down().returncode == 0 and not one.cluster.leftovers()


def test_the_name_of_an_image_is_whole_in_the_script(operator):
    repository = f"123456789012.dkr.ecr.{aws.REGION}.amazonaws.com/{'team/' * 12}model"
    image = f"{repository}@sha256:{'0123456789abcdef' * 4}"
    one = operator("digest", image=image)
    assert one.up("--workers", 1).returncode == 0
    (worker,) = one.cluster.workers()
    script = one.cluster.user_data(worker)
    assert f"patiently docker pull -q '{image}'\n" in script and re.search(f" '{re.escape(image)}' *\n", script)
    assert one.down().returncode == 0 and not one.cluster.leftovers()


def installed_by(script, directory, packages):
    """What the script asks apt-get for on a machine whose mirror has these packages."""
    directory.mkdir()
    for name, does in {"apt-get": f'echo "$DEBIAN_FRONTEND" "$@" >>{directory}/asked',
                       "apt-cache": f'[ "$*" = "-q pkgnames docker-cli" ]; printf "%s\\n" {packages}',
                       "grep": f'exec {shutil.which("grep")} "$@"'}.items():
        (directory / name).write_text(f"#!/bin/sh\n{does}\n")
        (directory / name).chmod(0o755)
    function = re.search(r"^install_docker\(\) {\n.*?^}\n", script, re.DOTALL | re.MULTILINE)[0]
    subprocess.run(["/bin/bash", "-c", f"set -euo pipefail\n{function}install_docker"], check=True, env={"PATH": str(directory)})
    return (directory / "asked").read_text().splitlines()


def test_docker_is_installed_with_its_client_and_nothing_else(operator, tmp_path):
    one = operator("installs")
    assert one.up("--workers", 1).returncode == 0
    needed = "noninteractive -qy install --no-install-recommends docker.io apparmor ca-certificates curl"
    for instance in one.cluster.instances():
        script, role = one.cluster.user_data(instance), aws.tags(instance)["berth:role"]
        assert installed_by(script, tmp_path / f"{role}12", "docker-clinic") == [" -q update", needed]
        assert installed_by(script, tmp_path / f"{role}13", "docker-clip docker-cli") == [" -q update", f"{needed} docker-cli"]
    assert one.down().returncode == 0 and not one.cluster.leftovers()


ASKED = re.compile(r'^Remove all of this \(the fleet "asked" in eu-central-1\)\? \[y/N\] ', re.MULTILINE)


def test_down_asks_on_a_terminal(cloud, proxy, operator):
    one = operator("asked")
    assert one.up("--workers", 1).returncode == 0
    there = sorted(one.cluster.leftovers())
    proxy.forget()
    for answer in (b"n\n", b"\n", b"\x04", b"\x03"):  # no, nothing, the end of the input, Ctrl-C
        code, output = one.down_on_terminal(answer)
        assert code == 1 and ASKED.search(output), output
        assert re.search(r"^  terminate worker 1 \(i-\w+\)", output, re.MULTILINE), output
        assert output.endswith("\r\nberth down: nothing was removed (--yes does not ask)\r\n"), output
    assert sorted(one.cluster.leftovers()) == there and not proxy.changes
    code, output = one.down_on_terminal(b"y\n")
    assert code == 0 and ASKED.search(output) and not one.cluster.leftovers(), output


def test_down_does_not_ask_when_it_is_told_to(operator):
    one = operator("asked")
    assert one.up("--workers", 1).returncode == 0
    code, output = one.down_on_terminal(None, "--yes")
    assert code == 0 and not ASKED.search(output) and not one.cluster.leftovers(), output


def test_no_secret_is_in_a_script_or_on_the_screen(operator):
    one = operator("discreet", image=None)
    result = one.up("--workers", 1)
    scripts = [one.cluster.user_data(i) for i in one.cluster.instances()]
    for text in [result.stdout, result.stderr, *scripts]:
        assert one.environment["AWS_SECRET_ACCESS_KEY"] not in text
        assert one.environment["AWS_ACCESS_KEY_ID"] not in text
    assert one.down().returncode == 0 and ROOT.exists()
