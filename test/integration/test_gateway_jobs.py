"""Background requests: /new_request, their places, states and results."""

import json
import re
import signal
import threading
import time

import pytest

from berth import wait_until
from containers import Background, RawClient, close, echo, gateway, raw, reply, scripted, when  # noqa: F401

RUNS = "Request received and being processed"
WAITS = "Request received and will be processed soon. {} process prior to yours"


def submit(berth, body=b"x", path="/new_request"):
    answer = berth.post(path, body)
    assert answer.status == 200, answer.text
    return answer.json


def status(berth, job):
    return berth.get(job["status_url"]).json


def wait_for_state(berth, job, state):
    wait_until(lambda: status(berth, job)["state"] == state, f"state {state}")
    return status(berth, job)


# ---- submission ----


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_both_messages(gateway, scripted, method):
    release = threading.Event()
    container = scripted().always(when(release, reply(b"result")))
    berth = gateway(container)
    body = b"text" if method == "POST" else None
    answers = [berth.request(method, "/new_request", body) for _ in range(4)]
    for n, answer in enumerate(answers):
        assert (answer.status, answer.headers["Content-Type"]) == (200, "application/json")
        assert answer.headers["Cache-Control"] == "private, no-store"
        job = answer.json
        assert job["message"] == (WAITS.format(n) if n else RUNS)
        assert re.fullmatch("[0-9a-f]{32}", job["id"])
        assert job["status_url"] == f"/berth/jobs/{job['id']}"
        assert job["result_url"] == f"/berth/jobs/{job['id']}/result"
        assert (job["position"], job["eta_ms"]) == (n, None if n else 0)
        assert list(job)[:2] == ["message", "id"]
    assert len({answer.json["id"] for answer in answers}) == 4
    release.set()
    for answer in answers:
        wait_for_state(berth, answer.json, "done")
    assert [(request.method, request.target, request.body) for request in container.requests] == \
        [("POST", "/run_model", body or b"")] * 4


def test_the_query_and_the_fields_go_with_it(gateway, scripted):
    container = scripted()
    berth = gateway(container)
    job = berth.post("/new_request?a=b&c", b'{"text": "x"}', headers={"Content-Type": "application/json", "X-A": "b"}).json
    wait_for_state(berth, job, "done")
    [request] = container.requests
    assert (request.target, request["Content-Type"], request["X-A"]) == ("/run_model?a=b&c", "application/json", "b")
    assert request["Content-Length"] == "13"


def test_a_chunked_submission(gateway, scripted):
    container = scripted()
    berth = gateway(container)
    with RawClient(berth.address) as client:
        client.send("POST /new_request HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n")
        job = json.loads(client.answer().body)
    wait_for_state(berth, job, "done")
    [request] = container.requests
    assert (request.body, request["Content-Length"], request["Transfer-Encoding"]) == (b"abcdefg", "7", None)


def test_other_methods_of_the_path_are_forwarded(gateway, scripted):
    container = scripted()
    gateway(container).request("PUT", "/new_request", b"x")
    assert container.seen() == [("PUT", "/new_request")]


def test_other_paths(gateway, scripted):
    container = scripted()
    berth = gateway(container, submit_path="/ask", submit_forward="/predict/now")
    job = submit(berth, b"x", "/ask")
    wait_for_state(berth, job, "done")
    assert berth.post("/new_request", b"y").body == b"y"  # a path like any other now
    assert container.seen() == [("POST", "/predict/now"), ("POST", "/new_request")]


def test_without_a_path(gateway, scripted):
    container = scripted()
    berth = gateway(container, submit_path="off")
    assert berth.post("/new_request", b"y").body == b"y"


def test_100_requests_from_5_clients(gateway, scripted):
    """All answered, both messages seen, every result its own."""
    containers = [scripted() for _ in range(8)]
    berth = gateway(*containers)

    def client(number):
        jobs = []
        with RawClient(berth.address) as connection:
            for i in range(20):
                body = b"%d from %d" % (i, number)
                answer = connection.request("POST", "/new_request", body).answer()
                assert answer.status == 200
                jobs.append((body, json.loads(answer.body)))
        return jobs
    jobs = [job for one in [Background(client, n) for n in range(5)] for job in one.result()]
    for body, job in jobs:
        wait_for_state(berth, job, "done")
        assert berth.get(job["result_url"]).body == body
    assert len({job["id"] for _, job in jobs}) == 100
    assert all(one.in_flight_max <= 1 for one in containers)


# ---- states ----


def test_a_jobs_life(gateway, scripted):
    release = threading.Event()
    container = scripted().always(when(release, reply(b"result", status=201)))
    berth = gateway(container)
    before = time.time()
    running, waiting = submit(berth), submit(berth)
    now = status(berth, running)
    assert (now["id"], now["state"], now["pool"], now["container"], now["attempts"]) == (running["id"], "running", "default", "container1", 1)
    assert (now["position"], now["eta_ms"]) == (0, 0)
    assert before - 1 <= now["created"] <= now["started"] <= time.time() + 1 and now["finished"] is None
    now = status(berth, waiting)
    assert (now["state"], now["position"], now["eta_ms"], now["started"]) == ("queued", 1, None, None)
    release.set()
    now = wait_for_state(berth, running, "done")
    assert (now["status"], now["attempts"]) == (201, 1) and "position" not in now
    assert now["created"] <= now["started"] <= now["finished"] <= time.time() + 1
    assert berth.get(running["status_url"]).headers["Cache-Control"] == "private, no-store"


@pytest.mark.parametrize("path", ["/berth/jobs/0123456789abcdef0123456789abcdef", "/berth/jobs/0123456789abcdef0123456789abcdef/result",
                                  "/berth/jobs/", "/berth/jobs/x", "/berth/jobs/../x", "/berth/jobs/0123456789ABCDEF0123456789ABCDEF",
                                  "/berth/jobs/0123456789abcdef0123456789abcdef/other", "/berth/nothing", "/berth"])
def test_what_is_not_there(gateway, scripted, path):
    container = scripted()
    answer = gateway(container).get(path)
    assert (answer.status, answer.headers["Content-Type"]) == (404, "application/problem+json")
    assert answer.json["type"] == "urn:berth:problem:not-found"
    assert not container.requests  # /berth/ is never a container's


def test_a_result_that_is_not_ready(gateway, scripted):
    release = threading.Event()
    berth = gateway(scripted().always(when(release, echo)))
    running, waiting = submit(berth), submit(berth)
    answer = berth.get(running["result_url"])
    assert (answer.status, answer.headers["Content-Type"]) == (409, "application/problem+json")
    assert (answer.json["type"], answer.json["state"]) == ("urn:berth:problem:not-ready", "running")
    assert (answer.json["position"], answer.json["eta_ms"]) == (0, 0)
    assert int(answer.headers["Retry-After"]) >= 1
    answer = berth.get(waiting["result_url"])
    assert (answer.status, answer.json["state"], answer.json["position"]) == (409, "queued", 1)
    assert int(answer.headers["Retry-After"]) >= 1
    release.set()


# ---- results ----


def test_a_result(gateway, scripted):
    body = bytes(range(256)) * 100
    fields = {"Content-Type": "image/png", "ETag": '"t"', "X-Custom": "kept", "Date": "Mon, 01 Jan 2024 00:00:00 GMT",
              "Set-Cookie": "a=b", "Alt-Svc": "h3", "Strict-Transport-Security": "max-age=1", "Access-Control-Allow-Origin": "*",
              "Access-Control-Allow-Credentials": "true", "Keep-Alive": "timeout=5", "Connection": "X-Hop", "X-Hop": "1",
              "Cache-Control": "public", "Content-Security-Policy": "default-src *"}
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items()).encode()
    container = scripted().always(raw(b"HTTP/1.1 418 Teapot\r\n" + head + b"Content-Length: %d\r\n\r\n" % len(body) + body))
    berth = gateway(container)
    job = submit(berth)
    wait_for_state(berth, job, "done")
    for _ in range(2):  # as often as one likes
        with RawClient(berth.address) as client:
            answer = client.request("GET", job["result_url"]).answer()
        assert (answer.status, answer.body) == (418, body)
        assert answer["Berth-Job-State"] == "done"
        assert (answer["Content-Type"], answer["ETag"], answer["X-Custom"]) == ("image/png", '"t"', "kept")
        assert answer["Cache-Control"] == "private, no-store"
        assert (answer["X-Content-Type-Options"], answer["Content-Security-Policy"]) == ("nosniff", "sandbox")
        for name in ("Set-Cookie", "Alt-Svc", "Strict-Transport-Security", "Access-Control-Allow-Origin", "X-Hop", "Keep-Alive",
                     "Access-Control-Allow-Credentials", "Date"):
            assert answer[name] is None, name
    with RawClient(berth.address) as client:
        answer = client.request("HEAD", job["result_url"]).answer(to_head=True)
        assert (answer.status, answer["Content-Length"]) == (418, str(len(body)))
        assert client.request("GET", "/berth/queue").answer().status == 200


@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
def test_results_however_they_are_framed(gateway, scripted, framing):
    body = b"abc" * 100_000
    berth = gateway(scripted().always(reply(body, framing=framing)))
    job = submit(berth)
    wait_for_state(berth, job, "done")
    answer = berth.get(job["result_url"])
    assert (answer.body, answer.headers["Content-Length"], answer.headers["Transfer-Encoding"]) == (body, "300000", None)


def test_a_result_with_a_long_head(gateway, scripted):
    fields = {f"X_Field_{i}": "v" * 600 for i in range(80)}
    berth = gateway(scripted().always(reply(b"x", **fields)))
    job = submit(berth)
    wait_for_state(berth, job, "done")
    answer = berth.get(job["result_url"])
    assert all(answer.headers[name.replace("_", "-")] == value for name, value in fields.items())
    assert answer.body == b"x"


def test_a_result_without_content(gateway, scripted):
    berth = gateway(scripted().always(reply(status=204, framing="none")))
    job = submit(berth)
    wait_for_state(berth, job, "done")
    with RawClient(berth.address) as client:
        for _ in range(2):
            answer = client.request("GET", job["result_url"]).answer()
            assert (answer.status, answer["Berth-Job-State"], answer["Content-Length"]) == (204, "done", None)


def test_a_404_of_the_container_is_no_404_of_berth(gateway, scripted):
    berth = gateway(scripted().always(reply(b"nothing", status=404)))
    job = submit(berth)
    assert wait_for_state(berth, job, "done")["status"] == 404
    answer = berth.get(job["result_url"])
    assert (answer.status, answer.body, answer.headers["Berth-Job-State"]) == (404, b"nothing", "done")


# ---- failures ----


def test_a_job_whose_container_dies_runs_again(gateway, scripted):
    """At least once is what a background request is promised, though it is a POST."""
    container = scripted().then(close()).then(close()).always(echo)
    berth = gateway(container)
    job = submit(berth, b"again")
    now = wait_for_state(berth, job, "done")
    assert (now["attempts"], now["status"]) == (3, 200)
    assert berth.get(job["result_url"]).body == b"again"


def test_a_job_that_fails_each_time(gateway, scripted):
    berth = gateway(scripted().always(close()), health_fall=100)
    job = submit(berth)
    now = wait_for_state(berth, job, "failed")
    assert now["attempts"] == 3
    answer = berth.get(job["result_url"])
    assert (answer.status, answer.headers["Content-Type"]) == (502, "application/problem+json")
    assert answer.headers["Berth-Job-State"] == "failed"
    assert answer.json["state"] == "failed"


def test_jobs_do_not_ask_the_budget_of_retries(gateway, scripted):
    """They have a number of attempts each: that many containers die at once is no reason to fail them."""
    die = threading.Event()
    containers = [scripted().then(when(die, close())).always(echo) for _ in range(16)]
    berth = gateway(*containers, retry_budget_min=2)
    jobs = [submit(berth, b"%d" % n) for n in range(16)]
    wait_until(lambda: sum(container.in_flight for container in containers) == 16)
    die.set()
    for job in jobs:
        assert wait_for_state(berth, job, "done")["attempts"] == 2


def test_a_busy_answer_is_no_attempt(gateway, scripted):
    busy = reply(b"not now", status=503, Berth_Busy="1")
    container = scripted().then(busy).then(busy).then(busy).then(close()).then(close()).always(echo)
    berth = gateway(container, busy_status=503, busy_header="Berth-Busy", health_fall=10, job_attempts=3)
    job = wait_for_state(berth, submit(berth), "done")
    assert (job["attempts"], len(container.requests)) == (3, 6)


def test_a_job_that_may_run_only_once(gateway, scripted):
    container = scripted().then(close()).always(echo)
    berth = gateway(container, job_retry="never")
    job = submit(berth)
    assert wait_for_state(berth, job, "failed")["attempts"] == 1
    assert len(container.requests) == 1


def test_half_an_answer_is_no_result(gateway, scripted):
    half = b"HTTP/1.1 200 OK\r\nX-First: yes\r\nContent-Length: 100\r\n\r\nhalf"
    container = scripted().then(close(half)).always(reply(b"whole"))
    berth = gateway(container)
    job = submit(berth)
    wait_for_state(berth, job, "done")
    answer = berth.get(job["result_url"])
    assert (answer.body, answer.headers["X-First"]) == (b"whole", None)


# ---- limits ----


def test_a_limit_of_jobs_that_are_not_over(gateway, scripted):
    release = threading.Event()
    berth = gateway(scripted().always(when(release, echo)), jobs_max=3)
    jobs = [submit(berth) for _ in range(3)]
    answer = berth.post("/new_request", b"x")
    assert (answer.status, answer.json["type"]) == (503, "urn:berth:problem:overloaded")
    assert int(answer.headers["Retry-After"]) >= 1
    release.set()
    for job in jobs:
        wait_for_state(berth, job, "done")
    submit(berth)


def test_a_limit_of_jobs_that_are_kept(gateway, scripted):
    berth = gateway(scripted(), jobs_max_records=3)
    jobs = []
    for _ in range(5):
        jobs.append(submit(berth))
        wait_for_state(berth, jobs[-1], "done")
    wait_until(lambda: [berth.get(job["status_url"]).status for job in jobs] == [404, 404, 200, 200, 200],
               "only the last three are there")


def test_a_limit_of_a_results_length(gateway, scripted):
    container = scripted().then(reply(b"x" * 5000)).always(reply(b"x" * 1000))
    berth = gateway(container, jobs_max_result_bytes="2KiB")
    job = submit(berth)
    wait_for_state(berth, job, "failed")
    assert "jobs.max_result_bytes" in status(berth, job)["reasons"]
    wait_for_state(berth, submit(berth), "done")  # and the slot is free again


def test_a_limit_of_age(gateway, scripted):
    berth = gateway(scripted(), jobs_max_age="1s", jobs_record_age="1s", jobs_key_age="1s")
    job = submit(berth)
    wait_for_state(berth, job, "done")
    wait_until(lambda: berth.get(job["result_url"]).status in (404, 410), "the result is gone")


# ---- the end of Berth ----


def test_a_drain_finishes_what_waits(gateway, scripted):
    release = threading.Event()
    container = scripted().always(when(release, echo))
    berth = gateway(container)
    for i in range(5):
        submit(berth, b"%d" % i)
    berth.signal(signal.SIGTERM).wait_for("once more stops at once")
    release.set()
    assert berth.wait() == 0
    assert [request.body for request in container.requests] == [b"%d" % i for i in range(5)]


def test_stopped_at_once_with_jobs_that_run_and_wait(gateway, scripted):
    release = threading.Event()
    berth = gateway(scripted().always(when(release, echo)))
    for _ in range(5):
        submit(berth)
    berth.signal(signal.SIGTERM).wait_for("once more stops at once")
    berth.signal(signal.SIGTERM)
    assert berth.wait() == 0
    release.set()
