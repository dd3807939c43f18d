"""How bytes come in: by epoll, or by io_uring where it may be used."""

import pathlib
import sys

import pytest

# Runs a program for which io_uring_setup (425 on x86-64 and aarch64) fails with EPERM, as in most containers.
WITHOUT_URING = """
import ctypes, os, struct, sys
program = b"".join(struct.pack("HBBI", *line) for line in (
    (0x20, 0, 0, 0),           # load the number of the system call
    (0x15, 0, 1, 425),         # is it io_uring_setup?
    (0x06, 0, 0, 0x00050001),  # fails with EPERM
    (0x06, 0, 0, 0x7fff0000),  # goes on
))
buffer = ctypes.create_string_buffer(program)
filter = ctypes.create_string_buffer(struct.pack("HxxxxxxP", 4, ctypes.addressof(buffer)))
libc = ctypes.CDLL(None, use_errno=True)
if libc.prctl(38, 1, 0, 0, 0) or libc.prctl(22, 2, ctypes.byref(filter), 0, 0):
    sys.exit(os.strerror(ctypes.get_errno()))
os.execv(sys.argv[1], sys.argv[1:])
"""


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
    berth = serve_one("auto")
    berth.command[:0] = [sys.executable, "-c", WITHOUT_URING]
    berth.start()
    assert "io: epoll, for kernel or container do not allow io_uring (Operation not permitted)" in berth.output
    assert berth.get("/").status == 200


def test_uring_is_refused_where_it_is_forbidden(serve_one):
    berth = serve_one("uring")
    berth.command[:0] = [sys.executable, "-c", WITHOUT_URING]
    berth.launch()
    assert berth.wait() == 2
    assert "io: uring: kernel or container do not allow io_uring (Operation not permitted); io: auto takes epoll" in berth.output
