"""Measurements in turn, and their Markdown.

In: cases, each a function that runs once. Out: a table with medians, ratios to the case that the
others are compared with, CPU seconds by process and peak memory.
"""

import dataclasses
import statistics
import sys


@dataclasses.dataclass
class Run:
    """One run of one case; seconds, bytes."""

    seconds: float
    service_cpu: float = 0.0
    decoder_cpu: float = 0.0
    database_cpu: float = 0.0
    peak_bytes: int = 0


def in_turn(cases, n_runs, say=lambda text: print(text, file=sys.stderr, flush=True)):
    """Runs every case once, then again, so that what the machine does meanwhile meets all alike."""
    runs = {name: [] for name in cases}
    for index in range(n_runs):
        for name, case in cases.items():
            run = case()
            runs[name].append(run)
            say(f"  {index + 1}/{n_runs} {name}: {run.seconds:.3f} s")
    return runs


def median(runs, field):
    return statistics.median(getattr(run, field) for run in runs)


def table(runs, n_rows, reference, targets=None):
    """A line a case; `targets`: the largest ratio to the reference by case."""
    base = median(runs[reference], "seconds")
    lines = ["| case | seconds (min-max) | ratio | target | rows/s | CPU s: service, decoder, PostgreSQL | peak MB |",
             "| --- | --- | --- | --- | --- | --- | --- |"]
    for name, its in runs.items():
        seconds = median(its, "seconds")
        spread = f"{min(run.seconds for run in its):.2f}-{max(run.seconds for run in its):.2f}"
        cpu = ", ".join(f"{median(its, field):.1f}" for field in ("service_cpu", "decoder_cpu", "database_cpu"))
        peak = median(its, "peak_bytes")
        target = (targets or {}).get(name)
        lines.append(f"| {name} | {seconds:.2f} ({spread}) | {seconds / base:.2f} | {_verdict(seconds / base, target)} "
                     f"| {n_rows / seconds:,.0f} | {cpu} | {peak / 1e6:.0f} |")
    return "\n".join(lines)


def _verdict(ratio, target):
    if target is None:
        return ""
    return f"<= {target}: {'met' if ratio <= target else 'not met'}"
