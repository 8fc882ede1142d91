"""Every method, from xlsx and from CSV, leaves the same table as psql's \\copy of the same CSV."""

import json
import os
import subprocess
import tempfile
import unittest

from service import Postgres, Service, wait_until_serving

ROWS = int(os.environ.get("ROWLIFT_TEST_ROWS", "100000"))
SEED = os.environ.get("ROWLIFT_TEST_SEED", "20261123")
COLUMNS = "name, category, phone, email, address, city, country, website, description"


class EqualToCopyTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="rowlift-equal-")
        cls.database = Postgres()
        cls.service = Service(cls.database.url, ['tables = [{name = "businesses"}]'])
        wait_until_serving(cls.service)
        cls.files = {}
        for form in ("csv", "xlsx"):
            path = os.path.join(cls.folder.name, f"businesses.{form}")
            subprocess.run([os.environ["ROWLIFT_GENERATE"], "--rows", str(ROWS), "--seed", SEED,
                            "--format", form, "--output", path], check=True, capture_output=True)
            cls.files[form] = path
        copied = cls.files["csv"]
        subprocess.run(["psql", "-XAqt", "-v", "ON_ERROR_STOP=1", "-d", cls.database.url, "-c",
                        f"\\copy businesses ({COLUMNS}) from '{copied}' csv header"], check=True)
        cls.wanted = cls.content()
        assert cls.wanted.startswith(f"{ROWS}|"), cls.wanted

    @classmethod
    def tearDownClass(cls):
        cls.service.stop()
        cls.database.drop()
        cls.folder.cleanup()

    @classmethod
    def content(cls):
        """Count, and a hash over the nine mapped columns that does not depend on the order."""
        return cls.database.query(
            f"select count(*), sum(('x' || substr(md5(row({COLUMNS})::text), 1, 15))::bit(60)::bigint)"
            " from businesses")

    def import_with(self, form, method):
        self.database.query("truncate businesses")
        done = subprocess.run(
            [os.environ["ROWLIFT_BINARY"], "import", self.files[form], "--table", "businesses",
             "--addr", f"http://{self.service.address}", "--method", method, "--json"],
            capture_output=True, text=True, check=False, timeout=600)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        result = json.loads(done.stdout.strip().splitlines()[-1])
        self.assertEqual(result["state"], "STATE_SUCCEEDED")
        self.assertEqual(result["writeMethod"], f"WRITE_METHOD_{method.upper()}")
        stats = result["stats"]
        self.assertEqual(stats["receivedRowCount"], str(ROWS))
        self.assertEqual(stats["insertedRowCount"], str(ROWS))
        self.assertEqual(self.content(), self.wanted, f"{form} by {method}")

    def test_workbook_and_csv_by_every_method(self):
        for method in ("copy", "batch", "concurrent", "sequential"):
            for form in ("xlsx", "csv"):
                with self.subTest(method=method, form=form):
                    self.import_with(form, method)


if __name__ == "__main__":
    unittest.main()
