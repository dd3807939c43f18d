"""Jobs in a database: what survives, what is kept and for how long, full disks, damaged files."""

import json
import os
import pathlib
import resource
import re
import shutil
import signal
import sqlite3
import stat
import threading

import pytest

from berth import BUILD, Berth, Program, request, run, wait_until
from containers import Background, RawClient, echo, reply, scripted, when  # noqa: F401


def ask(berth, body=b"x", **headers):
    answer = berth.post("/run_model", body, headers={"Prefer": "respond-async", **{k.replace("_", "-"): v for k, v in headers.items()}})
    assert answer.status == 202, answer.text
    return answer.json


def state(berth, job):
    return berth.get(job["status_url"]).json["state"]


def wait_for_state(berth, job, wanted):
    wait_until(lambda: state(berth, job) == wanted, f"state {wanted}")


def stored(berth, job):
    """The record as the store has it: the list reads that."""
    jobs = request(berth.admin, "GET", "/berth/jobs").json["jobs"]
    return next(one for one in jobs if one["id"] == job["id"])


@pytest.fixture
def durable(serve, tmp_path):
    """durable(container, …, flag=value) starts a Berth on the test's database."""
    def start(*containers, wait=True, **flags):
        berth = serve().containers(*containers).flag("store", f"sqlite:{tmp_path}/berth.db")
        for name, value in flags.items():
            berth.flag(name.replace("_", "-"), value)
        berth.start()
        return berth.wait_for_slots(len(containers) * int(flags.get("slots", 1))) if wait else berth
    return start


# ---- from one life to the next ----


@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGTERM])
def test_jobs_wait_for_the_next_start(durable, scripted, sign):
    """Their order, their results, and those that ran."""
    release = threading.Event()
    container = scripted().then(reply(b"early")).always(when(release, echo))
    berth = durable(container)
    done = ask(berth)
    wait_for_state(berth, done, "done")
    jobs = [ask(berth, b"%d" % n) for n in range(6)]
    wait_for_state(berth, jobs[0], "running")
    berth.signal(sign)
    if sign == signal.SIGTERM:  # what runs is finished, what waits is left
        berth.wait_for("once more stops at once")
        release.set()
    berth.wait()
    release.set()
    berth = durable(container)
    assert berth.get(done["result_url"]).body == b"early"
    for n, job in enumerate(jobs):
        wait_for_state(berth, job, "done")
        assert berth.get(job["result_url"]).body == b"%d" % n
    again = 1 if sign == signal.SIGKILL else 0
    assert [request.body for request in container.requests[1:]] == [b"0"] * (1 + again) + [b"%d" % n for n in range(1, 6)]
    record = berth.get(jobs[0]["status_url"]).json
    assert record["attempts"] == 1 + again and ("interrupted" in record.get("reasons", "")) == bool(again)


def test_a_job_that_may_run_only_once_is_interrupted(durable, scripted):
    release = threading.Event()
    container = scripted().always(when(release, echo))
    berth = durable(container, job_retry="never")
    running, waiting = ask(berth), ask(berth)
    wait_until(lambda: container.in_flight == 1, "it runs")
    berth.signal(signal.SIGKILL).wait()
    release.set()
    berth = durable(container, job_retry="never")
    wait_for_state(berth, waiting, "done")
    record = berth.get(running["status_url"]).json
    assert (record["state"], record["attempts"]) == ("failed", 1) and "interrupted" in record["reasons"]
    answer = berth.get(running["result_url"])
    assert (answer.status, answer.headers["Berth-Job-State"]) == (502, "failed")
    assert len(container.requests) == 2


def test_attempts_count_from_one_life_to_the_next(durable, scripted):
    release = threading.Event()
    container = scripted().always(when(release, echo))
    for life in range(2):
        berth = durable(container, job_attempts=2, wait=life == 0)
        job = ask(berth) if life == 0 else job
        wait_until(lambda: len(container.requests) == life + 1, "it runs")
        wait_for_state(berth, job, "running")
        wait_until(lambda: stored(berth, job)["attempts"] == life + 1, "the claim is stored")
        berth.signal(signal.SIGKILL).wait()
    release.set()
    berth = durable(container, job_attempts=2)
    assert state(berth, job) == "failed" and len(container.requests) == 2


def test_a_drain_cuts_nobody_off(durable, scripted):
    """Who waits for a job that is left to the next start is told where it stands; a stream ends, to be taken up again."""
    release = threading.Event()
    berth = durable(scripted().always(when(release, echo)))
    ask(berth)
    job = ask(berth)
    with RawClient(berth.address) as poll, RawClient(berth.address) as keyed, RawClient(berth.address) as stream:
        stream.request("GET", job["events_url"])
        poll.request("GET", job["result_url"] + "?wait=60")
        keyed.request("POST", "/run_model", b"y", head="Host: h\r\nPrefer: respond-async, wait=60\r\nIdempotency-Key: 0123456789abcdef\r\n")
        stream.reader.until(b"\r\n\r\n")
        berth.wait_for_queue(2)
        wait_until(lambda: berth.status()["connections"] >= 3, "they wait")
        berth.signal(signal.SIGTERM)
        answer = poll.answer()
        assert (answer.status, json.loads(answer.body)["state"], answer["Connection"]) == (409, "queued", "close")
        answer = keyed.answer()
        assert (answer.status, answer["Preference-Applied"], answer["Connection"]) == (202, "respond-async", "close")
        assert b'"position":1' in stream.reader.chunks()
        assert poll.is_closed() and keyed.is_closed() and stream.is_closed()
    release.set()
    assert berth.wait() == 0


def test_numbers_go_on(durable, scripted):
    """What comes after a restart comes behind what waited before it."""
    release = threading.Event()
    container = scripted().always(when(release, echo))
    berth = durable(container)
    old = [ask(berth, b"old %d" % n) for n in range(3)]
    berth.signal(signal.SIGKILL).wait()
    container.die()
    berth = durable(container, wait=False)
    record = berth.get(old[0]["status_url"]).json
    assert (record["state"], record["attempts"]) == ("queued", 1) and record["created"] <= record["started"]
    container.come_back()
    wait_for_state(berth, old[0], "running")
    new = ask(berth, b"new")
    assert (new["state"], new["position"]) == ("queued", 3)
    release.set()
    wait_for_state(berth, new, "done")
    assert [request.body for request in container.requests[-4:]] == [b"old 0", b"old 1", b"old 2", b"new"]


def test_numbers_that_are_there_twice(durable, scripted, tmp_path):
    """As an earlier Berth may have left them: the order is that in which they came."""
    release = threading.Event()
    container = scripted().always(when(release, echo))
    berth = durable(container)
    jobs = [ask(berth, b"%d" % n) for n in range(4)]
    wait_for_state(berth, jobs[0], "running")
    berth.signal(signal.SIGKILL).wait()
    base = sqlite3.connect(tmp_path / "berth.db")
    base.execute("UPDATE job SET number = 1 + (number - 1) / 3")
    base.commit()
    base.close()
    berth = durable(container, wait=False)
    wait_for_state(berth, jobs[0], "running")
    jobs.append(ask(berth, b"4"))
    release.set()
    for job in jobs:
        wait_for_state(berth, job, "done")
    assert [request.body for request in container.requests[-5:]] == [b"0", b"1", b"2", b"3", b"4"]


def test_a_pool_that_is_configured_no_more(durable, scripted, serve, tmp_path):
    """Its jobs are left alone, and come back with it."""
    release = threading.Event()
    container = scripted().always(when(release, echo))
    berth = durable(container)
    job = ask(berth)
    berth.signal(signal.SIGKILL).wait()
    (tmp_path / "berth.yaml").write_text(f"pools: [{{name: other, containers: ['{container.address}']}}]\n")
    other = serve().flag("store", f"sqlite:{tmp_path}/berth.db").start()
    assert "1 belong to pools that are not configured" in other.output
    assert state(other, job) in ("queued", "running")
    for url in (job["result_url"], job["events_url"]):
        answer = other.get(url)
        assert (answer.status, answer.json["type"]) == (409, "urn:berth:problem:not-ready")
    other.signal(signal.SIGKILL).wait()
    (tmp_path / "berth.yaml").unlink()
    release.set()
    berth = durable(container)
    wait_for_state(berth, job, "done")


@pytest.mark.parametrize("why", ["its pool is not configured", "Berth is about to end"])
def test_cancelling_what_is_left_for_another_start(durable, scripted, serve, tmp_path, why):
    release = threading.Event()
    container = scripted().always(when(release, echo))
    berth = durable(container)
    jobs = [ask(berth, b"%d" % n) for n in range(3)]
    wait_for_state(berth, jobs[0], "running")
    if why == "Berth is about to end":
        berth.signal(signal.SIGTERM).wait_for("once more stops at once")
    else:
        berth.signal(signal.SIGKILL).wait()
        (tmp_path / "berth.yaml").write_text(f"pools: [{{name: other, containers: ['{container.address}']}}]\n")
        berth = serve().flag("store", f"sqlite:{tmp_path}/berth.db").start()
    answer = request(berth.admin, "DELETE", jobs[1]["status_url"])
    assert (answer.status, answer.body) == (204, b"")
    assert request(berth.admin, "GET", jobs[1]["status_url"]).json["state"] == "cancelled"
    release.set()
    berth.signal(signal.SIGTERM).wait()
    (tmp_path / "berth.yaml").unlink(missing_ok=True)
    berth = durable(container)
    wait_for_state(berth, jobs[2], "done")
    assert state(berth, jobs[1]) == "cancelled"
    assert b"1" not in [request.body for request in container.requests]


@pytest.fixture
def reloaded(serve, tmp_path):
    """reloaded(berth, *pools) has the Berth take over a configuration with these pools; without a Berth, one starts with it."""
    def start_or_reload(berth, container, *pools):
        lines = [f"  - {{name: {pool}, match: {{path_prefix: {path}}}, containers: ['{container.address}']}}" for pool, path in pools]
        (tmp_path / "berth.yaml").write_text("\n".join(["pools:", *lines, ""]))
        if berth is None:
            return serve().flag("store", f"sqlite:{tmp_path}/berth.db").start()
        reloads = berth.output.count("the configuration is taken over")
        berth.signal(signal.SIGHUP)
        wait_until(lambda: berth.output.count("the configuration is taken over") > reloads, "it is taken over")
        return berth
    return start_or_reload


@pytest.mark.parametrize("goes", ["by a reload", "by a restart"])
def test_a_pool_that_comes_back_with_a_reload(reloaded, scripted, goes):
    """Its jobs come back with it, and what comes then stands behind them, in this life and the next."""
    release = threading.Event()
    container = scripted().always(when(release, echo))
    here, away = ("default", "/"), ("other", "/other")
    berth = reloaded(None, container, here).wait_for_slots(1)
    jobs = [ask(berth, b"old %d" % n) for n in range(3)]
    wait_until(lambda: len(container.requests) == 1, "the first runs")
    if goes == "by a restart":
        berth.signal(signal.SIGKILL).wait()
    berth = reloaded(None if goes == "by a restart" else berth, container, away)
    assert state(berth, jobs[-1]) == "queued"
    reloaded(berth, container, here)
    wait_for_state(berth, jobs[0], "running")
    new = [ask(berth, b"new %d" % n) for n in range(3)]
    assert [job["position"] for job in new] == [3, 4, 5]
    berth.signal(signal.SIGKILL).wait()
    berth = reloaded(None, container, here)
    release.set()
    for job in jobs + new:
        wait_for_state(berth, job, "done")
    ran = [request.body for request in container.requests]
    assert ran[-6:] == [b"old 0", b"old 1", b"old 2", b"new 0", b"new 1", b"new 2"]


# ---- long bodies ----


def test_long_bodies_stand_in_files(durable, scripted, tmp_path):
    """Received by a spool file, kept beside the database, read back and sent: without all of it in memory."""
    size = 48 << 20
    body = os.urandom(1 << 20) * (size >> 20)
    release = threading.Event()
    container = scripted().then(when(release, echo)).always(echo)
    flags = {"limits_body": "64MiB", "limits_memory": "16MiB", "limits_body_memory": "1MiB", "limits_spool": "200MiB",
             "jobs_max_result_bytes": "1MiB"}
    berth = durable(container, **flags)
    first = ask(berth, b"first")
    long = ask(berth, body)
    files = list((tmp_path / "berth.db-files").iterdir())
    assert [(file.stat().st_size, stat.S_IMODE(file.stat().st_mode)) for file in files] == [(size, 0o600)]
    berth.signal(signal.SIGKILL).wait()
    berth = durable(container, **flags)
    release.set()
    wait_until(lambda: any(request.body == body for request in container.requests), "the body has arrived")
    wait_for_state(berth, long, "failed")  # its echo is longer than jobs.max_result_bytes
    assert "jobs.max_result_bytes" in berth.get(long["status_url"]).json["reasons"]
    wait_for_state(berth, first, "done")
    wait_until(lambda: not list((tmp_path / "berth.db-files").iterdir()), "the file is gone")


def test_results_over_256_kib_stand_in_files_until_they_are_purged(durable, scripted, tmp_path):
    result = os.urandom(1 << 20)
    berth = durable(scripted().always(reply(result)), jobs_max_age="1s")
    job = ask(berth)
    wait_for_state(berth, job, "done")
    assert berth.get(job["result_url"]).body == result
    wait_until(lambda: not berth.get(job["status_url"]).json["result_kept"], "the result is purged")
    assert berth.get(job["result_url"]).status == 410
    assert not list((tmp_path / "berth.db-files").iterdir())


def test_orphans_are_swept(durable, scripted, tmp_path):
    container = scripted().always(reply(b"r" * 300_000))
    berth = durable(container)
    job = ask(berth)
    wait_for_state(berth, job, "done")
    berth.signal(signal.SIGKILL).wait()
    [kept] = (tmp_path / "berth.db-files").iterdir()
    orphan = tmp_path / "berth.db-files" / "0123456789abcdef0123456789abcdef.77"
    orphan.write_bytes(b"x")
    strange = tmp_path / "berth.db-files" / "notes.txt"
    strange.write_bytes(b"x")
    berth = durable(container)
    assert not orphan.exists() and kept.exists() and strange.exists()
    assert berth.get(job["result_url"]).body == b"r" * 300_000


# ---- what is kept ----


def test_files_are_the_owners(durable, scripted, tmp_path):
    before = os.umask(0o000)
    try:
        berth = durable(scripted())
    finally:
        os.umask(before)
    wait_for_state(berth, ask(berth), "done")
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.glob("berth.db*")}
    assert modes.pop("berth.db-files") == 0o700
    assert set(modes.values()) == {0o600}, modes


@pytest.mark.parametrize(("flags", "kept"), [({}, set()), ({"store_headers": "Authorization"}, {"Authorization"}),
                                             ({"store_headers": "Cookie,authorization"}, {"Authorization", "Cookie"})])
def test_secrets_are_written_only_where_it_is_said(durable, scripted, tmp_path, flags, kept):
    release = threading.Event()
    container = scripted().then(when(release, echo)).always(echo)
    berth = durable(container, **flags)
    ask(berth)
    job = ask(berth, b"second", Authorization="Bearer secret-a", Cookie="secret-c", X_Other="plain")
    berth.signal(signal.SIGKILL).wait()
    written = b"".join(path.read_bytes() for path in tmp_path.glob("berth.db*") if path.is_file())
    assert (b"secret-a" in written, b"secret-c" in written) == ("Authorization" in kept, "Cookie" in kept)
    assert b"plain" in written
    release.set()
    berth = durable(container, **flags)
    wait_for_state(berth, job, "done")
    request = next(request for request in container.requests if request.body == b"second")
    assert {name for name in ("Authorization", "Cookie") if request[name]} == kept and request["X-Other"] == "plain"


def test_a_deadline(durable, scripted):
    release = threading.Event()
    container = scripted().always(when(release, echo))
    berth = durable(container, job_ttl="1s")
    running, waiting = ask(berth), ask(berth)
    wait_for_state(berth, waiting, "expired")
    assert state(berth, running) == "running"  # what has begun is finished
    answer = berth.get(waiting["result_url"])
    assert (answer.status, answer.headers["Berth-Job-State"]) == (502, "expired")
    release.set()
    wait_for_state(berth, running, "done")
    assert len(container.requests) == 1


def test_a_deadline_behind_one_who_waits(durable, scripted):
    """It is told when it has passed, wherever the job stands."""
    release = threading.Event()
    container = scripted().always(when(release, echo))
    berth = durable(container, job_ttl="1s", queue_max_wait="10m")
    clients = [Background(berth.post, "/", b"runs")]
    wait_until(lambda: container.in_flight == 1, "it runs")
    clients.append(Background(berth.post, "/", b"waits"))
    berth.wait_for_queue(1)
    wait_for_state(berth, ask(berth), "expired")
    assert berth.pool()["queue"]["length"] == 1
    release.set()
    assert [client.result().body for client in clients] == [b"runs", b"waits"]


def test_a_deadline_that_passes_while_berth_is_down(durable, scripted):
    release = threading.Event()
    container = scripted().always(when(release, echo))
    berth = durable(container, job_ttl="2s")
    jobs = [ask(berth), ask(berth)]
    berth.signal(signal.SIGKILL).wait()
    container.die()
    threading.Event().wait(2.1)  # nobody serves meanwhile
    release.set()
    container.come_back()
    berth = durable(container, job_ttl="2s")
    for job in jobs:
        wait_for_state(berth, job, "expired")
    assert len(container.requests) == 1


def test_purge_by_count(durable, scripted):
    berth = durable(scripted(), jobs_max_records=4)
    jobs = []
    for _ in range(6):
        jobs.append(ask(berth))
        wait_for_state(berth, jobs[-1], "done")
    wait_until(lambda: [berth.get(job["status_url"]).status for job in jobs] == [404] * 2 + [200] * 4, "the oldest are gone")


def test_purge_by_bytes(durable, scripted):
    """The oldest results go; their records stay, and say so."""
    berth = durable(scripted().always(reply(b"r" * (400 << 10))), jobs_max_bytes="1MiB")
    jobs = []
    for _ in range(4):
        jobs.append(ask(berth))
        wait_for_state(berth, jobs[-1], "done")
    wait_until(lambda: [berth.get(job["status_url"]).json["result_kept"] for job in jobs] == [False, False, True, True],
               "the oldest results are gone")
    assert [berth.get(job["result_url"]).status for job in jobs] == [410, 410, 200, 200]
    record = berth.get(jobs[0]["status_url"]).json
    assert (record["state"], record["result_kept"]) == ("done", False)
    assert berth.get(jobs[0]["result_url"]).headers["Content-Type"] == "application/problem+json"


def test_purge_of_the_record(durable, scripted):
    berth = durable(scripted(), jobs_max_age="1s", jobs_record_age="2s", jobs_key_age="1s")
    job = ask(berth)
    wait_for_state(berth, job, "done")
    wait_until(lambda: berth.get(job["status_url"]).status == 404, "the record is gone")
    assert "jobs.record_age" in berth.get(job["status_url"]).json["detail"]
    assert berth.get(job["result_url"]).status == 404


# ---- DELETE in each state ----


def test_delete_in_each_state(durable, scripted):
    release = threading.Event()
    container = scripted().then(reply(b"one")).always(when(release, echo))
    berth = durable(container)
    over = ask(berth)
    wait_for_state(berth, over, "done")
    running, waiting = ask(berth, b"running"), ask(berth, b"waiting")
    answer = berth.request("DELETE", waiting["status_url"])
    assert (answer.status, answer.body) == (204, b"")
    assert state(berth, waiting) == "cancelled"
    gone = berth.get(waiting["result_url"])
    assert (gone.status, gone.headers["Berth-Job-State"]) == (410, "cancelled")
    answer = berth.request("DELETE", running["status_url"])
    assert (answer.status, answer.json["state"]) == (202, "cancelled")
    assert state(berth, running) == "cancelled"
    assert berth.request("DELETE", over["status_url"]).status == 204
    assert berth.get(over["status_url"]).status == 404
    assert berth.request("DELETE", over["status_url"]).status == 404
    release.set()
    berth.wait_for_slots(1)
    assert [request.body for request in container.requests] == [b"x", b"running"]
    wait_until(lambda: berth.get(running["status_url"]).json["state"] == "cancelled", "it stays cancelled")
    answer = berth.request("DELETE", running["result_url"])
    assert (answer.status, answer.headers["Allow"]) == (405, "GET, HEAD")
    berth.signal(signal.SIGKILL).wait()
    berth = durable(container)
    assert [berth.get(job["status_url"]).status for job in (over, running, waiting)] == [404, 200, 200]
    assert {state(berth, job) for job in (running, waiting)} == {"cancelled"}


# ---- ?wait ----


def test_waiting_for_a_result(durable, scripted):
    release = threading.Event()
    berth = durable(scripted().always(when(release, echo)))
    job = ask(berth)
    answer = berth.get(job["result_url"] + "?wait=1")
    assert (answer.status, answer.json["state"]) == (409, "running")
    waiting = [Background(berth.get, job["result_url"] + "?wait=30") for _ in range(20)]
    threading.Timer(0.2, release.set).start()
    for one in waiting:
        answer = one.result()
        assert (answer.status, answer.body, answer.headers["Berth-Job-State"]) == (200, b"x", "done")
    assert berth.get(job["result_url"] + "?wait=x").status == 200  # at once: it is there


def test_waiting_for_a_result_that_never_comes(durable, scripted):
    release = threading.Event()
    berth = durable(scripted().always(when(release, echo)))
    ask(berth)
    waiting = ask(berth)
    poll = Background(berth.get, waiting["result_url"] + "?wait=30")
    wait_until(lambda: berth.status()["connections"] >= 1, "it polls")
    assert berth.request("DELETE", waiting["status_url"]).status == 204
    assert poll.result().status == 410
    release.set()


# ---- a full disk ----


class Namespaced(Program):
    """A program in a mount namespace of its own, with a small tmpfs at a directory."""

    def __init__(self, directory, size, *command, **options):
        script = f'mount -t tmpfs -o size={size},mode=700 tmpfs "{directory}" && exec "$@"'
        super().__init__("unshare", "--mount", "sh", "-c", script, "sh", *command, **options)


def test_a_full_disk(scripted, tmp_path, environment, started):
    if os.geteuid() != 0:
        pytest.skip("a mount namespace needs root")
    disk = tmp_path / "disk"
    disk.mkdir()
    flags = ["--listen=127.0.0.1:0", "--admin=127.0.0.1:0", f"--store=sqlite:{disk}/berth.db"]
    release = threading.Event()
    containers = [scripted().always(when(release, echo)), scripted()]
    (tmp_path / "berth.yaml").write_text(f"""pools:
  - {{name: slow, containers: ["{containers[0].address}"]}}
  - {{name: quick, match: {{path_prefix: /quick}}, containers: ["{containers[1].address}"]}}
""")
    berth = Berth("serve", cwd=tmp_path, env=environment)
    berth.command = Namespaced(disk, "2m", BUILD / "berth", "serve", *flags).command
    berth._configured = True
    started.append(berth)
    berth.start().wait_for_slots(1, "slow").wait_for_slots(1, "quick")
    def full():
        return berth.post("/run_model", b"n" * 50_000, headers={"Prefer": "respond-async"})
    waiting = [ask(berth, bytes([n]) * 50_000) for n in range(10)]
    cancelled = waiting[-1]
    root = pathlib.Path(f"/proc/{berth.process.pid}/root{disk}")  # the program's own view
    with open(root / "filler", "wb", buffering=0) as filler:
        while True:
            try:
                filler.write(bytes(4096))
            except OSError:
                break
    wait_until(lambda: full().status == 507, "the disk is full")
    answer = full()
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json["type"] == "urn:berth:problem:storage-full" and "no room" in answer.json["detail"]
    assert int(answer.headers["Retry-After"]) >= 1
    assert berth.post("/quick/x", b"sync").body == b"sync"  # synchronous traffic goes on
    answer = berth.request("DELETE", waiting.pop()["status_url"])  # which may fit or not, and holds in any case
    assert answer.status == 204 or (answer.status == 507 and "tried again" in answer.json["detail"])
    release.set()  # jobs that run go on too
    wait_until(lambda: len(containers[0].requests) == len(waiting), "all jobs run")
    wait_until(lambda: "a job's end cannot be stored" in berth.output, "one is stuck")
    threading.Event().wait(3.2)  # their ends are tried again each second
    assert berth.output.count("a job's end cannot be stored") <= len(waiting) + 1  # one line a job
    (root / "filler").unlink()
    wait_until(lambda: full().status == 202, "all is well again")
    for n, job in enumerate(waiting):
        wait_for_state(berth, job, "done")
        assert berth.get(job["result_url"]).body == bytes([n]) * 50_000
    wait_until(lambda: stored(berth, cancelled)["state"] == "cancelled", "the cancelling is stored")


def test_jobs_that_may_run_once_only_wait_until_their_start_can_be_stored(durable, scripted):
    release = threading.Event()
    container = scripted().always(when(release, echo))
    berth = durable(container, job_retry="never")
    jobs = [ask(berth, b"job %d" % n) for n in range(20)]
    wait_until(lambda: container.requests, "the first one runs")
    pid, (_, hard) = berth.process.pid, resource.prlimit(berth.process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (4096, hard))
    release.set()
    berth.wait_for(r"warning: pool default: jobs wait until their start can be stored: ")
    wait_until(lambda: berth.post("/run_model", b"sync").body == b"sync", "nobody waits behind them")
    assert {berth.get(job["status_url"]).json["state"] for job in jobs[1:]} == {"queued"}
    assert berth.request("DELETE", jobs[-1]["status_url"]).status == 507
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (hard, hard))
    for job in jobs[:-1]:
        wait_for_state(berth, job, "done")
    wait_for_state(berth, jobs[-1], "cancelled")
    bodies = [request.body for request in container.requests if request.body != b"sync"]
    assert bodies == [b"job %d" % n for n in range(19)]


# ---- a database that is not to be had ----


def start_fails(serve, scripted, tmp_path):
    berth = serve().containers(scripted()).flag("store", f"sqlite:{tmp_path}/berth.db").launch()
    assert berth.wait() == 2
    [line] = berth.output.splitlines()
    assert line.startswith("berth serve: store: ") and f"{tmp_path}/berth.db" in line
    return line


@pytest.fixture
def closed(durable, scripted, tmp_path):
    """The path of a database that was used and closed."""
    berth = durable(scripted())
    for n in range(30):
        wait_for_state(berth, ask(berth, b"%d" % n * 500), "done")
    berth.signal(signal.SIGTERM)
    assert berth.wait() == 0
    return tmp_path / "berth.db"


@pytest.mark.parametrize("damage", ["bytes", "short", "text", "empty", "log alone"])
def test_a_damaged_database_is_never_started_over(serve, scripted, closed, tmp_path, damage):
    data = closed.read_bytes()
    if damage == "bytes":
        closed.write_bytes(data[:4096] + bytes(byte ^ 0x55 for byte in data[4096:20480]) + data[20480:])
    elif damage == "short":
        closed.write_bytes(data[:len(data) // 2 // 4096 * 4096])
    elif damage == "text":
        closed.write_bytes(b"this is no database\n" * 1000)
    elif damage == "empty":
        closed.write_bytes(b"")
    else:
        closed.unlink()
        pathlib.Path(f"{closed}-wal").write_bytes(data[:8192])
    line = start_fails(serve, scripted, tmp_path)
    assert re.search("berth store check|berth store export|move", line), line
    if damage not in ("empty", "log alone"):
        assert closed.stat().st_size > 0  # it is as it was


def test_bodies_that_are_not_there(durable, serve, scripted, tmp_path):
    """The start says so, in place of jobs that fail; without a result it starts."""
    release = threading.Event()
    container = scripted().then(reply(b"r" * 400_000)).always(when(release, echo))
    berth = durable(container)
    done = ask(berth)
    wait_for_state(berth, done, "done")
    waiting = [ask(berth, bytes([n]) * 400_000) for n in range(3)]
    berth.signal(signal.SIGKILL).wait()
    files, saved = tmp_path / "berth.db-files", tmp_path / "saved"
    files.rename(saved)
    line = start_fails(serve, scripted, tmp_path)
    assert f"{files}/" in line and "bring it back" in line and "berth store export" in line
    check = run("store", "check", f"sqlite:{tmp_path}/berth.db")
    assert check.returncode == 1 and "4 things are wrong" in check.stdout
    files.rmdir()
    saved.rename(files)
    next(files.glob(f"{done['id']}.*")).unlink()
    release.set()
    berth = durable(container)
    assert "lacks the results of 1 jobs" in berth.output
    for n, job in enumerate(waiting):
        wait_for_state(berth, job, "done")
        assert berth.get(job["result_url"]).body == bytes([n]) * 400_000
    assert berth.get(done["result_url"]).status == 500


def test_a_database_that_another_holds(durable, serve, scripted, tmp_path):
    durable(scripted())
    line = start_fails(serve, scripted, tmp_path)
    assert "another" in line or "in use" in line


def test_a_database_of_a_newer_berth(serve, scripted, closed, tmp_path):
    base = sqlite3.connect(closed)
    base.execute("PRAGMA user_version = 99")
    base.commit()
    base.close()
    assert "newer" in start_fails(serve, scripted, tmp_path)


STORES = sorted((pathlib.Path(__file__).parent / "stores").glob("schema-*.tar.gz"))


@pytest.mark.parametrize("store", STORES, ids=lambda path: path.name.removesuffix(".tar.gz"))
def test_a_database_of_an_earlier_berth(durable, scripted, tmp_path, store):
    """What waited runs, what was over is as it was; `berth store` reads it before, and changes nothing."""
    shutil.unpack_archive(store, tmp_path)
    before = (tmp_path / "berth.db").read_bytes()
    check = run("store", "check", f"sqlite:{tmp_path}/berth.db")
    assert "7 records: 2 queued, 1 running, 2 done, 1 failed, 1 cancelled" in check.stdout and "all is well" in check.stdout
    export = run("store", "export", f"sqlite:{tmp_path}/berth.db")
    records = {record["number"]: record for record in map(json.loads, export.stdout.splitlines())}
    assert (export.returncode, len(records)) == (0, 7)
    assert (tmp_path / "berth.db").read_bytes() == before
    container = scripted()
    berth = durable(container, jobs_max_age="365d", jobs_record_age="3650d", jobs_key_age="3650d")
    urls = {number: f"/berth/jobs/{record['id']}" for number, record in records.items()}
    results = {1: b"done", 2: b"r" * 300_000, 4: b"running", 5: b"queued", 7: b"q" * 300_000}
    for number, result in results.items():
        wait_until(lambda url=urls[number]: berth.get(url).json["state"] == "done", f"job {number} is done")
        assert berth.get(urls[number] + "/result").body == result
    assert [request.body for request in container.requests] == [results[number] for number in (4, 5, 7)]
    assert [berth.get(urls[number]).json["state"] for number in (3, 6)] == ["failed", "cancelled"]
    again = ask(berth, b"done", Idempotency_Key="a-key-of-long-ago")
    assert again["id"] == records[1]["id"]


def test_every_schema_has_a_database(closed):
    """A new schema needs one of its own: make_store.py writes it."""
    base = sqlite3.connect(closed)
    [schema] = base.execute("PRAGMA user_version").fetchone()
    base.close()
    assert [store.name for store in STORES] == [f"schema-{number}.tar.gz" for number in range(1, schema + 1)]


def test_a_directory_that_is_not_there(serve, scripted, tmp_path):
    berth = serve().containers(scripted()).flag("store", f"sqlite:{tmp_path}/none/berth.db").launch()
    assert berth.wait() == 2 and f"{tmp_path}/none" in berth.output and len(berth.output.splitlines()) == 1


# ---- bad input ----


def test_a_body_over_the_limit_is_refused_before_anything_is_stored(durable, scripted, tmp_path):
    berth = durable(scripted(), limits_body="100KiB")
    for head in (f"Content-Length: {200 << 10}", "Transfer-Encoding: chunked"):
        with RawClient(berth.address) as client:
            client.send(f"POST /run_model HTTP/1.1\r\nHost: h\r\nPrefer: respond-async\r\n{head}\r\n\r\n")
            if "chunked" in head:
                client.send(b"32000\r\n" + b"x" * 0x32000 + b"\r\n0\r\n\r\n")
            assert client.answer().status == 413
    base = sqlite3.connect(tmp_path / "berth.db")
    assert base.execute("SELECT count(*) FROM job").fetchone() == (0,)
    base.close()
