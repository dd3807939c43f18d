"""Prefer: respond-async, wait=S, Idempotency-Key."""

import signal
import threading
import time

import pytest

from berth import wait_until
from containers import Background, RawClient, close, echo, gateway, raw, reply, scripted, when  # noqa: F401

KEY = "0123456789abcdef"


def ask(berth, prefer="respond-async", body=b"x", path="/run_model", **headers):
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    return berth.post(path, body, headers={**({"Prefer": prefer} if prefer else {}), **fields})


def wait_for_state(berth, job, state):
    wait_until(lambda: berth.get(job["status_url"]).json["state"] == state, f"state {state}")


# ---- 202 ----


def test_a_202(gateway, scripted):
    release = threading.Event()
    berth = gateway(scripted().always(when(release, echo)))
    for n in range(3):
        answer = ask(berth, body=b"%d" % n)
        job = answer.json
        assert (answer.status, answer.headers["Preference-Applied"]) == (202, "respond-async")
        assert answer.headers["Location"] == job["status_url"] == job["cancel_url"] == f"/berth/jobs/{job['id']}"
        assert (job["result_url"], job["events_url"]) == (job["status_url"] + "/result", job["status_url"] + "/events")
        assert answer.headers["Cache-Control"] == "private, no-store"
        assert (job["state"], job["position"], job["eta_ms"]) == (("queued", n, None) if n else ("running", 0, 0))
    release.set()
    wait_for_state(berth, job, "done")
    assert berth.get(job["result_url"]).body == b"2"


@pytest.mark.parametrize("prefer", ["respond-async", "RESPOND-ASYNC", "respond-async; x=y", "handling=lenient, respond-async",
                                    "respond-async, wait=0", "respond-async, wait=x", "respond-async, wait=99999999",
                                    ", ,respond-async,", 'respond-async, foo="a, b"'])
def test_what_asks_for_a_job(gateway, scripted, prefer):
    assert ask(gateway(scripted()), prefer).status == 202


@pytest.mark.parametrize("prefer", ["", "wait=1", "return=minimal", "respond-sync", "xrespond-async", "=respond-async", '"', "\x80"])
def test_what_does_not(gateway, scripted, prefer):
    """RFC 7240 §2: what cannot be read is ignored."""
    container = scripted()
    berth = gateway(container)
    with RawClient(berth.address) as client:
        answer = client.request("POST", "/run_model", b"x", head=f"Host: h\r\nPrefer: {prefer}\r\n").answer()
    assert (answer.status, answer.body) == (200, b"x")


def test_any_request_of_a_pool(gateway, scripted):
    container = scripted()
    berth = gateway(container)
    for method, path in (("GET", "/a?b=c"), ("PUT", "/x"), ("DELETE", "/y"), ("PATCH", "/z")):
        answer = berth.request(method, path, headers={"Prefer": "respond-async"})
        assert answer.status == 202
        wait_for_state(berth, answer.json, "done")
    assert container.seen() == [("GET", "/a?b=c"), ("PUT", "/x"), ("DELETE", "/y"), ("PATCH", "/z")]


@pytest.mark.parametrize(("flags", "kept"), [({}, None), ({"store_headers": "Authorization"}, "secret")])
def test_secrets_that_are_not_stored_are_not_sent(gateway, scripted, flags, kept):
    """Whether it runs at once or from the store: the container gets the same request."""
    container = scripted()
    berth = gateway(container, **flags)
    assert ask(berth, "respond-async, wait=20", Authorization="secret").status == 200
    for answer in (ask(berth, Authorization="secret"), ask(berth, None, path="/new_request", Authorization="secret")):
        wait_for_state(berth, answer.json, "done")
    assert ask(berth, None, Authorization="secret").status == 200
    assert [request["Authorization"] for request in container.requests] == [kept] * 3 + ["secret"]


# ---- wait=S: each way out ----


def test_an_answer_in_time_is_the_plain_one(gateway, scripted):
    container = scripted().always(reply(b"plain", status=201, X_A="b"))
    berth = gateway(container)
    answer = ask(berth, "respond-async, wait=20")
    assert (answer.status, answer.body, answer.headers["X-A"], answer.headers["Location"]) == (201, b"plain", "b", None)
    assert berth.status()["jobs"] == 0


def test_a_wait_that_ends_while_it_runs(gateway, scripted):
    release = threading.Event()
    container = scripted().always(when(release, echo))
    berth = gateway(container)
    answer = ask(berth, "respond-async, wait=1")
    assert (answer.status, answer.json["state"], answer.headers["Preference-Applied"]) == (202, "running", "respond-async")
    release.set()
    wait_for_state(berth, answer.json, "done")
    assert berth.get(answer.json["result_url"]).body == b"x" and len(container.requests) == 1


def test_a_wait_in_quotes(gateway, scripted):
    """RFC 7240 §2: a value is a token or a quoted string."""
    berth = gateway(scripted())
    assert ask(berth, 'respond-async, wait="20"').status == 200
    assert ask(berth, 'respond-async, wait="').status == 202


def test_a_wait_that_ends_in_the_queue_keeps_its_place(gateway, scripted):
    release = threading.Event()
    container = scripted().always(when(release, echo))
    berth = gateway(container)
    first = ask(berth, body=b"first").json
    waiting = Background(ask, berth, "respond-async, wait=1", b"second")
    berth.wait_for_queue(1)
    third = ask(berth, body=b"third").json
    second = waiting.result()
    assert (second.status, second.json["state"], second.json["position"]) == (202, "queued", 1)
    assert berth.get(third["status_url"]).json["position"] == 2
    release.set()
    wait_for_state(berth, third, "done")
    assert [request.body for request in container.requests] == [b"first", b"second", b"third"]
    wait_for_state(berth, first, "done")


def test_a_wait_may_be_longer_than_queue_max_wait(gateway, scripted):
    """It only chooses between the answer and a 202, and makes no request fail."""
    release = threading.Event()
    berth = gateway(scripted().always(when(release, echo)), queue_max_wait="1s")
    running = Background(ask, berth, "respond-async, wait=2")
    berth.wait_for_slots(0)
    waiting = Background(ask, berth, "respond-async, wait=2")
    assert [(one.result().status, one.result().json["state"]) for one in (running, waiting)] == [(202, "running"), (202, "queued")]
    release.set()
    for one in (running, waiting):
        wait_for_state(berth, one.result().json, "done")


def test_a_wait_has_no_heartbeats(gateway, scripted):
    """They would be the beginning of an answer, and what begins when the wait is over could not be told from it."""
    release = threading.Event()
    berth = gateway(scripted().always(when(release, echo)))
    ask(berth)
    with RawClient(berth.address) as client:
        client.request("POST", "/run_model", b"x", head="Host: h\r\nPrefer: respond-async, wait=2\r\n"
                       "Accept: text/event-stream\r\nBerth-Heartbeat: 1\r\n")
        client.reader.until(b"\r\n\r\n")
        assert b"event: state\nid: 1.0.1\n" in client.reader.until(b"\n\n\r\n")
        release.set()
        assert b'"state":"done"' in client.reader.chunks()


def test_a_client_that_leaves_during_its_wait_leaves_nothing(gateway, scripted):
    release = threading.Event()
    container = scripted().always(when(release, echo))
    berth = gateway(container)
    running = ask(berth).json
    with RawClient(berth.address) as client:
        client.request("POST", "/run_model", b"left", head="Host: h\r\nPrefer: respond-async, wait=60\r\n")
        berth.wait_for_queue(1)
    berth.wait_for_queue(0)
    release.set()
    wait_for_state(berth, running, "done")
    berth.wait_for_slots(1)
    assert [request.body for request in container.requests] == [b"x"]


def test_an_answer_that_has_begun_stays_what_it_is(gateway, scripted):
    more = threading.Event()

    def slowly(exchange):
        exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nabc")
        more.wait(30)
        exchange.finish(b"def")
    berth = gateway(scripted().always(slowly))
    waiting = Background(ask, berth, "respond-async, wait=1")
    threading.Timer(1.5, more.set).start()
    answer = waiting.result()
    assert (answer.status, answer.body) == (200, b"abcdef")


def test_a_failure_in_time_is_the_plain_one(gateway, scripted):
    berth = gateway(scripted().always(close()), health_fall=100)
    answer = ask(berth, "respond-async, wait=20")
    assert (answer.status, answer.headers["Content-Type"]) == (502, "application/problem+json")


def test_events_of_a_job_that_ends_while_it_is_committed(gateway, scripted, tmp_path):
    container = scripted().always(lambda exchange: (time.sleep(1.0 + (len(container.requests) % 40) / 2000), echo(exchange)))
    berth = gateway(container, store=f"sqlite:{tmp_path}/b.db", slots=40)

    def follow():
        answer = berth.request("POST", "/run_model", bytes(1 << 20), {
            "Prefer": "respond-async, wait=1", "Accept": "text/event-stream"})
        return answer.headers["Content-Type"] != "text/event-stream" or b"event: result\n" in answer.body
    assert all(one.result() for one in [Background(follow) for _ in range(40)])  # each stream has come to its end


def test_a_job_that_is_committed_while_its_answer_comes(gateway, scripted, tmp_path):
    """The store reads a request while the exchange that it came with is over."""
    container = scripted().always(lambda exchange: (time.sleep(1.0 + (len(container.requests) % 40) / 2000), echo(exchange)))
    berth = gateway(container, store=f"sqlite:{tmp_path}/b.db", slots=40)
    body = bytes(1 << 20)
    answers = [one.result() for one in [Background(ask, berth, "respond-async, wait=1", body) for _ in range(40)]]
    for answer in answers:
        if answer.status == 202:
            wait_for_state(berth, answer.json, "done")
            assert berth.get(answer.json["result_url"]).body == body
        else:
            assert answer.body == body
    assert len(container.requests) == 40


def test_methods_that_a_job_does_not_have(gateway, scripted):
    berth = gateway(scripted())
    job = ask(berth).json
    for url, allowed in ((job["status_url"], "GET, HEAD, DELETE"), (job["result_url"], "GET, HEAD")):
        answer = berth.request("PUT", url, b"x")
        assert (answer.status, answer.headers["Allow"]) == (405, allowed)


def test_a_wait_that_cannot_become_a_job_goes_on(gateway, scripted):
    release = threading.Event()
    container = scripted().always(when(release, echo))
    berth = gateway(container, slots=2, jobs_max=1)
    job = ask(berth).json
    waiting = [Background(ask, berth, "respond-async, wait=1", body) for body in (b"runs", b"waits")]
    berth.wait_for_queue(1)
    threading.Timer(1.5, release.set).start()
    assert [(one.result().status, one.result().body) for one in waiting] == [(200, b"runs"), (200, b"waits")]
    wait_for_state(berth, job, "done")


# ---- Idempotency-Key ----


@pytest.fixture(params=["memory", "sqlite:keys.db"])
def store(request):
    return request.param


def test_a_key_whose_job_is_finished(gateway, scripted, store):
    container = scripted()
    berth = gateway(container, store=store)
    first = ask(berth, Idempotency_Key=KEY)
    wait_for_state(berth, first.json, "done")
    again = ask(berth, Idempotency_Key=KEY)
    assert (again.status, again.headers["Location"], again.json["id"]) == (202, first.headers["Location"], first.json["id"])
    assert again.headers["Preference-Applied"] == "respond-async"
    assert again.json["state"] == "done" and len(container.requests) == 1


def test_a_key_whose_job_is_in_flight(gateway, scripted, store):
    release = threading.Event()
    container = scripted().always(when(release, echo))
    berth = gateway(container, store=store)
    first = ask(berth, Idempotency_Key=KEY)
    again = ask(berth, Idempotency_Key=KEY)
    assert (again.status, again.headers["Content-Type"]) == (409, "application/problem+json")
    assert (again.headers["Location"], again.json["id"]) == (first.headers["Location"], first.json["id"])
    release.set()
    wait_for_state(berth, first.json, "done")
    assert len(container.requests) == 1


@pytest.mark.parametrize("other", [{"body": b"y"}, {"body": b""}, {"path": "/elsewhere"}])
def test_a_key_with_another_payload(gateway, scripted, store, other):
    berth = gateway(scripted(), store=store)
    wait_for_state(berth, ask(berth, Idempotency_Key=KEY).json, "done")
    answer = ask(berth, Idempotency_Key=KEY, **other)
    assert (answer.status, answer.json["type"]) == (422, "urn:berth:problem:key-mismatch")


def test_keys_of_long_and_chunked_bodies(gateway, scripted, store):
    """A payload is the same however it is framed and wherever it is kept."""
    body = bytes(range(256)) * 12_000
    berth = gateway(scripted(), store=store, limits_body_memory="64KiB")
    first = ask(berth, body=body, Idempotency_Key=KEY)
    assert first.status == 202
    wait_for_state(berth, first.json, "done")
    with RawClient(berth.address) as client:
        client.send(f"POST /run_model HTTP/1.1\r\nHost: h\r\nPrefer: respond-async\r\nIdempotency-Key: {KEY}\r\n"
                    "Transfer-Encoding: chunked\r\n\r\n")
        for at in range(0, len(body), 100_000):
            piece = body[at:at + 100_000]
            client.send(b"%x\r\n" % len(piece) + piece + b"\r\n")
        answer = client.send(b"0\r\n\r\n").answer()
    assert (answer.status, answer["Location"]) == (202, first.headers["Location"])
    assert ask(berth, body=body[:-1] + b"!", Idempotency_Key=KEY).status == 422


@pytest.mark.parametrize(("key", "status"), [("x" * 15, 400), ("x" * 16, 202), ("x" * 255, 202), ("x" * 256, 400), ('"' + "x" * 14, 400),
                                           ('"' + "x" * 15 + '"', 400), ('"' + "x" * 16 + '"', 202), ('"' + "x" * 255 + '"', 202)])
def test_a_keys_length(gateway, scripted, key, status):
    for path, accepted in (("/run_model", 202), ("/new_request", 200)):
        answer = ask(gateway(scripted()), Idempotency_Key=key, path=path)
        assert answer.status == (400 if status == 400 else accepted)
        assert status != 400 or "16 to 255 characters" in answer.json["detail"]


def test_a_key_in_quotes_is_the_same_key(gateway, scripted, store):
    berth = gateway(scripted(), store=store)
    first = ask(berth, Idempotency_Key=KEY).json
    wait_for_state(berth, first, "done")
    assert ask(berth, Idempotency_Key=f'"{KEY}"').json["id"] == first["id"]


def test_two_keys(gateway, scripted):
    """Which of them counts would be a guess."""
    container = scripted()
    with RawClient(gateway(container).address) as client:
        answer = client.request("POST", "/new_request", b"x", head="Host: h\r\n" + f"Idempotency-Key: {KEY}\r\n" * 2).answer()
    assert answer.status == 400 and b"one Idempotency-Key" in answer.body and not container.requests


def test_a_key_of_a_submission(gateway, scripted, store):
    container = scripted()
    berth = gateway(container, store=store)
    first = ask(berth, None, path="/new_request", Idempotency_Key=KEY)
    wait_for_state(berth, first.json, "done")
    again = ask(berth, None, path="/new_request", Idempotency_Key=KEY)
    assert (again.status, again.json["message"], again.json["id"]) == (200, first.json["message"], first.json["id"])
    assert len(container.requests) == 1


def test_events_of_a_key_whose_job_is_finished(gateway, scripted, store):
    """Who asks for events gets them, however late: the last one, and the end."""
    container = scripted()
    berth = gateway(container, store=store)
    for path, prefer in (("/run_model", "respond-async"), ("/run_model", "respond-async, wait=20"), ("/new_request", None)):
        key = f"{KEY}-{path}"
        wait_for_state(berth, ask(berth, "respond-async", path=path, Idempotency_Key=key).json, "done")
        again = ask(berth, prefer, path=path, Idempotency_Key=key, Accept="text/event-stream")
        assert (again.status, again.headers["Content-Type"]) == (200, "text/event-stream")
        assert again.text.count("event: ") == 1 and again.text.startswith("event: result\nid: end\n")
    assert len(container.requests) == 2


def test_a_key_of_a_synchronous_request_is_the_containers(gateway, scripted):
    container = scripted()
    berth = gateway(container)
    for _ in range(2):
        assert ask(berth, None, Idempotency_Key="short").status == 200
    assert [request["Idempotency-Key"] for request in container.requests] == ["short", "short"]


def test_keys_hold_after_a_restart(serve, scripted, tmp_path):
    container = scripted()
    berth = serve().containers(container).flag("store", f"sqlite:{tmp_path}/b.db").start().wait_for_slots(1)
    first = ask(berth, Idempotency_Key=KEY).json
    wait_for_state(berth, first, "done")
    berth.signal(signal.SIGKILL).wait()
    berth = serve().containers(container).flag("store", f"sqlite:{tmp_path}/b.db").start().wait_for_slots(1)
    assert ask(berth, Idempotency_Key=KEY).json["id"] == first["id"]
    assert ask(berth, body=b"other", Idempotency_Key=KEY).status == 422
    assert len(container.requests) == 1


def test_a_key_is_free_after_its_age(gateway, scripted, store):
    container = scripted()
    berth = gateway(container, store=store, jobs_key_age="1s")
    first = ask(berth, Idempotency_Key=KEY).json
    wait_for_state(berth, first, "done")
    wait_until(lambda: ask(berth, Idempotency_Key=KEY).json["id"] != first["id"], "the key is free")


def test_a_hundred_clients_with_one_key(gateway, scripted, store):
    """One job, whoever comes first."""
    container = scripted()
    berth = gateway(container, store=store)
    answers = [one.result() for one in [Background(ask, berth, Idempotency_Key=KEY) for _ in range(100)]]
    assert {answer.status for answer in answers} <= {202, 409}
    assert len({answer.headers["Location"] for answer in answers}) == 1
    wait_for_state(berth, answers[0].json, "done")
    assert len(container.requests) == 1


# ---- a key and wait=S together ----


def test_a_key_and_an_answer_in_time(gateway, scripted, store):
    container = scripted().always(reply(b"plain", status=201))
    berth = gateway(container, store=store)
    for _ in range(2):  # the second is the same answer, from the store
        answer = ask(berth, "respond-async, wait=20", Idempotency_Key=KEY)
        assert (answer.status, answer.body, answer.headers["Berth-Job-State"]) == (201, b"plain", "done")
    assert len(container.requests) == 1
    assert ask(berth, "respond-async, wait=20", b"other", Idempotency_Key=KEY).status == 422


def test_a_key_and_a_wait_that_ends(gateway, scripted, store):
    release = threading.Event()
    container = scripted().always(when(release, echo))
    berth = gateway(container, store=store)
    running = ask(berth).json
    waiting = Background(ask, berth, "respond-async, wait=1", Idempotency_Key=KEY)
    berth.wait_for_queue(1)
    assert ask(berth, "respond-async, wait=1", Idempotency_Key=KEY).status == 409  # meanwhile
    answer = waiting.result()
    assert (answer.status, answer.json["state"], answer.json["position"]) == (202, "queued", 1)
    assert answer.headers["Preference-Applied"] == "respond-async"
    release.set()
    wait_for_state(berth, answer.json, "done")
    wait_for_state(berth, running, "done")
    assert ask(berth, "respond-async, wait=1", Idempotency_Key=KEY).body == b"x" and len(container.requests) == 2


def test_a_key_and_a_failure_in_time(gateway, scripted, store):
    berth = gateway(scripted().always(close()), health_fall=100, store=store)
    answer = ask(berth, "respond-async, wait=20", Idempotency_Key=KEY)
    assert (answer.status, answer.headers["Berth-Job-State"], answer.json["state"]) == (502, "failed", "failed")
