"""The proxies that are compared, the backends behind them, and how each is set up."""

import http.client
import json
import os
import pathlib
import shlex
import shutil
import socket
import subprocess
import sys
import time

import processes

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent
PATH = "/run_model"  # what the clients ask for

# The tools: name, further sources from the project's root, further flags.
TOOLS = [("backend", [], []), ("load", [], ["-lm"]), ("floor", [], []),
         ("position", ["src/base/order.c", "src/base/check.c"], ["-Isrc"])]


def build_tools():
    for name, sources, flags in TOOLS:
        subprocess.run([os.environ.get("CC", "cc"), "-O2", "-std=gnu17", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-o",
                        tool(name), f"bench/src/{name}.c", *sources, *flags], cwd=ROOT, check=True)


def tool(name):
    return str(processes.work / name)


def free_ports(n, first):
    """n consecutive ports, from `first` on, that can be bound; outside of those that the kernel gives to clients."""
    while first + n < 32000:
        sockets = []
        try:
            for port in range(first, first + n):
                sockets.append(socket.socket())
                sockets[-1].setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                sockets[-1].bind(("127.0.0.1", port))
            return list(range(first, first + n))
        except OSError:
            first += n
        finally:
            for each in sockets:
                each.close()
    raise SystemExit("bench: no free ports")


def get(port, path, timeout_s=5):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout_s)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def wait_until_up(port, process, path, patience_s=20):
    end = time.monotonic() + patience_s
    last = "no answer"
    while time.monotonic() < end:
        if process.poll() is not None:
            raise RuntimeError(f"ended at once with status {process.returncode}")
        try:
            status, _ = get(port, path, 2)
            if status == 200:
                return
            last = f"status {status}"
        except (OSError, http.client.HTTPException) as error:
            last = str(error)
        time.sleep(0.02)
    raise RuntimeError(f"port {port}: {last}")


class Backend:
    """n containers of one slot each, in one process."""

    def __init__(self, n, cpus=None, free=(), first_port=18080):
        self.ports = free_ports(n, first_port)
        flags = [word for path in free for word in ("--free", path)]
        self.process = processes.start([tool("backend"), *flags, f"{self.ports[0]}-{self.ports[-1]}"], cpus,
                                       "backend", batch=True)
        wait_until_up(self.ports[0], self.process, "/__stats")

    def ask(self, what):
        return json.loads(get(self.ports[0], f"/__{what}")[1] or "{}")

    def serve(self, service_us, jitter=20):
        """Answers are due service_us ± jitter % after the request is complete; 0: at once."""
        self.ask(f"set?service_us={service_us}&jitter={jitter}")

    def wait_until_quiet(self, patience_s=10):
        """A proxy may go on with queued requests of clients that have left."""
        end = time.monotonic() + patience_s
        while time.monotonic() < end:
            before = self.ask("stats")
            time.sleep(0.05)
            now = self.ask("stats")
            if not now["in_flight"] and now["requests"] == before["requests"]:
                return

    def close(self):
        processes.stop(self.process)


class Proxy:
    """One program under test: a name, a port, and the command that starts it. limited: it keeps to one request
    a backend at a time."""

    def __init__(self, name, port, command, cpus=None, limited=True):
        self.name, self.port, self.command, self.cpus, self.limited = name, port, command, cpus, limited
        self.process = None

    @property
    def pid(self):
        return self.process.pid

    def start(self, wrap=(), wait=True):
        self.process = processes.start([*wrap, *self.command], self.cpus, self.name)
        if not wait:
            return
        try:
            wait_until_up(self.port, self.process, PATH)
        except RuntimeError as error:
            log = (processes.work / f"{self.name}.log").read_text(errors="replace")
            raise SystemExit(f"bench: {self.name}: {error}\n{log[-2000:]}") from None

    def stop(self):
        if self.process:
            processes.stop(self.process)
            self.process = None

    def restart(self):
        self.stop()
        self.start()


# abortonclose and http-buffer-request keep clients that left, and uploads that stall, out of the slots; the former
# works only where the frontend has it too, so they stand in the defaults.
HAPROXY = """global
    nbthread 1
    maxconn 20000
    no strict-limits
defaults
    mode http
    option http-keep-alive
    option abortonclose
    option http-buffer-request
    timeout connect 5s
    timeout client 60s
    timeout server 60s
    timeout queue 60s
    timeout http-keep-alive 60s
frontend front
    bind 127.0.0.1:{port} backlog 16384
    default_backend containers
backend containers
    balance roundrobin
    http-reuse always
{servers}
"""

NGINX = """daemon off;
master_process off;
pid nginx.pid;
error_log nginx.err crit;
events {{ worker_connections 19000; multi_accept on; }}
http {{
    access_log off;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    keepalive_requests 100000000;
    keepalive_timeout 60s;
    tcp_nodelay on;
    upstream containers {{
{servers}
        keepalive 64;
        keepalive_requests 100000000;
    }}
    server {{
        listen 127.0.0.1:{port} backlog=16384;
        location / {{
            proxy_pass http://containers;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
        }}
    }}
}}
"""


def written(name, text):
    file = processes.work / name
    file.parent.mkdir(exist_ok=True)
    file.write_text(text)
    return str(file)


def status_file(ports):
    """The containers as the scripts that came before Berth keep them."""
    return json.dumps({f"container{i + 1}": {"ip": "127.0.0.1", "port": str(port), "status": "free"}
                       for i, port in enumerate(ports)})


def haproxy_command(port, ports):
    servers = "\n".join(f"    server c{i} 127.0.0.1:{each} maxconn 1" for i, each in enumerate(ports))
    return ["haproxy", "-db", "-f", written("haproxy.cfg", HAPROXY.format(port=port, servers=servers))]


def nginx_command(port, ports):
    servers = "\n".join(f"        server 127.0.0.1:{each};" for each in ports)
    file = written("nginx/nginx.conf", NGINX.format(port=port, servers=servers))
    return ["nginx", "-p", str(pathlib.Path(file).parent), "-c", file]


def floor_command(port, ports):
    return [tool("floor"), str(port), *map(str, ports)]


def seed_command(port, ports):
    return [sys.executable, str(HERE / "seed/orchestrator.py"), str(port),
            written("seed/status.json", status_file(ports))]


PEERS = {"haproxy": haproxy_command, "nginx": nginx_command, "floor": floor_command, "seed": seed_command}


def peer(name, port, ports, cpus):
    """A Proxy, not yet started, or None where its program is missing."""
    if name not in PEERS:
        raise SystemExit(f"bench: --peers {name}: not one of {' '.join(PEERS)}")
    command = PEERS[name](port, ports)
    if not shutil.which(command[0]):
        print(f"bench: {name} is not installed: left out", file=sys.stderr)
        return None
    # Without max_conns nginx breaks the rule of one slot, and with it it cannot queue.
    return Proxy(name, port, command, cpus, limited=name != "nginx")


def candidate(name, text, port, ports, cpus):
    """A Proxy from a command line with {port}, {backends} (host:port,…) and {backend_ports} (P P …)."""
    backends = ",".join(f"127.0.0.1:{each}" for each in ports)
    for key, value in (("port", str(port)), ("backends", backends), ("backend_ports", " ".join(map(str, ports)))):
        text = text.replace("{" + key + "}", value)
    return Proxy(name, port, ["env", *shlex.split(text)], cpus)


def berth_command(program, flags=""):
    return (f"{shlex.quote(str(program))} serve --listen 127.0.0.1:{{port}} --containers {{backends}} --slots 1 "
            f"--admin off {flags}")
