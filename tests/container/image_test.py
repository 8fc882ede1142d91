"""The image does its work under the restricted profile, and no more than that is in it."""

import json
import os
import pathlib
import subprocess
import tempfile
import unittest

from container import CLIENT, IMAGE, Service, inspect, podman

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
WORKBOOK = ROOT / "examples/businesses.xlsx"
USER = 65532


class Image(unittest.TestCase):
    """What is in it, without running it."""

    def test_it_holds_the_binary_and_papers_only(self):
        mounted = podman("image", "mount", IMAGE).stdout.strip()
        self.addCleanup(podman, "image", "unmount", IMAGE)
        root = pathlib.Path(mounted)
        files = {str(it.relative_to(root)) for it in root.rglob("*") if not it.is_dir()}
        self.assertEqual(
            files,
            {
                "rowlift",
                "usr/share/sbom/rowlift.cdx.json",
                "usr/share/licenses/rowlift/LICENSE-APACHE",
                "usr/share/licenses/rowlift/LICENSE-MIT",
            },
        )
        self.assertEqual((root / "rowlift").stat().st_mode & 0o7777, 0o755)
        self.assertEqual((root / "var/spool/rowlift").stat().st_mode & 0o7777, 0o1777)
        self.check_bill_of_materials(root / "usr/share/sbom/rowlift.cdx.json")

    def check_bill_of_materials(self, path):
        """Every package of Cargo.lock that can be in the binary is one of Cargo.lock's."""
        sbom = json.loads(path.read_text())
        self.assertEqual(sbom["bomFormat"], "CycloneDX")
        self.assertEqual(sbom["metadata"]["component"]["name"], "rowlift")
        self.assertNotIn(str(ROOT), path.read_text())
        lock = (ROOT / "Cargo.lock").read_text()
        names = {it["name"] for it in sbom["components"]}
        self.assertGreater(len(names), 100)
        for it in sbom["components"]:
            self.assertIn(f'name = "{it["name"]}"\nversion = "{it["version"]}"\n', lock)
            self.assertTrue(it["purl"].startswith("pkg:cargo/"))
        self.assertLessEqual({"tonic", "sqlx", "calamine", "tokio", "rustls"}, names)
        self.assertNotIn("proptest", names)

    def test_its_configuration(self):
        image = inspect()
        config = image["Config"]
        self.assertEqual(config["User"], f"{USER}:{USER}")
        self.assertEqual(config["Entrypoint"], ["/rowlift"])
        self.assertEqual(config["Cmd"], ["serve"])
        self.assertEqual(config["StopSignal"], "SIGTERM")
        self.assertIn("ROWLIFT_SPOOL_DIR=/var/spool/rowlift", config["Env"])
        labels = config["Labels"]
        self.assertEqual(labels["org.opencontainers.image.title"], "rowlift")
        self.assertRegex(labels["org.opencontainers.image.revision"], "^[0-9a-f]{40}$")
        self.assertEqual(labels["io.rowlift.sbom"], "/usr/share/sbom/rowlift.cdx.json")


class Restricted(unittest.TestCase):
    """It runs with next to nothing."""

    def test_the_profile_holds(self):
        with Service() as service:
            status = service.status()
            self.assertEqual(set(status["Uid"].split()), {str(USER)})
            self.assertEqual(set(status["Gid"].split()), {str(USER)})
            self.assertEqual(status["NSpid"].split()[1], "1")
            self.assertEqual(status["NoNewPrivs"], "1")
            for field in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
                self.assertEqual(int(status[field], 16), 0, field)
            # A filter of system calls: the engine's default, as RuntimeDefault in Kubernetes.
            self.assertEqual(status["Seccomp"], "2")
            mounts = [line.split() for line in service.proc("mountinfo").splitlines()]
            options = {it[4]: it[5].split(",") for it in mounts}
            self.assertIn("ro", options["/"])
            self.assertIn("rw", options["/var/spool/rowlift"])

    def test_a_workbook_comes_through_a_decoder_of_its_own(self):
        with Service() as service:
            code, result = service.import_file(WORKBOOK)
            self.assertEqual(code, 2, result)
            self.assertEqual(counts(result), {"received": 1000, "inserted": 987, "rejected": 13})
            # The table's own count, by what an import of the same rows under the same id replays.
            listed = service.client("imports", result["importId"], "--json").stdout
            self.assertEqual(counts(json.loads(listed.splitlines()[-1])), counts(result))
            service.wait_for("the decoder has ended", lambda: not service.children())

    def test_names_of_time_zones_are_known_without_a_file_system(self):
        with Service() as service, tempfile.NamedTemporaryFile("w", suffix=".csv") as file:
            file.write("name\nAnn\n")
            file.flush()
            code, result = service.import_file(file.name, "--time-zone", "Europe/Oslo")
            self.assertEqual(code, 0, result)

    def test_a_decoder_is_held_to_its_limits(self):
        # 8 MiB of address space hold its code and no workbook; three open files are its three pipes.
        for limit, value, reason in (
            ("child_address_space_bytes", 8 << 20, "LIMIT_EXCEEDED"),
            ("child_open_files", 3, None),
        ):
            with self.subTest(limit), Service(**{f"ROWLIFT_LIMITS_{limit.upper()}": str(value)}) as service:
                code, result = service.import_file(WORKBOOK)
                self.assertEqual(code, 1, result)
                self.assertEqual(counts(result), {})
                if reason:
                    detail = result["error"]["details"][0]
                    self.assertEqual((detail["reason"], detail["metadata"]["limit"]), (reason, limit))
                # One import's decoder died, and nothing else.
                self.assertEqual(service.import_file(self.csv())[0], 0)

    def test_the_settings_of_the_manifests_are_taken(self):
        """As in a cluster without a mesh: variables, tables, policy, and Secrets as files."""
        lines = (ROOT / "k8s/base/rowlift.env").read_text().splitlines()
        env = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
        # Where it listens is this test's.
        env = {k: v for k, v in env.items() if k not in ("ROWLIFT_LISTEN", "ROWLIFT_ADMIN_LISTEN")}
        env |= {"ROWLIFT_DATABASE_URL": "", "ROWLIFT_DATABASE_URL_FILE": "/run/secrets/rowlift/database/url"}
        with tempfile.TemporaryDirectory() as directory:
            secrets = pathlib.Path(directory)
            make_certificates(secrets / "tls", "spiffe://cluster.local/ns/apps/sa/test")
            (secrets / "database").mkdir()
            (secrets / "database/url").write_text("sqlite:///var/spool/rowlift/test.db?mode=rwc\n")
            mounts = [
                f"--volume={ROOT}/k8s/overlays/postgres:/etc/rowlift:ro",
                f"--volume={secrets}/tls:/run/secrets/rowlift/tls:ro",
                f"--volume={secrets}/database:/run/secrets/rowlift/database:ro",
            ]
            with Service(*mounts, **env) as service:
                self.check_as_in_a_cluster(service, secrets / "tls", env)

    def check_as_in_a_cluster(self, service, tls, env):
        self.assertEqual(service.get("/startupz"), "started\n")
        self.assertEqual(service.get("/livez"), "alive\n")
        credentials = [f"--ca-file={tls}/ca.crt", f"--cert-file={tls}/client.crt", f"--key-file={tls}/client.key"]
        code, result = service.import_file(WORKBOOK, *credentials)
        self.assertEqual(code, 2, result)
        self.assertNotEqual(service.client("tables", check=False).returncode, 0, "without a certificate")
        self.assertIn('rowlift_rows_total{outcome="inserted"} 987\n', service.get("/metrics"))
        self.assertIn(f"rowlift_imports_limit {env['ROWLIFT_IMPORTS_MAX']}\n", service.get("/metrics"))

    def csv(self):
        file = tempfile.NamedTemporaryFile("w", suffix=".csv")
        self.addCleanup(file.close)
        file.write("name,city\nAnn,Oslo\n")
        file.flush()
        return file.name


def make_certificates(directory, principal):
    """A CA, a server's and a client's certificate in `directory`, named as in a Secret."""
    directory.mkdir()
    new = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1"]
    ca = ["-CA", "ca.crt", "-CAkey", "ca.key", "-addext", "basicConstraints=critical,CA:FALSE"]
    for name, file, options in (
        ("test CA", "ca", []),
        ("rowlift", "tls", [*ca, "-addext", "subjectAltName=IP:127.0.0.1"]),
        ("client", "client", [*ca, "-addext", f"subjectAltName=URI:{principal}"]),
    ):
        command = [*new, "-subj", f"/CN={name}", "-keyout", f"{file}.key", "-out", f"{file}.crt", *options]
        subprocess.run(command, cwd=directory, check=True, capture_output=True)
        # Readable for the service's user, as fsGroup makes a Secret's files.
        (directory / f"{file}.key").chmod(0o644)


class Stopping(unittest.TestCase):
    """Process 1 has no default action for signals: it must take them itself."""

    def test_an_idle_service_ends_with_0(self):
        with Service() as service:
            self.assertEqual(service.import_file(WORKBOOK)[0], 2)
            code, took = service.terminate()
            self.assertEqual(code, 0, service.logs())
            self.assertLess(took, 5)
            self.assertIn('"stopped"', service.logs())

    def test_the_grace_bounds_a_stop(self):
        with Service(ROWLIFT_DRAIN_GRACE="1s") as service, Held(service) as held:
            code, took = service.terminate()
            self.assertEqual(code, 0, service.logs())
            self.assertGreaterEqual(took, 0.9)
            # The grace, and three bounds of 5 s for what comes after it.
            self.assertLess(took, 16)
            self.assertEqual(held.end(), 1)

    def test_a_second_signal_ends_it_at_once(self):
        with Service(ROWLIFT_DRAIN_GRACE="280s") as service, Held(service):
            podman("kill", "--signal=TERM", service.name)
            service.wait_for("the stop has begun", lambda: '"stopping"' in service.logs())
            code, took = service.terminate()
            self.assertEqual(code, 128 + 15, service.logs())
            self.assertLess(took, 5)


class Held:
    """An import that goes on for as long as this is open: its file is a pipe with more to come."""

    def __init__(self, service):
        self.service = service
        self.directory = tempfile.TemporaryDirectory()
        self.path = pathlib.Path(self.directory.name) / "rows.csv"

    def __enter__(self):
        os.mkfifo(self.path)
        address = f"http://{self.service.address}"
        self.client = subprocess.Popen(
            [CLIENT, "import", self.path, "--table", "businesses", "--addr", address, "--timeout", "20s"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        self.writer = open(self.path, "w")
        self.writer.write("name,city\n" + "Ann,Oslo\n" * 20_000)
        self.writer.flush()
        running = lambda: "RUNNING" in self.service.client("imports").stdout  # noqa: E731
        self.service.wait_for("the import runs", running)
        return self

    def __exit__(self, *_):
        self.writer.close()
        self.client.kill()
        self.client.wait()
        self.directory.cleanup()

    def end(self):
        """The client's exit code, once it has given up to try again."""
        return self.client.wait(timeout=60)


def counts(result):
    """What became of the rows, but for zeros."""
    found = {}
    for name, value in result["stats"].items():
        outcome = name.removesuffix("RowCount")
        if outcome in ("received", "inserted", "rejected") and outcome != name and int(value):
            found[outcome] = int(value)
    return found


if __name__ == "__main__":
    unittest.main()
