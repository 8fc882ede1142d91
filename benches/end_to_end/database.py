"""A PostgreSQL of the benchmark's own, with default settings, and psql as the peer.

In: a directory. Out: a running server with the table of the benchmarks, and the times of psql's
ways of writing into it, whole process.
"""

import contextlib
import os
import subprocess
import threading
import time

import machine

COLUMNS = "name, category, phone, email, address, city, country, website, description"
# What \copy does to a table whose rows are there already.
UPSERT = f"""
create temporary table incoming as select {COLUMNS} from businesses limit 0;
\\copy incoming ({COLUMNS}) from '{{file}}' csv header
insert into businesses ({COLUMNS}) select {COLUMNS} from incoming
on conflict (email) do update set {", ".join(f"{it} = excluded.{it}" for it in COLUMNS.split(", ") if it != "email")}
"""


class Database:
    """Started when made; `stop` ends and removes it."""

    def __init__(self, root, folder):
        self.cluster = os.path.join(root, "scripts/pg-cluster")
        self.folder = folder
        self.environment = dict(os.environ, ROWLIFT_PG_DEFAULTS="1")
        started = subprocess.run([self.cluster, "start", folder], env=self.environment, check=True,
                                 stdout=subprocess.PIPE, text=True)
        self.url = started.stdout.strip()
        with open(os.path.join(folder, "data/postmaster.pid"), encoding="ascii") as file:
            self.pid = int(file.readline())

    def stop(self):
        subprocess.run([self.cluster, "stop", self.folder], env=self.environment, check=False)

    def sql(self, text):
        """Runs SQL, psql's own commands included, and returns what it prints."""
        ran = subprocess.run(["psql", "-XAqt", "-v", "ON_ERROR_STOP=1", "-d", self.url],
                             input=text, check=True, stdout=subprocess.PIPE, text=True)
        return ran.stdout.strip()

    def count(self):
        return int(self.sql("select count(*) from businesses"))

    def empty(self):
        """An empty table, and nothing left to do for the server: no bloat, no dirty pages."""
        self.sql("truncate businesses; checkpoint;")

    def settle(self):
        self.sql("vacuum analyze businesses; checkpoint;")

    def cpu(self):
        """CPU seconds of all its processes so far."""
        return machine.own_cpu(self.pid) + machine.children_cpu(self.pid)

    @contextlib.contextmanager
    def unique_email(self):
        """While entered, `email` is a unique key."""
        self.sql("truncate businesses; create unique index bench_email on businesses (email)")
        try:
            yield
        finally:
            self.sql("truncate businesses; drop index bench_email")

    @contextlib.contextmanager
    def slow_flushes(self, milliseconds):
        """While entered, every flush of the log takes so much longer, as on a slow disk."""
        self.sql(f"alter system set commit_delay = {milliseconds * 1000}; alter system set commit_siblings = 0; "
                 "select pg_reload_conf()")
        try:
            yield
        finally:
            self.sql("alter system reset commit_delay; alter system reset commit_siblings; select pg_reload_conf()")

    def copy(self, *files):
        """Seconds of one psql \\copy a file, all at once."""
        def one(file):
            self.sql(f"\\copy businesses ({COLUMNS}) from '{file}' csv header")

        threads = [threading.Thread(target=one, args=(file,)) for file in files]
        begun = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return time.perf_counter() - begun

    def copy_and_upsert(self, file):
        """Seconds of a \\copy into a temporary table and INSERT ... ON CONFLICT from it."""
        begun = time.perf_counter()
        self.sql(UPSERT.format(file=file))
        return time.perf_counter() - begun
