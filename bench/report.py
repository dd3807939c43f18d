"""Makes tables of what was measured: the figures that have a bar, and every test's details."""

import dataclasses
import json
import operator
import os
import pathlib
import platform
import re
import subprocess

from measure import median, median_ratio

BERTH, BASE, FLOOR = "berth", "haproxy", "floor"
FULL_SHARE = 0.95  # of a core: below it clients and backends are the limit, and CPU a request is not comparable


@dataclasses.dataclass
class Row:
    figure: str
    haproxy: str = "-"
    berth: str = "-"
    ratio: str = "-"
    bar: str = ""
    met: str = "not measured"


@dataclasses.dataclass
class Bar:
    """A figure and what it must reach: `of` names whose figure the limit is a multiple of; None: the limit stands
    alone."""
    figure: str
    test: str
    key: str
    form: str
    limit: float
    of: str | None = None
    at_least: bool = False
    whose: str = BERTH

    def text(self):
        sign = "≥" if self.at_least else "≤"
        if self.of:
            return f"{sign} {self.limit:.2f} × {'HAProxy' if self.of == BASE else self.of}"
        return f"{sign} {self.form.format(self.limit)}"

    def row(self, results):
        row = Row(self.figure, bar=self.text())
        rows = results.get(self.test, {"rows": {}})["rows"]
        value = median(rows.get(self.whose, []), self.key)
        base = median(rows.get(BASE, []), self.key)
        if base is not None:
            row.haproxy = self.form.format(base)
        if value is None:
            return row
        row.berth = self.form.format(value)
        to_base = median_ratio(rows[self.whose], rows.get(BASE, []), self.key)
        row.ratio = "-" if to_base is None else f"{to_base:.2f}"
        judged = median_ratio(rows[self.whose], rows.get(self.of, []), self.key) if self.of else value
        if judged is None:
            return row
        share = self.smallest_share(rows)
        if share < FULL_SHARE:
            row.met = f"does not count: {share:.2f} of a core"
        else:
            row.met = self.judge(judged)
        return row

    def smallest_share(self, rows):
        if self.key != "cpu_us" or self.test not in ("get", "post"):
            return 1.0
        return min(median(rows[name], "cpu_share") for name in (BERTH, BASE) if rows.get(name))

    def judge(self, value):
        """Ratios are judged to the two digits that are printed."""
        value = round(value, 2) if self.of else value
        return "yes" if (operator.ge if self.at_least else operator.le)(value, self.limit) else "NO"


@dataclasses.dataclass
class Growth:
    """The largest point of a curve, as a multiple of the smallest."""
    figure: str
    test: str
    key: str
    form: str
    limit: float

    def row(self, results):
        row = Row(self.figure, bar=f"≤ {self.limit:.2f} × the first")
        rows = results.get(self.test, {"rows": {}})["rows"]
        points = list(rows.values())
        if not points or any(median(point, self.key) is None for point in points):
            return row
        row.berth = " → ".join(self.form.format(median(point, self.key)) for point in points)
        ratio = median_ratio(points[-1], points[0], self.key)
        row.ratio = f"{ratio:.2f}"
        row.met = "yes" if round(ratio, 2) <= self.limit else "NO"
        return row


@dataclasses.dataclass
class Total:
    """The sum over some tests, which must be 0."""
    figure: str
    key: str
    default: int | None = None  # of a run that says nothing

    def row(self, results):
        row = Row(self.figure, bar="0")
        total = {name: [] for name in (BASE, BERTH)}
        for test in results.values():
            for name, rows in test["rows"].items():
                name = BERTH if name.isdigit() else name  # a point of Berth's growth
                if name in total:
                    values = [each.get(self.key, self.default) for each in rows]
                    total[name] += [value for value in values if value is not None]
        if total[BASE]:
            row.haproxy = f"{sum(total[BASE]):.0f}"
        if total[BERTH]:
            row.berth = f"{sum(total[BERTH]):.0f}"
            row.met = "NO" if sum(total[BERTH]) else "yes"
        return row


ROWS = [
    Bar("CPU a request, GET, us", "get", "cpu_us", "{:.1f}", 0.80, BASE),
    Bar("CPU a request, 4 KiB POST, us", "post", "cpu_us", "{:.1f}", 0.80, BASE),
    Bar("user instructions a request", "instructions", "instructions", "{:,.0f}", 6000),
    Bar("system calls a request, saturated", "system_calls", "all, saturated", "{:.2f}", 4.5),
    Bar("system calls a request, 1 ms slots", "system_calls", "all, 1 ms", "{:.2f}", 5.5),
    Bar("handoff gap p50, 1 ms slots, us", "q1ms", "gap_p50_us", "{:.0f}", 0.65, BASE),
    Bar("handoff gap p50, 10 ms slots, us", "q10ms", "gap_p50_us", "{:.0f}", 0.65, BASE),
    Bar("… with spin: auto, 10 % of a core, 1 ms", "spin_1ms", "gap_p50_us", "{:.0f}", 0.35, BASE, whose="spin 10 %"),
    Bar("… with 30 %, 1 ms", "spin_1ms", "gap_p50_us", "{:.0f}", 0.35, BASE, whose="spin 30 %"),
    Bar("… with 100 %, 1 ms", "spin_1ms", "gap_p50_us", "{:.0f}", 0.35, BASE, whose="spin 100 %"),
    Bar("… with 100 %, 10 ms", "spin_10ms", "gap_p50_us", "{:.0f}", 0.35, BASE, whose="spin 100 %"),
    Bar("slots in use, 1 ms", "q1ms", "slots_in_use", "{:.3f}", 1.00, FLOOR, at_least=True),
    Bar("slots in use, 10 ms", "q10ms", "slots_in_use", "{:.3f}", 1.00, FLOOR, at_least=True),
    Bar("bytes of an idle connection", "memory", "idle_bytes", "{:,.0f}", 300),
    Bar("bytes of a queued GET", "memory", "queued_get_bytes", "{:,.0f}", 700),
    Bar("bytes of a queued 4 KiB POST", "memory", "queued_post_bytes", "{:,.0f}", 5000),
    Bar("rate kept, 16 stalled uploads", "stalled", "kept", "{:.2f}", 0.95, at_least=True),
    Bar("rate kept, 16 that do not read 8 MiB", "deaf", "kept", "{:.2f}", 0.95, at_least=True),
    Bar("rate kept, 2,000 that leave the queue", "leaving", "kept", "{:.2f}", 0.95, at_least=True),
    Total("requests run of clients that had left", "leavers_run"),
    Total("two requests at once in one slot", "violations"),
    Total("answers other than 200", "not_ok"),
    Total("runs in which it hung", "hung", default=0),
    Growth("CPU a request, 8 → 100 → 1,000 containers", "growth_containers", "cpu_us", "{:.0f}", 1.3),
    Growth("gap p50, 8 → 100 → 1,000 containers", "growth_containers", "gap_p50_us", "{:.0f}", 1.3),
    Growth("CPU a request, 64 → 1,000 → 10,000 clients", "growth_clients", "cpu_us", "{:.0f}", 1.3),
    Growth("gap p50, 64 → 1,000 → 10,000 clients", "growth_clients", "gap_p50_us", "{:.0f}", 1.3),
    Bar("place among 1,000,000, ns", "position", "rank_ns", "{:,.0f}", 1000),
    Bar("start to first answer, ms", "start", "start_ms", "{:.1f}", 20),
    Bar("resident at start, KiB", "memory", "resident_kib", "{:,.0f}", 6 * 1024),
    Bar("the program, stripped, KiB", "size", "stripped_kib", "{:,.0f}", 2 * 1024),
]


def table(results, sizes):
    """The figures that have a bar, as a Markdown table."""
    if sizes["stripped_bytes"]:
        size = {"stripped_kib": sizes["stripped_bytes"] / 1024}
        results = results | {"size": {"rows": {BERTH: [size]}}}
    rows = [row for row in (bar.row(results) for bar in ROWS) if row.met != "not measured" or row.haproxy != "-"]
    return markdown(["figure", "HAProxy", "Berth", "ratio", "bar", "met"], [dataclasses.astuple(row) for row in rows])


def markdown(head, rows):
    widths = [max(len(str(row[i])) for row in [head, *rows]) for i in range(len(head))]
    lines = [" | ".join(str(cell).ljust(width) for cell, width in zip(row, widths)) for row in [head, *rows]]
    lines.insert(1, " | ".join("-" * width for width in widths))
    return "\n".join(f"| {line} |" for line in lines)


def cell(rows, base, key):
    value = median(rows, key) if all(isinstance(row.get(key, 0), (int, float)) for row in rows) else rows[-1].get(key)
    if value is None:
        return "-"
    text = value if isinstance(value, str) else f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
    ratio = median_ratio(rows, base, key) if base and base is not rows and not isinstance(value, str) else None
    return text if ratio is None else f"{text} [{ratio:.2f}]"


def details(test, result):
    """Medians of the rounds, in brackets the median of the rounds' ratios to HAProxy (to the first point of growth)."""
    rows = {name: figures for name, figures in result["rows"].items() if figures}
    base = rows.get(BASE) or (next(iter(rows.values()), None) if test.startswith("growth") else None)
    keys = list(dict.fromkeys(key for figures in rows.values() for row in figures for key in row))
    body = [[key, *(cell(figures, base, key) for figures in rows.values())] for key in keys
            if key not in ("hung", "first_violation")]
    if "hung" in keys:
        body.append(["hung, runs", *(sum(row.get("hung", 0) for row in figures) for figures in rows.values())])
    return f"\n### {test}: {result['title']} ({result['rounds']} rounds)\n\n" + markdown(["", *rows], body)


def violations(results):
    """Who broke the rule of one slot, and how; nginx, which does not know it, is left out."""
    return [f"{name} in {test}: {row.get('first_violation', '')}" for test, result in results.items()
            for name, rows in result["rows"].items() if name != "nginx" for row in rows if row.get("violations")]


def found(command, pattern):
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    except OSError:
        return "missing"
    match = re.search(pattern, done.stdout)
    return match[1] if match else "?"


def machine():
    model = re.search(r"^model name\s*: (.*)$", pathlib.Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    programs = [("HAProxy", ["haproxy", "-v"], r"version ([0-9.]+)"), ("nginx", ["nginx", "-v"], r"nginx/([0-9.]+)"),
                ("gcc", ["gcc", "--version"], r"(\d+\.\d+\.\d+)")]
    versions = [f"{name} {found(command, pattern)}" for name, command, pattern in programs]
    return ", ".join([f"{os.cpu_count()} × {model[1] if model else platform.machine()}", f"Linux {platform.release()}",
                      *versions, f"load average at the end {os.getloadavg()[0]:.1f}"])


def write(options, command, results, table_text):
    options.out.mkdir(parents=True, exist_ok=True)
    parts = [f"# Comparison\n\n{machine()}\n\n`{command}`\n\n{table_text}\n\n## Details\n\nMedians of the rounds; in "
             "brackets the median of the rounds' ratios to HAProxy, in growth to the first point."]
    parts += [details(test, result) for test, result in results.items()]
    (options.out / "report.md").write_text("\n".join(parts) + "\n")
    (options.out / "report.json").write_text(json.dumps({"machine": machine(), "command": command, "results": results},
                                                        indent=1) + "\n")


BEGIN, END = "<!-- the table: bench/run --document -->\n", "<!-- end of the table -->\n"


def put_into(page, command, table_text):
    """Replaces what stands between the two marks."""
    before, _, rest = page.read_text().partition(BEGIN)
    after = rest.partition(END)[2]
    page.write_text(f"{before}{BEGIN}\n{machine()}\n\n`{command}`\n\n{table_text}\n\n{END}{after}")
