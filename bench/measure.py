"""Takes the figures of one run: CPU, rates, gaps, system calls, instructions."""

import json
import os
import re
import shutil
import signal
import statistics
import subprocess
import time

import processes
import proxies

SYSTEM_CALLS = ("sendto recvfrom read write readv writev sendmsg recvmsg epoll_wait epoll_pwait epoll_pwait2 epoll_ctl "
                "io_uring_enter accept4 socket connect close shutdown setsockopt getsockopt futex timerfd_settime "
                "clock_gettime splice").split()


def load_command(ports, conns, seconds, warmup=0.0, **options):
    command = [proxies.tool("load"), "--ports", ",".join(map(str, ports)), "--conns", str(conns), "--seconds",
               str(seconds), "--warmup", str(warmup), "--path", proxies.PATH]
    for name, value in options.items():
        if value is True:
            command.append(f"--{name}")
        elif value:
            command += [f"--{name}", str(value)]
    return command


def start_load(command, cpus, **options):
    with open(processes.work / "load.log", "ab") as log:
        return processes.start(command, cpus, batch=True, stdout=subprocess.PIPE, stderr=log, text=True, **options)


def wait_for(load, word):
    while word not in (line := load.stdout.readline()):
        if not line:
            raise RuntimeError("the load ended early")


def finish_load(load):
    lines = load.communicate(timeout=60)[0].splitlines()
    processes.stop(load)
    if load.returncode or not lines:
        raise RuntimeError(f"the load ended with status {load.returncode}")
    return json.loads(lines[-1])


class Counters:
    """What a run has used up to now."""

    def __init__(self, pid, ours):
        self.at_s = time.monotonic()
        self.cpu_ns = processes.cpu_ns(pid) if pid else 0
        self.user_s, self.system_s = processes.user_and_system_s(pid) if pid else (0, 0)
        self.others_ns = processes.machine_busy_ns() - self.cpu_ns - sum(map(processes.cpu_ns, ours))


def run(backend, proxy, conns, seconds, cpus=None, warmup=0.3, **options):
    """One run of the load. The figures are of its steady part: counters are set to 0 and read while it goes on.
    proxy None: the backends themselves."""
    backend.wait_until_quiet()
    pid = proxy.pid if proxy else None
    ports = [proxy.port] if proxy else backend.ports
    load = start_load(load_command(ports, conns, seconds + 0.15, warmup, **options), cpus)
    wait_for(load, "connected")
    ours = (backend.process.pid, load.pid)
    time.sleep(warmup)
    backend.ask("reset")
    a = Counters(pid, ours)
    time.sleep(seconds)
    b = Counters(pid, ours)
    stats = backend.ask("stats")
    figures = from_load(finish_load(load)) | from_backend(stats)
    span_s = b.at_s - a.at_s
    figures["others"] = (b.others_ns - a.others_ns) / 1e9 / span_s / (os.cpu_count() or 1)
    if pid:
        ticks_s = b.user_s + b.system_s - a.user_s - a.system_s
        figures["cpu_us"] = (b.cpu_ns - a.cpu_ns) / 1e3 / max(1, stats["requests"])
        figures["cpu_share"] = (b.cpu_ns - a.cpu_ns) / 1e9 / span_s
        figures["user_share"] = (b.user_s - a.user_s) / max(1e-9, ticks_s)
    return figures


def from_load(load):
    return {"p50_us": load["p50_us"], "p99_us": load["p99_us"], "p999_us": load["p999_us"], "jain": load["jain"],
            "not_ok": load["answered"] - load["ok"] + load["dropped"] + load["errors"]}


def from_backend(stats):
    figures = {"rps": stats["requests"] / stats["elapsed_us"] * 1e6, "gap_p50_us": stats["gap_p50_us"],
               "gap_p99_us": stats["gap_p99_us"], "violations": stats["violations"], "leavers_run": stats["leavers"],
               "slots_in_use": stats["busy_us"] / max(1.0, stats["busy_us"] + stats["idle_us"])}
    if stats["violations"]:
        figures["first_violation"] = stats["first_violation"]
    return figures


def system_calls(backend, proxy, conns, seconds, cpus=None):
    """{name: calls a request, …, "all": …}, counted by the kernel's tracepoints; None where perf may not."""
    if not shutil.which("perf"):
        return None
    events = ["raw_syscalls:sys_enter"] + [f"syscalls:sys_enter_{name}" for name in SYSTEM_CALLS]
    report = processes.work / "perf.txt"
    report.unlink(missing_ok=True)
    backend.wait_until_quiet()
    perf = processes.start(["perf", "stat", "-x", ";", "-o", str(report), "-e", ",".join(events), "-p",
                            ",".join(map(str, processes.tree(proxy.pid)))], log="perf")
    time.sleep(0.5)
    load = finish_load(start_load(load_command([proxy.port], conns, seconds), cpus))
    time.sleep(0.1)
    perf.send_signal(signal.SIGINT)
    perf.wait(15)
    processes.stop(perf)
    if not report.exists():
        return None
    counts = {}
    for line in report.read_text().splitlines():
        words = line.split(";")
        if len(words) > 2 and words[0].isdigit():
            name = words[2].replace("raw_syscalls:sys_enter", "all").replace("syscalls:sys_enter_", "")
            counts[name] = int(words[0]) / max(1, load["sent"])
    return counts if counts.get("all") else None


def instructions(proxy, cpus=None):
    """User instructions a request by callgrind: two runs of different lengths, the difference of their sums over
    that of their requests, so that start and end fall out."""
    proxy.stop()
    try:
        short, long = (callgrind(proxy, seconds, cpus) for seconds in (0.5, 2.0))
    finally:
        proxy.start()
    if long[1] - short[1] < 100 or long[0] <= short[0]:
        raise RuntimeError("could not count")
    return (long[0] - short[0]) / (long[1] - short[1])


def callgrind(proxy, seconds, cpus):
    """(instructions, requests) of a run that starts and ends with the proxy."""
    for file in processes.work.glob("callgrind.*"):
        file.unlink()
    proxy.start(["valgrind", "--tool=callgrind", f"--callgrind-out-file={processes.work}/callgrind.%p",
                 "--trace-children=yes"])
    try:
        sent = finish_load(start_load(load_command([proxy.port], 64, seconds), cpus))["sent"]
        time.sleep(0.2)
        for pid in processes.tree(proxy.pid):
            os.kill(pid, signal.SIGINT)
        proxy.process.wait(8)
    except subprocess.TimeoutExpired:
        pass
    finally:
        proxy.stop()
    texts = [file.read_text(errors="replace") for file in processes.work.glob("callgrind.*")]
    sums = [re.search(r"^(?:totals|summary): (\d+)", text, re.MULTILINE) for text in texts]
    return sum(int(match[1]) for match in sums if match), sent


def median(rows, key):
    values = [row[key] for row in rows if key in row]
    return statistics.median(values) if values else None


def median_ratio(rows, base, key):
    """The median of the ratios within each round: noise that lasts longer than a round falls out."""
    ratios = [a[key] / b[key] for a, b in zip(rows, base) if a.get(key) is not None and b.get(key)]
    return statistics.median(ratios) if ratios else None
