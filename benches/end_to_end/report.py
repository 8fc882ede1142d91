"""Measurements in turn, and their Markdown.

In: cases, each a function that runs once. Out: tables with medians, ratios to the case that the others
are compared with, CPU seconds by process and peak memory; each target with what was measured.
"""

import dataclasses
import statistics
import sys

# What a measurement against a target is in a table of all of them.
TARGETS = "targets"


@dataclasses.dataclass
class Run:
    """One run of one case; seconds, bytes."""

    seconds: float
    service_cpu: float = 0.0
    decoder_cpu: float = 0.0
    database_cpu: float = 0.0
    peak_bytes: int = 0


class Report:
    """What was found, by section: printed at once, kept for documents and for the table of targets."""

    def __init__(self):
        self.texts = {}
        self._section = None
        self._targets = []

    def begin(self, section):
        self._section = section
        self.texts[section] = ""

    def add(self, heading, table):
        """A table of the section that has begun."""
        text = table_text(heading, table)
        self.texts[self._section] += text
        print(text, end="", flush=True)

    def verdict(self, what, measured, target, unit=""):
        """How a measurement compares with its target; empty without one."""
        if target is None:
            return ""
        is_met = measured <= target
        told = f"{measured:.1f}{unit}" if unit else f"{measured:.3f}"
        line = (what, f"<= {target}{unit}", told, "met" if is_met else "not met")
        self._targets.append((self._section, line))
        return f"<= {target}: {'met' if is_met else 'not met'}"

    def end(self):
        """All targets that were measured."""
        self.texts[TARGETS] = self._targets_of(self.texts)
        print(self.texts[TARGETS], end="", flush=True)

    def text(self, names):
        """What was found in these sections; `targets` among them stands for the targets of the others."""
        return "".join(self._targets_of(names) if name == TARGETS else self.texts[name] for name in names)

    def _targets_of(self, names):
        measured = [line for section, line in self._targets if section in names]
        return table_text("Targets", lines(("what", "target", "measured", ""), measured)) if measured else ""


def table_text(heading, table):
    return f"\n### {heading}\n\n{table}\n"


def say(text):
    """Progress."""
    print(text, file=sys.stderr, flush=True)


def in_turn(cases, n_runs):
    """Runs every case once, then again, so that what the machine does meanwhile meets all alike."""
    runs = {name: [] for name in cases}
    for index in range(n_runs):
        for name, case in cases.items():
            run = case()
            runs[name].append(run)
            say(f"  {index + 1}/{n_runs} {name}: {run.seconds:.3f} s")
    return runs


def median(runs, field="seconds"):
    return statistics.median(getattr(run, field) for run in runs)


def lines(heads, rows):
    """A table."""
    return "\n".join("| " + " | ".join(str(it) for it in row) + " |" for row in (heads, ["---"] * len(heads), *rows))


def compared(report, what, runs, n_rows, reference, targets=None):
    """Adds a table with a line a case, each compared with `reference`. `targets`: the largest ratio to it by
    case."""
    heads = ("case", "seconds (min-max)", "ratio", "target", "rows/s", "CPU s: service, decoder, PostgreSQL", "peak MB")
    rows = []
    for name, its in runs.items():
        seconds, ratio = median(its), median(its) / median(runs[reference])
        spread = f"{min(run.seconds for run in its):.2f}-{max(run.seconds for run in its):.2f}"
        cpu = ", ".join(f"{median(its, field):.2f}" for field in ("service_cpu", "decoder_cpu", "database_cpu"))
        verdict = report.verdict(f"{what}: {name}, to {reference}", ratio, (targets or {}).get(name))
        peak = median(its, "peak_bytes")
        rows.append((name, f"{seconds:.2f} ({spread})", f"{ratio:.3f}", verdict, f"{n_rows / seconds:,.0f}", cpu,
                     f"{peak / 1e6:.0f}" if peak else ""))
    report.add(what, lines(heads, rows))


def costs(report, seconds, reference, targets):
    """Adds what a row costs by size. `seconds`: by case and number of rows. A case grows by the most that
    its ratio to the reference rises from any size to a larger one: what the reference shows is not its fault.
    `targets`: the most that a case may grow."""
    sizes = sorted(next(iter(seconds.values())))
    rows = []
    for name, by_size in seconds.items():
        ratios = [by_size[size] / seconds[reference][size] for size in sizes]
        growth = max(ratios[at] / min(ratios[:at]) for at in range(1, len(sizes)))
        cells = [f"{by_size[size] / size * 1e6:.2f} ({ratio:.2f})" for size, ratio in zip(sizes, ratios)]
        if name == reference:
            rows.append((name, *cells, "", ""))
            continue
        what = f"Growth of a row's cost beyond psql's, {sizes[0]:,} to {sizes[-1]:,} rows: {name}"
        rows.append((name, *cells, f"{growth:.3f}", report.verdict(what, growth, targets.get(name))))
    heads = ("case", *(f"{size:,} rows" for size in sizes), "growth beyond psql's", "target")
    report.add("Cost of a row, microseconds (ratio to psql)", lines(heads, rows))
