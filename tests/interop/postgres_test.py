"""A Python client against PostgreSQL: files, packed rows, every kind of value, error details."""

import csv
import hashlib
import io
import unittest

import grpc
from google.protobuf import timestamp_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)

from rowlift.v1 import import_service_pb2 as pb
from service import Postgres, Service, chunks, messages, refused, result_of, run_import
from service import wait_until_serving

COLUMNS = ["name", "category", "phone", "email", "address", "city", "country", "website",
           "description"]
KINDS = """create table kinds(id int primary key, b bool, i bigint, d double precision, t text,
  raw bytea, n numeric, day date, at timestamptz, clock time, fallback text default 'unset')"""
TABLES = ['tables = [{name = "businesses"}, {name = "kinds"}]']


def businesses(n_rows):
    for n in range(n_rows):
        empty = "" if n % 5 else None
        yield [f"Ørsted & 東京 {n}", "Café", f"+45-{n:07}", f"a{n}@example.org", "Main St 1",
               "Aarhus", "Denmark", empty, f'say "{n}", twice\n{n}']


class PostgresTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.database = Postgres()
        cls.database.query(KINDS)
        cls.service = Service(cls.database.url, TABLES)
        cls.stub = cls.service.stub
        wait_until_serving(cls.service)

    @classmethod
    def tearDownClass(cls):
        cls.service.stop()
        cls.database.drop()

    def setUp(self):
        self.database.query("truncate businesses, kinds")

    def content(self):
        columns = ", ".join(COLUMNS)
        return self.database.query(
            f"select count(*), md5(string_agg(r::text, e'\\n' order by r::text))"
            f" from (select {columns} from businesses) r")

    def test_reflection_lists_the_service_and_health_serves(self):
        database = ProtoReflectionDescriptorDatabase(self.service.channel)
        self.assertIn("rowlift.v1.ImportService", database.get_services())
        for service in ("", "rowlift.v1.ImportService"):
            stub = health_pb2_grpc.HealthStub(self.service.channel)
            response = stub.Check(health_pb2.HealthCheckRequest(service=service))
            self.assertEqual(response.status, health_pb2.HealthCheckResponse.SERVING)

    def test_the_example_workbook_goes_in_with_its_rejects_explained(self):
        with open("examples/businesses.xlsx", "rb") as file:
            data = file.read()
        header = pb.ImportHeader(table="businesses", file=pb.FileSource(file_name="businesses.xlsx"))
        events = run_import(self.stub, header, chunks(data), total_bytes=len(data),
                            sha256=hashlib.sha256(data).digest())
        result = result_of(events)
        self.assertEqual(result.state, pb.STATE_SUCCEEDED)
        self.assertEqual(result.stats.inserted_row_count, 987)
        self.assertEqual(result.stats.rejected_row_count, 13)
        self.assertEqual(self.database.query("select count(*) from businesses"), "987")
        listed = self.stub.ListRejectedRows(
            pb.ListRejectedRowsRequest(import_id=result.import_id, page_size=5))
        rows = list(listed.rejected_rows)
        self.assertEqual(listed.total_size, 13)
        while listed.next_page_token:
            listed = self.stub.ListRejectedRows(pb.ListRejectedRowsRequest(
                import_id=result.import_id, page_size=5, page_token=listed.next_page_token))
            rows += listed.rejected_rows
        offsets = [row.offset for row in rows]
        self.assertEqual(offsets, sorted(set(offsets)))
        self.assertEqual(len(offsets), 13)
        self.assertTrue(all(row.errors and row.errors[0].message for row in rows))
        codes = {error.code for row in rows for error in row.errors}
        self.assertGreaterEqual(len(codes), 6)

    def test_packed_rows_equal_the_same_rows_as_csv(self):
        rows = list(businesses(5000))
        text = io.StringIO()
        writer = csv.writer(text)
        writer.writerow(COLUMNS)
        writer.writerows(rows)
        header = pb.ImportHeader(table="businesses", file=pb.FileSource(file_name="b.csv"))
        data = text.getvalue().encode()
        result = result_of(run_import(self.stub, header, chunks(data), total_bytes=len(data)))
        self.assertEqual(result.stats.inserted_row_count, 5000)
        from_csv = self.content()

        self.database.query("truncate businesses")
        header = pb.ImportHeader(table="businesses", row_source=pb.RowSource(column_names=COLUMNS))
        result = result_of(run_import(self.stub, header, packed(rows), total_row_count=5000))
        self.assertEqual(result.stats.inserted_row_count, 5000)
        self.assertEqual(self.content(), from_csv)

    def test_every_kind_of_value_comes_back_as_it_was_sent(self):
        at = timestamp_pb2.Timestamp(seconds=1709210096, nanos=123456000)
        values = [
            pb.Value(int_value=1), pb.Value(bool_value=True), pb.Value(int_value=-(2**63)),
            pb.Value(double_value=0.1 + 0.2), pb.Value(string_value="  as sent \t"),
            pb.Value(bytes_value=b"\x00\xff"), pb.Value(decimal_value="12345678901234567890.10"),
            pb.Value(date_value="2024-02-29"), pb.Value(timestamp_value=at),
            pb.Value(time_value="23:59:59.999999"), pb.Value(unset=pb.Unset()),
        ]
        nulls = [pb.Value(int_value=2)] + [pb.Value()] * 10
        names = ["id", "b", "i", "d", "t", "raw", "n", "day", "at", "clock", "fallback"]
        header = pb.ImportHeader(table="kinds", row_source=pb.RowSource(column_names=names))
        batch = pb.RowBatch(rows=[pb.Row(values=values), pb.Row(values=nulls)])
        result = result_of(run_import(self.stub, header, [pb.ImportRequest(rows=batch)]))
        self.assertEqual(result.stats.inserted_row_count, 2)
        back = self.database.query(
            "set timezone='UTC'; select b, i, d, t, raw, n, day, at, clock, fallback from kinds"
            " where id = 1")
        self.assertEqual(back, "t|-9223372036854775808|0.30000000000000004|  as sent \t|\\x00ff|"
                               "12345678901234567890.10|2024-02-29|2024-02-29 12:34:56.123456+00|"
                               "23:59:59.999999|unset")
        back = self.database.query("select num_nulls(b,i,d,t,raw,n,day,at,clock,fallback)"
                                   " from kinds where id = 2")
        self.assertEqual(back, "10")

    def test_a_finished_import_is_replayed(self):
        header = pb.ImportHeader(import_id="again", table="businesses",
                                 row_source=pb.RowSource(column_names=COLUMNS))
        rows = list(businesses(10))
        first = result_of(run_import(self.stub, header, packed(rows)))
        events = run_import(self.stub, header, packed(rows))
        self.assertTrue(events[0].accepted.replayed)
        self.assertEqual(result_of(events), first)
        self.assertEqual(self.database.query("select count(*) from businesses"), "10")

    def test_errors_carry_reason_and_fields(self):
        rows = pb.RowSource(column_names=["name"])
        with refused(self, grpc.StatusCode.NOT_FOUND, "TABLE_NOT_FOUND"):
            run_import(self.stub, pb.ImportHeader(table="pg_class", row_source=rows), [])
        header = pb.ImportHeader(table="businesses", row_source=rows, tenant="a\nb")
        with refused(self, grpc.StatusCode.INVALID_ARGUMENT, "INVALID_OPTION") as details:
            run_import(self.stub, header, [])
        self.assertEqual(details["BadRequest"].field_violations[0].field, "header.tenant")
        unknown = pb.RowSource(column_names=["name", "E-mial"])
        with refused(self, grpc.StatusCode.INVALID_ARGUMENT, "COLUMN_MAPPING"):
            run_import(self.stub, pb.ImportHeader(table="businesses", row_source=unknown), [])
        with refused(self, grpc.StatusCode.NOT_FOUND, "IMPORT_NOT_FOUND"):
            self.stub.GetImport(pb.GetImportRequest(import_id="never-seen"))

    def test_a_stream_without_finish_has_not_ended(self):
        header = pb.ImportHeader(import_id="cut", table="businesses",
                                 row_source=pb.RowSource(column_names=COLUMNS))
        requests = list(messages(header, packed(list(businesses(3)))))[:-1]
        with refused(self, grpc.StatusCode.ABORTED, "INCOMPLETE_STREAM"):
            list(self.stub.Import(iter(requests), timeout=30))
        job = self.stub.GetImport(pb.GetImportRequest(import_id="cut")).job
        self.assertEqual(job.state, pb.STATE_SUSPENDED)

    def test_an_early_error_arrives_while_the_caller_still_uploads(self):
        text = "name,nonsense\n" + "a,b\n" * 2_000_000
        header = pb.ImportHeader(table="businesses", file=pb.FileSource(file_name="b.csv"))
        with refused(self, grpc.StatusCode.INVALID_ARGUMENT, "COLUMN_MAPPING"):
            run_import(self.stub, header, chunks(text.encode()))

    def test_the_deadline_holds_while_the_stream_is_open(self):
        header = pb.ImportHeader(table="businesses",
                                 row_source=pb.RowSource(column_names=["name"]))

        def silent():
            yield pb.ImportRequest(header=header)
            for _ in iter(self.service.process.poll, 0):
                yield pb.ImportRequest(heartbeat=pb.Heartbeat())

        with self.assertRaises(grpc.RpcError) as caught:
            list(self.stub.Import(silent(), timeout=1))
        self.assertEqual(caught.exception.code(), grpc.StatusCode.DEADLINE_EXCEEDED)


def packed(rows, rows_per_message=1000):
    """The rows as PackedRows; an empty cell of the CSV is NULL."""
    for start in range(0, len(rows), rows_per_message):
        part = rows[start:start + rows_per_message]
        cells, lengths = [], []
        for row in part:
            for value in row:
                data = value.encode() if value else b""
                cells.append(data)
                lengths.append(len(data) if value else -1)
        packed_rows = pb.PackedRows(offset=start, row_count=len(part), cells=b"".join(cells),
                                    cell_lengths=lengths)
        yield pb.ImportRequest(packed_rows=packed_rows)


if __name__ == "__main__":
    unittest.main()
