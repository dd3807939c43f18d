"""What every test of the comparison shares: the proxies, rounds, the time that is left."""

import os
import subprocess
import time

import measure
import processes
import proxies

MIN_ROUNDS = 3
SPIN_SHARES = (10, 30, 100)  # per cent


class Comparison:
    def __init__(self, options):
        self.options = options
        self.start_s = time.monotonic()
        self.reserve_s = 0  # for the tests that come after the one that runs
        two_cpus = (os.cpu_count() or 1) > 1 and not options.unpinned
        self.proxy_cpus, self.load_cpus = ({0}, {1}) if two_cpus else (None, None)
        proxies.build_tools()
        processes.niceness = options.nice
        if options.realtime:
            processes.be_realtime()
        self.backend = proxies.Backend(options.containers, self.load_cpus, options.free)
        self.proxies = self.make_proxies()
        for proxy in self.proxies:
            proxy.start()
        self.results = {}

    def make_proxies(self):
        options = self.options
        named = [name for name in options.peers.split(",") if name]
        ports = iter(proxies.free_ports(len(named) + len(options.candidates), 19500))
        found = [proxies.peer(name, next(ports), self.backend.ports, self.proxy_cpus) for name in named]
        made = [proxies.candidate(name, text, next(ports), self.backend.ports, self.proxy_cpus)
                for name, text in options.candidates]
        return [proxy for proxy in found if proxy] + made

    def limited(self):
        return [proxy for proxy in self.proxies if proxy.limited]

    def products(self):
        """Without the yardstick, which has no limits to test."""
        return [proxy for proxy in self.limited() if proxy.name != "floor"]

    def left_s(self):
        return self.options.budget - self.reserve_s - (time.monotonic() - self.start_s)

    def rounds(self, test, title, targets, one_run, rounds=None):
        """Runs one_run(target) → figures for every target in turn, forwards and backwards. targets: {name: what}."""
        results = self.results[test] = {"title": title, "rounds": 0, "rows": {name: [] for name in targets}}
        wanted = rounds or self.options.rounds
        for n in range(wanted):
            if n >= min(wanted, MIN_ROUNDS) and self.left_s() < 0:
                break
            for name in list(targets)[::-1 if n % 2 else 1]:
                try:
                    figures = one_run(targets[name])
                except (RuntimeError, OSError, ValueError, subprocess.TimeoutExpired) as error:
                    figures = {"failed": str(error) or type(error).__name__}
                results["rows"][name].append(figures)
            results["rounds"] += 1

    def by_name(self, wanted):
        return {proxy.name: proxy for proxy in wanted}

    def measure(self, proxy, conns, service_us, seconds=None, jitter=20, **options):
        self.backend.serve(service_us, jitter)
        return measure.run(self.backend, proxy, conns, seconds or self.options.seconds, self.load_cpus, **options)

    def steady(self, proxy, conns, service_us, **options):
        """A proxy that answers nothing has lost its queue (HAProxy 2.6 does so now and then, until `timeout queue`): it
        is started anew and measured once more, and the figures say so."""
        figures = self.measure(proxy, conns, service_us, **options)
        if figures["rps"] > 1:
            return figures
        proxy.restart()
        return self.measure(proxy, conns, service_us, **options) | {"hung": 1}

    # ---- one load, many rounds ----

    def get(self):
        self.rounds("get", f"small GET, no service time, {self.options.conns} clients", self.by_name(self.proxies),
                    lambda proxy: self.steady(proxy, self.options.conns, 0))

    def post(self):
        self.rounds("post", f"4 KiB POST, no service time, {self.options.conns} clients",
                    self.by_name(self.limited()),
                    lambda proxy: self.steady(proxy, self.options.conns, 0, post=4096))

    def queue(self, test, service_us, conns, slowness=1):
        self.rounds(test, f"service time {service_us} us ± 20 %, {conns} clients", self.by_name(self.limited()),
                    lambda proxy: self.steady(proxy, conns, service_us, seconds=self.options.seconds * slowness))

    def q1ms(self):
        self.queue("q1ms", 1000, self.options.conns)

    def q1ms_512(self):
        self.queue("q1ms_512", 1000, 512)

    def q10ms(self):
        self.queue("q10ms", 10000, self.options.conns, slowness=2)

    def spin(self):
        """Handoff gap and CPU with `spin: auto`, by the share of a core that it may take."""
        made = self.variants({f"spin {share} %": f"--spin auto --spin-share {share}" for share in SPIN_SHARES})
        targets = self.by_name(proxy for proxy in self.proxies if proxy.name in ("haproxy", "berth")) | made
        try:
            for test, service_us, slowness in (("spin_1ms", 1000, 1), ("spin_10ms", 10000, 2)):
                self.rounds(test, f"spin: auto, service time {service_us} us ± 20 %, {self.options.conns} clients", targets,
                            lambda proxy: self.steady(proxy, self.options.conns, service_us,
                                                      seconds=self.options.seconds * slowness))
        finally:
            for proxy in made.values():
                proxy.stop()

    def io(self):
        """Receiving by epoll and by io_uring."""
        made = self.variants({"io_uring": "--io uring"})
        targets = self.by_name(proxy for proxy in self.proxies if proxy.name == "berth") | made
        try:
            for test, service_us in (("io_get", 0), ("io_q1ms", 1000)):
                self.rounds(test, f"epoll beside io_uring, service time {service_us} us, {self.options.conns} clients", targets,
                            lambda proxy: self.steady(proxy, self.options.conns, service_us))
        finally:
            for proxy in made.values():
                proxy.stop()

    def variants(self, flags):
        """Further Berths, started: name → Proxy. flags: name → what `berth serve` gets beside the options' flags."""
        ports = proxies.free_ports(len(flags), 19700)
        made = {}
        for (name, more), port in zip(flags.items(), ports):
            text = proxies.berth_command(self.options.berth, f"{self.options.flags} {more}")
            made[name] = proxies.candidate(name.replace(" ", "-"), text, port, self.backend.ports, self.proxy_cpus)
            made[name].start()
        return made

    def open_loop(self):
        service_us = 4000
        rate = int(0.8 * len(self.backend.ports) * 1e6 / service_us)
        self.rounds("open_loop", f"{rate} Poisson arrivals a second (80 % of the slots), {service_us} us",
                    self.by_name(self.limited()), lambda proxy: self.steady(proxy, 512, service_us, rate=rate), 3)

    def overload(self):
        self.rounds("overload", "2,000 clients on slots of 10 ms", self.by_name(self.limited()),
                    lambda proxy: self.steady(proxy, 2000, 10000, seconds=1.2, warmup=1.0), 1)

    def system_calls_of(self, proxy):
        figures = {}
        for label, service_us in (("saturated", 0), ("1 ms", 1000)):
            self.backend.serve(service_us)
            counts = measure.system_calls(self.backend, proxy, self.options.conns, 0.8, self.load_cpus)
            if counts is None:
                raise RuntimeError("perf may not count here")
            figures |= {f"{name}, {label}": calls for name, calls in counts.items() if calls >= 0.05}
        return figures

    def system_calls(self):
        self.rounds("system_calls", "system calls a request", self.by_name(self.limited()), self.system_calls_of, 1)

    def instructions_of(self, proxy):
        self.backend.serve(0)
        return {"instructions": measure.instructions(proxy, self.load_cpus)}

    def instructions(self):
        self.rounds("instructions", "user instructions a request (callgrind, 64 clients)",
                    self.by_name(self.products()), self.instructions_of, 1)
