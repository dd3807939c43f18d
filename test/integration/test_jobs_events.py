"""What is told of a job as it happens: server-sent events, read by clients that are none of ours."""

import json
import signal
import subprocess
import threading

import pytest
import requests

from berth import ROOT, wait_until
from containers import Background, RawClient, close, echo, gateway, reply, scripted, when  # noqa: F401

FINAL = {"done", "failed", "cancelled", "expired"}


def ask(berth, body=b"x", **headers):
    answer = berth.post("/run_model", body, headers={"Prefer": "respond-async", **headers})
    assert answer.status == 202, answer.text
    return answer.json


def wait_for_state(berth, job, state):
    wait_until(lambda: berth.get(job["status_url"]).json["state"] == state, f"state {state}")


def follow(url, method="GET", heartbeats=None, events=None, **options):
    """The events of a stream up to its end, by requests: (kind, id, data)."""
    events, event = [] if events is None else events, {}
    with requests.request(method, url, stream=True, timeout=60, **options) as answer:
        assert answer.status_code == 200 and answer.headers["Content-Type"] == "text/event-stream", answer.text
        assert answer.headers["Cache-Control"] == "private, no-store"
        for line in answer.iter_lines(chunk_size=1, decode_unicode=True):
            if line.startswith(":"):
                if heartbeats is not None:
                    heartbeats.append(line)
            elif line:
                name, _, value = line.partition(": ")
                event[name] = value
            elif event:
                events.append((event["event"], event["id"], json.loads(event["data"])))
                event = {}
    return events


def first_events(berth, job, n, last=None):
    """The first n events of a stream, whose client leaves then."""
    events = []
    with RawClient(berth.address) as client:
        client.request("GET", job["events_url"], head="Host: h\r\n" + (f"Last-Event-ID: {last}\r\n" if last else ""))
        client.reader.until(b"\r\n\r\n")
        for _ in range(n):
            lines = client.reader.until(b"\n\n\r\n").decode().splitlines()
            event = dict(line.split(": ", 1) for line in lines if ": " in line)
            events.append((event["event"], event["id"], json.loads(event["data"])))
    return events


def check(events):
    """What a whole stream must hold, also in several pieces: places fall, states go forward, ids go up, one end, at the end."""
    place, stage, changes = None, 0, (0, 0)
    for n, (kind, identity, data) in enumerate(events):
        over = data["state"] in FINAL
        again = data.get("reason") == "requeue"
        assert over == (n == len(events) - 1) == (identity == "end"), events
        assert kind == ("result" if data["state"] == "done" else "state" if over else kind)
        now = 3 if over else {"queued": 1, "running": 2}[data["state"]]
        assert now >= stage or again, events
        if not over:
            assert tuple(map(int, identity.split(".")[:2])) >= changes, events
            changes = tuple(map(int, identity.split(".")[:2]))
        if data["state"] == "queued":
            assert place is None or again or data["position"] <= place, events
            place = data["position"]
        stage = now
    return events


def test_a_jobs_stream(gateway, scripted):
    steps = [threading.Event() for _ in range(4)]
    container = scripted()
    for step in steps:
        container.then(when(step, echo))
    berth = gateway(container)
    jobs = [ask(berth, b"%d" % n) for n in range(4)]
    stream = Background(follow, f"http://{berth.address}{jobs[3]['events_url']}")
    for n, step in enumerate(steps[:-1]):
        wait_for_state(berth, jobs[n], "running")
        threading.Event().wait(0.3)  # places are told at most every 250 ms
        step.set()
    wait_for_state(berth, jobs[3], "running")
    steps[3].set()
    events = check(stream.result())
    assert [(kind, data["state"], data.get("position")) for kind, _, data in events][-2:] == \
        [("state", "running", 0), ("result", "done", None)]
    assert [data["position"] for _, _, data in events if data["state"] == "queued"][0] >= 2
    assert any(kind == "position" for kind, _, _ in events)


def test_a_stream_from_the_submission_on(gateway, scripted):
    berth = gateway(scripted())
    for path, prefer in (("/run_model", {"Prefer": "respond-async"}), ("/new_request", {})):
        events = check(follow(f"http://{berth.address}{path}", "POST", data=b"hello",
                              headers={"Accept": "text/event-stream", **prefer}))
        assert events[-1][2]["state"] == "done"
        assert berth.get(events[-1][2]["result_url"]).body == b"hello"


def test_a_stream_of_a_job_that_is_over(gateway, scripted):
    berth = gateway(scripted())
    job = ask(berth)
    wait_for_state(berth, job, "done")
    ended = berth.get(job["events_url"], headers={"Last-Event-ID": "end"})
    assert (ended.status, ended.body) == (204, b"")  # an EventSource asks no more
    for headers in ({}, {"Last-Event-ID": "1.1.0"}, {"Last-Event-ID": "x"}):
        [(kind, identity, data)] = follow(f"http://{berth.address}{job['events_url']}", headers=headers)
        assert (kind, identity, data["state"]) == ("result", "end", "done")


def test_a_stream_that_is_taken_up_again(gateway, scripted):
    """What was told before Last-Event-ID is not told again; nothing after it is left out."""
    release = threading.Event()
    berth = gateway(scripted().always(when(release, echo)))
    ask(berth)
    job = ask(berth)
    with RawClient(berth.address) as client:
        client.request("GET", job["events_url"])
        client.reader.until(b"\r\n\r\n")
        text = client.reader.until(b"\n\n\r\n").decode()
    last = next(line for line in text.splitlines() if line.startswith("id: "))[4:]
    with RawClient(berth.address) as client:
        client.request("GET", job["events_url"], head=f"Host: h\r\nLast-Event-ID: {last}\r\n")
        client.reader.until(b"\r\n\r\n")
        release.set()
        told = [client.reader.until(b"\n\n\r\n").decode() for _ in range(2)]
    assert [json.loads(text.split("data: ")[1].splitlines()[0])["state"] for text in told] == ["running", "done"]


def test_the_ends_of_other_jobs(gateway, scripted):
    release = threading.Event()
    container = scripted().then(when(release, echo)).always(close(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"))
    berth = gateway(container, health_fall=100, job_attempts=2)
    ask(berth)
    fails, cancelled = ask(berth, b"fails"), ask(berth, b"cancelled")
    told = [[], []]
    streams = [Background(follow, f"http://{berth.address}{job['events_url']}", events=events)
               for job, events in zip((fails, cancelled), told)]
    wait_until(lambda: all(told), "they follow")
    assert berth.request("DELETE", cancelled["status_url"]).status == 204
    release.set()
    fails, cancelled = [check(stream.result()) for stream in streams]
    assert (cancelled[-1][0], cancelled[-1][2]["state"]) == ("state", "cancelled")
    assert (fails[-1][0], fails[-1][2]["state"], fails[-1][2]["attempts"]) == ("state", "failed", 2)
    assert [data["state"] for _, _, data in fails if data.get("reason") == "requeue"] == ["queued"]


def test_heartbeats(gateway, scripted):
    release = threading.Event()
    berth = gateway(scripted().always(when(release, echo)))
    job = ask(berth)
    beats = []
    stream = Background(follow, f"http://{berth.address}{job['events_url']}", heartbeats=beats)
    wait_until(lambda: beats, "a heartbeat", 25)
    release.set()
    assert check(stream.result())[-1][2]["state"] == "done"


def test_a_stream_that_is_cut_by_a_crash_goes_on_after_it(serve, scripted, tmp_path):
    release = threading.Event()
    container = scripted().always(when(release, echo))
    berth = serve().containers(container).flag("store", f"sqlite:{tmp_path}/b.db").start().wait_for_slots(1)
    job = ask(berth)
    with RawClient(berth.address) as client:
        client.request("GET", job["events_url"])
        client.reader.until(b"\n\n\r\n")
        berth.signal(signal.SIGKILL).wait()
    release.set()
    berth = serve().containers(container).flag("store", f"sqlite:{tmp_path}/b.db").start()
    events = check(follow(f"http://{berth.address}{job['events_url']}", headers={"Last-Event-ID": "1.1.0"}))
    assert events[-1][2]["state"] == "done"


def test_places_rise_for_a_reason(gateway, scripted):
    """The request before it is tried again: its own stream and that of the next say so, and one that is taken up later too."""
    die, release = threading.Event(), threading.Event()
    container = scripted().then(when(die, close())).always(when(release, echo))
    berth = gateway(container)
    jobs = [ask(berth, b"%d" % n) for n in range(3)]
    urls = [f"http://{berth.address}{job['events_url']}" for job in jobs]
    told = [[], []]
    streams = [Background(follow, url, events=events) for url, events in zip(urls, told)]
    wait_until(lambda: all(told), "they follow")
    running, last = (first_events(berth, job, 1) for job in (jobs[0], jobs[2]))
    assert (running[0][2]["state"], last[0][2]["position"]) == ("running", 2)
    container.die()
    wait_until(lambda: berth.get(jobs[2]["status_url"]).json["position"] == 3, "the first waits again")
    running += first_events(berth, jobs[0], 1, running[0][1])
    last += first_events(berth, jobs[2], 1, last[0][1])
    assert (running[1][0], running[1][2]["position"], running[1][2]["reason"]) == ("state", 1, "requeue")
    assert (last[1][0], last[1][2]["position"], last[1][2]["reason"]) == ("position", 3, "requeue")
    threading.Event().wait(0.3)  # places are told at most every 250 ms
    die.set()
    release.set()
    container.come_back()
    events = [check(stream.result()) for stream in streams]
    assert [{data["position"] for _, _, data in one if data.get("reason")} for one in events] == [{1}, {2}]
    check(running + follow(urls[0], headers={"Last-Event-ID": running[1][1]}))
    check(last + follow(urls[2], headers={"Last-Event-ID": last[1][1]}))


def test_a_crash_is_a_reason(serve, scripted, tmp_path):
    """What ran waits again after it, and those behind it are told; no id goes back."""
    release = threading.Event()
    container = scripted().always(when(release, echo))
    berth = serve().containers(container).flag("store", f"sqlite:{tmp_path}/b.db").start().wait_for_slots(1)
    jobs = [ask(berth) for _ in range(2)]
    told = [first_events(berth, job, 1) for job in jobs]
    assert [events[0][2]["position"] for events in told] == [0, 1]
    berth.signal(signal.SIGKILL).wait()
    container.die()
    berth = serve().containers(container).flag("store", f"sqlite:{tmp_path}/b.db").start()
    for events, job, place in zip(told, jobs, (1, 2)):
        events += first_events(berth, job, 1, events[-1][1])
        assert (events[1][2]["position"], events[1][2]["reason"]) == (place, "requeue")
    release.set()
    container.come_back()
    for events, job in zip(told, jobs):
        check(events + follow(f"http://{berth.address}{job['events_url']}", headers={"Last-Event-ID": events[-1][1]}))


def test_what_is_no_stream(gateway, scripted):
    release = threading.Event()
    berth = gateway(scripted().always(when(release, echo)))
    job = ask(berth)
    assert berth.get("/berth/jobs/0123456789abcdef0123456789abcdef/events").status == 404
    with RawClient(berth.address) as client:
        assert client.send(f"GET {job['events_url']} HTTP/1.0\r\n\r\n").answer().status == 505
    release.set()


# ---- a hundred jobs from five clients ----


def hundred(berth):
    def client(number):
        return [(b"%d from %d" % (i, number), ask(berth, b"%d from %d" % (i, number))) for i in range(20)]
    return [job for one in [Background(client, n) for n in range(5)] for job in one.result()]


def test_a_hundred_jobs_followed_by_requests(gateway, scripted):
    containers = [scripted() for _ in range(3)]
    berth = gateway(*containers, store="sqlite:b.db")
    jobs = hundred(berth)
    streams = [(body, job, Background(follow, f"http://{berth.address}{job['events_url']}")) for body, job in jobs]
    for body, job, stream in streams:
        assert check(stream.result())[-1][2]["state"] == "done"
        assert berth.get(job["result_url"]).body == body


def test_a_hundred_jobs_followed_by_event_source(gateway, scripted):
    """The EventSource of Node, which is the one of browsers."""
    node = ["node", "--experimental-eventsource"]
    try:
        known = subprocess.run([*node, "-e", "process.exit(typeof EventSource === 'function' ? 0 : 1)"], capture_output=True)
    except FileNotFoundError:
        pytest.skip("there is no node")
    if known.returncode:
        pytest.skip("this node has no EventSource")
    release = threading.Event()
    containers = [scripted().always(when(release, echo)) for _ in range(3)]
    berth = gateway(*containers, store="sqlite:b.db")
    jobs = hundred(berth)
    program = subprocess.Popen([*node, ROOT / "test" / "integration" / "follow.mjs", f"http://{berth.address}",
                                *[job["events_url"] for _, job in jobs]], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        wait_until(lambda: berth.status()["connections"] >= 100, "all are followed")
        release.set()
        output, errors = program.communicate(timeout=60)
    finally:
        program.kill()
    assert program.returncode == 0, errors
    told = [json.loads(line) for line in output.splitlines()]
    for body, job in jobs:
        events = [(event["kind"], event["id"], event["data"]) for event in told if event["url"] == job["events_url"]]
        assert check(events)[-1][2]["state"] == "done"
        assert berth.get(job["result_url"]).body == body
