"""Large workbooks at once in a control group of the size that k8s/base gives; see scripts/memory-test."""

import base64
import contextlib
import json
import os
import pathlib
import random
import re
import signal
import socket
import subprocess
import sys
import time
import unittest
import urllib.request
import zipfile

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
BINARY = os.environ["ROWLIFT_BINARY"]
FOLDER = pathlib.Path(os.environ["ROWLIFT_FOLDER"])
CACHE = pathlib.Path(os.environ["ROWLIFT_CACHE"])
MEGABYTES = int(os.environ["ROWLIFT_MEGABYTES"])
N_IMPORTS = 4
DECODERS = 2
START_SECONDS = 60
IMPORT_SECONDS = 1800
STOP_SECONDS = 60
# Between two looks at the service: much shorter than a decoder lives.
LOOK_SECONDS = 0.05
# Settings of the manifests that are a pod's: its files and its addresses.
OF_THE_POD = ("CONFIG", "LISTEN", "ADMIN_LISTEN", "IDENTITY", "TLS_", "POLICY_FILE", "SPOOL_DIR")


def manifest_memory():
    """The memory limit of the base's container, bytes."""
    text = (ROOT / "k8s/base/deployment.yaml").read_text()
    return int(re.search(r"limits:\n\s+memory: (\d+)Gi\n", text)[1]) << 30


def manifest_settings():
    lines = (ROOT / "k8s/base/rowlift.env").read_text().splitlines()
    pairs = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    return {name: value for name, value in pairs.items() if not name.removeprefix("ROWLIFT_").startswith(OF_THE_POD)}


def workbook():
    """A file of strings that do not compress, inline in the sheet; the same every time. Its rows."""
    n_bytes = MEGABYTES * 1_000_000
    path, n_rows = CACHE / f"{MEGABYTES}.xlsx", n_bytes // 1000
    if path.exists():
        return path, n_rows
    types = "application/vnd.openxmlformats-officedocument.spreadsheetml"
    relations = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    package = "http://schemas.openxmlformats.org/package/2006"
    main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    parts = {
        "[Content_Types].xml": f'<Types xmlns="{package}/content-types"><Default Extension="rels" ContentType='
        '"application/vnd.openxmlformats-package.relationships+xml"/><Default Extension="xml" ContentType='
        f'"application/xml"/><Override PartName="/xl/workbook.xml" ContentType="{types}.sheet.main+xml"/><Override '
        f'PartName="/xl/worksheets/sheet1.xml" ContentType="{types}.worksheet+xml"/></Types>',
        "_rels/.rels": f'<Relationships xmlns="{package}/relationships"><Relationship Id="rId1" '
        f'Type="{relations}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
        "xl/workbook.xml": f'<workbook xmlns="{main}" xmlns:r="{relations}"><sheets><sheet name="Businesses" '
        'sheetId="1" r:id="rId1"/></sheets></workbook>',
        "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{package}/relationships"><Relationship Id="rId1" '
        f'Type="{relations}/worksheet" Target="worksheets/sheet1.xml"/></Relationships>',
    }
    source = random.Random(1)
    cell = '<c t="inlineStr"><is><t>%s</t></is></c>'
    row = f"<row>{cell}{cell}</row>"
    # So that a row, with its tags, is 1000 bytes.
    n_random = (1000 - len(row % ("", "")) - 40) // 4 * 3
    unfinished = path.with_suffix(".part")
    with zipfile.ZipFile(unfinished, "w", zipfile.ZIP_STORED) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
        with archive.open("xl/worksheets/sheet1.xml", "w", force_zip64=True) as sheet:
            sheet.write(f'<worksheet xmlns="{main}"><sheetData>'.encode())
            sheet.write((row % ("name", "description")).encode())
            for index in range(n_rows):
                text = base64.b64encode(source.randbytes(n_random)).decode()
                sheet.write((row % (f"business {index:031d}", text)).encode())
            sheet.write(b"</sheetData></worksheet>")
    unfinished.rename(path)
    return path, n_rows


class Group:
    """A control group of this process's own, of version 1 or 2."""

    def __init__(self, limit):
        old = pathlib.Path("/sys/fs/cgroup/memory")
        self.is_old = (old / "memory.limit_in_bytes").exists()
        self.path = (old if self.is_old else old.parent) / f"rowlift-memory-test-{os.getpid()}"
        self.path.mkdir()
        try:
            self.write("memory.limit_in_bytes" if self.is_old else "memory.max", limit)
        except BaseException:
            self.path.rmdir()
            raise

    def write(self, name, value):
        (self.path / name).write_text(str(value))

    def enter(self):
        """The calling process, a child between fork and exec."""
        self.write("cgroup.procs", os.getpid())

    def number(self, name, field=None):
        """A file's number, or that of one of its fields; 0 where the kernel does not have it."""
        try:
            text = (self.path / name).read_text()
        except FileNotFoundError:
            return 0
        if field is None:
            return int(text)
        return int(dict(line.split() for line in text.splitlines()).get(field, 0))

    def n_kills(self):
        return self.number("memory.oom_control" if self.is_old else "memory.events", "oom_kill")

    def peak(self):
        """Bytes, with the page cache that the kernel leaves there as long as there is room."""
        return self.number("memory.max_usage_in_bytes" if self.is_old else "memory.peak")

    def anonymous(self):
        """Bytes now, without the page cache."""
        return self.number("memory.stat", "total_rss" if self.is_old else "anon")

    def processes(self):
        return {int(pid) for pid in (self.path / "cgroup.procs").read_text().split()}

    def remove(self):
        """With whatever is left in it."""
        until = time.monotonic() + STOP_SECONDS
        while (left := self.processes()) and time.monotonic() < until:
            for pid in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(LOOK_SECONDS)
        self.path.rmdir()


def free_address():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


class Service:
    """`rowlift serve` in a group, as the manifests have it but for identity and addresses."""

    def __init__(self, group):
        self.group = group
        self.address, self.admin = free_address(), free_address()
        spool = FOLDER / "spool"
        spool.mkdir()
        self.log = open(FOLDER / "service.log", "w+b")
        env = {
            **manifest_settings(),
            "PATH": os.environ["PATH"],
            "ROWLIFT_DATABASE_URL": os.environ["ROWLIFT_DATABASE_URL"],
            "ROWLIFT_LISTEN": self.address,
            "ROWLIFT_ADMIN_LISTEN": self.admin,
            "ROWLIFT_SPOOL_DIR": str(spool),
        }
        subprocess.run([BINARY, "migrate"], env=env, check=True, capture_output=True, cwd=FOLDER)
        self.process = subprocess.Popen(
            [BINARY, "serve"], env=env, cwd=FOLDER, preexec_fn=group.enter, stdout=self.log, stderr=self.log
        )  # fmt: skip
        try:
            self.wait_until_ready()
        except BaseException:
            self.kill()
            raise

    def wait_until_ready(self):
        until = time.monotonic() + START_SECONDS
        while not self.is_ready():
            if self.process.poll() is not None or time.monotonic() > until:
                raise AssertionError("the service did not start: " + self.words())
            time.sleep(LOOK_SECONDS)

    def is_ready(self):
        try:
            return self.get("/readyz") == "ready\n"
        except OSError:
            return False

    def get(self, path):
        with urllib.request.urlopen(f"http://{self.admin}{path}", timeout=30) as answer:
            return answer.read().decode()

    def metrics(self):
        """Values by series, without the OpenTelemetry scope's labels."""
        lines = (line for line in self.get("/metrics").splitlines() if line and not line.startswith("#"))
        return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}

    def words(self):
        self.log.seek(0)
        return self.log.read().decode(errors="replace")

    def begin_import(self, path, index):
        return subprocess.Popen(
            [BINARY, "import", str(path), "--table", "businesses", "--json", "--addr", f"http://{self.address}",
             "--import-id", f"memory-{index}"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=FOLDER,
        )  # fmt: skip

    def stop(self):
        """Its exit code; it has nothing left to drain."""
        self.process.terminate()
        return self.process.wait(timeout=STOP_SECONDS)

    def kill(self):
        """Of no effect on one that has stopped."""
        self.process.kill()
        self.process.wait()
        self.log.close()


class Memory(unittest.TestCase):
    """One look after another while all of them run."""

    def test_four_large_workbooks_at_once(self):
        path, n_rows = workbook()
        limit = manifest_memory()
        self.assertEqual(int(manifest_settings()["ROWLIFT_DECODERS_MAX"]), DECODERS)
        # Unlike unittest's own, these are called after an interrupt too.
        with contextlib.ExitStack() as ends:
            group = Group(limit)
            ends.callback(group.remove)
            service = Service(group)
            ends.callback(service.kill)
            begun = time.monotonic()
            imports = []
            for index in range(N_IMPORTS):
                imports.append(service.begin_import(path, index))
                ends.callback(self.end_import, imports[-1])
            seen = self.watch(service, group, imports)
            seconds = time.monotonic() - begun
            for it in imports:
                self.check_import(it, n_rows, service)
            seen_spool, n_kills, peak = service.metrics()["rowlift_spool_used_bytes"], group.n_kills(), group.peak()
            code = service.stop()
        self.assertEqual(code, 0)
        self.assertEqual(n_kills, 0, "the kernel killed something")
        self.assertEqual(seen_spool, 0, "a temporary file is left")
        self.assertEqual(seen["decoders"], DECODERS)
        self.assertTrue(seen["two_wait"], "two were never seen to wait for a decoder")
        self.assertLess(seen["anonymous"], limit)
        mib = {name: value >> 20 for name, value in (("limit", limit), ("peak", peak), ("anon", seen["anonymous"]))}
        print(
            f"{N_IMPORTS} x {path.stat().st_size / 1e6:.0f} MB, {n_rows} rows each, in {seconds:.0f} s: peak "
            f"{mib['peak']} MiB of {mib['limit']} MiB with page cache, {mib['anon']} MiB without; spool up to "
            f"{seen['spool'] / 1e6:.0f} MB; no kill; {DECODERS} decoded while {N_IMPORTS - DECODERS} waited"
        )

    def watch(self, service, group, imports):
        """The most of everything until all imports have ended."""
        seen = {"decoders": 0, "anonymous": 0, "spool": 0, "two_wait": False}
        until = time.monotonic() + IMPORT_SECONDS
        while any(it.poll() is None for it in imports):
            self.assertLess(time.monotonic(), until, "the imports take too long")
            self.assertIsNone(service.process.poll(), "the service has ended")
            metrics = service.metrics()
            active = {
                phase: int(value)
                for name, value in metrics.items()
                for phase in re.findall(r'^rowlift_imports_active\{.*phase="(\w+)"', name)
            }
            n_decoders = len(group.processes() - {service.process.pid})
            now = {
                "decoders": n_decoders,
                "anonymous": group.anonymous(),
                "spool": int(metrics["rowlift_spool_used_bytes"]),
            }
            for name, value in now.items():
                seen[name] = max(seen[name], value)
            # All four are uploaded and have not ended, and there are children for two of them.
            are_uploaded = active["queued"] + active["receiving"] == 0 and sum(active.values()) == N_IMPORTS
            seen["two_wait"] |= are_uploaded and n_decoders == DECODERS
            time.sleep(LOOK_SECONDS)
        return seen

    def end_import(self, process):
        process.kill()
        process.communicate()

    def check_import(self, process, n_rows, service):
        out, err = process.communicate()
        self.assertEqual(process.returncode, 0, f"{out[-2000:]}\n{err}\n{service.words()[-5000:]}")
        result = json.loads(out.splitlines()[-1])
        self.assertEqual(result["state"], "STATE_SUCCEEDED")
        self.assertEqual(int(result["stats"]["insertedRowCount"]), n_rows)
        self.assertEqual(int(result["stats"]["receivedRowCount"]), n_rows)


if __name__ == "__main__":
    # By default it would end the process without a finally.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("memory-test: terminated"))
    unittest.main()
