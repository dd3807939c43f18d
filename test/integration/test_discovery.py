"""Containers that come and go while requests run: by a file, and over the admin listener. DNS: test_discovery_dns.py."""

import json
import os
import random
import signal
import threading

import pytest

from berth import wait_until
from containers import Background, echo, gateway, scripted, when  # noqa: F401
from discovery import (Traffic, admin, container_file, containers_of, name_server, slow, source_of,  # noqa: F401
                       wait_for_containers)

MODEL_S = 0.004  # what a container takes for a request under traffic


@pytest.fixture
def fleet(scripted):
    """fleet(n) makes n containers that take a moment for each request; none ever sees two at once."""
    made = []

    def make(n):
        made.extend(scripted().always(slow(MODEL_S)) for _ in range(n))
        return made[-n:]
    yield make
    assert all(container.in_flight_max <= 1 for container in made)


# ---- a file ----


def test_a_file_that_appears_later_is_read(gateway, scripted, container_file):
    berth = gateway(container_file.source, wait=False)
    berth.wait_for("cannot read it: No such file or directory")
    assert berth.get("/berth/readyz").status == 503
    assert source_of(berth)["state"] == "unreachable"
    container = scripted()
    container_file.replace(container.address)
    wait_for_containers(berth, container.address)
    assert berth.get("/berth/readyz").status == 200
    assert berth.post("/run_model", b"x").body == b"x"
    assert source_of(berth) == {"source": container_file.source, "state": "heard", "containers": 1}


def test_each_way_to_change_a_file_is_seen(gateway, scripted, container_file, tmp_path):
    one, two = scripted(), scripted()
    container_file.overwrite("# none yet", "")
    berth = gateway(container_file.source, wait=False)
    wait_until(lambda: source_of(berth)["state"] == "heard")
    container_file.overwrite(one.address)
    wait_for_containers(berth, one.address)
    container_file.replace(one.address, two.address)
    wait_for_containers(berth, one.address, two.address)
    container_file.overwrite(two.address)
    wait_for_containers(berth, two.address)
    versions = {name: tmp_path / name for name in ("v1", "v2")}  # as Kubernetes mounts a ConfigMap
    for name, addresses in (("v1", [one.address]), ("v2", [one.address, two.address])):
        versions[name].mkdir()
        (versions[name] / "list").write_text("\n".join(addresses))
    link = tmp_path / "..data"
    for version, addresses in (("v1", [one.address]), ("v2", [one.address, two.address])):
        (tmp_path / "link").symlink_to(versions[version])
        (tmp_path / "link").rename(link)
        if version == "v1":
            container_file.path.unlink()
            container_file.path.symlink_to("..data/list")
        wait_for_containers(berth, *addresses)
    (versions["v2"] / "list").write_text(one.address)  # no event in the file's own directory tells of this
    wait_for_containers(berth, one.address)


def test_what_a_line_may_say(gateway, scripted, container_file):
    one, two, three = scripted(), scripted(), scripted()
    container_file.replace(f"{one.address}\tworker=worker1  name=first generation=v2 # the first", "",
                           f"  {two.address} generation=v2 draining\r", f"{three.address} generation=v1")
    berth = gateway(container_file.source, wait=False)
    wait_for_containers(berth, one.address, two.address, three.address, status=("free", "draining"))
    told = {c["name"]: c for c in berth.pool()["containers"]}
    assert set(told) == {"first", two.address.replace(":", "-"), three.address.replace(":", "-")}
    assert (told["first"]["worker"], told["first"]["status"]) == ("worker1", "free")
    assert told[two.address.replace(":", "-")]["status"] == "draining"
    wait_until(lambda: berth.get("/berth/readyz").json["up"] == 3)
    assert berth.get("/berth/readyz").json == {
        "ready": True, "containers": 3, "up": 3, "down": 0, "draining": 1,
        "sources": {"all": 1, "unheard": 0, "heard": 1, "unreachable": 0},
        "generations": {"v2": {"containers": 2, "up": 2}, "v1": {"containers": 1, "up": 1}},
        "workers": {"worker1": {"containers": 1, "up": 1}}}
    for _ in range(6):
        berth.post("/run_model", b"x")
    assert not two.requests and one.requests and three.requests
    container_file.replace(f"{one.address} name=other", f"{two.address} name=other")
    wait_for_containers(berth, one.address, two.address)
    assert {c["name"] for c in berth.pool()["containers"]} == {"other", "other-2"}


def test_a_socket_beside_the_address_is_taken_while_it_is_open(gateway, scripted, container_file, tmp_path):
    by_address, by_socket = scripted(), scripted(path=tmp_path / "near.sock")
    container_file.replace(f"{by_address.address} near=unix:{tmp_path}/not-yet.sock")
    berth = gateway(container_file.source, wait=False)
    wait_for_containers(berth, by_address.address)
    assert berth.post("/run_model", b"1").body == b"1"
    container_file.replace(f"{by_address.address} near={by_socket.address}")  # from the next connection on
    wait_until(lambda: source_of(berth)["state"] == "heard")
    by_address.hang_up()
    wait_until(lambda: by_socket.connections, "a connection to the socket")
    wait_for_containers(berth, by_address.address)
    asked = len(by_address.requests)
    for _ in range(3):
        assert berth.post("/run_model", b"2").body == b"2"
    assert by_socket.seen()[-1] == ("POST", "/run_model") and len(by_address.requests) == asked
    by_socket.die()
    wait_for_containers(berth, by_address.address)
    assert berth.post("/run_model", b"3").body == b"3"
    assert by_address.requests[-1].body == b"3"


@pytest.mark.parametrize("line, what", [
    ("nonsense", 'line 2: "nonsense" is no address like'),
    ("example.org:5000", 'line 2: "example.org:5000" is no address like'),
    ("127.0.0.1:99999", 'line 2: "127.0.0.1:99999" is no address like'),
    ("127.0.0.1:5000 drainig", 'line 2: "drainig": expected worker=, name= or generation='),
    ("127.0.0.1:5000 name=a/b", 'line 2: "name=a/b": expected worker=, name= or generation='),
    ("127.0.0.1:5000 near=127.0.0.1:5001", 'line 2: "near=127.0.0.1:5001": expected worker=, name= or generation='),
    ("127.0.0.1:5000 near=", 'line 2: "near=": expected worker=, name= or generation='),
])
def test_a_bad_line_changes_nothing(gateway, scripted, container_file, line, what):
    one, two = scripted(), scripted()
    container_file.replace(one.address)
    berth = gateway(container_file.source, wait=False)
    wait_for_containers(berth, one.address)
    container_file.replace(two.address, line)
    berth.wait_for(what.replace("(", r"\("))
    assert set(containers_of(berth)) == {one.address}
    assert what in source_of(berth)["why"]
    assert 'berth_source_reachable{pool="default",source="%s"} 0' % container_file.source in berth.metrics()
    container_file.replace(two.address)
    wait_for_containers(berth, two.address)
    assert 'berth_source_reachable{pool="default",source="%s"} 1' % container_file.source in berth.metrics()
    assert 'berth_source_containers{pool="default",source="%s"} 1' % container_file.source in berth.metrics()


def test_a_file_that_goes_away_leaves_what_is_known(gateway, scripted, container_file):
    one = scripted()
    container_file.replace(one.address)
    berth = gateway(container_file.source, wait=False)
    wait_for_containers(berth, one.address)
    container_file.path.unlink()
    berth.wait_for("cannot read it: No such file or directory; what is known of it stays \\(1 container\\)")
    assert berth.post("/run_model", b"x").status == 200
    container_file.replace(one.address)
    berth.wait_for("in reach again, nothing has changed")
    assert berth.output.count("No such file or directory") == 1  # however often it was looked for


def test_more_containers_than_may_be(gateway, scripted, container_file):
    one = scripted()
    container_file.replace(one.address)
    berth = gateway(container_file.source, wait=False, discovery_max_containers=2)
    wait_for_containers(berth, one.address)
    container_file.replace(*(f"127.0.0.1:{port}" for port in range(1, 4)))
    berth.wait_for(r"line 3: more than discovery.max_containers \(2\) containers")
    assert set(containers_of(berth)) == {one.address}


def test_addresses_that_are_no_containers_are_left_out(gateway, scripted, container_file):
    one = scripted()
    container_file.replace("169.254.169.254:80", one.address, one.address)
    berth = gateway(container_file.source, wait=False)
    wait_for_containers(berth, one.address)
    assert "169.254.169.254:80 is left out: port 0, link-local and metadata addresses" in berth.output


# ---- nobody is lost ----


def test_no_request_is_lost_while_a_file_changes(gateway, fleet, container_file):
    rng = random.Random(1)
    containers = fleet(6)
    container_file.replace(*(c.address for c in containers[:3]))
    berth = gateway(container_file.source, wait=False)
    wait_for_containers(berth, *(c.address for c in containers[:3]))
    traffic = Traffic(berth)
    for _ in range(60):
        chosen = rng.sample(containers, rng.randint(1, 6))
        change = rng.choice([container_file.replace, container_file.overwrite])
        change(*(f"{c.address}{rng.choice(['', '', ' draining']) if i else ''}" for i, c in enumerate(chosen)))
        traffic.wait_for(15)
    container_file.replace(*(c.address for c in containers))
    wait_for_containers(berth, *(c.address for c in containers))
    traffic.stop_and_check()
    assert all(c.requests for c in containers)


def test_no_request_is_lost_while_operators_put_and_delete(gateway, fleet):
    rng = random.Random(2)
    containers = fleet(5)
    berth = gateway(containers[0])
    traffic = Traffic(berth)
    there = set()
    for _ in range(60):
        i = rng.randrange(1, 5)
        name = f"extra{i}"
        if i in there:
            assert admin(berth, "DELETE", f"/containers/{name}").status == 202
            wait_until(lambda: all(c["name"] != name for c in berth.pool()["containers"]))
            there.discard(i)
        else:
            body = json.dumps({"address": containers[i].address})
            assert admin(berth, "PUT", f"/containers/{name}", body).status == 201
            there.add(i)
        traffic.wait_for(15)
    traffic.stop_and_check()


def test_one_that_leaves_finishes_what_it_has(gateway, scripted, container_file):
    release = threading.Event()
    one, two = scripted().always(when(release, echo)), scripted()
    container_file.replace(one.address)
    berth = gateway(container_file.source, wait=False)
    wait_for_containers(berth, one.address)
    first = Background(berth.post, "/run_model", b"first")
    wait_until(lambda: one.in_flight == 1)
    second = Background(berth.post, "/run_model", b"second")
    berth.wait_for_queue(1)
    container_file.replace(two.address)
    assert second.result().body == b"second" and len(two.requests) == 1
    assert containers_of(berth) == {one.address: "draining", two.address: "free"}
    release.set()
    assert first.result().body == b"first"
    wait_for_containers(berth, two.address)


def test_one_that_comes_back_before_it_has_left_never_runs_too_much(gateway, scripted, container_file):
    release = threading.Event()
    one = scripted().always(when(release, echo))
    container_file.replace(one.address)
    berth = gateway(container_file.source, wait=False)
    wait_for_containers(berth, one.address)
    first = Background(berth.post, "/run_model", b"first")
    wait_until(lambda: one.in_flight == 1)
    container_file.replace()
    wait_for_containers(berth, one.address, status=("draining",))
    container_file.replace(one.address)
    wait_for_containers(berth, one.address, status=("busy",))
    second = Background(berth.post, "/run_model", b"second")
    berth.wait_for_queue(1)
    release.set()
    assert (first.result().body, second.result().body) == (b"first", b"second")
    assert one.in_flight_max == 1


# ---- settings, sources and operators together ----


def test_an_operator_drains_and_removes_what_a_source_knows(gateway, scripted, container_file):
    one, two = scripted(), scripted()
    names = [c.address.replace(":", "-") for c in (one, two)]
    container_file.replace(one.address, two.address)
    berth = gateway(container_file.source, wait=False)
    wait_for_containers(berth, one.address, two.address)
    assert admin(berth, "PUT", f"/containers/{names[0]}", '{"draining": true}').json["status"] == "draining"
    container_file.replace(two.address, one.address, "# another text, the same containers")
    assert admin(berth, "DELETE", f"/containers/{names[1]}").status == 202
    wait_for_containers(berth, one.address, status=("draining",))
    container_file.replace(one.address, two.address, f"{two.address} worker=x", "127.0.0.1:1 draining")
    wait_until(lambda: "127.0.0.1:1" in containers_of(berth))
    assert two.address not in containers_of(berth)  # dismissed, while the file names it
    assert containers_of(berth)[one.address] == "draining"
    assert admin(berth, "PUT", f"/containers/{names[0]}", '{"draining": false}').json["status"] == "free"
    container_file.replace(one.address)
    wait_for_containers(berth, one.address)
    container_file.replace(one.address, two.address)  # named anew
    wait_for_containers(berth, one.address, two.address)


def test_an_address_that_is_there_is_not_added_again(gateway, scripted):
    one = scripted()
    berth = gateway(one)
    answer = admin(berth, "PUT", "/containers/again", json.dumps({"address": one.address}))
    assert answer.status == 400 and "at this address already" in answer.json["detail"]
    assert len(berth.pool()["containers"]) == 1


def configure(path, text):
    path.write_text(text)
    return path


def test_an_address_is_a_container_of_one_pool(gateway, scripted, tmp_path):
    one, two = scripted(), scripted()
    (tmp_path / "a").write_text(f"{one.address}\n")
    (tmp_path / "b").write_text(f"{one.address}\n{two.address}\n")
    config = configure(tmp_path / "pools.yaml",
                       "pools:\n- {name: a, match: {path_prefix: /a}, containers: 'file:a'}\n"
                       "- {name: b, match: {path_prefix: /b}, containers: 'file:b'}\n")
    berth = gateway(wait=False, config=config)
    wait_until(lambda: sum(len(berth.pool(name)["containers"]) for name in "ab") == 2)
    berth.wait_for(f"{one.address} is left out of the pool [ab]: it is a container of another pool")
    loser = "a" if "left out of the pool a" in berth.output else "b"
    winner = "ab".replace(loser, "")
    (tmp_path / winner).write_text("127.0.0.1:1\n")
    wait_until(lambda: one.address in containers_of(berth, loser))
    (tmp_path / loser).write_text("")  # settings go before sources, wherever it was
    wait_until(lambda: one.address not in containers_of(berth, loser))
    (tmp_path / loser).write_text(one.address)
    wait_until(lambda: one.address in containers_of(berth, loser))
    configure(config, f"pools:\n- {{name: {loser}, match: {{path_prefix: /a}}, containers: 'file:{loser}'}}\n"
                      f"- {{name: {winner}, match: {{path_prefix: /b}}, containers: '{one.address}'}}\n")
    berth.signal(signal.SIGHUP)
    wait_for_containers(berth, one.address, pool=winner)
    wait_until(lambda: one.address not in containers_of(berth, loser))


def test_sources_come_and_go_by_a_reload(gateway, scripted, tmp_path):
    containers = [scripted() for _ in range(3)]
    for name, container in zip("abc", containers):
        (tmp_path / name).write_text(container.address)
    config = configure(tmp_path / "pools.yaml", "pools: [{containers: ['file:a', 'file:b']}]\n")
    berth = gateway(wait=False, config=config)
    wait_for_containers(berth, *(c.address for c in containers[:2]))
    traffic = Traffic(berth, clients=4)
    for text, addresses in (
            ("pools: [{containers: ['file:b', 'file:c']}]\n", [containers[1].address, containers[2].address]),
            (f"pools: [{{containers: ['{containers[0].address}', 'file:b']}}]\n",
             [containers[0].address, containers[1].address]),
            ("pools: [{slots: 2, containers: ['file:a', 'file:b']}]\ndiscovery: {max_containers: 9}\n",
             [containers[0].address, containers[1].address]),
            ("pools: [{containers: ['file:c']}]\n", [containers[2].address])):
        configure(config, text)
        berth.signal(signal.SIGHUP)
        wait_for_containers(berth, *addresses)
        slots = 2 if "slots" in text else 1
        wait_until(lambda: {c["slots"] for c in berth.pool()["containers"]} == {slots})
        traffic.wait_for(20)
    traffic.stop_and_check()
    assert "error" not in berth.output.lower()


def test_what_comes_before_a_source_is_heard_waits(gateway, scripted, name_server):
    container = scripted("127.0.0.2")
    name_server.process.send_signal(signal.SIGSTOP)
    berth = gateway(f"dns:workers.test:{container.port}", wait=False, dns_server=name_server.address, dns_timeout="20s")
    first = Background(berth.post, "/run_model", b"first")
    berth.wait_for_queue(1)
    assert berth.get("/berth/readyz").json["sources"]["unheard"] == 1
    name_server.process.send_signal(signal.SIGCONT)
    name_server.tell(workers=["127.0.0.2"])
    assert first.result().body == b"first"


def test_nobody_leaves_for_a_source_that_was_never_heard(gateway, scripted, tmp_path):
    one, two = scripted(), scripted()
    config = configure(tmp_path / "pools.yaml", f"pools: [{{containers: ['{one.address}']}}]\n")
    berth = gateway(wait=False, config=config)
    wait_for_containers(berth, one.address)
    configure(config, "pools: [{containers: ['file:later']}]\n")
    berth.signal(signal.SIGHUP)
    berth.wait_for("file:later: cannot read it: No such file or directory")
    assert berth.post("/run_model", b"x").status == 200
    assert containers_of(berth) == {one.address: "free"}
    (tmp_path / "later").write_text(two.address)
    wait_for_containers(berth, two.address)


def test_berth_ends_at_once_while_sources_are_busy(gateway, tmp_path):
    os.mkfifo(tmp_path / "fifo")
    berth = gateway("file:fifo", "dns:name.test:5000", wait=False, dns_server="127.0.0.1:1")
    berth.wait_for("it is no regular file")
    berth.signal(signal.SIGTERM)
    assert berth.wait() == 0
