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
        cls.examples = os.path.abspath("examples")

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
        done = self.call("WatchImport", {"importId": "nobody"})
        self.assertIn("Code: NotFound", done.stderr)
        self.assertIn("IMPORT_NOT_FOUND", done.stderr)
        done = self.call("DeleteImport", {"importId": "nobody"})
        self.assertIn("Code: NotFound", done.stderr)
        self.assertIn("IMPORT_NOT_FOUND", done.stderr)

    def test_a_batch_is_sent_twice_and_watched(self):
        batch = {
            "importId": "batch-1", "table": "businesses", "columnNames": ["name", "city"],
            "rows": [{"values": [{"stringValue": "Dee"}, {"stringValue": "Derby"}]}],
        }
        done = self.call("ImportRows", batch)
        self.assertEqual(done.returncode, 0, done.stderr)
        first = json.loads(done.stdout)
        self.assertEqual(first["result"]["stats"]["insertedRowCount"], "1")
        self.assertNotIn("replayed", first)
        again = json.loads(self.call("ImportRows", batch).stdout)
        self.assertTrue(again["replayed"])
        self.assertEqual(again["result"], first["result"])
        watched = json.loads(self.call("WatchImport", {"importId": "batch-1"}).stdout)
        self.assertEqual(watched["job"]["state"], "STATE_SUCCEEDED")

    def test_the_manuals_own_lines_work(self):
        """Every grpcurl line of the contract whose RPC is built, as it is written there."""
        for name, script in manual():
            with self.subTest(name):
                script = script.replace("localhost:50051", self.service.address)
                done = subprocess.run(
                    ["bash", "-c", 'grpcurl() { "$GRPCURL" "$@"; }\n' + script],
                    cwd=self.examples, env={**os.environ, "GRPCURL": os.path.abspath(os.environ["GRPCURL"])},
                    capture_output=True, text=True, check=False, timeout=60)
                self.assertEqual(done.returncode, 0, f"{script}\n{done.stdout}{done.stderr}")


# Lines that need what the test has not: another table, an import that has not ended, or an RPC
# that is not built.
NOT_HERE = ("crm.contacts", "CancelImport", "ExportRejectedRows")


def manual():
    """The shell lines in the contract's comments, with the RPC that they call."""
    with open("proto/rowlift/v1/import_service.proto", encoding="utf-8") as file:
        lines = [line.strip() for line in file]
    script = None
    for line in lines:
        text = line.removeprefix("//").removeprefix(" ")
        if line == "// ```sh":
            script = []
        elif line == "// ```" and script is not None:
            whole = "\n".join(script)
            script = None
            if not any(word in whole for word in NOT_HERE):
                yield whole.rsplit("/", 1)[1], whole
        elif script is not None:
            script.append(text)


if __name__ == "__main__":
    unittest.main()
