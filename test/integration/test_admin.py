"""The admin listener: what it tells, and whom it answers."""

import json
import re
import threading
import time

import pytest

from berth import request, wait_until
from containers import Background, RawClient, echo, gateway, reply, scripted, when  # noqa: F401


def ask(berth, method, path, head=""):
    """One request with a head that is written out; Host too, unless it is there."""
    with RawClient(berth.admin) as client:
        return client.request(method, path, head=head if "Host:" in head else f"Host: {berth.admin}\r\n{head}").answer(method == "HEAD")


def problem_of(answer):
    assert answer["Content-Type"] == "application/problem+json"
    problem = json.loads(answer.body)
    assert problem["status"] == answer.status
    return problem["type"].removeprefix("urn:berth:problem:")


# ---- resources ----


def test_healthz_and_readyz(gateway, scripted):
    container = scripted()
    berth = gateway(container)
    assert (ask(berth, "GET", "/healthz").status, ask(berth, "GET", "/healthz").body) == (200, b"ok\n")
    answer = ask(berth, "GET", "/readyz")
    assert answer.status == 200
    counts = {"containers": 1, "draining": 0, "generations": {}, "workers": {},
              "sources": {"all": 0, "unheard": 0, "heard": 0, "unreachable": 0}}
    assert json.loads(answer.body) == {"ready": True, "up": 1, "down": 0, **counts}
    container.die()
    wait_until(lambda: ask(berth, "GET", "/readyz").status == 503)
    assert json.loads(ask(berth, "GET", "/readyz").body) == {"ready": False, "up": 0, "down": 1, **counts}
    assert ask(berth, "GET", "/healthz").status == 200  # Berth itself is well


def test_status(gateway, scripted):
    release = threading.Event()
    containers = [scripted().then(reply(b"x")).always(when(release, echo)) for _ in range(2)]
    berth = gateway(*containers, slots=2, queue_max=77)
    for _ in range(2):
        berth.get("/")
    clients = [Background(berth.get, "/") for _ in range(5)]
    berth.wait_for_queue(1)
    status = berth.status()
    assert re.fullmatch(r"\d+\.\d+\.\d+", status["version"])
    assert status["uptime_s"] >= 0 and status["draining"] is False and status["connections"] >= 5
    [pool] = status["pools"]
    assert (pool["name"], pool["queue"]["length"], pool["queue"]["max"]) == ("default", 1, 77)
    assert pool["queue"]["bytes"] > 0 and pool["queue"]["eta_ms"] >= 0
    assert pool["slots"] == {"down": 0, "connecting": 0, "free": 0, "busy": 4, "zombie": 0}
    assert pool["requests"] == {"done": 2, "left": 0, "problems": 0, "retries": 0}
    for container, script in zip(pool["containers"], containers):
        host, port = script.address.split(":")
        assert (container["ip"], container["port"], container["status"]) == (host, port, "busy")
        assert (container["slots"], container["in_flight"], container["requests"], container["failures"]) == (2, 2, 3, 0)
    assert [container["name"] for container in pool["containers"]] == ["container1", "container2"]
    release.set()
    assert all(one.result().status == 200 for one in clients)


def test_head(gateway, scripted):
    answer = ask(gateway(scripted()), "HEAD", "/status")
    assert (answer.status, answer.body) == (200, b"") and int(answer["Content-Length"]) > 100


def test_answers_are_not_kept(gateway, scripted):
    berth = gateway(scripted())
    for path in ("/healthz", "/status", "/metrics"):
        assert ask(berth, "GET", path)["Cache-Control"] == "no-store"


def test_several_requests_on_a_connection(gateway, scripted):
    berth = gateway(scripted())
    with RawClient(berth.admin) as client:
        for _ in range(3):
            assert client.request("GET", "/healthz", head="Host: localhost\r\n").answer().status == 200


# ---- who is answered ----


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.1:9091", "[::1]:9091", "localhost", "LocalHost:1", "10.1.2.3", "ops.example"])
def test_welcome_hosts(gateway, scripted, host):
    berth = gateway(scripted(), admin_hosts="ops.example,other.example")
    assert ask(berth, "GET", "/status", f"Host: {host}\r\n").status == 200


@pytest.mark.parametrize("host", ["evil.example", "ops.example.evil.example", "localhost.evil.example", "127.0.0.1.evil.example",
                                  "xlocalhost", "1.2.3", "0x7f.1"])
def test_other_hosts(gateway, scripted, host):
    """A page whose name was re-bound to this address sends its own name."""
    berth = gateway(scripted(), admin_hosts="ops.example")
    for path in ("/status", "/metrics", "/healthz", "/nothing"):
        answer = ask(berth, "GET", path, f"Host: {host}\r\n")
        assert (answer.status, problem_of(answer)) == (421, "misdirected")


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:9091", ""])
def test_pages_are_refused(gateway, scripted, origin):
    answer = ask(gateway(scripted()), "GET", "/status", f"Origin: {origin}\r\n")
    assert (answer.status, problem_of(answer)) == (403, "forbidden")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "BREW"])
def test_other_methods(gateway, scripted, method):
    answer = ask(gateway(scripted()), method, "/status")
    assert (answer.status, problem_of(answer), answer["Allow"]) == (405, "method-not-allowed", "GET, HEAD")


@pytest.mark.parametrize("path", ["/", "/nothing", "/status/", "/statusx", "/metrics/x", "/new_request", "/berth/readyz", "/containers"])
def test_unknown_paths(gateway, scripted, path):
    container = scripted()
    answer = ask(gateway(container), "GET", path)
    assert (answer.status, problem_of(answer)) == (404, "not-found")
    assert not container.requests


def test_a_body_ends_the_connection(gateway, scripted):
    berth = gateway(scripted())
    with RawClient(berth.admin) as client:
        answer = client.request("POST", "/status", b"x" * 100, head="Host: localhost\r\n").answer()
        assert (answer.status, answer["Connection"]) == (405, "close")
        assert client.is_closed()


def test_bad_requests(gateway, scripted):
    berth = gateway(scripted())
    with RawClient(berth.admin) as client:
        answer = client.send("nonsense\r\n\r\n").answer()
        assert (answer.status, problem_of(answer)) == (400, "bad-request")
        assert client.is_closed()
    assert ask(berth, "GET", "/healthz").status == 200


def test_over_a_unix_socket(gateway, scripted, tmp_path):
    """Whoever may open it is welcome, by whatever name."""
    berth = gateway(scripted(), wait=False, admin=f"unix:{tmp_path}/admin")
    with RawClient(berth.admin) as client:
        assert client.request("GET", "/status", head="Host: any.example\r\n").answer().status == 200
        assert client.request("GET", "/status", head="Host: h\r\nOrigin: http://x\r\n").answer().status == 403


def test_the_front_has_none_of_it(gateway, scripted):
    container = scripted()
    berth = gateway(container)
    for path in ("/status", "/metrics", "/healthz"):
        assert berth.post(path, b"x").body == b"x"
    assert len(container.requests) == 3


def test_without_an_admin_listener(gateway, scripted):
    berth = gateway(scripted(), wait=False, admin="off")
    assert berth.admin is None
    wait_until(lambda: berth.get("/").status == 200)


# ---- metrics ----


SAMPLE = re.compile(r'^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{((?:[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\["\\n])*",?)*)\})? (\S+)$')


def parse(text):
    """Prometheus' exposition format 0.0.4: {(name, labels): value}, types by name."""
    assert text.endswith("\n")
    samples, types, helped = {}, {}, set()
    family = None
    for line in text.splitlines():
        if line.startswith("# HELP "):
            helped.add(line.split(" ")[2])
        elif line.startswith("# TYPE "):
            _, _, family, kind = line.split(" ")
            assert family not in types and kind in ("counter", "gauge", "histogram")
            types[family] = kind
        else:
            found = SAMPLE.match(line)
            assert found, line
            name, labels, value = found.groups()
            base = re.sub("_(bucket|sum|count)$", "", name) if types[family] == "histogram" else name
            assert base == family, f"{name} is not under its own TYPE"
            key = (name, labels or "")
            assert key not in samples, f"{key} comes twice"
            samples[key] = float(value)
    assert helped == set(types)
    return samples, types


def test_metrics_are_prometheus_text(gateway, scripted):
    answer = ask(gateway(scripted()), "GET", "/metrics")
    assert answer["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    samples, types = parse(answer.body.decode())
    assert all(name.endswith("_total") for name, kind in types.items() if kind == "counter")
    for family in (name for name, kind in types.items() if kind == "histogram"):
        buckets = [(float(re.search(r'le="([^"]+)"', labels)[1].replace("+Inf", "inf")), value)
                   for (name, labels), value in samples.items() if name == f"{family}_bucket"]
        assert buckets == sorted(buckets) and buckets[-1][0] == float("inf")
        assert [value for _, value in buckets] == sorted(value for _, value in buckets)
        [count] = [value for (name, _), value in samples.items() if name == f"{family}_count"]
        assert buckets[-1][1] == count


def test_metrics_count_right(gateway, scripted):
    release = threading.Event()

    def some_time(exchange):
        time.sleep(0.06)
        echo(exchange)
    container = scripted().then(some_time).then(reply(b"", status=500)).always(when(release, echo))
    other = scripted()
    other.die()
    berth = gateway(container, other, wait=False, queue_max=2)
    berth.wait_for_slots(1)
    assert berth.post("/", b"x").status == 200
    assert berth.post("/", b"x").status == 500
    clients = [RawClient(berth.address).request("POST", "/", b"x")]
    wait_until(lambda: container.in_flight == 1)
    for i in range(2):
        clients.append(RawClient(berth.address).request("POST", "/", b"x"))
        berth.wait_for_queue(i + 1)
    assert berth.post("/", b"x").status == 503
    clients.pop().close()
    berth.wait_for_queue(1)
    with RawClient(berth.address) as client:
        assert client.send("nonsense\r\n\r\n").answer().status == 400
    samples, _ = parse(berth.metrics())

    def value(name, **labels):
        return samples[(name, ",".join(f'{key}="{label}"' for key, label in labels.items()))]
    assert value("berth_requests_total", pool="default", outcome="answered") == 2
    assert value("berth_requests_total", pool="default", outcome="left") == 1
    assert value("berth_requests_total", pool="default", outcome="queue-full") == 1
    assert value("berth_queue_length", pool="default") == 1
    assert value("berth_slots", pool="default", state="busy") == 1
    assert value("berth_slots", pool="default", state="free") == 0
    assert value("berth_container_up", pool="default", container="container1") == 1
    assert value("berth_container_up", pool="default", container="container2") == 0
    assert value("berth_container_in_flight", pool="default", container="container1") == 1
    assert value("berth_container_requests_total", pool="default", container="container1") == 3
    assert value("berth_container_requests_total", pool="default", container="container2") == 0
    assert value("berth_bad_requests_total") == 1
    assert value("berth_requests_without_pool_total", outcome="bad-request") == 1
    assert value("berth_wait_seconds_count", pool="default") == 3
    assert value("berth_service_seconds_count", pool="default") == 2
    assert 0.06 <= value("berth_service_seconds_sum", pool="default") < 5
    assert value("berth_service_seconds_bucket", pool="default", le="0.05") == 1
    assert value("berth_memory_bytes") > 0
    release.set()
    for client in clients:
        assert client.answer().status == 200
        client.close()
    berth.wait_for_slots(1)
    samples, _ = parse(berth.metrics())
    assert value("berth_requests_total", pool="default", outcome="answered") == 4
    assert value("berth_queue_length", pool="default") == 0
    assert value("berth_memory_bytes") == 0


# ---- changes ----


def change(berth, method, name, body=None, **fields):
    headers = {"Content-Type": "application/json", **{key.replace("_", "-"): value for key, value in fields.items()}}
    return request(berth.admin, method, f"/containers/{name}", None if body is None else json.dumps(body), headers)


def test_a_container_is_drained_and_taken_back(gateway, scripted):
    release = threading.Event()
    containers = [scripted().then(when(release, echo)).always(echo), scripted()]
    berth = gateway(*containers)
    running = Background(berth.post, "/", b"x")
    wait_until(lambda: sum(one.in_flight for one in containers) == 1)
    name = "container1" if containers[0].in_flight else "container2"
    answer = change(berth, "PUT", name, {"draining": True})
    assert (answer.status, answer.json["status"], answer.json["in_flight"]) == (200, "draining", 1)
    drained, other = containers if containers[0].in_flight else containers[::-1]
    for _ in range(4):
        assert berth.post("/", b"y").body == b"y"
    assert len(drained.requests) == 1 and len(other.requests) == 4
    release.set()
    assert running.result().body == b"x"  # what ran is finished
    assert change(berth, "PUT", name, {"draining": False}).json["status"] == "free"
    for _ in range(4):
        berth.post("/", b"z")
    assert len(drained.requests) > 1


def test_a_container_joins_and_leaves(gateway, scripted):
    first, second = scripted(), scripted()
    berth = gateway(first)
    answer = change(berth, "PUT", "newcomer", {"address": second.address, "worker": "w"})
    assert (answer.status, answer.json["name"], answer.json["worker"]) == (201, "newcomer", "w")
    berth.wait_for_slots(2)
    for _ in range(4):
        berth.post("/", b"x")
    assert (len(first.requests), len(second.requests)) == (2, 2)
    assert change(berth, "DELETE", "newcomer").status == 202
    wait_until(lambda: len(berth.pool()["containers"]) == 1)
    assert change(berth, "DELETE", "newcomer").status == 404
    assert berth.post("/", b"x").body == b"x"


def test_the_last_container_leaves_while_requests_wait(gateway, scripted):
    release = threading.Event()
    first, second = scripted().always(when(release, echo)), scripted()
    berth = gateway(first, queue_max=3)
    clients = [Background(berth.post, "/", b"x") for _ in range(4)]
    berth.wait_for_queue(3)
    assert change(berth, "DELETE", "container1").status == 202
    release.set()
    wait_until(lambda: berth.pool()["containers"] == [])
    assert change(berth, "PUT", "another", {"address": second.address}).status == 201
    assert [one.result().status for one in clients] == [200] * 4
    assert len(second.requests) == 3


@pytest.mark.parametrize("body, status", [
    ({"address": "169.254.169.254:80"}, 403), ({"address": "127.0.0.1:0"}, 403), ({"address": "[fe80::1]:80"}, 403),
    ({"address": "localhost:80"}, 400), ({"address": ""}, 400), ({"address": "127.0.0.1:1", "pool": "nowhere"}, 400), ({}, 400),
    ({"draining": "yes"}, 400), ({"addres": "127.0.0.1:1"}, 400), ([], 400), ("x", 400)])
def test_bad_changes(gateway, scripted, body, status):
    berth = gateway(scripted())
    answer = change(berth, "PUT", "newcomer", body)
    assert (answer.status, answer.headers["Content-Type"]) == (status, "application/problem+json")
    assert len(berth.pool()["containers"]) == 1


@pytest.mark.parametrize("name", ['a"b', "a{b", "a%20b", "a/b", ".a", "", "x" * 64])
def test_names_that_no_container_can_have(gateway, scripted, name):
    """A name stands in metrics and reports as it is."""
    berth = gateway(scripted())
    answer = change(berth, "PUT", name, {"address": "127.0.0.1:1"})
    assert (answer.status, answer.headers["Content-Type"]) == (404, "application/problem+json")
    parse(berth.metrics())
    assert len(berth.pool()["containers"]) == 1


def test_changes_are_guarded_too(gateway, scripted):
    berth = gateway(scripted())
    assert change(berth, "PUT", "container1", {"draining": True}, Origin="http://evil.example").status == 403
    assert change(berth, "PUT", "container1", {"draining": True}, Host="evil.example").status == 421
    assert change(berth, "PUT", "container1", {"draining": True}, Content_Type="text/plain").status == 415
    assert change(berth, "DELETE", "container1", Origin="http://evil.example").status == 403
    assert change(berth, "DELETE", "container1", Host="evil.example").status == 421
    asked = {"Origin": "http://evil.example", "Access-Control-Request-Method": "DELETE"}
    preflight = request(berth.admin, "OPTIONS", "/containers/container1", None, asked)
    assert preflight.status == 403 and not any(name.startswith("Access-Control") for name in preflight.headers.keys())
    assert berth.pool()["containers"][0]["status"] == "free"
