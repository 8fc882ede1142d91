"""A Rowlift server process, and clients of it that are processes too.

In: the directory of the release programs and a database's URL. Out: seconds, as whole processes take
or as the load generator tells.
"""

import json
import os
import re
import subprocess
import time

import machine

START_SECONDS_MAX = 60


def load(programs, command, *arguments):
    """What the load generator tells."""
    ran = subprocess.run([os.path.join(programs, "examples/load"), command, *map(str, arguments)],
                         stdout=subprocess.PIPE, check=True, text=True)
    return json.loads(ran.stdout)


class Service:
    """`rowlift serve` with default settings, but for those given, as ROWLIFT_* variables."""

    def __init__(self, programs, folder, database_url, **settings):
        self.programs = programs
        self.log = os.path.join(folder, "service.log")
        environment = dict(os.environ, **{f"ROWLIFT_{key.upper()}": str(it) for key, it in settings.items()})
        with open(self.log, "w", encoding="utf-8") as log:
            self.process = subprocess.Popen(
                [self.rowlift, "serve", "--listen", "127.0.0.1:0", "--database-url", database_url],
                stdout=log, stderr=log, cwd=folder, env=environment)
        self.pid = self.process.pid
        try:
            self.address = self._address()
            self._wait()
        except BaseException:
            self.process.kill()
            raise

    @property
    def rowlift(self):
        return os.path.join(self.programs, "rowlift")

    def _address(self):
        until = time.monotonic() + START_SECONDS_MAX
        while time.monotonic() < until and self.process.poll() is None:
            with open(self.log, encoding="utf-8") as log:
                lines = [line for line in log if "serving gRPC" in line]
            if lines:
                return "http://" + re.search(r"127\.0\.0\.1:\d+", lines[0]).group(0)
            time.sleep(0.05)
        raise SystemExit(f"the service does not start: {open(self.log, encoding='utf-8').read()}")

    def _wait(self):
        until = time.monotonic() + START_SECONDS_MAX
        command = [self.rowlift, "tables", "--addr", self.address]
        while subprocess.run(command, capture_output=True, check=False).returncode != 0:
            if time.monotonic() > until:
                raise SystemExit(f"the service is not ready: {open(self.log, encoding='utf-8').read()}")
            time.sleep(0.1)

    def stop(self):
        self.process.terminate()
        self.process.wait(timeout=60)

    def cpu(self):
        """CPU seconds of the service itself, and of its decoders."""
        return machine.own_cpu(self.pid), machine.children_cpu(self.pid)

    def begin(self, file, *arguments):
        """`rowlift import` of a file, not waited for."""
        command = [self.rowlift, "import", file, "--table", "businesses", "--addr", self.address, "--json"]
        return subprocess.Popen([*command, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def finish(self, client):
        """Waits for `begin`'s process; the counts of its result."""
        out, err = client.communicate()
        if client.returncode not in (0, 2):
            raise SystemExit(f"an import failed with {client.returncode}: {err}{out[-2000:]}")
        stats = json.loads(out.splitlines()[-1])
        stats = stats.get("result", stats).get("stats", {})
        return {key: int(it) for key, it in stats.items() if isinstance(it, str) and it.isdigit()}

    def import_file(self, file, *arguments):
        """Seconds of `rowlift import`, the whole process, and the result's counts."""
        begun = time.perf_counter()
        stats = self.finish(self.begin(file, *arguments))
        return time.perf_counter() - begun, stats

    def load(self, command, *arguments):
        """What the load generator tells of this service."""
        return load(self.programs, command, "--addr", self.address, *arguments)

    def begin_small(self, *arguments):
        """Small imports one after the other, until `finish_small`."""
        command = [os.path.join(self.programs, "examples/load"), "small", "--addr", self.address, "--until-closed"]
        return subprocess.Popen([*command, *map(str, arguments)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                text=True)

    def finish_small(self, running):
        """What `begin_small`'s process tells of all its imports."""
        out, _ = running.communicate()
        if running.returncode != 0:
            raise SystemExit(f"small imports failed with {running.returncode}")
        return json.loads(out)

    def open_idle(self, n_imports):
        """A process that holds imports open until its standard input is closed."""
        command = [os.path.join(self.programs, "examples/load"), "idle", "--addr", self.address,
                   "--imports", str(n_imports)]
        held = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        if not held.stdout.readline():
            raise SystemExit("the idle imports were not accepted")
        return held
