#!/usr/bin/python3
"""Checks that docs/problems.md has one section for each problem type of src/http/problem.c, which begins with its status, and that
every setting that the page names exists."""

import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
TYPE = re.compile(r'\[PROBLEM_\w+\] = \{ (\d+), "([a-z-]+)"')
SECTION = re.compile(r"^### (\S+)\n(\d*)", re.MULTILINE)
KEY = re.compile(r"^\| `(?:pools\[\]\.)?([a-z_.]+)` \|", re.MULTILINE)
NAMED = re.compile(r"`(?:pools\[\]\.)?([a-z_]+(?:\.[a-z_]+)*)`")
NO_SETTINGS = {"type", "title", "detail", "localhost", "outcome", "safe"}  # of what looks like one in the page


def main():
    types = {name: status for status, name in TYPE.findall((ROOT / "src/http/problem.c").read_text())}
    page = (ROOT / "docs/problems.md").read_text()
    sections = SECTION.findall(page)
    keys = set(KEY.findall((ROOT / "docs/configuration.md").read_text()))
    keys.add("match")  # a group of keys
    faults = [f"{name}: no section" for name in types if name not in dict(sections)]
    faults += [f"{name}: a section without a type" for name, _ in sections if name not in types]
    faults += [f"{name}: its status is {types[name]}, not {status}" for name, status in sections
               if name in types and status != types[name]]
    faults += [f"{name}: two sections" for name in types if [section for section, _ in sections].count(name) > 1]
    faults += [f"{name}: no such setting" for name in sorted(set(NAMED.findall(page)) - keys - NO_SETTINGS)]
    if not types or not keys:
        faults.append("no types or no settings were found")
    for fault in faults:
        print(f"docs/problems.md: {fault}")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
