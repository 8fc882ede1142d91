"""What each part of a row's way costs: the criterion benchmarks of benches/parts as a table.

In: the repository, a directory for criterion's files. Out: Markdown.
"""

import glob
import json
import os
import subprocess
import sys

import report


def measure(root, folder):
    """Runs all of them; a line a benchmark, in the order in which they ran."""
    environment = dict(os.environ, CRITERION_HOME=folder)
    subprocess.run(["cargo", "bench", "--locked", "--features", "benches", "--bench", "parts"], cwd=root, env=environment,
                   stdout=sys.stderr, check=True)
    found = glob.glob(os.path.join(folder, "**", "new", "benchmark.json"), recursive=True)
    if not found:
        raise SystemExit(f"criterion left no results in {folder}")
    rows = [_row(path) for path in sorted(found, key=os.path.getmtime)]
    heads = ("part", "ns a row (95 % of the medians)", "rows/s", "bytes a row, in", "MB/s")
    return report.lines(heads, rows)


def _row(path):
    with open(path, encoding="utf-8") as file:
        benchmark = json.load(file)
    with open(os.path.join(os.path.dirname(path), "estimates.json"), encoding="utf-8") as file:
        estimate = json.load(file)["median"]
    both = benchmark["throughput"]["ElementsAndBytes"]
    n_rows, n_bytes = both["elements"], both["bytes"]
    nanoseconds, bounds = estimate["point_estimate"], estimate["confidence_interval"]
    low, high = bounds["lower_bound"] / n_rows, bounds["upper_bound"] / n_rows
    return (f"{benchmark['group_id']}: {benchmark['function_id']}", f"{nanoseconds / n_rows:.0f} ({low:.0f}-{high:.0f})",
            f"{n_rows / nanoseconds * 1e9:,.0f}", f"{n_bytes / n_rows:.0f}", f"{n_bytes / nanoseconds * 1e3:,.0f}")
