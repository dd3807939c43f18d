"""Adds up what the clients found, what the containers recorded, and what Berth says of its slots."""

import collections
import dataclasses

NEAR_S = 5  # at most, between a kill and the answer that tells of it, on a busy machine


@dataclasses.dataclass
class Row:
    """A line of the table. bars: what was missed, in words."""

    name: str
    requests: int = 0
    statuses: dict = dataclasses.field(default_factory=dict)
    lost: int = 0
    twice: int = 0
    foreign: int = 0
    ran_twice: int = 0
    overlaps: int = 0
    worst_s: float = 0.0
    slots_missing: int = 0
    notes: list = dataclasses.field(default_factory=list)
    bars: list = dataclasses.field(default_factory=list)

    def count(self, statuses):
        for status, n in statuses.items():
            self.statuses[int(status)] = self.statuses.get(int(status), 0) + n

    def add_asked(self, found):
        """What asker.py found."""
        self.requests += found["requests"]
        self.count(found["statuses"])
        self.lost += len(found["lost"])
        self.twice += found["unasked_bytes"] > 0
        self.foreign += len(found["foreign"])
        self.worst_s = max(self.worst_s, found["worst_s"])

    def add_wrk(self, found):
        self.requests += found["requests"]
        self.count(found["statuses"])
        self.lost += found["lost"] + found["broken"]
        self.foreign += found["wrong"]
        self.worst_s = max(self.worst_s, found["worst_s"])

    def errors(self):
        return {status: n for status, n in self.statuses.items() if status != 200}

    def judge(self, allowed=()):
        """The bars that hold everywhere."""
        for what, n in (("lost", self.lost), ("answered twice", self.twice), ("another's answer", self.foreign),
                        ("more requests than slots", self.overlaps), ("slots unaccounted for", self.slots_missing)):
            if n:
                self.bars.append(f"{n} {what}")
        bad = {status: n for status, n in self.errors().items() if status not in allowed}
        if bad:
            self.bars.append("errors that clients saw: " + ", ".join(f"{n} × {status}" for status, n in sorted(bad.items())))
        if not self.statuses.get(200):
            self.bars.append("nothing was answered with 200")
        return self


class Record:
    """What the containers ran: token → [(container, pid)]."""

    def __init__(self, containers):
        self.containers = containers
        self.starts = collections.defaultdict(list)
        self.overlaps = 0
        for container in containers:
            for line in container.record.read_text().splitlines() if container.record.exists() else []:
                what, pid, token = line.split(" ")
                if what in "SV":
                    self.starts[token].append((container, int(pid)))
                self.overlaps += what == "V"

    def ran_twice(self):
        return sum(len(starts) > 1 for starts in self.starts.values())

    def explain(self, failed, first_byte_s):
        """Of [token, status, when]: how many ran on a container that was killed, stopped or cut off then, how many were with
        one that was killed before it wrote them down (one a kill), and which are neither."""
        kills = sorted(when for container in self.containers for when in container.killed.values())
        recorded, delivered, unexplained = 0, 0, []
        for token, status, when in failed:
            starts = self.starts.get(token, [])
            if any(is_to_blame(container, pid, status, when, first_byte_s) for container, pid in starts):
                recorded += 1
                continue
            near = next((kill for kill in kills if -0.01 <= when - kill <= NEAR_S), None)
            if status == 502 and not starts and near is not None:
                kills.remove(near)
                delivered += 1
            elif status == 504 and not starts and any(slept(container, when, first_byte_s) for container in self.containers):
                delivered += 1
            else:
                fates = [f"pid {pid}, " + (f"killed {when - container.killed[pid]:.3f} s before" if pid in container.killed
                                           else "not killed") for container, pid in starts]
                unexplained.append(f"{token}: {status}, ran with {fates or 'nobody'}")
        return recorded, delivered, unexplained


def slept(container, when, first_byte_s):
    return any(begin <= when and end >= when - first_byte_s for begin, end in container.stopped)


def is_to_blame(container, pid, status, when, first_byte_s):
    if status == 502:
        return pid in container.killed and -0.01 <= when - container.killed[pid] <= NEAR_S
    return status == 504 and slept(container, when, first_byte_s)


COLUMNS = ("scenario", "requests", "answers by status", "lost", "twice", "another's", "ran twice", "worst wait",
           "slots missing", "")


def cells(row):
    by_status = ", ".join(f"{status}: {n}" for status, n in sorted(row.statuses.items()))
    return (row.name, str(row.requests), by_status, str(row.lost), str(row.twice), str(row.foreign), str(row.ran_twice),
            f"{row.worst_s:.2f} s", str(row.slots_missing), "MISSED" if row.bars else "ok")


def print_table(rows):
    lines = [COLUMNS] + [cells(row) for row in rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(COLUMNS))]
    for line in lines:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip())
    for row in rows:
        for note in row.notes:
            print(f"{row.name}: {note}")
        for bar in row.bars:
            print(f"{row.name}: MISSED: {bar}")
