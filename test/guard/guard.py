#!/usr/bin/python3
"""Guards what a request costs, by counts that do not depend on the machine's speed or on its other work.

    guard.py instructions|system-calls PROGRAM

Exit code 77, which Meson takes for a skip, where the count cannot be taken.
"""

import os
import pathlib
import platform
import re
import shutil
import signal
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
from traffic import PATIENCE_S, Traffic  # noqa: E402

SHORT, LONG = 200, 1200  # requests; the difference leaves start and end out

# Traffic: containers, clients, how they go.
ALONE = (1, 1, Traffic.one_by_one)
QUEUED = (8, 24, Traffic.through_a_queue)

# Some 5 % above what gcc 12 makes of the code today. Who gets a figure down lowers its bar.
INSTRUCTION_BARS = {"alone": (ALONE, 6_550), "in a queue": (QUEUED, 7_050)}
# Two wake-ups, two receives, two sends; now and then a wake-up brings two events.
SYSTEM_CALL_BARS = {"alone": (ALONE, 6.2), "in a queue": (QUEUED, 6.2)}
# Meson's tests have malloc write over what it gives and takes, which counts too.
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}


def skip(why):
    print(why)
    sys.exit(77)


def children(pid):
    direct = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in direct]


def program_pid(process, wrapper):
    """valgrind becomes the program; strace is its parent."""
    return children(process.pid)[0] if wrapper == "strace" else process.pid


def run(program, wrapper, traffic, requests):
    """One run of the program under the wrapper, with so many requests."""
    containers, clients, go = traffic
    traffic = Traffic(containers)
    command = [*wrapper, program, "serve", "--listen", "127.0.0.1:0", "--admin", "off", "--slots", "1", "--containers",
               ",".join(traffic.addresses())]
    with tempfile.TemporaryDirectory() as directory:
        process = subprocess.Popen(command, cwd=directory, env=ENVIRONMENT, stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        try:
            port = listening_port(process)
            pid = program_pid(process, wrapper[0])
            traffic.connect(pid, port, clients)
            go(traffic, requests)
            traffic.close()  # nothing is left to finish
            os.kill(pid, signal.SIGTERM)
            process.communicate(timeout=PATIENCE_S)
        finally:
            for each in [*children(process.pid), process.pid] if process.poll() is None else []:
                os.kill(each, signal.SIGKILL)  # strace's end is not that of the program
            process.wait()
            traffic.close()


def listening_port(process):
    for line in process.stdout:
        match = re.search(r"listening on http://127\.0\.0\.1:(\d+)", line)
        if match:
            return int(match[1])
    raise RuntimeError("the program did not start")


def a_request(count, program, traffic):
    return (count(program, traffic, LONG) - count(program, traffic, SHORT)) / (LONG - SHORT)


def instructions(program, traffic, requests):
    with tempfile.TemporaryDirectory() as directory:
        run(program, ["valgrind", "--quiet", "--tool=callgrind", f"--callgrind-out-file={directory}/out"], traffic,
            requests)
        match = re.search(r"^(?:totals|summary): (\d+)", pathlib.Path(f"{directory}/out").read_text(), re.MULTILINE)
        return int(match[1])


def system_calls(program, traffic, requests):
    with tempfile.TemporaryDirectory() as directory:
        run(program, ["strace", "-c", "-f", "-o", f"{directory}/out"], traffic, requests)
        match = re.search(r"^\s*100\.00\s.*?(\d+)\s+(?:\d+\s+)?total$", pathlib.Path(f"{directory}/out").read_text(),
                          re.MULTILINE)
        return int(match[1])


def check(what, count, bars, program):
    over = False
    for name, (traffic, bar) in bars.items():
        figure = a_request(count, program, traffic)
        over |= figure > bar
        print(f"{what} a request {name}: {figure:,.2f}, bar {bar:,}{', OVER IT' if figure > bar else ''}")
    return 1 if over else 0


def main():
    what, program = sys.argv[1], os.path.abspath(sys.argv[2])
    if what == "instructions":
        if not shutil.which("valgrind"):
            skip("valgrind is not installed")
        if platform.machine() != "x86_64":
            skip(f"the bars are for x86_64, this is {platform.machine()}")
        return check("user instructions", instructions, INSTRUCTION_BARS, program)
    if not shutil.which("strace"):
        skip("strace is not installed")
    if subprocess.run(["strace", "-o", "/dev/null", "true"], stderr=subprocess.DEVNULL, check=False).returncode:
        skip("strace may not trace here (ptrace is forbidden)")
    return check("system calls", system_calls, SYSTEM_CALL_BARS, program)


if __name__ == "__main__":
    sys.exit(main())
