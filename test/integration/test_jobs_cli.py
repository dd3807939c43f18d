"""berth jobs, berth store, berth load --async."""

import json
import pathlib
import re
import signal
import sqlite3
import subprocess
import threading

import pytest

from berth import BUILD, wait_until
from containers import close, echo, gateway, reply, scripted, when  # noqa: F401

HALF = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"
UNKNOWN = "0123456789abcdef0123456789abcdef"


def submit(berth, body=b"x"):
    answer = berth.post("/run_model", body, headers={"Prefer": "respond-async"})
    assert answer.status == 202, answer.text
    return answer.json


def state(berth, job):
    return berth.get(job["status_url"]).json["state"]


def wait_for_state(berth, job, wanted):
    wait_until(lambda: state(berth, job) == wanted, f"state {wanted}")


@pytest.fixture
def jobs(run):
    """jobs(berth, "list", …) runs `berth jobs` against a Berth."""
    return lambda berth, *arguments: run("jobs", *arguments, "--admin", berth.admin)


# ---- berth jobs ----


def test_the_list(gateway, scripted, jobs):
    release = threading.Event()
    berth = gateway(scripted().then(reply(b"one")).always(when(release, echo)))
    done = submit(berth)
    wait_for_state(berth, done, "done")
    rest = [submit(berth) for _ in range(3)]
    wait_for_state(berth, rest[0], "running")
    lines = jobs(berth).stdout.splitlines()
    assert lines[0].split() == ["ID", "STATE", "POOL", "CREATED", "RAN", "ATTEMPTS", "CONTAINER"]
    assert [line.split()[:3] for line in lines[1:]] == [
        [rest[2]["id"], "queued", "default"], [rest[1]["id"], "queued", "default"],
        [rest[0]["id"], "running", "default"], [done["id"], "done", "default"]]
    assert all(re.search(r" \d{4}-\d\d-\d\d \d\d:\d\d:\d\d ", line) for line in lines[1:])
    assert [line.split()[0] for line in jobs(berth, "list", "--state", "done").stdout.splitlines()[1:]] == [done["id"]]
    assert len(jobs(berth, "--pool", "other & strange").stdout.splitlines()) == 1
    found = json.loads(jobs(berth, "list", "--json", "--state=queued").stdout)
    assert [job["id"] for job in found["jobs"]] == [rest[2]["id"], rest[1]["id"]] and found["next"] is None
    release.set()


def test_a_list_goes_on_after_another(gateway, scripted, jobs):
    berth = gateway(scripted())
    ids = [submit(berth)["id"] for _ in range(5)][::-1]
    seen, after = [], []
    while True:
        lines = jobs(berth, "list", "--limit", 2, *after).stdout.splitlines()[1:]
        more = re.fullmatch(r"more: (--after) (\S+)", lines[-1])
        seen += [line.split()[0] for line in (lines[:-1] if more else lines)]
        if not more:
            break
        after = list(more.groups())
    assert seen == ids


def test_one_job(gateway, scripted, jobs):
    release = threading.Event()
    berth = gateway(scripted().then(when(release, reply(b"first"))).then(close(HALF)).always(echo), health_fall=100)
    first, second = submit(berth), submit(berth)
    wait_for_state(berth, first, "running")
    shown = dict(line.split(maxsplit=1) for line in jobs(berth, "show", second["id"]).stdout.splitlines())
    assert (shown["id"], shown["state"], shown["position"], shown["started"]) == (second["id"], "queued", "1", "-")
    not_yet = jobs(berth, "result", second["id"])
    assert not_yet.returncode == 1 and not_yet.stdout == ""
    assert re.fullmatch(r"berth jobs: the job is queued or running; .*\n", not_yet.stderr)
    threading.Timer(0.2, release.set).start()
    result = jobs(berth, "result", second["id"], "--wait")
    assert (result.returncode, result.stdout) == (0, "x")
    text = jobs(berth, "show", second["id"]).stdout
    assert "the container closed the connection before its answer was complete" in text
    shown = json.loads(jobs(berth, "show", second["id"], "--json").stdout)
    assert (shown["state"], shown["attempts"], shown["status"], shown["result_bytes"]) == ("done", 2, 200, 1)


def test_a_result_in_bytes_and_of_another_status(gateway, scripted, jobs, environment, tmp_path):
    body = bytes(range(256)) * 5000
    berth = gateway(scripted().then(reply(body)).always(reply(b"nothing", status=404)))
    first, second = submit(berth), submit(berth)
    wait_for_state(berth, second, "done")
    command = [BUILD / "berth", "jobs", "result", first["id"], "--admin", berth.admin]
    assert subprocess.run(command, capture_output=True, check=True, timeout=30).stdout == body
    result = jobs(berth, "result", second["id"])
    assert (result.stdout, result.stderr, result.returncode) == \
        ("nothing", "berth jobs: the container's answer has status 404\n", 1)


def test_cancelling_in_each_state(gateway, scripted, jobs):
    release = threading.Event()
    berth = gateway(scripted().then(reply(b"one")).always(when(release, echo)))
    over = submit(berth)
    wait_for_state(berth, over, "done")
    running, waiting = submit(berth), submit(berth)
    wait_for_state(berth, running, "running")
    assert jobs(berth, "cancel", waiting["id"]).stdout == f"{waiting['id']}: cancelled\n"
    assert jobs(berth, "cancel", running["id"]).stdout == f"{running['id']}: cancelled; its result will be thrown away\n"
    assert jobs(berth, "cancel", over["id"]).stdout == f"{over['id']}: was over, and is forgotten\n"
    wait_until(lambda: state(berth, running) == "cancelled", "cancelled")
    release.set()
    assert state(berth, waiting) == "cancelled"
    result = jobs(berth, "result", waiting["id"])
    assert (result.returncode, result.stderr) == (1, "berth jobs: the job was cancelled; there is no result\n")
    for verb in ("show", "result", "cancel"):
        result = jobs(berth, verb, over["id"])
        assert result.returncode == 1 and result.stderr.startswith("berth jobs: no job has this id")


def test_watching_a_job_ends_with_it(gateway, scripted, jobs):
    release = threading.Event()
    berth = gateway(scripted().always(when(release, echo)))
    job = submit(berth)
    threading.Timer(0.3, release.set).start()
    result = jobs(berth, "show", job["id"], "--watch=50ms")
    seen = re.findall(r"^state +(\w+)$", result.stdout, re.MULTILINE)
    assert result.returncode == 0 and seen[0] == "running" and seen[-1] == "done" and seen.count("done") == 1


def test_watching_the_list(gateway, scripted, started, environment):
    berth = gateway(scripted())
    command = subprocess.Popen([BUILD / "berth", "jobs", "--watch", "--admin", berth.admin], stdout=subprocess.PIPE, text=True)
    assert command.stdout.readline().startswith("ID")
    command.send_signal(signal.SIGINT)
    assert command.wait(30) == -signal.SIGINT
    command.stdout.close()


@pytest.mark.parametrize(("arguments", "line"), [
    (["sho"], "'sho' is nothing that is done with jobs: did you mean 'show'?"),
    (["banana"], "'banana' is nothing that is done with jobs: list, show, result or cancel"),
    (["show"], "show needs a job's id (berth jobs lists them)"),
    (["cancel", "x"], "'x' is no job's id: 32 hexadecimal digits"),
    (["result", UNKNOWN.upper()], f"'{UNKNOWN.upper()}' is no job's id: 32 hexadecimal digits"),
    (["list", UNKNOWN], f"unexpected argument '{UNKNOWN}' (berth jobs --help)"),
    (["show", UNKNOWN, "more"], "unexpected argument 'more' (berth jobs --help)"),
    (["--state", "odd"], '--state: expected all or queued or running or done or failed or cancelled or expired, found "odd"'),
    (["--limit", "0"], '--limit: expected 1 to 1000, found "0"'),
    (["--watch=soon"], '--watch: expected a time (2, 500ms), found "soon"'),
    (["cancel", UNKNOWN, "--watch"], "--watch goes with list and show"),
    (["--admin", "there"], '--admin: expected an address such as 127.0.0.1:9091, found "there"'),
])
def test_wrong_usage(run, arguments, line):
    result = run("jobs", *arguments)
    assert (result.stderr, result.stdout, result.returncode) == (f"berth jobs: {line}\n", "", 2)


def test_nobody_answers(run):
    result = run("jobs", "--admin", "127.0.0.1:1")
    assert result.returncode == 1
    assert result.stderr == ("berth jobs: no answer from the admin listener at 127.0.0.1:1: Connection refused; "
                             "is Berth running? (--admin names another address)\n")


def test_a_bad_place_is_the_servers_word(gateway, scripted, jobs):
    result = jobs(gateway(scripted()), "--after", "here")
    assert result.returncode == 1 and "after what the last list called next" in result.stderr


# ---- berth store ----


@pytest.fixture
def database(serve, scripted, tmp_path):
    """One with a done job, its result of 300 KiB in a file, and two that wait."""
    path = tmp_path / "berth.db"
    release = threading.Event()
    berth = serve().containers(scripted().then(reply(b"r" * 300_000)).always(when(release, echo)))
    berth.flag("store", f"sqlite:{path}").start().wait_for_slots(1)
    done = submit(berth)
    wait_for_state(berth, done, "done")
    rest = [submit(berth, b"request %d" % i) for i in range(2)]
    berth.signal(signal.SIGKILL).wait()
    release.set()
    return path, done["id"], [job["id"] for job in rest]


def test_check_and_export(database, run):
    path, done, rest = database
    for where in (path, f"sqlite:{path}"):
        result = run("store", "check", where)
        assert result.returncode == 0 and result.stderr == ""
        assert re.fullmatch(r"3 records: \d queued, \d running, 1 done, 0 failed, 0 cancelled, 0 expired; \d+ bytes, 1 bodies in files\n"
                            "all is well\n", result.stdout)
    lines = [json.loads(line) for line in run("store", "export", path).stdout.splitlines()]
    assert {line["id"] for line in lines} == {done, *rest}


def test_check_and_export_of_a_damaged_one(database, run):
    path, done, rest = database
    base = sqlite3.connect(path)
    base.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    base.close()
    for file in path.parent.glob("berth.db-files/*"):
        file.unlink()
    result = run("store", "check", path)
    assert result.returncode == 1 and "1 things are wrong" in result.stdout
    result = run("store", "export", path)
    assert {json.loads(line)["id"] for line in result.stdout.splitlines()} >= set(rest)


def test_check_beside_a_berth_that_runs(gateway, scripted, run, tmp_path):
    berth = gateway(scripted(), store=f"sqlite:{tmp_path}/b.db")
    job = submit(berth)
    wait_for_state(berth, job, "done")
    assert run("store", "check", tmp_path / "b.db").returncode == 0
    submit(berth)  # and it goes on


@pytest.mark.parametrize(("arguments", "pattern"), [
    ([], r'expected check or export, found "" \(berth store --help\)'),
    (["chek", "x"], r'expected check or export, found "chek" \(berth store --help\)'),
    (["check"], "check needs the path of a database"),
    (["check", "none.db"], r".*none\.db.*"),
    (["export", "none.db"], r".*none\.db.*"),
    (["check", "a", "b"], r"unexpected argument 'b' \(berth store --help\)"),
])
def test_wrong_usage_of_store(run, arguments, pattern):
    result = run("store", *arguments)
    assert (result.stdout, result.returncode) == ("", 2)
    assert re.fullmatch(f"berth store: {pattern}\n", result.stderr)


def test_what_is_no_database(run, tmp_path):
    (tmp_path / "x.db").write_bytes(b"text" * 5000)
    result = run("store", "check", "x.db")
    assert result.returncode in (1, 2) and "x.db" in result.stderr + result.stdout


# ---- berth load --async ----


def test_load_follows_jobs_to_their_results(gateway, scripted, run):
    containers = [scripted() for _ in range(3)]
    berth = gateway(*containers)
    result = run("load", "--async", "--requests", 100, "--clients", 5, "--text", "hello", "--url",
                 f"http://{berth.address}/run_model")
    assert result.returncode == 0, result.stdout
    assert re.search(r"^  status 202 +100$", result.stdout, re.MULTILINE)
    assert re.search(r"^  results +100 of 100 read$", result.stdout, re.MULTILINE)
    assert "not true" not in result.stdout
    assert sum(len(one.requests) for one in containers) == 100
    assert all(request.body == b"hello" for one in containers for request in one.requests)


def test_load_tells_what_is_not_true(scripted, run):
    """A server that is no Berth: it says 202 to everything, and nothing else that is right."""
    fake = scripted().always(reply(b'{"state": "queued", "status_url": "/j"}', status=202))
    result = run("load", "--async", "--requests", 1, "--url", f"http://{fake.address}/run_model")
    assert result.returncode == 1
    assert "a 202 does not say that the preference was applied" in result.stdout
    assert "the events of a job cannot be read" in result.stdout


def test_load_async_and_sync(run):
    result = run("load", "--async", "--sync")
    assert (result.returncode, result.stderr) == \
        (2, "berth load: --async and --sync exclude each other: a synchronous answer is the result\n")


# ---- where jobs are kept when nothing says where ----


def test_a_fleets_jobs_outlive_it(up, environment):
    """berth up has a database of the fleet's name; what waits at its end is there at its next start."""
    fleet = up().flag("workers", 1).flag("containers", 1).flag("delay-ms", 300).start()
    jobs = [submit(fleet, b"hello") for _ in range(6)]
    fleet.signal(signal.SIGTERM)
    assert fleet.wait() == 0
    database = pathlib.Path(environment["XDG_STATE_HOME"]) / "berth" / "default.db"
    assert database.exists() and database.parent.stat().st_mode & 0o777 == 0o700
    fleet = up().flag("workers", 1).flag("containers", 1).start()
    for job in jobs:
        wait_for_state(fleet, job, "done")


def test_a_fleets_database_that_another_holds(up, environment, run):
    up().start()
    other = up().flag("name", "default")
    other.env = {**other.env, "XDG_RUNTIME_DIR": str(pathlib.Path(environment["XDG_RUNTIME_DIR"]) / "other")}
    pathlib.Path(other.env["XDG_RUNTIME_DIR"]).mkdir(mode=0o700)
    other.launch()
    assert other.wait() == 2
    [line] = [line for line in other.output.splitlines() if line.startswith("berth up: store: ")]
    assert "default.db" in line and ("another" in line or "in use" in line)


def test_serve_keeps_jobs_in_memory(gateway, scripted, tmp_path, environment):
    berth = gateway(scripted())
    wait_for_state(berth, submit(berth), "done")
    assert not list(tmp_path.glob("*.db*")) and not (pathlib.Path(environment["XDG_STATE_HOME"]) / "berth").exists()
