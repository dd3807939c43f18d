#!/usr/bin/python3
"""Checks the include lines of src/ and test/: the folders of src/ are layers, and an include points down.

    includes.py [--root DIR]    prints each bad line as FILE:LINE: WHY; exit code 1 if there is one
    includes.py --self-test     plants each kind of bad line in a copy of the project and sees it reported
"""

import argparse
import pathlib
import re
import shutil
import sys
import tempfile

# What a folder of src/ may include from, besides itself.
LAYERS = {
    "base": [],
    "http": ["base"],
    "io": ["http", "base"],
    "core": ["http", "base"],
    "store": ["core", "io", "http", "base"],
    "fleet": ["io", "http", "base"],
    "gateway": ["store", "fleet", "core", "io", "http", "base"],
    "worker": ["store", "fleet", "io", "http", "base"],
    "cli": ["gateway", "worker", "store", "fleet", "io", "http", "base"],
}

# The core is pure: none of these does I/O or tells time.
CORE_SYSTEM_HEADERS = {
    "assert.h", "errno.h", "inttypes.h", "limits.h", "math.h", "stdalign.h", "stdarg.h", "stdbool.h",
    "stddef.h", "stdint.h", "stdlib.h", "string.h",
}

INCLUDE = re.compile(r'^\s*#\s*include\s*(["<])([^">]+)[">]')
COMMENT = re.compile(r"/\*.*?\*/|//[^\n]*", re.DOTALL)


def includes(text):
    """Yields (line number, "quote" or "<", name) of each include line."""
    for number, line in enumerate(text.splitlines(), 1):
        match = INCLUDE.match(line)
        if match:
            yield number, match[1], match[2]


def is_umbrella(text):
    """A header that has nothing but includes of its own project's headers."""
    lines = [line.strip() for line in COMMENT.sub("", text).splitlines() if line.strip()]
    rest = [line for line in lines if not line.startswith("#")]
    return not rest and any(line.startswith("#") and INCLUDE.match(line) for line in lines)


def layer_of(path, root):
    """The folder of src/ that the file is in, or None outside src/."""
    parts = path.relative_to(root).parts
    return parts[1] if parts[0] == "src" and len(parts) > 2 else None


def complaint(path, root, quote, name):
    """Why this include line is bad, or None."""
    layer = layer_of(path, root)
    if quote == "<":
        if layer == "core" and name not in CORE_SYSTEM_HEADERS:
            return f"core is pure and may not include <{name}>"
        return None
    if name.endswith(".c"):
        return f'"{name}" is another file\'s source: include its header'
    if ".." in pathlib.PurePath(name).parts:
        return f'"{name}" climbs: name the header from src/'
    beside, from_src = path.parent / name, root / "src" / name
    target = beside if beside.exists() else from_src
    if layer is None:
        return None
    target_layer = layer_of(target, root)
    if target_layer is None or target_layer == layer:
        return None
    if target_layer not in LAYERS[layer]:
        return f'"{name}" is not below {layer}'
    return None


def check(root):
    """The bad lines under root, each as a string FILE:LINE: WHY."""
    found = []
    for path in sorted(p for top in ("src", "test") for p in (root / top).rglob("*.[ch]")):
        place = path.relative_to(root)
        text = path.read_text()
        layer = layer_of(path, root)
        if layer is not None and layer not in LAYERS:
            found.append(f"{place}:1: src/{layer} is no layer that includes.py knows")
            continue
        if path.suffix == ".h" and is_umbrella(text):
            found.append(f"{place}:1: only includes other headers: an umbrella header")
        for number, quote, name in includes(text):
            why = complaint(path, root, quote, name)
            if why:
                found.append(f"{place}:{number}: {why}")
    return found


# Each case: a file, the lines that it gets, and the complaint that must come, or None.
SELF_TEST = [
    ("src/core/planted.c", '#include "core/planted.h"\n#include <stdint.h>\n', None),
    ("src/core/planted.c", '#include "http/planted.h"\n', None),
    ("src/core/planted.c", '#include "io/planted.h"\n', 'src/core/planted.c:1: "io/planted.h" is not below core'),
    ("src/core/planted.c", "\n#include <time.h>\n", "src/core/planted.c:2: core is pure and may not include <time.h>"),
    ("src/core/planted.c", "# include <stdio.h>\n", "src/core/planted.c:1: core is pure and may not include <stdio.h>"),
    ("src/base/planted.c", '#include "http/planted.h"\n', 'src/base/planted.c:1: "http/planted.h" is not below base'),
    ("src/io/planted.c", '#include "core/planted.h"\n', 'src/io/planted.c:1: "core/planted.h" is not below io'),
    ("src/gateway/planted.c", '#include "core/planted.h"\n', None),
    ("src/gateway/planted.c", '#include "cli/planted.h"\n',
     'src/gateway/planted.c:1: "cli/planted.h" is not below gateway'),
    ("src/worker/planted.c", '#include "core/planted.h"\n',
     'src/worker/planted.c:1: "core/planted.h" is not below worker'),
    ("src/http/planted.c", '#include "../base/planted.h"\n',
     'src/http/planted.c:1: "../base/planted.h" climbs: name the header from src/'),
    ("test/unit/planted.c", '#include "core/planted.c"\n',
     'test/unit/planted.c:1: "core/planted.c" is another file\'s source: include its header'),
    ("src/http/planted_all.h", '/* all */\n#pragma once\n#include "http/planted.h"\n',
     "src/http/planted_all.h:1: only includes other headers: an umbrella header"),
    ("src/engine/planted.c", "int planted;\n", "src/engine/planted.c:1: src/engine is no layer that includes.py knows"),
]


def self_test(root):
    """Plants the cases, one after the other, in a copy of the project; returns the number that went wrong."""
    wrong = 0
    with tempfile.TemporaryDirectory(prefix="berth-includes-") as name:
        copy = pathlib.Path(name)
        for top in ("src", "test"):
            shutil.copytree(root / top, copy / top, ignore=shutil.ignore_patterns("__pycache__"))
        for layer in LAYERS:
            (copy / "src" / layer).mkdir(exist_ok=True)
            (copy / "src" / layer / "planted.h").write_text("#pragma once\nint planted;\n")
        before = check(copy)
        for place, text, expected in SELF_TEST:
            planted = copy / place
            planted.parent.mkdir(parents=True, exist_ok=True)
            planted.write_text(text)
            found = [line for line in check(copy) if line not in before]
            planted.unlink()
            if found != ([expected] if expected else []):
                wrong += 1
                print(f"self-test: {place} with {text!r}: expected {expected}, got {found}")
    return wrong


def main():
    parser = argparse.ArgumentParser(description="Checks that include lines point down the layers.")
    parser.add_argument("--root", type=pathlib.Path, default=pathlib.Path(__file__).resolve().parents[2])
    parser.add_argument("--self-test", action="store_true", help="plant bad lines and see them reported")
    arguments = parser.parse_args()
    if arguments.self_test:
        wrong = self_test(arguments.root)
        print(f"includes.py: {len(SELF_TEST)} planted cases, {wrong} wrong")
        return 1 if wrong else 0
    found = check(arguments.root)
    for line in found:
        print(line)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
