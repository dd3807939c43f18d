"""AWS as moto plays it, with signatures and policies checked, and a proxy before it that knows what was called and
can let calls fail as the real one's do."""

import base64
import collections
import concurrent.futures
import contextlib
import ctypes
import fcntl
import functools
import hashlib
import http.client
import http.server
import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import termios
import threading
import urllib.parse

from berth import BUILD, ROOT, run

HERE = pathlib.Path(__file__).resolve().parent
REGION = "eu-central-1"
EVERYTHING = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
READ_ONLY = re.compile("Describe|Get|List|Head")


@functools.cache
def python_with_moto():
    """The path of a Python that has moto and boto3, or None."""
    look = "import importlib.util as u, sys; sys.exit(not all(map(u.find_spec, ('boto3', 'flask', 'moto'))))"
    for name in ("python3", "/usr/bin/python3", "python3.13", "python3.12", "python3.11"):
        path = shutil.which(name)
        if path and subprocess.run([path, "-c", look], capture_output=True, check=False).returncode == 0:
            return path
    return None


class Cloud:
    """A moto server, and boto3 to look into it."""

    def __init__(self, directory):
        self._log = open(pathlib.Path(directory) / "moto.log", "w", encoding="utf-8")
        self._moto = subprocess.Popen([python_with_moto(), HERE / "aws_moto.py"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                      stderr=self._log, text=True, cwd=directory,
                                      env={**os.environ, "AWS_CONFIG_FILE": "/dev/null"})
        self._lock = threading.Lock()
        port = self._moto.stdout.readline()
        assert port, f"moto has ended; see {self._log.name}"
        self.port = int(port)
        self.reset()
        self.image = self.call("ec2", "describe_images", Filters=[
            {"Name": "architecture", "Values": ["x86_64"]}])["Images"][0]["ImageId"]

    def reset(self):
        """All that there is goes. Only the first calls, which make the user whose keys are used, need no signature."""
        self._tell("reset-auth", "inf")
        self._tell("reset")
        self.keys = {"id": "bootstrap", "secret": "bootstrap"}
        self.keys = self.make_user("admin", EVERYTHING)
        self._tell("reset-auth", "0")

    def _tell(self, what, value=""):
        connection = http.client.HTTPConnection("127.0.0.1", self.port)
        with contextlib.closing(connection):
            connection.request("POST", f"/moto-api/{what}", value, {"Content-Type": "text/plain"})
            assert connection.getresponse().status == 200

    def call(self, service, call, region=REGION, **arguments):
        """One call of boto3, at moto itself."""
        with self._lock:
            print(json.dumps({"service": service, "call": call, "arguments": arguments, "keys": self.keys,
                              "region": region}), file=self._moto.stdin, flush=True)
            answer = json.loads(self._moto.stdout.readline())
        if "error" in answer:
            raise LookupError(answer["error"])
        return answer["result"]

    def make_user(self, name, policy):
        self.call("iam", "create_user", UserName=name)
        self.call("iam", "put_user_policy", UserName=name, PolicyName="it", PolicyDocument=json.dumps(policy))
        key = self.call("iam", "create_access_key", UserName=name)["AccessKey"]
        return {"id": key["AccessKeyId"], "secret": key["SecretAccessKey"]}

    def stop(self):
        self._moto.stdin.close()
        self._moto.wait(20)
        self._moto.stdout.close()
        self._log.close()


class Cluster:
    """What there is in the cloud of one fleet, as boto3 tells."""

    def __init__(self, cloud, name, region=REGION):
        self.cloud = cloud
        self.name = name
        self.region = region
        self.filter = [{"Name": "tag:berth:cluster", "Values": [name]}]

    def _call(self, service, call, **arguments):
        return self.cloud.call(service, call, region=self.region, **arguments)

    def instances(self, live=True):
        found = self._call("ec2", "describe_instances", Filters=self.filter)
        every = [i for r in found["Reservations"] for i in r["Instances"]]
        return [i for i in every if not live or i["State"]["Name"] in ("pending", "running")]

    def of_role(self, role):
        return sorted((i for i in self.instances() if tags(i)["berth:role"] == role), key=lambda i: int(tags(i)["berth:index"]))

    def workers(self):
        return self.of_role("worker")

    def groups(self):
        return {g["GroupName"]: g for g in
                self._call("ec2", "describe_security_groups", Filters=self.filter)["SecurityGroups"]}

    def roles(self):
        return sorted(r["RoleName"] for r in self._call("iam", "list_roles")["Roles"]
                      if r["RoleName"].startswith(f"berth-{self.name}-{self.region}"))

    def profiles(self):
        return sorted(p["InstanceProfileName"] for p in self._call("iam", "list_instance_profiles")["InstanceProfiles"]
                      if p["InstanceProfileName"].startswith(f"berth-{self.name}-{self.region}"))

    def buckets(self):
        return [b["Name"] for b in self._call("s3", "list_buckets")["Buckets"] if b["Name"].startswith(f"berth-{self.name}-")]

    def objects(self, bucket):
        return [o["Key"] for o in self._call("s3", "list_objects_v2", Bucket=bucket).get("Contents", [])]

    def user_data(self, instance):
        attribute = self._call("ec2", "describe_instance_attribute", InstanceId=instance["InstanceId"],
                                    Attribute="userData")
        return base64.b64decode(attribute["UserData"]["Value"]).decode()

    def leftovers(self):
        """Everything of it that still exists, in words."""
        return ([i["InstanceId"] for i in self.instances()] + list(self.groups()) + self.roles() + self.profiles() +
                self.buckets())


def tags(thing):
    return {t["Key"]: t["Value"] for t in thing.get("Tags", [])}


# ---- calls that fail ----

def error(service, code, message, status):
    """An answer of AWS that says no."""
    if service == "s3":
        return status, f"<Error><Code>{code}</Code><Message>{message}</Message></Error>".encode()
    if service == "ec2":
        return status, (f"<Response><Errors><Error><Code>{code}</Code><Message>{message}</Message></Error></Errors>"
                        "<RequestID>x</RequestID></Response>").encode()
    return status, (f"<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error>"
                    "<RequestId>x</RequestId></ErrorResponse>").encode()


# What S3 takes with a checksum only.
NEED_CHECKSUM = {"PutBucketTagging", "DeleteObjects"}


def wrong_checksum(headers, body):
    """What S3 says of a body that came without a signed checksum, or with that of another: a code and a message."""
    given = {"Content-MD5": headers.get("Content-MD5"), "x-amz-checksum-sha256": headers.get("x-amz-checksum-sha256")}
    signed = re.search(r"SignedHeaders=([^,]*)", headers.get("Authorization", ""))
    if not any(given.values()):
        return "InvalidRequest", "Missing required header for this request: Content-MD5 OR x-amz-checksum-*"
    for name, value in given.items():
        digest = hashlib.md5 if name == "Content-MD5" else hashlib.sha256
        if value and base64.b64encode(digest(body).digest()).decode() != value:
            return "BadDigest", f"The {name} you specified did not match what we received."
        if value and (not signed or name.lower() not in signed[1].split(";")):
            return "AccessDenied", f"There were headers present in the request which were not signed: {name}"
    return None


class Call:
    """One call that has come by. number: counted from 1 among those of its name. form: its arguments, of S3 the query."""

    def __init__(self, service, name, number, form):
        self.service, self.name, self.number, self.form = service, name, number, form

    @property
    def changes(self):
        return not READ_ONLY.match(self.name)

    def __repr__(self):
        return f"{self.name} {self.number}"


class Proxy:
    """Passes calls on to moto. on_call(call, forward) decides what a call is answered with: it returns (status, body), or
    None for no answer at all; forward() makes the call. RunInstances with a token that is known is answered as before,
    what S3 is sent has to say its length, and some of it its checksum. on_head(handler) may hold a body back."""

    def __init__(self, cloud, namespace=None):
        self.cloud = cloud
        self.calls = []
        self.on_call = lambda call, forward: forward()
        self.on_head = lambda handler: None
        self._counts = collections.Counter()
        self._answered = collections.Counter()
        self._tokens = {}
        self._lock = threading.Lock()
        proxy = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_any(self):
                proxy._handle(self)

            do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = do_any

            def log_message(self, *_):
                pass

        def listen():
            return http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)

        self._server = namespace.run(listen) if namespace else listen()
        self._server.daemon_threads = True
        self.endpoint = "http://%s:%d" % self._server.server_address[:2]
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def forget(self):
        with self._lock:
            self.calls = []
            self._counts.clear()
            self._answered.clear()
        return self

    @property
    def changes(self):
        return [call for call in self.calls if call.changes]

    def times(self, name):
        """How many calls of that name have been answered with yes."""
        return self._answered[name]

    def _note(self, handler, body):
        query = handler.path.partition("?")[2] if handler.path != "/" else body.decode("latin-1")
        form = dict(urllib.parse.parse_qsl(query))
        name = form.get("Action") or s3_name(handler)
        match = re.search(r"/[0-9]{8}/[^/]+/([a-z0-9]+)/aws4_request", handler.headers.get("Authorization", ""))
        with self._lock:
            self._counts[name] += 1
            call = Call(match[1] if match else "?", name, self._counts[name], form)
            self.calls.append(call)
        return call

    def _forward(self, handler, body, call):
        token = call.form.get("ClientToken")
        with self._lock if token else contextlib.nullcontext():
            if token in self._tokens:
                return self._tokens[token]
            connection = http.client.HTTPConnection("127.0.0.1", self.cloud.port, timeout=60)
            with contextlib.closing(connection):
                connection.putrequest(handler.command, handler.path, skip_host=True, skip_accept_encoding=True)
                for key, value in handler.headers.items():
                    if key.lower() not in ("connection", "expect"):
                        connection.putheader(key, value)
                connection.endheaders(body or None)
                response = connection.getresponse()
                answer = response.status, response.read()
            if token and answer[0] == 200:
                self._tokens[token] = answer
            return answer

    def _handle(self, handler):
        length = handler.headers.get("Content-Length")
        self.on_head(handler)
        try:
            body = handler.rfile.read(int(length or 0))
        except ConnectionError:
            body = b""
        if len(body) < int(length or 0):  # whoever sent it has gone
            handler.close_connection = True
            return
        call = self._note(handler, body)
        if handler.command == "PUT" and length is None:
            answer = error(call.service, "MissingContentLength", "You must provide the Content-Length HTTP header.", 411)
        elif call.name in NEED_CHECKSUM and (wrong := wrong_checksum(handler.headers, body)):
            answer = error(call.service, *wrong, 400)
        else:
            answer = self.on_call(call, lambda: self._forward(handler, body, call))
        if answer is None:
            handler.close_connection = True
            handler.connection.shutdown(socket.SHUT_RDWR)
            return
        with self._lock:
            self._answered[call.name] += answer[0] == 200
        handler.send_response(answer[0])
        handler.send_header("Content-Length", str(len(answer[1])))
        handler.end_headers()
        if handler.command != "HEAD":
            handler.wfile.write(answer[1])

    def stop(self):
        self._server.shutdown()
        self._server.server_close()


class Metadata:
    """The metadata service of an instance (IMDSv2): nothing is answered without a token. keys: those of its role."""

    def __init__(self, keys, namespace=None, port=0):
        self.keys = keys
        self.asked = []
        service = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def answer(self):
                service.asked.append((self.command, self.path))
                allowed = self.command == "PUT" or self.headers["X-aws-ec2-metadata-token"] == "a-token"
                body = service.answers().get(self.path, "").encode() if allowed else b""
                self.send_response(200 if body else 404 if allowed else 401)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_PUT = answer

            def log_message(self, *_):
                pass

        def listen():
            return http.server.ThreadingHTTPServer(("169.254.169.254" if namespace else "127.0.0.1", port), Handler)

        self._server = namespace.run(listen) if namespace else listen()
        self.endpoint = "http://%s:%d" % self._server.server_address[:2]
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def answers(self):
        role = "/latest/meta-data/iam/security-credentials/"
        return {"/latest/api/token": "a-token", role: "its-role\n", "/latest/meta-data/placement/region": REGION,
                role + "its-role": json.dumps({"Code": "Success", "AccessKeyId": self.keys["id"],
                                               "SecretAccessKey": self.keys["secret"], "Token": self.keys.get("token", ""),
                                               "Expiration": "2099-01-01T00:00:00Z"}, indent=2)}

    def stop(self):
        self._server.shutdown()
        self._server.server_close()


class Namespace:
    """A network namespace in which addresses are put on loopback. Needs root. name: of one that is there."""

    def __init__(self, name=None):
        self.name = name or f"berth-aws-{os.getpid()}"
        if not name:
            subprocess.run(["ip", "netns", "add", self.name], check=True)
            self.execute("ip", "link", "set", "lo", "up")

    def command(self, *words):
        return ["nsenter", f"--net=/run/netns/{self.name}", *map(str, words)]

    def execute(self, *words):
        subprocess.run(self.command(*words), check=True)

    def add_address(self, ip):
        self.execute("ip", "address", "add", f"{ip}/32", "dev", "lo")

    def run(self, function):
        """Calls function on a thread within the namespace: a socket belongs to the one that it was made in."""
        def enter():
            with open(f"/run/netns/{self.name}", "rb") as file:
                assert ctypes.CDLL(None, use_errno=True).setns(file.fileno(), 0) == 0, os.strerror(ctypes.get_errno())
            return function()

        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            return pool.submit(enter).result()

    def connect(self, host, method, path, body=None):
        """A request from within: (status, body)."""
        def go():
            connection = http.client.HTTPConnection(host, timeout=60)
            with contextlib.closing(connection):
                connection.request(method, path, body, {"Content-Type": "text/plain"})
                response = connection.getresponse()
                return response.status, response.read()
        return self.run(go)

    def counts(self, host):
        """What a front says of its containers; nothing while it does not answer."""
        try:
            return json.loads(self.connect(host, "GET", "/berth/readyz")[1])
        except OSError:
            return {}

    def remove(self):
        subprocess.run(["ip", "netns", "delete", self.name], check=True)


def s3_name(handler):
    path, _, query = handler.path.partition("?")
    thing = "Object" if path.strip("/").count("/") else "Bucket"
    if "list-type" in query:
        return "ListObjectsV2"
    if "tagging" in query:
        thing += "Tagging"
    return {"GET": "Get", "PUT": "Put", "DELETE": "Delete", "HEAD": "Head"}.get(handler.command, handler.command) + thing


def take_terminal(fd):
    """In a child: the terminal is its own, so that Ctrl-C on it is a signal."""
    os.setsid()
    fcntl.ioctl(fd, termios.TIOCSCTTY, 0)


class Operator:
    """Somebody who runs berth against a cloud, through a proxy of their own. image: of the containers, None: Berth's own."""

    def __init__(self, cloud, name, directory, environment, endpoint, keys=None, image="example.org/own",
                 region=REGION):
        self.cluster = Cluster(cloud, name, region)
        self.directory = pathlib.Path(directory)
        keys = keys or cloud.keys
        self.environment = {
            **environment, "HOME": str(directory), "XDG_STATE_HOME": str(self.directory / "state"),
            "AWS_ENDPOINT_URL": endpoint, "AWS_REGION": region, "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_ACCESS_KEY_ID": keys["id"], "AWS_SECRET_ACCESS_KEY": keys["secret"], "AWS_SESSION_TOKEN": "",
            "AWS_PROFILE": "", "AWS_CONFIG_FILE": "", "AWS_SHARED_CREDENTIALS_FILE": ""}
        self.common = ["--on", "aws", "--name", name]
        self.flags = ["--ami", cloud.image, "--admin-cidr", "203.0.113.7", "--no-wait"]
        self.containers = ["--image", image] if image else ["--model", ROOT / "models" / "spam"]

    def up_arguments(self, *more):
        return ["up", *self.common, *self.flags, *self.containers, *more]

    def up(self, *more):
        return run(*self.up_arguments(*more), env=self.environment, cwd=self.directory, patience=120)

    def start_up(self, *more, namespace=None):
        """Without waiting for its end."""
        words = [str(word) for word in [BUILD / "berth", *self.up_arguments(*more)]]
        return subprocess.Popen(namespace.command(*words) if namespace else words,
                                env={**os.environ, **self.environment}, cwd=self.directory, text=True,
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def down(self, *more):
        return run("down", *self.common, *more, env=self.environment, cwd=self.directory, patience=120)

    def down_on_terminal(self, answer, *more):
        """berth down, answered on a terminal when it asks: (exit code, what was printed)."""
        terminal, its_end = os.openpty()
        with subprocess.Popen([BUILD / "berth", "down", *self.common, *more], env={**os.environ, **self.environment},
                              cwd=self.directory, stdin=its_end, stdout=its_end, stderr=its_end,
                              preexec_fn=functools.partial(take_terminal, its_end)) as process:
            os.close(its_end)
            output = b""
            with contextlib.suppress(OSError):  # EIO: nobody has the other end any more
                while piece := os.read(terminal, 65536):
                    output += piece
                    if answer and b"[y/N] " in output:
                        os.write(terminal, answer)
                        answer = None
            os.close(terminal)
            return process.wait(120), output.decode()

    def status(self):
        result = run("status", *self.common, "--json", env=self.environment, cwd=self.directory)
        return json.loads(result.stdout)
