"""Tests that are more than one load: memory, clients that misbehave, growth, start."""

import json
import shutil
import socket
import statistics
import subprocess
import time

import measure
import processes
import proxies

STARTS = 9


class Memory:
    """Many idle connections; then as many requests in the queue, twice."""

    def __init__(self, comparison):
        self.c = comparison
        self.many = comparison.options.many

    def run(self):
        self.c.rounds("memory", f"{self.many} idle connections; {self.many} queued requests",
                      self.c.by_name(self.c.products()), self.of, 1)

    def fresh(self, proxy):
        """Restarts the proxy and warms it up; its (resident, anonymous) bytes."""
        proxy.restart()
        self.c.measure(proxy, 64, 0, seconds=0.3)
        time.sleep(0.2)
        return processes.memory_bytes(proxy.pid)

    def burst(self, proxy, **options):
        """One request on each of many connections, in order."""
        return measure.start_load(measure.load_command([proxy.port], self.many, 20, once=True, rate=6000, **options),
                                  self.c.load_cpus, stdin=subprocess.PIPE)

    def idle(self, proxy):
        resident, before = self.fresh(proxy)
        load = self.burst(proxy, hold=True)
        measure.wait_for(load, "ready")
        time.sleep(0.2)
        after = processes.memory_bytes(proxy.pid)[1]
        return resident, (after - before) / self.many, measure.finish_load(load)

    def queued(self, proxy, post=0):
        backend = self.c.backend
        before = self.fresh(proxy)[1]
        backend.serve(20000)
        backend.ask("reset")
        load = self.burst(proxy, seq=True, post=post)
        measure.wait_for(load, "sent")
        time.sleep(0.1)
        in_queue = self.many - backend.ask("stats")["requests"]
        resident, after = processes.memory_bytes(proxy.pid)
        backend.serve(400)
        done = measure.finish_load(load)
        stats = backend.ask("stats") | backend.ask("order")
        return resident, (after - before) / max(1, in_queue), done, stats

    def of(self, proxy):
        start, idle_bytes, idle_done = self.idle(proxy)
        get_resident, get_bytes, get_done, get_stats = self.queued(proxy)
        post_resident, post_bytes, post_done, post_stats = self.queued(proxy, 4096)
        return {
            "resident_kib": start // 1024, "idle_bytes": idle_bytes, "queued_get_bytes": get_bytes,
            "queued_post_bytes": post_bytes, "resident_gets_kib": get_resident // 1024,
            "resident_posts_kib": post_resident // 1024,
            "not_ok": 3 * self.many - idle_done["ok"] - get_done["ok"] - post_done["ok"],
            "out_of_order": get_stats["out_of_order"] + post_stats["out_of_order"],
            "violations": get_stats["violations"] + post_stats["violations"],
        }


class Hostile:
    """The rate that is left to those who behave, as a share of the rate without the others."""

    KINDS = {  # what, ± service time in us, clients that behave, the load's option
        "stalled": ("16 uploads that stall after one byte", 1000, 64, {"stall": 16}),
        "deaf": ("16 clients that do not read answers of 8 MiB", 1000, 64, {"deaf": 16}),
        "leaving": ("2,000 clients that leave the queue", 10000, 128, {"leave": 2000}),
    }

    def __init__(self, comparison):
        self.c = comparison

    def run(self):
        for kind, (title, service_us, conns, trouble) in self.KINDS.items():
            self.c.rounds(kind, f"{title}, beside {conns} clients, {service_us} us",
                          self.c.by_name(self.c.products()),
                          lambda proxy: self.of(proxy, service_us, conns, trouble), 2)

    def of(self, proxy, service_us, conns, trouble):
        alone = self.c.steady(proxy, conns, service_us)
        beside = self.c.measure(proxy, conns, service_us, seconds=1.0, **trouble)
        return {"kept": beside["rps"] / max(1.0, alone["rps"]), "leavers_run": beside["leavers_run"],
                "violations": alone["violations"] + beside["violations"], "others": beside["others"]}


class Growth:
    """The same rate by ever more containers, and by ever more clients: what is walked shows."""

    CONTAINERS = (8, 100, 1000)
    CLIENTS = (64, 1000, 10000)
    RATE = 4000   # requests a second that all the containers of a point give together
    CROWD = 2000  # clients while the containers grow

    def __init__(self, comparison):
        self.c = comparison

    def run(self):
        backend = proxies.Backend(max(self.CONTAINERS), self.c.load_cpus, first_port=21000)
        name, text = self.c.options.candidates[0]
        made = {}
        try:
            for n, port in zip(self.CONTAINERS, proxies.free_ports(len(self.CONTAINERS), 19600)):
                made[n] = proxies.candidate(f"{name}-{n}", text, port, backend.ports[:n], self.c.proxy_cpus)
                made[n].start()
            self.c.rounds("growth_containers", f"{self.RATE} requests/s, {self.CROWD} clients, containers",
                          {str(n): n for n in self.CONTAINERS},
                          lambda n: self.of(backend, made[n], n * 1_000_000 // self.RATE, 100, self.CROWD), 3)
            self.c.rounds("growth_clients", "slots of 1 ms, 8 containers, clients", {str(n): n for n in self.CLIENTS},
                          lambda n: self.of(backend, made[self.CONTAINERS[0]], 1000, 20, n), 3)
        finally:
            for proxy in made.values():
                proxy.stop()
            backend.close()

    def of(self, backend, proxy, service_us, jitter, conns):
        backend.serve(service_us, jitter)
        return measure.run(backend, proxy, conns, 0.6, self.c.load_cpus, warmup=0.6)


class Start:
    """From exec to the first proxied answer; what lies on the disk."""

    def __init__(self, comparison):
        self.c = comparison

    def run(self):
        self.c.backend.serve(0)
        self.c.rounds("start", "from exec to the first proxied answer", self.c.by_name(self.c.products()), self.of, 1)

    def of(self, proxy):
        times = []
        for _ in range(STARTS):
            proxy.stop()
            proxy.start(wait=False)
            times.append(first_answer_ms(proxy))
        return {"start_ms": statistics.median(times), "start_worst_ms": max(times)}


def first_answer_ms(proxy):
    request = f"GET {proxies.PATH} HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n".encode()
    end = proxy.process.exec_s + 10
    while time.monotonic() < end:
        try:
            with socket.create_connection(("127.0.0.1", proxy.port), 5) as connection:
                connection.sendall(request)
                if connection.recv(4096).startswith(b"HTTP/1.1 200 "):
                    return (time.monotonic() - proxy.process.exec_s) * 1000
        except OSError:
            pass
        time.sleep(0.0002)
    raise RuntimeError("never ready")


def position(comparison):
    """The cost of a place among a million, without a proxy."""
    def once(tool):
        process = processes.start([tool], comparison.proxy_cpus, stdout=subprocess.PIPE, text=True)
        out = process.communicate(timeout=60)[0]
        processes.stop(process)
        return json.loads(out)
    comparison.rounds("position", "place of a request among 1,000,000", {"berth": proxies.tool("position")}, once, 3)


def stripped_bytes(program):
    """None without strip."""
    if not shutil.which("strip"):
        return None
    copy = processes.work / "stripped"
    subprocess.run(["strip", "-o", str(copy), str(program)], check=True)
    return copy.stat().st_size
