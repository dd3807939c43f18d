"""The queue: order, places, limits, and who leaves it."""

import json
import re
import threading
import time

import pytest

from berth import wait_until
from containers import Background, RawClient, echo, gateway, reply, scripted, when  # noqa: F401


class Gate:
    """Lets requests through a container one by one."""

    def __init__(self):
        self._tokens = threading.Semaphore(0)

    def step(self, answer=echo):
        def gated(exchange):
            self._tokens.acquire(timeout=30)
            answer(exchange)
        return gated

    def open(self, n=1):
        for _ in range(n):
            self._tokens.release()


def position_of(berth, job):
    return berth.get(job["status_url"]).json.get("position")


def submit(berth, body=b"x"):
    answer = berth.post("/new_request", body)
    assert answer.status == 200, answer.text
    return answer.json


# ---- order ----


def test_64_clients_are_served_in_the_order_in_which_they_came(gateway, scripted):
    """One slot: the container sees them exactly in the order of admission, and never two at once."""
    gate = Gate()
    container = scripted().always(gate.step())
    berth = gateway(container)
    clients = []
    for i in range(64):
        clients.append(RawClient(berth.address).request("POST", "/", b"%d" % i))
        if i:
            berth.wait_for_queue(i)
    gate.open(64)
    for i, client in enumerate(clients):
        assert client.answer().body == b"%d" % i
        client.close()
    assert [request.body for request in container.requests] == [b"%d" % i for i in range(64)]
    assert container.in_flight_max == 1


def test_no_container_ever_sees_more_than_its_slots(gateway, scripted):
    """64 clients at once, ten requests each, against three containers of two slots."""
    def slowly(exchange):
        time.sleep(0.001)
        echo(exchange)
    containers = [scripted().always(slowly) for _ in range(3)]
    berth = gateway(*containers, slots=2)

    def client(number):
        with RawClient(berth.address) as connection:
            for i in range(10):
                body = b"%d of %d" % (i, number)
                if connection.request("POST", "/", body).answer().body != body:
                    return False
        return True
    assert all(one.result() for one in [Background(client, i) for i in range(64)])
    assert sum(len(one.requests) for one in containers) == 640
    assert [one.in_flight_max for one in containers] == [2, 2, 2]
    assert [one.connections for one in containers] == [2, 2, 2]


def test_one_queue_for_all_containers(gateway, scripted):
    """Late binding: whoever is first in the queue goes to whichever container is free first."""
    gates = [Gate(), Gate()]
    containers = [scripted().always(gate.step()) for gate in gates]
    berth = gateway(*containers)
    clients = []
    for i in range(6):
        clients.append(Background(berth.post, "/", b"%d" % i))
        if i < 2:
            wait_until(lambda: sum(len(one.requests) for one in containers) == i + 1)
        else:
            berth.wait_for_queue(i - 1)
    gates[1].open(5)  # the other container is stuck: everything goes through this one
    for i in range(2, 6):
        assert clients[i].result().body == b"%d" % i
    assert [len(one.requests) for one in containers] == [1, 5]
    gates[0].open()
    assert {clients[i].result().body for i in (0, 1)} == {b"0", b"1"}


def test_synchronous_and_background_requests_share_one_order(gateway, scripted):
    gate = Gate()
    container = scripted().always(gate.step())
    berth = gateway(container)
    clients = []
    for i in range(6):
        if i % 2:
            submit(berth, b"%d" % i)
        else:
            clients.append(Background(berth.post, "/", b"%d" % i))
        if i:
            berth.wait_for_queue(i)
        else:
            wait_until(lambda: container.in_flight == 1)
    gate.open(6)
    for one in clients:
        assert one.result().status == 200
    wait_until(lambda: len(container.requests) == 6)
    assert [request.body for request in container.requests] == [b"%d" % i for i in range(6)]


# ---- places ----


def test_positions_count_up_and_down(gateway, scripted):
    gate = Gate()
    berth = gateway(scripted().always(gate.step()))
    jobs = [submit(berth) for _ in range(9)]
    assert [job["position"] for job in jobs] == list(range(9))
    for done in range(1, 9):
        gate.open()
        wait_until(lambda: position_of(berth, jobs[done]) == 0, f"job {done} runs")
        assert [position_of(berth, job) for job in jobs[done + 1:]] == list(range(1, 9 - done))
    gate.open()


def test_positions_of_others_move_when_a_client_leaves(gateway, scripted):
    gate = Gate()
    container = scripted().always(gate.step())
    berth = gateway(container)
    submit(berth)
    wait_until(lambda: container.in_flight == 1)
    leaving = RawClient(berth.address).request("POST", "/leaves", b"x")
    berth.wait_for_queue(1)
    job = submit(berth)
    assert job["position"] == 2
    leaving.close()
    wait_until(lambda: position_of(berth, job) == 1)
    gate.open(2)
    wait_until(lambda: berth.get(job["status_url"]).json["state"] == "done")
    assert [request.target for request in container.requests] == ["/run_model", "/run_model"]  # the one that left never ran


@pytest.mark.parametrize("how", ["close", "reset"])
def test_whoever_leaves_the_queue_is_out_at_once(gateway, scripted, how):
    gate = Gate()
    container = scripted().always(gate.step())
    berth = gateway(container)
    submit(berth)
    clients = [RawClient(berth.address).request("POST", f"/{i}", b"x") for i in range(5)]
    berth.wait_for_queue(5)
    for i in (1, 3):
        getattr(clients[i], how)()
    berth.wait_for_queue(3)
    gate.open(4)
    for i in (0, 2, 4):
        assert clients[i].answer().status == 200
        clients[i].close()
    assert sorted(request.target for request in container.requests) == ["/0", "/2", "/4", "/run_model"]
    assert berth.pool()["requests"]["left"] == 2


def test_the_expected_wait(gateway, scripted):
    """Unknown without a sample; then the mean service time for each request ahead."""
    gate = Gate()

    def some_time(exchange):
        time.sleep(0.05)
        echo(exchange)
    container = scripted().then(some_time).always(gate.step())
    berth = gateway(container)
    assert berth.get("/berth/queue").json == {"pools": [{"name": "default", "waiting": 0, "slots": 1, "busy": 0, "eta_ms": 0}]}
    berth.get("/")
    berth.wait_for_slots(1)
    submit(berth)
    first, second = submit(berth), submit(berth)
    assert 45 <= first["eta_ms"] < 1000
    assert abs(second["eta_ms"] - 2 * first["eta_ms"]) <= 2
    [queue] = berth.get("/berth/queue").json["pools"]
    assert (queue["waiting"], queue["busy"]) == (2, 1)
    assert abs(queue["eta_ms"] - 3 * first["eta_ms"]) <= 3
    gate.open(3)


def test_no_expected_wait_without_a_sample(gateway, scripted):
    gate = Gate()
    berth = gateway(scripted().always(gate.step()))
    submit(berth)
    assert submit(berth)["eta_ms"] is None
    gate.open(2)


def test_timings_tell_the_wait(gateway, scripted):
    gate = Gate()
    container = scripted().always(gate.step())
    berth = gateway(container)
    first = Background(berth.get, "/")
    wait_until(lambda: container.in_flight == 1)
    second = Background(berth.get, "/")
    berth.wait_for_queue(1)
    start = time.monotonic()
    wait_until(lambda: time.monotonic() > start + 0.03)
    gate.open(2)

    def timings(answer):
        found = re.fullmatch(r"queue;dur=([0-9]+\.[0-9]{3}), upstream;dur=([0-9]+\.[0-9]{3})", answer.headers["Server-Timing"])
        return float(found[1]), float(found[2])
    queued, ran = timings(first.result())
    assert queued < 25 and ran >= 30
    queued, ran = timings(second.result())
    assert queued >= 30


# ---- limits ----


def assert_problem(answer, status, name):
    assert answer.status == status, answer.body
    assert answer.headers["Content-Type"] == "application/problem+json"
    problem = answer.json
    assert (problem["type"], problem["status"]) == (f"urn:berth:problem:{name}", status)
    assert problem["title"] and problem["detail"]
    return problem


def test_a_full_queue(gateway, scripted):
    gate = Gate()
    container = scripted().always(gate.step())
    berth = gateway(container, queue_max=2)
    jobs = [submit(berth) for _ in range(3)]
    for path in ("/", "/new_request"):
        answer = berth.post(path, b"x")
        assert_problem(answer, 503, "queue-full")
        assert int(answer.headers["Retry-After"]) >= 1
        assert answer.headers["Proxy-Status"] == "berth; error=connection_limit_reached"
    assert [position_of(berth, job) for job in jobs[1:]] == [1, 2]
    gate.open(1)
    berth.wait_for_queue(1)
    gate.open(3)
    assert submit(berth)["id"]
    wait_until(lambda: len(container.requests) == 4)
    assert 'berth_requests_total{pool="default",outcome="queue-full"} 2' in berth.metrics()


def test_retry_after_comes_from_the_expected_wait(gateway, scripted):
    gate = Gate()

    def some_time(exchange):
        time.sleep(0.3)
        echo(exchange)
    berth = gateway(scripted().then(some_time).always(gate.step()), queue_max=9)
    berth.get("/")
    for _ in range(10):
        submit(berth)
    answer = berth.post("/", b"x")
    assert_problem(answer, 503, "queue-full")
    assert 3 <= int(answer.headers["Retry-After"]) <= 5  # 10 × 0.3 s, and up to a quarter more
    gate.open(10)


def test_a_queue_full_of_bytes(gateway, scripted):
    gate = Gate()
    berth = gateway(scripted().always(gate.step()), queue_max_bytes="20KiB")
    first = Background(berth.post, "/", b"x" * 30_000)  # it does not wait
    wait_until(lambda: berth.pool()["slots"]["busy"] == 1)
    second = Background(berth.post, "/", b"x" * 15_000)
    berth.wait_for_queue(1)
    assert_problem(berth.post("/", b"x" * 15_000), 503, "queue-full")
    gate.open(2)
    assert (first.result().status, second.result().status) == (200, 200)


def test_the_wait_in_the_queue_has_an_end(gateway, scripted):
    gate = Gate()
    container = scripted().always(gate.step())
    berth = gateway(container, queue_max_wait="150ms")
    running = Background(berth.get, "/")
    wait_until(lambda: container.in_flight == 1)
    start = time.monotonic()
    answer = berth.get("/late")
    assert 0.14 <= time.monotonic() - start < 5
    assert_problem(answer, 503, "queue-timeout")
    assert int(answer.headers["Retry-After"]) >= 1
    assert answer.headers["Proxy-Status"] == "berth; error=connection_limit_reached"
    gate.open(2)
    assert running.result().status == 200  # the limit is on the wait, not on the work
    assert berth.get("/").status == 200
    assert "/late" not in [request.target for request in container.requests]


def test_a_connection_goes_on_after_its_wait_was_over(gateway, scripted):
    gate = Gate()
    container = scripted().always(gate.step())
    berth = gateway(container, queue_max_wait="50ms")
    submit(berth)
    with RawClient(berth.address) as client:
        assert client.request("POST", "/", b"x").answer().status == 503
        assert client.request("GET", "/berth/queue").answer().status == 200


def test_berth_max_wait(gateway, scripted):
    """Refused at once when the expected wait is longer than the client would."""
    gate = Gate()

    def some_time(exchange):
        time.sleep(0.4)
        echo(exchange)
    container = scripted().then(some_time).always(gate.step())
    berth = gateway(container)
    berth.get("/")
    running = Background(berth.get, "/", headers={"Berth-Max-Wait": "0"})  # a free slot: nothing to wait for
    wait_until(lambda: container.in_flight == 1)
    for _ in range(4):
        submit(berth)
    answer = berth.get("/", headers={"Berth-Max-Wait": "1"})
    assert_problem(answer, 503, "wait-too-long")
    assert int(answer.headers["Retry-After"]) >= 2
    patient = Background(berth.get, "/", headers={"Berth-Max-Wait": "100"})
    berth.wait_for_queue(5)
    gate.open(6)
    assert (running.result().status, patient.result().status) == (200, 200)
    assert all(request["Berth-Max-Wait"] is None for request in container.requests)


def test_berth_max_wait_that_is_no_number_is_ignored(gateway, scripted):
    gate = Gate()
    berth = gateway(scripted().always(gate.step()))
    submit(berth)
    waiting = Background(berth.get, "/", headers={"Berth-Max-Wait": "soon"})
    berth.wait_for_queue(1)
    gate.open(2)
    assert waiting.result().status == 200


def test_no_container_is_up(gateway, scripted):
    container = scripted()
    berth = gateway(container)
    container.die()
    wait_until(lambda: berth.pool()["slots"]["down"] == 1, "the container is down")
    for path in ("/", "/new_request"):
        answer = berth.post(path, b"x")
        assert_problem(answer, 503, "no-container")
        assert int(answer.headers["Retry-After"]) >= 1
    ready = berth.get("/berth/readyz")
    assert (ready.status, ready.json["ready"]) == (503, False)
    container.come_back()
    berth.wait_for_slots(1)
    assert berth.post("/", b"back").body == b"back"
    assert berth.get("/berth/readyz").json["ready"] is True


def test_requests_wait_for_a_container_that_comes_back(gateway, scripted):
    """All are down after they were admitted: they keep their places."""
    gate = Gate()
    container = scripted().always(gate.step())
    berth = gateway(container)
    running = Background(berth.get, "/lost")
    wait_until(lambda: container.in_flight == 1)
    job = submit(berth, b"kept")
    container.die()
    wait_until(lambda: berth.pool()["slots"]["down"] == 1)
    assert position_of(berth, job) == 2  # behind the GET, which is to be tried again
    container.come_back()
    gate.open(10)
    assert running.result().status == 200
    wait_until(lambda: berth.get(job["status_url"]).json["state"] == "done")


def test_requests_before_the_first_container_is_there(gateway, scripted):
    """At the start nothing is known: who comes waits, and is served when a container is found."""
    container = scripted()
    container.die()
    berth = gateway(container, wait=False)
    answers = []

    def ask():
        answers.append(berth.get("/"))
        return answers[-1].status == 200
    container.come_back()
    wait_until(ask, "a container that answers")
    assert all(answer.status in (200, 503) for answer in answers)


def test_too_many_connections(gateway, scripted):
    berth = gateway(scripted(), limits_connections=3)
    clients = [RawClient(berth.address) for _ in range(3)]
    for client in clients:
        assert client.request("GET", "/").answer().status == 200
    with RawClient(berth.address) as fourth:
        answer = fourth.answer()
        assert (answer.status, json.loads(answer.body)["type"]) == (503, "urn:berth:problem:overloaded")
        assert fourth.is_closed()
    clients.pop().close()
    wait_until(lambda: berth.get("/berth/queue").status == 200, "room again")
    for client in clients:
        assert client.request("GET", "/").answer().status == 200
        client.close()


def test_too_many_connections_of_one_address(gateway, scripted):
    berth = gateway(scripted(), limits_connections_per_address=2)
    clients = [RawClient(berth.address) for _ in range(2)]
    for client in clients:
        assert client.request("GET", "/").answer().status == 200
    with RawClient(berth.address) as third:
        answer = third.answer()
        assert (answer.status, json.loads(answer.body)["type"]) == (429, "urn:berth:problem:client-limit")
        assert answer["Retry-After"] == "1"
    clients.pop().close()
    wait_until(lambda: berth.get("/").status == 200)
    clients.pop().close()
