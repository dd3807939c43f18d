"""Starts and ends processes, and reads from the kernel what they use.

What is started here is ended by its own process id, and its children's, also when the script is interrupted.
"""

import atexit
import ctypes
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import time

TICKS = os.sysconf("SC_CLK_TCK")
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36

work = pathlib.Path(tempfile.mkdtemp(prefix="berth-bench-"))
started = []
niceness = 0      # of all that is started
realtime = False  # is it to be served before all other work of the machine?


def prctl(option, value):
    ctypes.CDLL(None).prctl(option, ctypes.c_ulong(value), 0, 0, 0)


def children(pid):
    try:
        direct = [int(word) for word in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []
    return direct + [further for child in direct for further in children(child)]


def tree(pid):
    return [pid] + children(pid)


def be_nice():
    """Niceness counts within a session's group of tasks only, so the group gets it too."""
    try:
        os.nice(niceness)
        pathlib.Path("/proc/self/autogroup").write_text(str(niceness))
    except OSError:
        pass


def be_realtime():
    """What is started runs in real time, one after the other on a CPU; we go before it, or could not end it."""
    global realtime
    realtime = True
    os.sched_setscheduler(0, os.SCHED_RR | os.SCHED_RESET_ON_FORK, os.sched_param(2))


def start(command, cpus=None, log="out", batch=False, **options):
    """Runs a command on the given CPUs; it dies with us. A batch process does not preempt another when it wakes
    up. The process's exec_s is the time (monotonic) just before its exec."""
    stamp_read, stamp_write = os.pipe()

    def prepare():
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        os.setsid()
        if niceness:
            be_nice()
        if cpus:
            os.sched_setaffinity(0, cpus)
        if realtime:
            os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
        elif batch:
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
        os.write(stamp_write, str(time.monotonic()).encode())

    if "stdout" not in options:
        options["stdout"] = options["stderr"] = open(work / f"{log}.log", "ab")
    options.setdefault("stdin", subprocess.DEVNULL)
    try:
        process = subprocess.Popen(command, preexec_fn=prepare, cwd=work, **options)
        process.exec_s = float(os.read(stamp_read, 64))
    finally:
        os.close(stamp_read)
        os.close(stamp_write)
    started.append(process)
    return process


def kill(pid):
    try:
        os.kill(pid, signal.SIGKILL)
    except OSError:
        pass


def stop(process, patience_s=3.0):
    pids = tree(process.pid)
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(patience_s)
        except subprocess.TimeoutExpired:
            pass
    for pid in pids:
        if pid != process.pid or process.poll() is None:
            kill(pid)
    process.wait()
    if process in started:
        started.remove(process)


def clean_up():
    for process in reversed(list(started)):
        stop(process, 1.0)
    for orphan in children(os.getpid()):
        kill(orphan)
    if not os.environ.get("BENCH_KEEP"):
        shutil.rmtree(work, ignore_errors=True)


def leave(number, _frame):
    raise SystemExit(128 + number)


prctl(PR_SET_CHILD_SUBREAPER, 1)
atexit.register(clean_up)
for caught in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(caught, leave)


def cpu_ns(pid):
    """CPU time of a process and its children, threads that have ended included."""
    total = 0
    for each in tree(pid):
        try:
            total += time.clock_gettime_ns((~each << 3) | 2)  # that process's CPU clock
        except OSError:
            pass
    return total


def machine_busy_ns():
    """CPU time that all processes of the machine have used (resolution: a tick)."""
    words = [int(word) for word in pathlib.Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]]
    return (sum(words[:3]) + sum(words[5:8])) * 1_000_000_000 // TICKS


def user_and_system_s(pid):
    """CPU seconds of a process and its children (resolution: a tick)."""
    user = system = 0
    for each in tree(pid):
        try:
            words = pathlib.Path(f"/proc/{each}/stat").read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        user += int(words[11])
        system += int(words[12])
    return user / TICKS, system / TICKS


def memory_bytes(pid):
    """(resident, anonymous) bytes of a process and its children."""
    resident = anonymous = 0
    for each in tree(pid):
        try:
            lines = pathlib.Path(f"/proc/{each}/status").read_text().splitlines()
        except OSError:
            continue
        for line in lines:
            if line.startswith("VmRSS:"):
                resident += int(line.split()[1]) * 1024
            elif line.startswith("RssAnon:"):
                anonymous += int(line.split()[1]) * 1024
    return resident, anonymous
