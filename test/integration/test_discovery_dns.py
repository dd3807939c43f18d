"""Containers whose addresses a name has, asked of a real DNS server on loopback."""

import pathlib
import random
import signal
import socket

import pytest

from berth import wait_until
from containers import gateway, scripted  # noqa: F401
from discovery import (Traffic, containers_of, name_server, slow, source_of, wait_for_containers)  # noqa: F401


@pytest.fixture
def fleet(scripted):
    """fleet("127.0.0.2", …): containers at these addresses, all with one port."""
    def make(*hosts, step=None):
        made = [scripted(hosts[0])]
        made.extend(scripted(host, port=made[0].port) for host in hosts[1:])
        for container in made:
            container.always(step or slow(0))
        return made
    return make


def start(gateway, name_server, port, name="workers.test", **flags):
    flags = {"dns_ttl_min": "50ms", "dns_ttl_max": "100ms", "dns_timeout": "300ms", "dns_grace": "1s", **flags}
    return gateway(f"dns:{name}:{port}", wait=False, dns_server=name_server.address, **flags)


def test_every_address_of_a_name_is_a_container(gateway, fleet, name_server):
    containers = fleet("127.0.0.2", "127.0.0.3", "::1")
    name_server.tell(workers=["127.0.0.2", "127.0.0.3", "::1"])
    berth = start(gateway, name_server, containers[0].port)
    wait_for_containers(berth, *(c.address for c in containers))
    for _ in range(9):
        assert berth.post("/run_model", b"x").body == b"x"
    assert all(c.requests for c in containers)
    assert {c["name"] for c in berth.pool()["containers"]} == {
        f"127.0.0.2-{containers[0].port}", f"127.0.0.3-{containers[0].port}", f"--1-{containers[0].port}"}


def test_a_name_is_asked_again_when_its_time_to_live_is_over(gateway, fleet, name_server):
    containers = fleet("127.0.0.2", "127.0.0.3", "::1")
    name_server.tell(workers=["127.0.0.2"])
    berth = start(gateway, name_server, containers[0].port, dns_ttl_max="1h")
    wait_for_containers(berth, containers[0].address)
    name_server.tell(workers=["127.0.0.2", "::1"])
    wait_for_containers(berth, containers[0].address, containers[2].address)
    name_server.tell(workers=["127.0.0.3"])
    wait_for_containers(berth, containers[1].address)
    questions = name_server.log.count("query[A] workers.test")
    name_server.tell(workers=["127.0.0.2"])
    wait_for_containers(berth, containers[0].address)
    assert name_server.log.count("query[A] workers.test") > questions


def test_the_bounds_of_the_time_to_live(gateway, fleet, name_server):
    [container] = fleet("127.0.0.2")
    name_server.tell(workers=["127.0.0.2"])
    patient = start(gateway, name_server, container.port, dns_ttl_min="1h", dns_ttl_max="1h")
    eager = start(gateway, name_server, container.port, dns_ttl_min="10ms", dns_ttl_max="20ms")
    for berth in (patient, eager):
        wait_for_containers(berth, container.address)
    name_server.tell(workers=["127.0.0.3"])
    wait_until(lambda: containers_of(eager).keys() == {f"127.0.0.3:{container.port}"})
    assert containers_of(patient).keys() == {container.address}
    asked = name_server.log.count("query[A] workers.test")
    wait_until(lambda: name_server.log.count("query[A] workers.test") > asked + 10)
    assert containers_of(patient).keys() == {container.address}


def test_a_name_without_address_empties_after_a_while(gateway, fleet, name_server):
    containers = fleet("127.0.0.2", "127.0.0.3")
    name_server.tell(workers=["127.0.0.2", "127.0.0.3"])
    berth = start(gateway, name_server, containers[0].port)
    wait_for_containers(berth, *(c.address for c in containers))
    name_server.tell(workers=[])  # NXDOMAIN
    berth.wait_for("the name has no address; what is known of it stays \\(2 containers\\)")
    berth.wait_for(f"dns:workers.test:{containers[0].port}: 0 containers")
    assert containers_of(berth) == {}
    assert berth.post("/run_model", b"x").status == 503
    name_server.tell(workers=["127.0.0.2"])
    wait_for_containers(berth, containers[0].address)


def test_an_empty_answer_for_a_moment_does_nothing(gateway, fleet, name_server):
    containers = fleet("127.0.0.2", "127.0.0.3")
    name_server.tell(workers=["127.0.0.2"])
    berth = start(gateway, name_server, containers[0].port, dns_grace="1h")
    wait_for_containers(berth, containers[0].address)
    name_server.tell(workers=[])
    berth.wait_for("the name has no address; what is known of it stays \\(1 container\\)")
    assert berth.post("/run_model", b"x").status == 200
    name_server.tell(workers=["127.0.0.3"])
    wait_for_containers(berth, containers[1].address)


def test_a_server_that_does_not_answer_leaves_what_is_known(gateway, fleet, name_server):
    containers = fleet("127.0.0.2", "127.0.0.3")
    name_server.tell(workers=["127.0.0.2"])
    berth = start(gateway, name_server, containers[0].port, dns_grace="0")
    wait_for_containers(berth, containers[0].address)
    name_server.process.send_signal(signal.SIGSTOP)  # neither an answer nor a refusal
    try:
        berth.wait_for("asking for A records: Timeout while contacting DNS servers; what is known of it stays")
        assert berth.post("/run_model", b"x").status == 200
        assert source_of(berth)["state"] == "unreachable"
    finally:
        name_server.process.send_signal(signal.SIGCONT)
    wait_until(lambda: source_of(berth)["state"] == "heard")
    name_server.stop()  # refused at once
    berth.wait_for("asking for A records: Could not contact DNS servers; what is known of it stays")
    assert berth.post("/run_model", b"x").status == 200
    name_server.start().tell(workers=["127.0.0.3"])
    wait_for_containers(berth, containers[1].address)


def test_a_server_that_refuses_leaves_what_is_known(gateway, fleet, name_server):
    [container] = fleet("127.0.0.2")
    berth = start(gateway, name_server, container.port, name="workers.example", dns_grace="0")  # not its zone: REFUSED
    berth.wait_for("asking for A records: ")
    assert source_of(berth) == {"source": f"dns:workers.example:{container.port}", "state": "unreachable",
                                "containers": 0, "why": source_of(berth)["why"]}


def test_an_answer_that_is_too_long_for_a_datagram(gateway, name_server):
    addresses = [f"127.0.{i // 100}.{i % 100 + 1}" for i in range(400)]
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        port = nobody.getsockname()[1]
    name_server.tell(workers=addresses)
    berth = start(gateway, name_server, port)
    wait_until(lambda: source_of(berth)["containers"] == 400)
    assert set(containers_of(berth)) == {f"{address}:{port}" for address in addresses}
    name_server.tell(workers=addresses[:3])
    wait_until(lambda: len(containers_of(berth)) == 3)


def test_no_request_is_lost_while_a_name_changes(gateway, fleet, name_server):
    rng = random.Random(3)
    hosts = [f"127.0.0.{i}" for i in range(2, 8)]
    containers = fleet(*hosts, step=slow(0.004))
    name_server.tell(workers=hosts[:3])
    berth = start(gateway, name_server, containers[0].port)
    wait_for_containers(berth, *(c.address for c in containers[:3]))
    traffic = Traffic(berth)
    for _ in range(20):
        chosen = rng.sample(range(6), rng.randint(1, 6))
        name_server.tell(workers=[hosts[i] for i in chosen])
        wait_for_containers(berth, *(containers[i].address for i in chosen))
        traffic.wait_for(10)
    traffic.stop_and_check()
    assert all(c.requests and c.in_flight_max == 1 for c in containers)


def test_the_machines_own_hosts_file(gateway, scripted):
    lines = pathlib.Path("/etc/hosts").read_text().splitlines()
    names = [name for line in lines if line.startswith("127.0.0.1") for name in line.split()[1:]]
    container = scripted()
    berth = gateway(f"dns:{names[-1]}:{container.port}", wait=False)
    wait_until(lambda: containers_of(berth).get(container.address) == "free")
    assert berth.post("/run_model", b"x").status == 200
