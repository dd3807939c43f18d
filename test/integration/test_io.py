"""How bytes come in: by epoll, or by io_uring where it may be used."""

import concurrent.futures
import errno
import pathlib
import re
import sys
import time

import pytest

# Runs a program for which a system call fails: its number and the error's.
WITHOUT = """
import ctypes, os, struct, sys
number, error, *command = sys.argv[1:]
program = b"".join(struct.pack("HBBI", *line) for line in (
    (0x20, 0, 0, 0),                        # load the number of the system call
    (0x15, 0, 1, int(number)),              # is it that one?
    (0x06, 0, 0, 0x00050000 | int(error)),  # fails
    (0x06, 0, 0, 0x7fff0000),               # goes on
))
buffer = ctypes.create_string_buffer(program)
filter = ctypes.create_string_buffer(struct.pack("HxxxxxxP", 4, ctypes.addressof(buffer)))
libc = ctypes.CDLL(None, use_errno=True)
if libc.prctl(38, 1, 0, 0, 0) or libc.prctl(22, 2, ctypes.byref(filter), 0, 0):
    sys.exit(os.strerror(ctypes.get_errno()))
os.execv(command[0], command)
"""

IO_URING_SETUP, EPOLL_PWAIT2 = 425, 441  # on x86-64 and aarch64


def without(berth, number, error):
    berth.command[:0] = [sys.executable, "-c", WITHOUT, str(number), str(error)]
    return berth


def uses_uring(berth):
    links = pathlib.Path(f"/proc/{berth.process.pid}/fd").iterdir()
    return any(link.readlink().name == "anon_inode:[io_uring]" for link in links)


@pytest.fixture
def serve_one(serve, container):
    def make(io):
        return serve().containers(container()).flag("io", io)
    return make


def test_epoll(serve_one):
    berth = serve_one("epoll").start()
    assert berth.get("/").status == 200
    assert not uses_uring(berth)


def test_uring(serve_one):
    berth = serve_one("auto").start()
    if "io: epoll" in berth.output:
        pytest.skip(berth.output.splitlines()[0])
    assert "io: io_uring receives" in berth.output
    assert uses_uring(berth)
    assert berth.get("/").status == 200


def test_auto_takes_epoll_where_io_uring_is_forbidden(serve_one):
    berth = without(serve_one("auto"), IO_URING_SETUP, errno.EPERM).start()  # as in most containers
    assert "io: epoll, for kernel or container do not allow io_uring (Operation not permitted)" in berth.output
    assert berth.get("/").status == 200


def test_uring_is_refused_where_it_is_forbidden(serve_one):
    berth = without(serve_one("uring"), IO_URING_SETUP, errno.EPERM).launch()
    assert berth.wait() == 2
    assert "io: uring: kernel or container do not allow io_uring (Operation not permitted); io: auto takes epoll" in berth.output


@pytest.mark.parametrize("error", [errno.ENOSYS, errno.EPERM])
def test_polling_where_it_cannot_sleep_for_microseconds(serve, container, error):
    """Kernels before 5.11 have no epoll_pwait2, and sandboxes forbid what they do not know."""
    def answer(_handler, body):
        time.sleep(0.005)  # a service time that can be foretold
        return 200, {}, body
    berth = without(serve().containers(container().answer(answer)), EPOLL_PWAIT2, error)
    berth.flag("io", "epoll").flag("spin", "auto").flag("spin-share", 100).start()
    with concurrent.futures.ThreadPoolExecutor(8) as clients:
        answers = list(clients.map(lambda i: berth.post("/", b"%d" % i), range(40)))
    assert [answer.body for answer in answers] == [b"%d" % i for i in range(40)]
    assert berth.is_running
    polled = re.search(r"^berth_spin_seconds_total (\S+)", berth.metrics(), re.M)
    assert float(polled[1]) > 0
