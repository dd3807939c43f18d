"""More than Berth takes: each limit is an ordinary answer that names its setting, and what runs is finished."""

import contextlib
import json
import pathlib
import re
import resource
import select
import threading

import pytest

from berth import Berth, request, wait_until
from containers import Background, RawClient, connect, echo, end, gateway, raw, reply, scripted, when  # noqa: F401

HOST = "Host: h\r\n"


def metric(berth, name):
    return int(re.search(rf"^{name} (\d+)$", berth.metrics(), re.MULTILINE)[1])


def problem_of(answer):
    """(status, name, detail) of a problem."""
    body = answer.json if hasattr(answer, "json") else json.loads(answer.body)
    return getattr(answer, "status"), body["type"].rpartition(":")[2], body["detail"]


# ---- the settings are named ----


def too_many_connections(berth, first):
    first.send("GET / HTTP/1.1\r\n")
    return RawClient(berth.address)


def half_a_head(_berth, client):
    return client.send("GET / HTTP/1.1\r\nHo")


def half_a_body(_berth, client):
    return client.send(f"POST / HTTP/1.1\r\n{HOST}Content-Length: 10\r\n\r\nhalf")


def long_body(_berth, client):
    return client.send(f"POST / HTTP/1.1\r\n{HOST}Content-Length: 2000\r\n\r\n")


def any_request(_berth, client):
    return client.request("POST", "/", b"x")


def a_job(_berth, client):
    return client.request("POST", "/new_request", b"x")


def long_head(_berth, client):
    return client.send(f"GET / HTTP/1.1\r\n{HOST}X: {'x' * 2000}\r\n\r\n")


SILENCE = when(threading.Event(), echo)
LIMITS = {  # setting: (its value, the container's step, None for a slot that is taken, what a client does, status, type)
    "limits.connections": ("1", echo, too_many_connections, 503, "overloaded"),
    "limits.connections_per_address": ("1", echo, too_many_connections, 429, "client-limit"),
    "limits.head": ("1KiB", echo, long_head, 431, "head-too-large"),
    "limits.body": ("1KiB", echo, long_body, 413, "body-too-large"),
    "client_timeouts.head": ("100ms", echo, half_a_head, 408, "request-timeout"),
    "client_timeouts.body": ("100ms", echo, half_a_body, 408, "request-timeout"),
    "queue.max": ("0", None, any_request, 503, "queue-full"),
    "queue.max_bytes": ("10", None, any_request, 503, "queue-full"),
    "queue.max_wait": ("100ms", None, any_request, 503, "queue-timeout"),
    "timeouts.first_byte": ("100ms", SILENCE, any_request, 504, "upstream-timeout"),
    "jobs.max": ("1", None, a_job, 503, "overloaded"),
}


@pytest.mark.parametrize("setting", LIMITS)
def test_an_answer_names_the_limit_that_was_met(gateway, scripted, setting):
    value, step, act, status, name = LIMITS[setting]
    release = threading.Event()
    container = scripted().always(step or when(release, echo))
    berth = gateway(container, **{setting.replace(".", "_"): value})
    if step is None:
        assert berth.post("/new_request", b"x").status == 200
        wait_until(lambda: container.in_flight == 1)
    with RawClient(berth.address) as client:
        found = problem_of(act(berth, client).answer())
        assert found[:2] == (status, name) and setting in found[2], found
    release.set()


def test_the_most_field_lines_are_told(gateway, scripted):
    berth = gateway(scripted())
    answer = berth.get("/", headers={f"X-{i}": "x" for i in range(120)})
    assert problem_of(answer)[:2] == (431, "head-too-large") and "100 field lines" in answer.json["detail"]


@pytest.mark.parametrize("setting, step", [
    ("timeouts.idle", raw(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")),
    ("client_timeouts.send", reply(bytes(9_000_000))),
    ("client_timeouts.idle", None),
])
def test_limits_that_have_no_answer_any_more_cut_the_connection(gateway, scripted, setting, step):
    container = scripted().always(step or echo)
    berth = gateway(container, **{setting.replace(".", "_"): "100ms"})
    with RawClient(berth.address, receive_buffer=4096) as client:
        if step:
            client.request("GET", "/")
        wait_until(lambda: metric(berth, "berth_connections") <= 1, "the cut")  # the other one asks for it


# ---- clients that are slow ----


def drip(client, n, piece=b"x", pause_s=0.02):
    """Sends a piece now and then; ends early when something comes back."""
    for _ in range(n):
        with contextlib.suppress(ConnectionError):
            client.send(piece)
        if select.select([client.sock], [], [], pause_s)[0]:
            break
    return client


def test_a_body_that_comes_byte_by_byte(gateway, scripted):
    """Each byte is in time for client_timeouts.body; all of them together are not."""
    berth = gateway(scripted(), client_timeouts_body="200ms", client_timeouts_body_rate="1KiB")
    with RawClient(berth.address) as client:
        client.send(f"POST / HTTP/1.1\r\n{HOST}Content-Length: 100000\r\n\r\n")
        status, name, detail = problem_of(drip(client, 1000).answer())
        assert (status, name) == (408, "request-timeout")
        assert "client_timeouts.body_rate" in detail and "client_timeouts.body " in detail
    wait_until(lambda: metric(berth, "berth_memory_bytes") == 0)


def test_chunks_that_hold_next_to_nothing(gateway, scripted):
    """Framing is no part of a body's rate."""
    berth = gateway(scripted(), client_timeouts_body="200ms", client_timeouts_body_rate="1KiB")
    with RawClient(berth.address) as client:
        client.send(f"POST / HTTP/1.1\r\n{HOST}Transfer-Encoding: chunked\r\n\r\n")
        status, _, detail = problem_of(drip(client, 1000, b"1;" + b"e" * 200 + b"\r\nx\r\n").answer())
        assert status == 408 and "client_timeouts.body_rate" in detail


@pytest.mark.parametrize("rate", ["100", "0"])
def test_a_slow_link_is_none_of_the_attackers(gateway, scripted, rate):
    """Above client_timeouts.body_rate, or without one, a body may take as long as it likes."""
    berth = gateway(scripted(), client_timeouts_body="1s", client_timeouts_body_rate=rate)
    with RawClient(berth.address) as client:
        piece = b"x" * (50 if rate == "100" else 1)
        client.send(f"POST / HTTP/1.1\r\n{HOST}Content-Length: {75 * len(piece)}\r\n\r\n")
        assert len(drip(client, 75, piece).answer().body) == 75 * len(piece)


def taken(client, n, piece, pause_s=0.02):
    """Reads n bytes at most, a piece now and then; how many came before the connection was cut."""
    got = 0
    with contextlib.suppress(ConnectionError):
        while got < n and (data := client.sock.recv(piece)):
            got += len(data)
            threading.Event().wait(pause_s)
    return got


LONG = reply(bytes(9_000_000))  # more than the kernel takes


def test_a_slow_reader_is_no_stopped_one(gateway, scripted):
    """The kernel asks for more only when a third of what it has was read: what counts is what the client takes."""
    berth = gateway(scripted().always(LONG), client_timeouts_send="500ms", client_timeouts_send_rate="10KiB")
    with RawClient(berth.address, receive_buffer=16384) as client:
        client.request("GET", "/")
        before = taken(client, 800_000, 8192)
        assert before >= 800_000 and before + taken(client, 9_000_000 - before, 1 << 20, 0) >= 9_000_000


def test_a_reader_that_takes_a_byte_at_a_time(gateway, scripted):
    container = scripted().always(LONG)
    berth = gateway(container, client_timeouts_send="500ms", client_timeouts_send_rate="64KiB")
    with RawClient(berth.address, receive_buffer=4096) as client:
        client.request("GET", "/")
        reader = Background(taken, client, 9_000_000, 10)
        wait_until(lambda: container.requests and metric(berth, "berth_connections") <= 1, "the cut")
        assert reader.result() < 9_000_000


def held_by_the_kernel(address):
    """Bytes that wait in the kernel on connections of this port, whether the process still has them or not."""
    port = int(address.rpartition(":")[2])
    lines = [line.split() for line in pathlib.Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(int(fields[4].partition(":")[0], 16) for fields in lines if fields[1].endswith(f":{port:04X}") and fields[3] != "0A")


def test_the_kernel_keeps_no_answer_for_one_who_does_not_read(gateway, scripted):
    """An answer that fits into the kernel is over for Berth at once; closed, it would stay there as long as the client does."""
    berth = gateway(scripted().always(reply(bytes(400_000))), client_timeouts_send="300ms", client_timeouts_idle="300ms")
    with RawClient(berth.address, receive_buffer=4096) as client:
        client.request("GET", "/")
        wait_until(lambda: held_by_the_kernel(berth.address) > 100_000, "the answer")
        wait_until(lambda: held_by_the_kernel(berth.address) == 0, "the end of it")


# ---- Retry-After ----


def test_retry_after_without_an_estimate(gateway, scripted):
    """5 seconds, and up to a quarter more, rounded up."""
    release = threading.Event()
    container = scripted().always(when(release, echo))
    berth = gateway(container, queue_max=0)
    running = Background(berth.post, "/", b"x")
    wait_until(lambda: container.in_flight == 1)
    assert {int(berth.post("/", b"x").headers["Retry-After"]) for _ in range(60)} == {6, 7}
    release.set()
    assert running.result().status == 200


def test_every_refusal_says_when_to_come_again(gateway, scripted):
    release = threading.Event()
    container = scripted().always(when(release, echo))
    berth = gateway(container, limits_memory="1MiB", limits_body_memory="64KiB", queue_max=1)
    running = Background(berth.post, "/", b"x")
    wait_until(lambda: container.in_flight == 1)
    waiting = Background(berth.post, "/", b"x")
    berth.wait_for_queue(1)
    answer = berth.post("/", b"x")
    assert (answer.status, answer.headers["Proxy-Status"]) == (503, "berth; error=connection_limit_reached")
    assert int(answer.headers["Retry-After"]) >= 1
    release.set()
    assert (running.result().status, waiting.result().status) == (200, 200)
    container.die()
    wait_until(lambda: berth.pool()["slots"]["down"] == 1)
    answer = berth.post("/", b"x")
    assert (answer.status, answer.headers["Proxy-Status"]) == (503, "berth; error=destination_unavailable")
    assert int(answer.headers["Retry-After"]) >= 1


# ---- memory ----


def uploads_that_stall(address, n, size):
    """Connections that have sent all of their body but the last byte."""
    clients = []
    for _ in range(n):
        client = RawClient(address)
        with contextlib.suppress(ConnectionError):
            client.send(f"POST / HTTP/1.1\r\n{HOST}Content-Length: {size}\r\n\r\n").send(bytes(size - 1))
        clients.append(client)
    return clients


def test_memory_holds_under_slow_uploads(gateway, scripted):
    """At limits.memory new work is refused, old work is finished; all is given back when the attackers have gone."""
    release = threading.Event()
    container = scripted().then(when(release, echo)).always(echo)
    berth = gateway(container, limits_memory="4MiB", limits_body_memory="512KiB", limits_spool="8MiB", limits_body="1MiB")
    running = Background(berth.post, "/", b"r" * 60_000)
    wait_until(lambda: container.in_flight == 1)
    waiting = Background(berth.post, "/", b"w" * 60_000)
    berth.wait_for_queue(1)
    attackers = uploads_that_stall(berth.address, 20, 500_000)
    wait_until(lambda: metric(berth, "berth_limit_refusals_total") >= 5, "refusals")
    assert metric(berth, "berth_memory_bytes") <= 4 << 20
    def answered():  # which of them depends on the disk's pace
        return [attacker for attacker in attackers if select.select([attacker.sock], [], [], 0)[0]]
    wait_until(lambda: len(answered()) >= 4, "answers")
    for attacker in answered():
        status, name, detail = problem_of(attacker.answer())
        assert (status, name) == (503, "overloaded") and "limits.memory" in detail
    release.set()
    assert running.result().body == b"r" * 60_000
    assert waiting.result().body == b"w" * 60_000
    for attacker in attackers:
        attacker.close()
    wait_until(lambda: metric(berth, "berth_memory_bytes") == 0 and metric(berth, "berth_spool_bytes") == 0)
    assert berth.post("/", bytes(900_000)).status == 200


@pytest.mark.parametrize("store", ["memory", "sqlite"])
def test_jobs_end_well_while_memory_is_full(gateway, scripted, tmp_path, store):
    """What was acknowledged is old work: its request is read back and its result kept, whatever others hold."""
    release = threading.Event()
    container = scripted().then(when(release, echo)).always(echo)
    berth = gateway(container, store="memory" if store == "memory" else f"sqlite:{tmp_path}/berth.db",
                    limits_memory="2MiB", limits_body_memory="512KiB", limits_spool="64MiB")
    jobs = [berth.post("/new_request", b"%d" % n * 200_000).json for n in range(6)]
    wait_until(lambda: container.in_flight == 1)
    attackers = uploads_that_stall(berth.address, 40, 60_000)
    wait_until(lambda: metric(berth, "berth_limit_refusals_total") >= 5, "refusals")
    release.set()
    for n, job in enumerate(jobs):
        wait_until(lambda: berth.get(job["status_url"]).json["state"] not in ("queued", "running"), f"the end of job {n}")
        assert berth.get(job["status_url"]).json["state"] == "done"
    for attacker in attackers:
        attacker.close()
    wait_until(lambda: metric(berth, "berth_memory_bytes") == 0 and metric(berth, "berth_spool_bytes") == 0)
    for n, job in enumerate(jobs):  # which are read when there is room
        assert berth.get(job["result_url"]).body == b"%d" % n * 200_000


def test_memory_holds_under_clients_that_do_not_read(gateway, scripted):
    """What they have not taken goes to spool files; past those, the containers wait, and others' answers go on."""
    berth = gateway(*[scripted().always(lambda exchange: (reply(bytes(6_000_000)) if exchange.request.target == "/long" else echo)
                                        (exchange)) for _ in range(2)],
                    limits_memory="2MiB", limits_body_memory="256KiB", limits_spool="64MiB")
    deaf = [RawClient(berth.address, receive_buffer=4096).request("GET", "/long") for _ in range(12)]
    wait_until(lambda: metric(berth, "berth_spool_bytes") > 20_000_000, "spooled answers")
    wait_until(lambda: metric(berth, "berth_memory_bytes") <= 2 << 20, "what is on its way to the files is there")
    berth.wait_for_slots(2)
    for _ in range(5):
        assert berth.post("/", b"x").body == b"x"
    for client in deaf[:2]:
        assert len(client.answer().body) == 6_000_000
    for client in deaf:
        client.reset()
    wait_until(lambda: metric(berth, "berth_memory_bytes") == 0 and metric(berth, "berth_spool_bytes") == 0)
    berth.wait_for_slots(2)


def test_memory_holds_under_heads_that_do_not_end(gateway, scripted):
    """Parts of heads count, and there is an end to them."""
    berth = gateway(scripted(), limits_memory="1MiB", limits_body_memory="64KiB", limits_head="60KiB")
    clients = [RawClient(berth.address).send(b"GET / HTTP/1.1\r\nX: " + b"x" * 50_000) for _ in range(40)]
    wait_until(lambda: "limit_refusals_total 0" not in berth.metrics(), "a refusal")
    assert metric(berth, "berth_memory_bytes") <= 1 << 20
    refused = [problem_of(client.answer()) for client in clients[-3:]]
    assert {(status, name) for status, name, _ in refused} == {(503, "overloaded")}
    assert all("limits.memory" in detail for _, _, detail in refused)
    for client in clients:
        client.close()
    wait_until(lambda: metric(berth, "berth_memory_bytes") == 0)
    assert berth.post("/", b"x").body == b"x"


def send_ahead(client, data):
    """As much of it as is taken."""
    client.sock.settimeout(0.2)
    with contextlib.suppress(TimeoutError, ConnectionError):
        client.send(data)
    client.sock.settimeout(30)


def test_memory_holds_under_requests_that_come_early(gateway, scripted):
    """What is sent behind a request that waits is not taken past limits.memory: that one is answered, and the connection ends."""
    release = threading.Event()
    container = scripted().always(when(release, echo))
    berth = gateway(container, limits_memory="1MiB", limits_body_memory="64KiB")
    clients = [RawClient(berth.address).request("POST", "/", b"x") for _ in range(40)]
    berth.wait_for_queue(39)
    for client in clients:
        send_ahead(client, b"GET /next HTTP/1.1\r\nHost: h\r\nX: " + b"x" * 400_000)
    wait_until(lambda: "limit_refusals_total 0" not in berth.metrics(), "a refusal")
    assert metric(berth, "berth_memory_bytes") <= 1 << 20
    late = clients[-1]
    clients[0].close()  # there is room again, and it is not for those who were refused
    release.set()
    answer = late.answer()
    assert (answer.status, answer.body, answer["Connection"]) == (200, b"x", "close")
    assert late.is_closed()
    for client in clients:
        client.close()
    wait_until(lambda: metric(berth, "berth_memory_bytes") == 0)
    assert berth.post("/", b"x").body == b"x" and "/next" not in {target for _, target in container.seen()}


def test_another_protocols_first_bytes_are_not_left_out(gateway, scripted):
    """They came before the switch, and there is no room to keep them: it is refused."""
    release = threading.Event()
    container = scripted().always(when(release, echo))
    berth = gateway(container, limits_memory="1MiB", limits_body_memory="64KiB")
    running = Background(berth.post, "/", b"x")
    wait_until(lambda: container.in_flight == 1)
    full = uploads_that_stall(berth.address, 100, 15_000)
    wait_until(lambda: metric(berth, "berth_limit_refusals_total") > 0, "a refusal")
    with RawClient(berth.address) as client:
        client.request("GET", "/", head=HOST + "Connection: upgrade\r\nUpgrade: x\r\n")
        send_ahead(client, bytes(60_000))
        status, name, detail = problem_of(client.answer())
        assert (status, name) == (503, "overloaded") and "limits.memory" in detail
    release.set()
    assert running.result().status == 200
    for client in full:
        client.close()


def test_the_longest_head_that_can_be_allowed(gateway, scripted):
    """limits.head at its most: all of it reaches the container, and a host that is almost as long does, too."""
    container = scripted()
    berth = gateway(container, limits_head="64KiB")
    with RawClient(berth.address) as client:
        fields = "".join(f"X-{i}: {'v' * 630}\r\n" for i in range(98))
        assert client.request("GET", "/", head=HOST + fields).answer().status == 200
        assert sum(name.startswith("X-") and len(value) == 630 for name, value in container.requests[0].head.fields) == 98
        host = "h" * 64_000
        assert client.send(f"GET http://{host}/ HTTP/1.1\r\nHost: {host[:100]}\r\n\r\n").answer().status == 200
        assert container.requests[1]["Host"] == container.requests[1]["X-Forwarded-Host"] == host


def test_limits_head_has_a_largest_value(run):
    result = run("check", "--limits-head", "65KiB")
    assert result.returncode == 2 and "limits" in result.stderr + result.stdout


# ---- descriptors ----


def start_with_files(berth, n):
    """With a limit of n open files, which it cannot raise."""
    berth.command = ["prlimit", f"--nofile={n}:{n}", *berth.command]
    berth.start().wait_for_slots(1)


@pytest.mark.parametrize("limits", [{"files": 128}, {"files": 1024}, {"files": 1024, "connections": 20}])
def test_a_full_house_does_not_lock_the_operator_out(started, environment, scripted, tmp_path, limits):
    """With every client's place taken, and every spool file that there may be, the admin listener answers, and drains."""
    container = scripted().always(lambda exchange: (LONG if exchange.request.method == "GET" else echo)(exchange))
    berth = Berth("serve", cwd=tmp_path, env=environment).containers(container).flag("limits-body-memory", "4KiB")
    berth.flag("limits-connections", limits.get("connections")).flag("drain-timeout", "100ms")
    started.append(berth)
    start_with_files(berth, limits["files"])
    held = []
    for i in range(limits["files"]):
        client = RawClient(berth.address, receive_buffer=4096)
        held.append(client)
        with contextlib.suppress(ConnectionError):
            if i % 2:
                client.request("GET", "/")
            else:
                client.send(f"POST / HTTP/1.1\r\n{HOST}Content-Length: 20000\r\n\r\n").send(bytes(10_000))
    wait_until(lambda: metric(berth, "berth_connections_refused_total") > 0, "a full house")
    operators = [connect(berth.admin) for _ in range(4)]
    answer = request(berth.admin, "PUT", "/containers/container1", b'{"draining": true}', {"Content-Type": "application/json"})
    assert (answer.status, berth.pool()["containers"][0]["status"]) == (200, "draining")
    assert "cannot accept connections" not in berth.output
    for one in (*operators, *held):
        one.close()
    end(berth)


def test_a_want_of_descriptors_is_not_the_containers(started, environment, scripted, tmp_path):
    """Requests that cannot be sent for now wait, the log says why, and no container is out for it."""
    container = scripted().always(reply(b"ok", Connection="close"))  # each request needs a descriptor of its own
    berth = Berth("serve", cwd=tmp_path, env=environment).containers(container).flag("retry", "never")
    started.append(berth)
    berth.start().wait_for_slots(1)
    with RawClient(berth.address) as client, RawClient(berth.address) as other, RawClient(berth.admin) as operator:
        assert client.request("POST", "/", b"x").answer().body == b"ok"
        assert other.request("POST", "/", b"x").answer().body == b"ok"

        def waiting():
            status = operator.request("GET", "/status", head=f"Host: {berth.admin}\r\n").answer()
            return json.loads(status.body)["pools"][0]["queue"]["length"]
        assert waiting() == 0
        files = resource.prlimit(berth.process.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(berth.process.pid, resource.RLIMIT_NOFILE, (3, files[1]))
        client.request("POST", "/", b"x")
        berth.wait_for(r"container1: cannot be connected for now: Too many open files \(.*ulimit -n\)")
        other.request("POST", "/", b"x")
        wait_until(lambda: waiting() == 2, "a queue of 2")
        resource.prlimit(berth.process.pid, resource.RLIMIT_NOFILE, files)
        assert [one.answer().body for one in (client, other)] == [b"ok", b"ok"]
    assert [one["failures"] for one in berth.pool()["containers"]] == [0]
    assert berth.output.count("cannot be connected") == 1 and "down" not in berth.output
    end(berth)


def test_operators_do_not_lock_clients_out(gateway, scripted):
    berth = gateway(scripted(), limits_connections=1)
    crowd = [connect(berth.admin) for _ in range(300)]
    assert berth.post("/", b"x").body == b"x"
    for one in crowd:
        one.close()
    wait_until(berth.pool)


def test_descriptors_run_out(started, environment, scripted, tmp_path):
    """Clients take no descriptor that a slot needs: those past the room are told so, or wait to be accepted."""
    container = scripted()
    berth = Berth("serve", cwd=tmp_path, env=environment).containers(container)
    started.append(berth)
    start_with_files(berth, 256)
    crowd = [connect(berth.address) for _ in range(400)]
    wait_until(lambda: metric(berth, "berth_connections_refused_total") > 0, "refusals")
    for _ in range(3):
        container.hang_up()  # each request needs a descriptor of its own
        crowd[0].sendall(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx")
        assert crowd[0].recv(1000).startswith(b"HTTP/1.1 200 ")
    for one in crowd:
        one.close()
    wait_until(lambda: metric(berth, "berth_connections") <= 1)
    assert berth.post("/", b"x").body == b"x"
    assert [one["failures"] for one in berth.pool()["containers"]] == [0]
    end(berth)
