#!/usr/bin/python3
"""Checks that every test that docs/testing.md names exists."""

import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
NAMED = re.compile(r"`(test_\w+)`")
DEFINED = re.compile(r"^(?:def|static void) (test_\w+)\(", re.MULTILINE)


def main():
    named = NAMED.findall((ROOT / "docs/testing.md").read_text())
    folders = {"unit": "*.c", "sim": "*.c", "integration": "*.py"}
    files = [file for folder, names in folders.items() for file in (ROOT / "test" / folder).glob(names)]
    defined = {name for file in files for name in DEFINED.findall(file.read_text())}
    missing = sorted(set(named) - defined)
    for name in missing:
        print(f"docs/testing.md: there is no {name}")
    if not named:
        print("docs/testing.md: names no tests")
    return 1 if missing or not named else 0


if __name__ == "__main__":
    sys.exit(main())
