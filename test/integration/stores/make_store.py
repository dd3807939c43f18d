#!/usr/bin/python3
"""Writes schema-N.tar.gz: the database of a Berth that was killed, with jobs in most states. N is its schema.

    BERTH_BUILD=build test/integration/stores/make_store.py

Run it with the last Berth of a schema, and keep what it writes: test_a_database_of_an_earlier_berth opens each of them.
Whatever is over ended in 2100, so that no test finds it purged.
"""

import pathlib
import signal
import sqlite3
import sys
import tarfile
import tempfile
import threading

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from berth import Berth, wait_until  # noqa: E402
from containers import ScriptedContainer, close, echo, reply, when  # noqa: E402

LONG = 300_000  # bytes, more than a row takes


def main():
    container = ScriptedContainer().then(echo).then(reply(b"r" * LONG)).then(close()).always(when(threading.Event(), echo))
    with tempfile.TemporaryDirectory() as name:
        directory = pathlib.Path(name)
        berth = Berth("serve", cwd=directory).containers(container).flag("store", "sqlite:berth.db").flag("job-attempts", 1).start()

        def ask(body, **headers):
            answer = berth.post("/run_model", body, headers={"Prefer": "respond-async", **headers})
            assert answer.status == 202, answer.text
            return answer.json["status_url"]

        def wait_for(job, state):
            wait_until(lambda: berth.get(job).json["state"] == state, state)

        wait_for(ask(b"done", **{"Idempotency-Key": "a-key-of-long-ago"}), "done")
        wait_for(ask(b"long result"), "done")
        wait_for(ask(b"fails"), "failed")
        wait_for(ask(b"running"), "running")
        ask(b"queued")
        assert berth.request("DELETE", ask(b"cancelled")).status == 204
        ask(b"q" * LONG)
        berth.signal(signal.SIGKILL).wait()
        base = sqlite3.connect(directory / "berth.db")
        base.execute("UPDATE job SET finished_us = 4102444800000000 WHERE finished_us != 0")
        base.commit()
        [schema] = base.execute("PRAGMA user_version").fetchone()
        base.close()  # which folds the log in
        with tarfile.open(HERE / f"schema-{schema}.tar.gz", "w:gz") as tar:
            for part in ("berth.db", "berth.db-files"):
                tar.add(directory / part, part)
    container.die()


if __name__ == "__main__":
    main()
