"""What a proxy adds and takes away: fields, addresses, routes, and what it reports of itself."""

import json
import re
import signal
import socket
import threading

import pytest

from berth import wait_until
from containers import Background, RawClient, echo, gateway, raw, reply, scripted, when  # noqa: F401

HAS_IPV6 = True
try:
    socket.create_server(("::1", 0), family=socket.AF_INET6).close()
except OSError:
    HAS_IPV6 = False
ipv6 = pytest.mark.skipif(not HAS_IPV6, reason="this machine has no IPv6 on its loopback")


# ---- fields ----


def test_fields_on_the_way_to_the_container(gateway, scripted):
    container = scripted()
    berth = gateway(container)
    with RawClient(berth.address) as client:
        client.request("GET", "/p", head="Host: model.example\r\nX-One: a\r\nX-One: b\r\nAuthorization: Bearer t\r\n"
                       "Connection: keep-alive, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: x\r\nProxy-Authorization: y\r\nTE: trailers\r\n"
                       "X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-Proto: https\r\nForwarded: for=6.6.6.6\r\n").answer()
    [request] = container.requests
    assert request.head.start == "GET /p HTTP/1.1"
    assert (request["Host"], request.head.all("X-One"), request["Authorization"]) == ("model.example", ["a", "b"], "Bearer t")
    for name in ("X-Hop", "Keep-Alive", "Proxy-Authorization", "TE", "Connection", "Forwarded", "Expect"):
        assert request[name] is None, name
    assert (request["X-Forwarded-For"], request["X-Forwarded-Proto"]) == ("127.0.0.1", "http")
    assert request["X-Forwarded-Host"] == "model.example"
    assert request["Via"] == "1.1 berth"
    assert re.fullmatch("[0-9a-f]{32}", request["X-Request-Id"])
    assert re.fullmatch("00-[0-9a-f]{32}-[0-9a-f]{16}-00", request["traceparent"])


def test_ids_that_are_there_are_kept(gateway, scripted):
    container = scripted()
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    gateway(container).get("/", headers={"X-Request-Id": "mine", "traceparent": trace})
    [request] = container.requests
    assert (request["X-Request-Id"], request["traceparent"]) == ("mine", trace)


def test_ids_differ(gateway, scripted):
    container = scripted()
    berth = gateway(container)
    for _ in range(20):
        berth.get("/")
    assert len({request["X-Request-Id"] for request in container.requests}) == 20


def test_a_trusted_proxy_is_believed(gateway, scripted):
    container = scripted()
    berth = gateway(container, trusted_proxies="10.0.0.0/8,127.0.0.0/8")
    berth.get("/", headers={"X-Forwarded-For": "203.0.113.9", "X-Forwarded-Proto": "https", "X-Forwarded-Host": "outside",
                            "Forwarded": "for=203.0.113.9"})
    [request] = container.requests
    assert (request["X-Forwarded-For"], request["X-Forwarded-Proto"]) == ("203.0.113.9, 127.0.0.1", "https")
    assert (request["X-Forwarded-Host"], request["Forwarded"]) == ("outside", "for=203.0.113.9")


def test_one_that_is_not_trusted_is_not(gateway, scripted):
    container = scripted()
    gateway(container, trusted_proxies="10.0.0.0/8").get("/", headers={"X-Forwarded-For": "203.0.113.9"})
    assert container.requests[0]["X-Forwarded-For"] == "127.0.0.1"


def test_fields_on_the_way_back(gateway, scripted):
    head = (b"HTTP/1.1 200 Fine\r\nServer: model\r\nSet-Cookie: a=b\r\nset-cookie: c=d\r\nConnection: X-Hop\r\nX-Hop: 1\r\n"
            b"Keep-Alive: timeout=5\r\nVia: 1.0 inner\r\nDate: Mon, 01 Jan 2024 00:00:00 GMT\r\nContent-Length: 1\r\n\r\nx")
    with RawClient(gateway(scripted().always(raw(head))).address) as client:
        answer = client.request("GET", "/").answer()
    assert answer.head.start == "HTTP/1.1 200 Fine"
    assert (answer["Server"], answer.head.all("Set-Cookie")) == ("model", ["a=b", "c=d"])
    assert answer["Date"] == "Mon, 01 Jan 2024 00:00:00 GMT"
    for name in ("X-Hop", "Keep-Alive", "Connection"):
        assert answer[name] is None, name
    assert answer.head.all("Via") == ["1.0 inner", "1.1 berth"]
    assert re.fullmatch(r"queue;dur=\d+\.\d{3}, upstream;dur=\d+\.\d{3}", answer["Server-Timing"])


def test_absolute_form(gateway, scripted):
    container = scripted()
    with RawClient(gateway(container).address) as client:
        assert client.request("GET", "http://right.example:81/a?b", head="Host: wrong\r\n").answer().status == 200
    assert (container.requests[0].target, container.requests[0]["Host"]) == ("/a?b", "right.example:81")


def test_targets_are_passed_on_as_they_are(gateway, scripted):
    container = scripted()
    targets = ["/", "/a//b", "/a%20b?c=%20+&d", "/?", "/a;b=c", "/\"quoted\"", "/a/..b/c..", "/.a", "/%2fa", "/berthing"]
    with RawClient(gateway(container).address) as client:
        for target in targets:
            assert client.request("GET", target).answer().status == 200
    assert [request.target for request in container.requests] == targets


@pytest.mark.parametrize("target", ["/a/../b", "/./a", "/a/..", "/%2e%2E/x", "/a/.%2e", "/..;x/y"])
def test_dot_segments_go_nowhere(gateway, scripted, target):
    """Whoever resolves them after Berth would see another path than the one that chose the pool."""
    container = scripted()
    with RawClient(gateway(container).address) as client:
        answer = client.request("GET", target).answer()
    assert (answer.status, json.loads(answer.body)["type"]) == (400, "urn:berth:problem:bad-request")
    assert not container.requests


# ---- routes ----


def test_pools_by_prefix_and_host(gateway, scripted, tmp_path):
    names = ["root", "models", "spam", "exact", "wildcard"]
    containers = {name: scripted().always(reply(name.encode())) for name in names}
    matches = {"root": "{}", "models": "{path_prefix: /models}", "spam": "{path_prefix: /models/spam}",
               "exact": "{host: api.example.org}", "wildcard": '{host: "*.example.org"}'}
    pools = "".join(f"  - {{name: {name}, match: {matches[name]}, containers: [{containers[name].address}]}}\n" for name in names)
    (tmp_path / "berth.yaml").write_text(f"pools:\n{pools}")
    berth = gateway(wait=False)
    for name in names:
        berth.wait_for_slots(1, name)
    cases = [("h", "/", "root"), ("h", "/models", "models"), ("h", "/models/", "models"), ("h", "/models/x", "models"),
             ("h", "/modelsx", "root"), ("h", "/models?x", "models"), ("h", "/models/spam", "spam"), ("h", "/models/spam/x/y", "spam"),
             ("h", "/models/spammer", "models"), ("api.example.org", "/", "exact"), ("API.example.ORG:8080", "/", "exact"),
             ("x.example.org", "/", "wildcard"), ("a.b.example.org", "/", "wildcard"), ("example.org", "/", "root"),
             ("xexample.org", "/", "root"), ("api.example.org", "/models/x", "models")]
    with RawClient(berth.address) as client:
        for host, path, expected in cases:
            answer = client.request("GET", path, head=f"Host: {host}\r\n").answer()
            assert answer.body.decode() == expected, (host, path)


def test_each_pool_has_its_own_queue(gateway, scripted, tmp_path):
    release = threading.Event()
    slow, quick = scripted().always(when(release, echo)), scripted()
    (tmp_path / "berth.yaml").write_text(f"pools:\n  - {{name: slow, match: {{path_prefix: /slow}}, containers: [{slow.address}]}}\n"
                                         f"  - {{name: quick, containers: [{quick.address}]}}\n")
    berth = gateway(wait=False)
    berth.wait_for_slots(1, "slow").wait_for_slots(1, "quick")
    stuck = [Background(berth.get, "/slow") for _ in range(3)]
    berth.wait_for_queue(2, "slow")
    assert berth.post("/", b"x").body == b"x"
    assert [(pool["name"], pool["waiting"]) for pool in berth.get("/berth/queue").json["pools"]] in (
        [("slow", 2), ("quick", 0)], [("quick", 0), ("slow", 2)])
    release.set()
    assert all(one.result().status == 200 for one in stuck)


def test_no_pool(gateway, scripted, tmp_path):
    container = scripted()
    (tmp_path / "berth.yaml").write_text(f"pools: [{{name: a, match: {{path_prefix: /a}}, containers: [{container.address}]}}]\n")
    berth = gateway(wait=False)
    berth.wait_for_slots(1, "a")
    answer = berth.get("/b")
    assert (answer.status, answer.json["type"]) == (404, "urn:berth:problem:not-found")
    assert berth.get("/a").status == 200
    assert len(container.requests) == 1


# ---- addresses ----


@ipv6
def test_ipv6(gateway, scripted):
    """A listener and a container, and the address that the container is told."""
    container = scripted("::1")
    berth = gateway(container, listen="[::1]:0")
    assert berth.address.startswith("[::1]:")
    with RawClient(berth.address) as client:
        assert client.request("POST", "/", b"x").answer().body == b"x"
    assert container.requests[0]["X-Forwarded-For"] == "::1"
    assert berth.pool()["containers"][0]["ip"] == "::1"


@ipv6
def test_ipv4_clients_of_an_ipv6_listener(gateway, scripted):
    container = scripted()
    berth = gateway(container, listen=":0")
    port = berth.address.rpartition(":")[2]
    with RawClient(f"127.0.0.1:{port}") as client:
        assert client.request("POST", "/", b"x").answer().body == b"x"
    assert container.requests[0]["X-Forwarded-For"] == "127.0.0.1"


def test_unix_sockets(gateway, scripted, tmp_path):
    container = scripted(path=tmp_path / "container")
    berth = gateway(container, listen=f"unix:{tmp_path}/front")
    with RawClient(berth.address) as client:
        for i in range(5):
            assert client.request("POST", "/", b"%d" % i).answer().body == b"%d" % i
    container.hang_up()
    with RawClient(berth.address) as client:
        assert client.request("POST", "/", b"x").answer().body == b"x"
    container.die()
    wait_until(lambda: berth.pool()["containers"][0]["status"] == "down")
    container.come_back()
    berth.wait_for_slots(1)


def test_a_long_answer_over_unix_sockets_with_a_close_at_its_end(gateway, scripted, tmp_path):
    body = bytes(range(256)) * 8192  # 2 MiB
    container = scripted(path=tmp_path / "container").always(reply(body, framing="close"))
    berth = gateway(container, listen=f"unix:{tmp_path}/front", limits_body_memory="4KiB")
    with RawClient(berth.address) as client:
        for _ in range(3):
            assert client.request("GET", "/").answer().body == body


# ---- the access log ----


def log_lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def test_access_log(gateway, scripted, tmp_path):
    log = tmp_path / "access.log"
    release = threading.Event()
    container = scripted().then(reply(b"four", status=201)).then(when(release, echo)).always(echo)
    berth = gateway(container, access_log=log, queue_max=0)
    berth.post("/path?query", b"x")
    running = RawClient(berth.address).request("PUT", "/left", b"x")
    wait_until(lambda: container.in_flight == 1)
    berth.get("/full")
    running.close()
    wait_until(lambda: len(log_lines(log)) == 3)
    release.set()
    berth.wait_for_slots(1)
    job = berth.get("/new_request").json
    wait_until(lambda: len(log_lines(log)) == 4)
    answered, full, left, background = log_lines(log)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", answered["time"])
    assert (answered["pool"], answered["client"], answered["method"], answered["target"]) == ("default", "127.0.0.1", "POST", "/path?query")
    assert (answered["outcome"], answered["status"], answered["bytes"], answered["attempts"]) == ("answered", 201, 4, 1)
    assert answered["queue_ms"] >= 0 and answered["upstream_ms"] > 0
    assert (full["target"], full["outcome"], full["status"], full["attempts"]) == ("/full", "queue-full", 503, 0)
    assert (left["target"], left["outcome"], left["attempts"]) == ("/left", "left", 1)
    assert (background["outcome"], background["job"], background["target"]) == ("answered", job["id"], "/run_model")


def test_strange_requests_do_not_break_the_log(gateway, scripted, tmp_path):
    log = tmp_path / "access.log"
    berth = gateway(scripted(), access_log=log)
    with RawClient(berth.address) as client:
        client.request("GET", '/"\'{}[],:\\'.replace("\\", ""), head="Host: h\r\nX: \xff\xfe\r\n").answer()
    wait_until(lambda: len(log_lines(log)) == 1)
    assert log_lines(log)[0]["target"] == "/\"'{}[],:"


def test_the_log_is_reopened(gateway, scripted, tmp_path):
    log, old = tmp_path / "access.log", tmp_path / "access.log.1"
    berth = gateway(scripted(), access_log=log)
    for i in range(3):
        berth.get(f"/{i}")
        wait_until(lambda: len(log_lines(log)) == 1)
        log.rename(old)
        berth.signal(signal.SIGUSR1)
        wait_until(log.exists)
        assert [line["target"] for line in log_lines(old)] == [f"/{i}"]


def test_access_log_to_stderr(gateway, scripted):
    berth = gateway(scripted(), access_log="stderr")
    berth.get("/seen")
    berth.wait_for('^{"time":.*"/seen"')


# ---- the status file ----


def test_status_file(gateway, scripted, tmp_path):
    file = tmp_path / "status.json"
    release = threading.Event()
    containers = [scripted().always(when(release, echo)) for _ in range(2)]
    berth = gateway(*containers, status_file=file, slots=2)

    def states():
        report = json.loads(file.read_text())
        return [report[name]["status"] for name in ("container1", "container2")]
    wait_until(lambda: file.exists() and states() == ["free", "free"])
    report = json.loads(file.read_text())
    assert list(report) == ["container1", "container2"]
    first = report["container1"]
    host, port = containers[0].address.split(":")
    assert (first["ip"], first["port"], first["slots"], first["in_flight"]) == (host, port, 2, 0)
    assert "worker" in first
    running = []
    for _ in range(3):
        running.append(Background(berth.get, "/"))
        wait_until(lambda: containers[0].in_flight + containers[1].in_flight == len(running))
    wait_until(lambda: states() == ["busy", "free"])
    assert json.loads(file.read_text())["container1"]["in_flight"] == 2
    containers[1].die()
    wait_until(lambda: states() == ["busy", "down"])
    release.set()
    wait_until(lambda: states() == ["free", "down"])
    assert all(one.result().status == 200 for one in running)
    assert json.loads(file.read_text())["container1"]["in_flight"] == 0


def test_the_status_file_is_always_whole(gateway, scripted, tmp_path):
    """Read again and again while it changes: each time it is whole, and nothing is left beside it."""
    file = tmp_path / "status.json"
    berth = gateway(scripted(), scripted(), status_file=file)
    wait_until(file.exists)
    done = threading.Event()

    def read_on():
        inodes = set()
        while not done.is_set():
            assert set(json.loads(file.read_text())) == {"container1", "container2"}
            inodes.add(file.stat().st_ino)
        return inodes
    reader = Background(read_on)
    for _ in range(300):
        berth.post("/", b"x")
    berth.wait_for_slots(2)
    done.set()
    assert len(reader.result()) > 1  # it was replaced, not written over
    wait_until(lambda: [path.name for path in tmp_path.iterdir() if path.name.startswith("status")] == ["status.json"])


def test_a_status_file_that_cannot_be_written(gateway, scripted, tmp_path):
    """Said once; requests do not suffer."""
    berth = gateway(scripted(), status_file=tmp_path / "nowhere" / "status.json")
    berth.wait_for(r"^berth: warning: cannot write the status file .*nowhere/status.json: No such file or directory$")
    for _ in range(20):
        assert berth.post("/", b"x").body == b"x"
    (tmp_path / "nowhere").mkdir()
    berth.post("/", b"x")
    wait_until((tmp_path / "nowhere" / "status.json").exists)
    assert berth.output.count("cannot write the status file") == 1


# ---- the end ----


def test_sigterm_finishes_what_runs_and_what_waits(gateway, scripted):
    release = threading.Event()
    container = scripted().always(when(release, echo))
    berth = gateway(container)
    idle = RawClient(berth.address).request("GET", "/berth/queue")
    assert idle.answer().status == 200
    clients = []
    for i in range(4):
        clients.append(RawClient(berth.address).request("POST", "/", b"%d" % i))
        if i:
            berth.wait_for_queue(i)
    half = RawClient(berth.address).send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nha")
    wait_until(lambda: berth.status()["connections"] >= 6)
    berth.signal(signal.SIGTERM).wait_for("once more stops at once")
    assert idle.is_closed()
    with pytest.raises(ConnectionRefusedError):
        RawClient(berth.address)
    half.close()
    release.set()
    for i, client in enumerate(clients):
        answer = client.answer()
        assert (answer.status, answer.body, answer["Connection"]) == (200, b"%d" % i, "close")
        assert client.is_closed()
    assert berth.wait() == 0


def test_a_new_request_during_the_end(gateway, scripted):
    release = threading.Event()
    container = scripted().always(when(release, echo))
    berth = gateway(container)
    client = RawClient(berth.address).request("POST", "/", b"x")
    other = RawClient(berth.address).send("POST / HTTP/1.1\r\nHost: h\r\n")
    wait_until(lambda: container.in_flight == 1)
    berth.signal(signal.SIGTERM).wait_for("once more stops at once")
    answer = other.send("Content-Length: 1\r\n\r\nx").answer()
    assert (answer.status, json.loads(answer.body)["type"]) == (503, "urn:berth:problem:shutting-down")
    other.close()
    release.set()
    assert client.answer().body == b"x"
    assert berth.wait() == 0


def test_the_end_has_an_end(gateway, scripted):
    release = threading.Event()
    container = scripted().always(when(release, echo))
    berth = gateway(container, drain_timeout="100ms")
    client = RawClient(berth.address).request("POST", "/", b"x")
    wait_until(lambda: container.in_flight == 1)
    berth.signal(signal.SIGTERM).wait_for("drain_timeout is over: 1 request")
    assert berth.wait() == 0
    assert client.is_closed()
    release.set()
