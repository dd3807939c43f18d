#!/usr/bin/python3
"""Holds the list in src/worker/ort_api.h against the function table of the ONNX Runtime library itself: the library's
symbol table says which function stands at each place. Exit code 77, with the reason, where that cannot be seen."""

import ctypes
import os
import pathlib
import platform
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
MACHINE = {"x86_64": "x64", "aarch64": "arm64"}.get(platform.machine(), "none")
PACKAGE = ROOT / "node_modules" / f"sherpa-onnx-linux-{MACHINE}"
VERSION = 17


def skip(why):
    print(why)
    sys.exit(77)


def find_library():
    places = [os.environ.get("BERTH_ORT"), PACKAGE / "lib" / "libonnxruntime.so", PACKAGE / "libonnxruntime.so"]
    found = [place for place in places if place and pathlib.Path(place).exists()]
    return str(found[0]) if found else skip("no ONNX Runtime is installed")


def names_by_address(library):
    """Address in the file → name, of OrtApis' functions."""
    try:
        lines = subprocess.run(["nm", "-C", library], capture_output=True, text=True, check=False).stdout.splitlines()
    except FileNotFoundError:
        skip("nm is not installed")
    found = {}
    for line in lines:
        match = re.match(r"([0-9a-f]+) [tT] OrtApis::(\w+)\(", line)
        if match:
            found.setdefault(int(match[1], 16), set()).add(match[2])
    return found or skip(f"{library} has no symbols of its own functions")


def load_address(library):
    for line in pathlib.Path("/proc/self/maps").read_text().splitlines():
        if line.endswith(os.path.realpath(library)):
            return int(line.split("-")[0], 16)
    raise AssertionError(f"{library} is not mapped")


class Base(ctypes.Structure):
    _fields_ = [("get_api", ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_uint32)),
                ("get_version", ctypes.CFUNCTYPE(ctypes.c_char_p))]


def main():
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    library = find_library()
    names = names_by_address(library)
    loaded = ctypes.CDLL(library)
    loaded.OrtGetApiBase.restype = ctypes.POINTER(Base)
    table = ctypes.cast(loaded.OrtGetApiBase().contents.get_api(VERSION), ctypes.POINTER(ctypes.c_size_t))
    start = load_address(library)
    header = (ROOT / "src" / "worker" / "ort_api.h").read_text()
    wanted = re.findall(r"\bX\((\d+),\s*[^,]+,\s*(\w+),", header)
    wrong = [f"place {place}: {name}, not {names.get(table[int(place)] - start)}" for place, name in wanted
             if name not in names.get(table[int(place)] - start, ())]
    print("\n".join(wrong) or f"{len(wanted)} places hold what the list says")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
