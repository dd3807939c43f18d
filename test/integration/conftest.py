"""Fixtures: what a test starts with them is ended after it."""

import os
import pathlib
import signal

import pytest

import aws
import berth as programs
from engine import Engine

# What takes too long for make test.
collect_ignore = [] if os.environ.get("BERTH_TESTS") == "all" else ["test_compose.py", "test_dockerfile.py"]


@pytest.fixture(scope="session", autouse=True)
def ctrl_c_reaches_what_is_started():
    """A shell starts a background job with SIGINT ignored, and its children would inherit that."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def valgrind_has_found_nothing():
    """At the end of a run with BERTH_VALGRIND: a line in one of its files is an error of the run."""
    if programs.VALGRIND:
        pathlib.Path(programs.VALGRIND).mkdir(parents=True, exist_ok=True)
    yield
    if programs.VALGRIND:
        found = [file for file in pathlib.Path(programs.VALGRIND).iterdir() if file.read_text().strip()]
        assert not found, f"valgrind has found something: {found}"


@pytest.fixture
def environment(tmp_path_factory):
    """The environment of a user of its own: no fleet of another test, or of yours, is found."""
    directory = tmp_path_factory.mktemp("runtime")
    directory.chmod(0o700)
    return {"XDG_RUNTIME_DIR": str(directory), "XDG_STATE_HOME": str(directory / "state"), **programs.model_runtime()}


@pytest.fixture
def started():
    """A list: what is put there is stopped at the end, the newest first."""
    things = []
    yield things
    for thing in reversed(things):
        thing.stop()


@pytest.fixture
def serve(started, environment, tmp_path):
    """serve() makes a `berth serve` that is yet to be given flags and started."""
    def make():
        program = programs.Berth("serve", cwd=tmp_path, env=environment)
        started.append(program)
        return program
    return make


@pytest.fixture
def up(started, environment, tmp_path):
    """up() makes a `berth up` of one worker with two containers, on ports that the kernel chooses."""
    def make():
        program = programs.Berth("up", cwd=tmp_path, env=environment)
        program.flag("workers", 1).flag("containers", 2).flag("base-port", 0)
        program.flag("model", programs.ROOT / "models" / "spam")
        started.append(program)
        return program
    return make


@pytest.fixture
def run(environment, tmp_path):
    """run("check", …) runs a command to its end."""
    def go(*arguments, **options):
        return programs.run(*arguments, env=environment, cwd=options.pop("cwd", tmp_path), **options)
    return go


@pytest.fixture
def container():
    """container() makes a container whose behaviour the test decides."""
    made = []

    def make():
        made.append(programs.Container())
        return made[-1]
    yield make
    for one in made:
        one.close()


def engine_for_tests(*network):
    """One that is stopped after them, or why there is none."""
    it = Engine(*network)
    if it.trouble:
        it.stop()
        pytest.skip(f"no Docker Engine: {it.trouble}")
    yield it
    it.stop()


@pytest.fixture(scope="module")
def engine():
    yield from engine_for_tests()


@pytest.fixture(scope="module")
def host_engine():
    """It builds and runs with --network host, as this machine is connected."""
    yield from engine_for_tests("host")


@pytest.fixture(scope="session")
def only_cloud(tmp_path_factory):
    """AWS as moto plays it, one for all tests."""
    if not aws.python_with_moto():
        pytest.skip("no Python on PATH has moto and boto3 (pip install 'moto[server]' boto3)")
    it = aws.Cloud(tmp_path_factory.mktemp("moto"))
    yield it
    it.stop()


@pytest.fixture(scope="module")
def cloud(only_cloud):
    """It is empty when a file's tests begin; each of them has a fleet of another name."""
    only_cloud.reset()
    return only_cloud


@pytest.fixture
def proxy(cloud):
    it = aws.Proxy(cloud)
    yield it
    it.stop()


@pytest.fixture
def operator(cloud, proxy, environment, tmp_path):
    """operator("blue") is somebody who has a fleet of that name."""
    return lambda name, **options: aws.Operator(cloud, name, tmp_path, environment, proxy.endpoint, **options)
