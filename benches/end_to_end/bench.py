"""Rowlift against psql on the same rows, through a real server and real clients.

Run by scripts/bench, which builds what it needs; see there. In: the directory of the release
programs. Out: Markdown on standard output and in marked blocks of documents, progress on standard error.
"""

import argparse
import contextlib
import datetime
import os
import shutil
import sqlite3
import statistics
import subprocess
import tempfile
import time

import csv
import machine
import parts
import report
from database import COLUMNS, Database
from files import Files
from marked import Marked
from report import TARGETS, Report, Run, compared
from service import Service, load

# What a flush of the log takes longer on the slow disk of the memory cases.
SLOW_FLUSH_MS = 10

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


class Bench:
    """What every case needs: files, database, service; and what was found."""

    def __init__(self, arguments, work):
        self.report = Report()
        self.n_runs = arguments.runs
        self.sizes = arguments.rows
        self.programs = arguments.programs
        self.work = work
        self.files = Files(arguments.programs, arguments.files)
        self.database = Database(ROOT, os.path.join(work, "postgres"))
        subprocess.run([os.path.join(self.programs, "rowlift"), "migrate", "--database-url", self.database.url],
                       check=True, stdout=subprocess.DEVNULL)

    @contextlib.contextmanager
    def service(self, **settings):
        service = Service(self.programs, self.work, self.database.url, **settings)
        try:
            yield service
        finally:
            service.stop()

    def measured(self, service, prepare, run, n_rows=None):
        """A case: prepares, then runs and measures; `run` may return (seconds, ...) of its own clock."""
        def case():
            prepare()
            pid = service.pid if service else self.database.pid
            before = (service.cpu() if service else (0.0, 0.0)), self.database.cpu()
            with machine.Peak(pid) as peak:
                seconds = run()
            after = (service.cpu() if service else (0.0, 0.0)), self.database.cpu()
            if n_rows is not None and self.database.count() != n_rows:
                raise SystemExit(f"{self.database.count()} rows are in the table, not {n_rows}")
            return Run(seconds, after[0][0] - before[0][0], after[0][1] - before[0][1], after[1] - before[1],
                       peak.bytes if service else 0)
        return case

    # Each section prints a heading and a table.

    def copy(self):
        """One import of each kind against psql, by size; what a row costs."""
        seconds = {}
        for n_rows in self.sizes:
            xlsx, text = self.files.path(n_rows, "xlsx"), self.files.path(n_rows, "csv")
            halves = self.files.halves(n_rows)
            with self.service() as service:
                empty = self.database.empty
                # A warm server: its connections, its catalogue, its program in memory.
                empty()
                service.import_file(self.files.path(min(self.sizes[0], 10_000), "xlsx"))
                runs = report.in_turn({
                    "`psql \\copy` CSV": self.measured(None, empty, lambda: self.database.copy(text), n_rows),
                    "two `psql \\copy` at once": self.measured(None, empty, lambda: self.database.copy(*halves), n_rows),
                    "Rowlift, xlsx": self.measured(service, empty, lambda: service.import_file(xlsx)[0], n_rows),
                    "Rowlift, CSV": self.measured(service, empty, lambda: service.import_file(text)[0], n_rows),
                    "Rowlift, packed rows": self.measured(
                        service, empty, lambda: service.load("packed", text)["seconds"], n_rows),
                }, self.n_runs)
            psql = next(iter(runs))
            targets = {}
            if n_rows <= 10_000:
                targets = {"Rowlift, xlsx": 1.1}
            elif n_rows == self.sizes[-1]:
                targets = {"Rowlift, xlsx": 0.65, "Rowlift, CSV": 0.60, "Rowlift, packed rows": 0.58}
            compared(self.report, f"{n_rows:,} rows", runs, n_rows, psql, targets)
            for name, its in runs.items():
                seconds.setdefault(name, {})[n_rows] = report.median(its)
        if len(self.sizes) > 1:
            report.costs(self.report, seconds, psql, {name: 1.15 for name in seconds if name.startswith("Rowlift")})

    def faults(self):
        """One row in a hundred with a bad cell, or with a key that was there before."""
        n_rows = self.sizes[-1]
        clean = self.files.path(n_rows, "xlsx")
        bad = self.files.path(n_rows, "xlsx", "--bad-cells", "1")
        repeated = self.files.path(n_rows, "xlsx", "--repeat-keys", "1")
        with self.database.unique_email(), self.service() as service:
            def importing(file):
                return self.measured(service, self.database.empty,
                                     lambda: service.import_file(file, "--max-rejected", "-1")[0])
            runs = report.in_turn({"clean": importing(clean), "1 % bad cells": importing(bad),
                                   "1 % repeated keys": importing(repeated)}, self.n_runs)
        targets = {"1 % bad cells": 1.05, "1 % repeated keys": 2}
        compared(self.report, f"{n_rows:,} rows of xlsx, `email` unique", runs, n_rows, "clean", targets)

    def upserts(self):
        """A full table updated by key from a file of as many rows."""
        n_rows = self.sizes[-1]
        with self.database.unique_email(), self.service() as service:
            def full():
                self.database.empty()
                self.database.copy(self.files.path(n_rows, "csv"))
                self.database.settle()
            for percent in (1, 50):
                changed = self.files.changed(n_rows, percent)
                update = ("--on-conflict", "update", "--key", "email")
                runs = report.in_turn({
                    "`\\copy` and INSERT ... ON CONFLICT": self.measured(
                        None, full, lambda: self.database.copy_and_upsert(changed), n_rows),
                    "Rowlift, CSV": self.measured(
                        service, full, lambda: service.import_file(changed, *update)[0], n_rows),
                }, self.n_runs)
                compared(self.report, f"{n_rows:,} rows updating as many, {percent} % changed", runs, n_rows,
                         next(iter(runs)), {"Rowlift, CSV": 1.1})

    def ledger(self):
        """The writes of an import alone: through the ledger, and the same COPYs without it, in turn every few batches."""
        n_rows = min(6 * self.sizes[-1], 600_000)
        found = {}
        sizes = [size for size in (1000, 5000, 20_000) if n_rows >= 30 * size]
        for run in range(self.n_runs):
            for size in sizes:
                for percent in (0, 1):
                    told = self._write(n_rows, size, percent)
                    found.setdefault((size, percent), []).append(told)
                    report.say(f"  {run + 1}/{self.n_runs} batches of {size}, {percent} % rejected: {told['ratio']:.3f}")
        what = f"Writes of {n_rows:,} rows, half of them without fence, rejected rows and checkpoint"
        rows = []
        for (size, percent), its in found.items():
            middle = {key: statistics.median(it[key] for it in its) for key in ("bare", "stored", "ratio")}
            ratios = [it["ratio"] for it in its]
            name = f"batches of {size:,}, {percent} % rejected"
            verdict = self.report.verdict(f"{what}: {name}", middle["ratio"], 1.03)
            rows.append((name, f"{middle['bare']:.2f}", f"{middle['stored']:.2f}",
                         f"{middle['ratio']:.3f} ({min(ratios):.3f}-{max(ratios):.3f})", verdict))
        once = statistics.median(it["once_seconds"] for its in found.values() for it in its)
        heads = ("case", "us a row, COPY alone", "through the ledger", "ratio (min-max)", "target")
        self.report.add(what, report.lines(heads, rows) + "\n\nBatches are bounded in bytes as those of the service are. "
                        f"To open and to end the import takes {once * 1e3:.0f} ms besides.")

    def _write(self, n_rows, batch_rows, percent):
        """Microseconds of a written row without and with the ledger, and their ratio."""
        bad = ("--bad-cells", str(percent)) if percent else ()
        file = self.files.path(n_rows, "csv", *bad)
        self.database.empty()
        told = load(self.programs, "write", "--database-url", self.database.url, "--batch-rows", batch_rows, file)
        if (told["rejected"] > 0) != (percent > 0):
            raise SystemExit(f"{percent} % of the rows are bad, and the writer tells {told}")
        for key in ("bare", "stored"):
            told[key] = told[key]["seconds"] / told[key]["rows"] * 1e6
        return dict(told, ratio=told["stored"] / told["bare"])

    def methods(self):
        """The four methods."""
        n_rows = 10_000
        xlsx = self.files.path(n_rows, "xlsx")
        with self.service() as service:
            runs = report.in_turn({f"`--method {method}`": self.measured(
                service, self.database.empty, lambda method=method: service.import_file(xlsx, "--method", method)[0],
                n_rows) for method in ("copy", "batch", "concurrent", "sequential")}, self.n_runs)
        compared(self.report, f"The four methods, {n_rows:,} rows of xlsx", runs, n_rows, next(iter(runs)))

    def latency(self):
        """Imports of ten rows alone, and beside one of the largest size."""
        ten = self.files.path(10, "xlsx")
        with self.service() as service:
            self.database.empty()
            told = {"10 rows": service.load("small", "--rows", 10),
                    "10 rows of xlsx": service.load("small", "--file", ten)}
            large = service.begin(self.files.path(self.sizes[-1], "xlsx"))
            small = service.begin_small("--rows", 10, "--imports", 40)
            service.finish(large)
            told[f"10 rows beside {self.sizes[-1]:,} of xlsx"] = service.finish_small(small)
        bounds = dict(zip(told, ((5, 25), (15, None), (25, 150))))
        heading = "Small imports on a warm connection, milliseconds"
        rows = []
        for name, it in told.items():
            verdicts = [f"{key} {self.report.verdict(f'{heading}: {name}, {key}', it[key] * 1e3, bound, ' ms')}"
                        for key, bound in zip(("p50", "p99"), bounds[name]) if bound]
            rows.append((name, it["imports"], *(f"{it[key] * 1e3:.1f}" for key in ("p50", "p95", "p99")),
                         ", ".join(verdicts)))
        self.report.add(heading, report.lines(("case", "imports", "p50", "p95", "p99", "target"), rows))

    def together(self):
        """Several imports at once."""
        n_rows = min(self.sizes[-1], 100_000)
        xlsx = self.files.path(n_rows, "xlsx")
        rows = []
        with self.service() as service:
            for n_imports in (1, 2, 4, 8):
                def run(n_imports=n_imports):
                    begun = time.perf_counter()
                    for client in [service.begin(xlsx) for _ in range(n_imports)]:
                        service.finish(client)
                    return time.perf_counter() - begun
                case = self.measured(service, self.database.empty, run, n_rows * n_imports)
                runs = report.in_turn({f"{n_imports} at once": case}, self.n_runs)
                its, = runs.values()
                seconds = report.median(its)
                rows.append((n_imports, f"{seconds:.2f}", f"{n_rows * n_imports / seconds:,.0f}",
                             f"{report.median(its, 'peak_bytes') / 1e6:.0f}"))
        heads = ("at once", "seconds", "rows/s of all", "peak MB")
        self.report.add(f"Imports of {n_rows:,} rows of xlsx at once", report.lines(heads, rows))

    def memory(self):
        """The most that service and decoders hold, where something holds them back."""
        measured = []
        with self.service(imports_max=200) as service:
            with machine.Peak(service.pid) as peak:
                idle = service.open_idle(200)
                time.sleep(5 * machine.SAMPLE_SECONDS)
            measured.append(("200 open imports that send nothing", peak.bytes, 200))
            idle.stdin.close()
            idle.wait()
        n_rows = self.sizes[-1]
        xlsx = self.files.path(n_rows, "xlsx")
        # 1 GB with a million rows.
        large = self.files.path(n_rows * 7 // 2, "csv")
        size = f"{os.path.getsize(large) / 1e6:,.0f} MB"
        in_memory = {"limits_shared_strings_memory_bytes_max": 512 << 20}
        for name, limit, settings, begin in (
            (f"{n_rows:,} rows of xlsx", 128, {}, lambda service: service.import_file(xlsx)),
            ("the same, all strings in memory", 320, in_memory, lambda service: service.import_file(xlsx)),
            ("the first, the table locked for 10 s", None, {}, self._import_into_a_locked_table),
            (f"the first, a disk that flushes {SLOW_FLUSH_MS} ms later", None, {}, self._import_onto_a_slow_disk),
            (f"{size} of CSV", 64, {}, lambda service: service.import_file(large)),
            (f"{size} of rows, packed", 64, {}, lambda service: service.load("packed", large)),
        ):
            with self.service(**settings) as service:
                self.database.empty()
                with machine.Peak(service.pid) as peak:
                    begin(service)
            measured.append((name, peak.bytes, limit))
        heading = "Peak memory of service and decoders, MB"
        rows = [(name, f"{n_bytes / 1e6:.0f}", self.report.verdict(f"{heading}: {name}", n_bytes / 1e6, limit, " MB"))
                for name, n_bytes, limit in measured]
        self.report.add(heading, report.lines(("case", "peak", "target"), rows))

    def _import_into_a_locked_table(self, service):
        lock = subprocess.Popen(["psql", "-XAqt", "-d", self.database.url, "-c",
                                 "begin; lock table businesses; select pg_sleep(10); commit"], stdout=subprocess.DEVNULL)
        service.import_file(self.files.path(self.sizes[-1], "xlsx"))
        lock.wait()

    def _import_onto_a_slow_disk(self, service):
        with self.database.slow_flushes(SLOW_FLUSH_MS):
            service.import_file(self.files.path(self.sizes[-1], "xlsx"))

    def sqlite(self):
        """The embedded database against Python's executemany of rows that are parsed already."""
        n_rows = self.sizes[-1]
        xlsx, text = self.files.path(n_rows, "xlsx"), self.files.path(n_rows, "csv")
        with open(text, encoding="utf-8", newline="") as file:
            reader = csv.reader(file)
            next(reader)
            rows = [[cell or None for cell in row] for row in reader]

        def fresh():
            for name in os.listdir(self.work):
                if name.startswith("embedded.db"):
                    os.remove(os.path.join(self.work, name))
            url = f"sqlite://{self.work}/embedded.db?mode=rwc"
            subprocess.run([os.path.join(self.programs, "rowlift"), "tables", "--database-url", url],
                           check=True, stdout=subprocess.DEVNULL)
            return url

        def executemany():
            fresh()
            connection = sqlite3.connect(os.path.join(self.work, "embedded.db"))
            begun = time.perf_counter()
            marks = ", ".join("?" * len(COLUMNS.split(", ")))
            connection.executemany(f"insert into businesses ({COLUMNS}) values ({marks})", rows)
            connection.commit()
            seconds = time.perf_counter() - begun
            connection.close()
            return Run(seconds)

        def rowlift():
            url = fresh()
            begun = time.perf_counter()
            subprocess.run([os.path.join(self.programs, "rowlift"), "import", xlsx, "--table", "businesses",
                            "--database-url", url, "--json"], check=True, stdout=subprocess.DEVNULL, cwd=self.work)
            return Run(time.perf_counter() - begun)

        runs = report.in_turn({"Python's executemany, rows parsed before": executemany, "Rowlift, xlsx": rowlift}, self.n_runs)
        compared(self.report, f"SQLite, {n_rows:,} rows", runs, n_rows, next(iter(runs)), {"Rowlift, xlsx": 1.0})

    def parts(self):
        """What each part of a row's way costs, without database and network."""
        table = parts.measure(ROOT, os.path.join(self.work, "criterion"))
        self.report.add("The parts of a row's way, on one thread", table)

    def header(self, command):
        """Where and of what the results are."""
        def output(*command):
            ran = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False, cwd=ROOT)
            return ran.stdout.strip()

        commit, rustc = output("git", "describe", "--always", "--dirty"), output("rustc", "--version")
        database = self.database.sql("show server_version")
        return (f"Measured {datetime.date.today()} by `{command}`: medians of {self.n_runs} runs in turn, everything on "
                f"one machine.\n\n- {machine.description()}\n- Rowlift {commit}, built by {rustc}, settings by default\n"
                f"- PostgreSQL {database}, settings by default\n")


SECTIONS = ("copy", "faults", "upserts", "ledger", "methods", "latency", "together", "memory", "sqlite", "parts")


def main():
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__.splitlines()[0])
    parser.add_argument("--programs", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--files", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--command", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--rows", type=lambda it: sorted(int(n) for n in it.split(",")),
                        default=[10_000, 100_000, 1_000_000], help="sizes, such as 10000,1000000")
    parser.add_argument("--runs", type=int, default=5, help="runs of each case")
    parser.add_argument("--markdown", metavar="FILE", action="append", default=[],
                        help="put the results into this document too, between <!-- bench:begin [SECTION...] --> and "
                        f"<!-- bench:end -->; `{TARGETS}` is a section there")
    parser.add_argument("sections", nargs="*", default=SECTIONS, metavar="SECTION",
                        help=f"what to measure: {', '.join(SECTIONS)} [default: all]")
    arguments = parser.parse_args()
    unknown = set(arguments.sections) - set(SECTIONS)
    if unknown:
        parser.error(f"unknown section {', '.join(sorted(unknown))}; there are {', '.join(SECTIONS)}")
    known, measured = {*SECTIONS, TARGETS}, {*arguments.sections, TARGETS}
    documents = [Marked(path, known, measured) for path in arguments.markdown]
    work = tempfile.mkdtemp(prefix="rowlift-bench.")
    os.chmod(work, 0o755)
    bench = Bench(arguments, work)
    try:
        header = bench.header(arguments.command)
        print(header, end="", flush=True)
        for section in arguments.sections:
            bench.report.begin(section)
            getattr(bench, section)()
        bench.report.end()
        for document in documents:
            document.fill(header, bench.report)
    finally:
        bench.database.stop()
        shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    main()
