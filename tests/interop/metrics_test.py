"""What /metrics shows after imports of every outcome passes Prometheus' own linter."""

import os
import subprocess
import threading
import unittest
import urllib.request

import grpc

from rowlift.v1 import import_service_pb2 as pb
from service import Postgres, Service, refused, result_of, run_import, wait_until_serving

EXAMPLE = os.path.join(os.path.dirname(__file__), "../../examples/businesses.xlsx")
OUTCOMES = ("succeeded", "failed", "cancelled", "suspended")


def file_messages():
    with open(EXAMPLE, "rb") as file:
        return [pb.ImportRequest(chunk=pb.FileChunk(data=file.read()))]


def rows(*names):
    made = [pb.Row(values=[pb.Value(string_value=name)]) for name in names]
    return pb.ImportRequest(rows=pb.RowBatch(rows=made))


def rows_header(**options):
    source = pb.RowSource(column_names=["name"])
    return pb.ImportHeader(table="businesses", row_source=source, **options)


class MetricsTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.database = Postgres()
        # One import at once, so that a second one is refused.
        settings = ['admin_listen = "127.0.0.1:0"', "imports_max = 1", "imports_queue_max = 0",
                    'tables = [{name = "businesses"}]']
        cls.service = Service(cls.database.url, settings)
        wait_until_serving(cls.service)

    @classmethod
    def tearDownClass(cls):
        cls.service.stop()
        cls.database.drop()

    def metrics(self):
        with urllib.request.urlopen(f"http://{self.service.admin_address}/metrics") as answer:
            return answer.read().decode()

    def import_with_every_outcome(self):
        stub = self.service.stub
        # Rejected rows with several codes, and a decoder.
        header = pb.ImportHeader(table="businesses", file=pb.FileSource())
        result_of(run_import(stub, header, file_messages()))
        with refused(self, grpc.StatusCode.INVALID_ARGUMENT, "ROW_REJECTED"):
            header = rows_header(error_policy=pb.ERROR_POLICY_ABORT,
                                 commit_mode=pb.COMMIT_MODE_ATOMIC)
            run_import(stub, header, [rows("a"), pb.ImportRequest(rows=pb.RowBatch(
                rows=[pb.Row(values=[pb.Value()])]))])
        with refused(self, grpc.StatusCode.INVALID_ARGUMENT, "CORRUPT_FILE"):
            broken = pb.ImportRequest(chunk=pb.FileChunk(data=b"PK\x03\x04 is all there is"))
            run_import(stub, pb.ImportHeader(table="businesses", file=pb.FileSource()), [broken])
        with refused(self, grpc.StatusCode.ABORTED, "CLIENT_ABORT"):
            list(stub.Import(iter([pb.ImportRequest(header=rows_header()), rows("b"),
                                   pb.ImportRequest(abort=pb.Abort())]), timeout=60))
        with refused(self, grpc.StatusCode.ABORTED, "INCOMPLETE_STREAM"):
            list(stub.Import(iter([pb.ImportRequest(header=rows_header()), rows("c")]), timeout=60))
        run_import(stub, rows_header(validate_only=True), [rows("d")])
        self.import_that_is_tried_again()
        self.import_without_a_place()

    def import_that_is_tried_again(self):
        """A batch meets an error that may pass."""
        self.database.query("create sequence tries; create function fail_once()"
                            " returns trigger language plpgsql as $$ begin"
                            " if nextval('tries') < 3 then"
                            " raise exception 'again' using errcode = '40001'; end if;"
                            " return new; end $$; create trigger fail_once before insert"
                            " on businesses for each row execute function fail_once()")
        result = result_of(run_import(self.service.stub, rows_header(), [rows("e")]))
        self.assertGreater(result.stats.retry_count, 0)
        self.database.query("drop trigger fail_once on businesses")

    def import_without_a_place(self):
        """All places are taken by a call that says nothing."""
        running = self.service.stub.Import(silence(), timeout=60)
        running.initial_metadata()
        with refused(self, grpc.StatusCode.UNAVAILABLE, "OVERLOADED"):
            run_import(self.service.stub, rows_header(), [])
        running.cancel()

    def test_promtool_has_nothing_to_say(self):
        self.import_with_every_outcome()
        metrics = self.metrics()
        for outcome in OUTCOMES:
            self.assertRegex(metrics, f'rowlift_import_duration_seconds_count{{.*"{outcome}".*}} ')
        for name in ("rowlift_write_retries_total", "rowlift_admission_refused_total",
                     "rowlift_row_errors_total", "rowlift_decoder_exits_total",
                     "db_client_connection_wait_time_seconds_bucket",
                     "db_client_connection_pending_requests"):
            self.assertIn("\n" + name, metrics)
        checked = subprocess.run([os.environ["PROMTOOL"], "check", "metrics"], input=metrics,
                                 capture_output=True, text=True, check=False)
        self.assertEqual((checked.returncode, checked.stdout, checked.stderr), (0, "", ""))


def silence():
    """A call that stays open until it is cancelled."""
    yield pb.ImportRequest(header=rows_header())
    threading.Event().wait(60)


if __name__ == "__main__":
    unittest.main()
