"""grpcurl, as a person uses it, against SQLite: reflection, streams, error details."""

import base64
import json
import os
import subprocess
import tempfile
import unittest

from service import Service, wait_until_serving


class GrpcurlTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="rowlift-grpcurl-")
        path = os.path.join(cls.folder.name, "test.db")
        cls.service = Service(f"sqlite://{path}?mode=rwc", ['tables = [{name = "businesses"}]'])
        wait_until_serving(cls.service)

    @classmethod
    def tearDownClass(cls):
        cls.service.stop()
        cls.folder.cleanup()

    def grpcurl(self, *words, stdin=""):
        return subprocess.run([os.environ["GRPCURL"], "-plaintext", *words], input=stdin, capture_output=True, text=True, check=False,
                              timeout=60)

    def call(self, method, *requests):
        done = self.grpcurl("-d", "@", self.service.address, f"rowlift.v1.ImportService/{method}",
                            stdin="\n".join(json.dumps(request) for request in requests))
        return done

    def test_reflection_lists_and_describes(self):
        listed = self.grpcurl(self.service.address, "list").stdout
        self.assertIn("rowlift.v1.ImportService", listed)
        self.assertIn("grpc.health.v1.Health", listed)
        described = self.grpcurl(self.service.address, "describe", "rowlift.v1.ImportHeader").stdout
        self.assertIn("string import_id = 1", described)

    def test_a_unary_call_answers_in_json(self):
        info = json.loads(self.call("GetServerInfo", {}).stdout)
        self.assertIn("FILE_FORMAT_XLSX", info["formats"])
        table = json.loads(self.call("GetTable", {"table": "businesses"}).stdout)["table"]
        self.assertIn("name", [column["name"] for column in table["columns"]])

    def test_rows_and_a_file_stream_in(self):
        value = lambda text: {"stringValue": text}
        done = self.call(
            "Import",
            {"header": {"table": "businesses", "rowSource": {"columnNames": ["name", "city"]}}},
            {"rows": {"rows": [{"values": [value("Ann"), value("Oslo")]},
                               {"values": [{}, value("Rome")]}]}},
            {"finish": {"totalRowCount": 2}},
        )
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn('"insertedRowCount": "1"', done.stdout)
        self.assertIn("ROW_ERROR_CODE_REQUIRED_MISSING", done.stdout)

        data = base64.b64encode(b"name;city\nBo;Bonn\n\nCy;Cork\n").decode()
        done = self.call(
            "Import",
            {"header": {"table": "businesses", "file": {"fileName": "a.csv"}}},
            {"chunk": {"data": data}},
            {"finish": {}},
        )
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn('"insertedRowCount": "2"', done.stdout)
        self.assertIn('"blankRowCount": "1"', done.stdout)

    def test_error_details_are_printed(self):
        done = self.call("GetTable", {"table": "sqlite_master"})
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("Code: NotFound", done.stderr)
        self.assertIn("TABLE_NOT_FOUND", done.stderr)
        done = self.call("WatchImport", {"importId": "a"})
        self.assertIn("Code: Unimplemented", done.stderr)
        self.assertIn("rowlift.v1.ImportService/WatchImport", done.stderr)


if __name__ == "__main__":
    unittest.main()
