"""Imports that are interrupted, repeated, watched and cancelled, from grpcio, on PostgreSQL."""

import threading
import unittest

import grpc

from rowlift.v1 import import_service_pb2 as pb
from service import (Postgres, Service, messages, refused, result_of, run_import,
                     wait_until_serving)

TABLE = """create table people (
    id bigint generated always as identity primary key,
    email text not null unique,
    name text
)"""


def rows(*values, offset=None):
    batch = pb.RowBatch(rows=[pb.Row(values=[pb.Value(string_value=it) for it in row])
                              for row in values])
    if offset is not None:
        batch.offset = offset
    return pb.ImportRequest(rows=batch)


def header(import_id, **options):
    source = pb.RowSource(column_names=["email", "name"])
    return pb.ImportHeader(import_id=import_id, table="people", row_source=source, **options)


class ResumeTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.database = Postgres()
        cls.database.query(TABLE)
        cls.service = Service(cls.database.url, ['tables = [{name = "people"}]'])
        wait_until_serving(cls.service)
        cls.stub = cls.service.stub

    @classmethod
    def tearDownClass(cls):
        cls.service.stop()
        cls.database.drop()

    def setUp(self):
        self.database.query("truncate people")

    def interrupt(self, import_id, **options):
        """Sends one row, waits until it is decided, and cancels the call."""
        def requests():
            yield pb.ImportRequest(header=header(import_id, **options))
            yield rows(["a@x", "Ann"])
            # Until the call is cancelled.
            threading.Event().wait(20)

        call = self.stub.Import(requests(), timeout=60)
        for response in call:
            if response.WhichOneof("event") == "ack" and response.ack.committed_offset == 1:
                break
        call.cancel()

    def wait_for(self, import_id, state):
        request = pb.WatchImportRequest(import_id=import_id)
        for response in self.stub.WatchImport(request, timeout=30):
            if response.job.state == state:
                return response.job
        raise AssertionError(f"never {state}")

    def test_an_interrupted_import_goes_on_where_it_was(self):
        self.interrupt("goes-on")
        job = self.wait_for("goes-on", pb.STATE_SUSPENDED)
        self.assertEqual(job.committed_offset, 1)
        everything = [rows(["a@x", "Ann"], ["b@x", "Bo"], offset=0)]
        with refused(self, grpc.StatusCode.FAILED_PRECONDITION, "WRONG_STATE"):
            run_import(self.stub, header("goes-on"), everything)
        events = run_import(self.stub, header("goes-on", resume=True), everything,
                            total_row_count=2)
        self.assertTrue(events[0].accepted.resumed)
        self.assertEqual(events[0].accepted.committed_offset, 1)
        self.assertEqual(result_of(events).stats.inserted_row_count, 2)
        self.assertEqual(self.database.query("select email from people order by id"), "a@x\nb@x")
        again = run_import(self.stub, header("goes-on", resume=True), everything)
        self.assertTrue(again[0].accepted.replayed)

    def test_rows_that_meet_are_updated_or_left_out(self):
        run_import(self.stub, header("first"), [rows(["a@x", "Ann"])])
        for action, name in ((pb.CONFLICT_ACTION_SKIP, "Ann"), (pb.CONFLICT_ACTION_UPDATE, "Eve")):
            options = header(f"meets-{action}", on_conflict=action, conflict_columns=["email"])
            stats = result_of(run_import(self.stub, options, [rows(["a@x", "Eve"])])).stats
            self.assertEqual((stats.skipped_row_count, stats.updated_row_count),
                             (1, 0) if name == "Ann" else (0, 1))
            self.assertEqual(self.database.query("select name from people"), name)

    def test_all_or_nothing_and_dry_runs_leave_nothing(self):
        twice = [rows(["a@x", "Ann"], ["a@x", "Ann again"])]
        options = header("atomic", commit_mode=pb.COMMIT_MODE_ATOMIC,
                         error_policy=pb.ERROR_POLICY_ABORT)
        with refused(self, grpc.StatusCode.INVALID_ARGUMENT, "ROW_REJECTED"):
            run_import(self.stub, options, twice)
        dry = result_of(run_import(self.stub, header("dry", validate_only=True), twice))
        self.assertTrue(dry.validate_only)
        self.assertEqual((dry.stats.inserted_row_count, dry.stats.rejected_row_count), (1, 1))
        self.assertEqual(self.database.query("select count(*) from people"), "0")

    def test_a_suspended_import_is_cancelled_for_good(self):
        self.interrupt("cancelled")
        self.wait_for("cancelled", pb.STATE_SUSPENDED)
        answer = self.stub.CancelImport(pb.CancelImportRequest(import_id="cancelled"), timeout=30)
        self.assertEqual(answer.job.state, pb.STATE_CANCELLED)
        with refused(self, grpc.StatusCode.CANCELLED, "CANCELLED_BY_REQUEST"):
            list(self.stub.Import(messages(header("cancelled", resume=True), []), timeout=60))

    def test_a_bad_batch_leaves_its_id_free(self):
        def batch(*values):
            return pb.ImportRowsRequest(
                import_id="batch", table="people", column_names=["email", "name"],
                rows=[pb.Row(values=[pb.Value(string_value=it) for it in row]) for row in values])

        bad = self.stub.ImportRows(batch(["a@x", "Ann"], ["a@x", "Bo"]), timeout=60)
        self.assertEqual(bad.result.state, pb.STATE_FAILED)
        self.assertEqual([row.offset for row in bad.rejected_rows], [1])
        self.assertEqual(bad.rejected_rows[0].errors[0].constraint, "people_email_key")
        good = self.stub.ImportRows(batch(["a@x", "Ann"], ["b@x", "Bo"]), timeout=60)
        self.assertEqual(good.result.stats.inserted_row_count, 2)
        self.assertTrue(self.stub.ImportRows(batch(["a@x", "Ann"], ["b@x", "Bo"]),
                                             timeout=60).replayed)


if __name__ == "__main__":
    unittest.main()
