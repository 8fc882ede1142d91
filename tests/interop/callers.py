"""Callers that stay: imports sent again until they end, and a table that is locked meanwhile."""

import subprocess
import threading
import time

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from rowlift.v1 import import_service_pb2 as pb
from rowlift.v1 import import_service_pb2_grpc as rpc

# What another try may get over, beside every end that the service has not spoken about.
MAY_PASS = {"DRAINING", "OVERLOADED", "DATABASE_UNAVAILABLE", "IMPORT_BUSY", "FENCED",
            "INCOMPLETE_STREAM"}


def verdict(error):
    """The reason in a status of the service; None if the service did not write it."""
    status = rpc_status.from_call(error)
    for detail in status.details if status else ():
        info = error_details_pb2.ErrorInfo()
        if detail.Unpack(info):
            return info.reason
    return None


class Import(threading.Thread):
    """An import beside the test. `payloads()` makes its messages, finish included, for every try.

    With `resumes`, it is sent again with `resume` until it ends, however often.
    """

    def __init__(self, address, header, payloads, resumes=True, seconds_max=120):
        super().__init__(name=header.import_id, daemon=True)
        self.header, self.payloads, self.resumes = header, payloads, resumes
        self.address = address
        self.until = time.monotonic() + seconds_max
        self.accepted = threading.Event()
        self.committed = 0
        # Of all tries but the last: code and reason.
        self.failures = []
        self.result, self.error = None, None
        self.start()

    def run(self):
        with grpc.insecure_channel(self.address) as channel:
            stub = rpc.ImportServiceStub(channel)
            while self.result is None and self.error is None:
                try:
                    self._try(stub)
                except grpc.RpcError as error:
                    self._failed(error)

    def _try(self, stub):
        self._ended = threading.Event()
        left = max(self.until - time.monotonic(), 1)
        try:
            for response in stub.Import(self._requests(), timeout=left):
                event = response.WhichOneof("event")
                if event == "accepted":
                    self.committed = response.accepted.committed_offset
                    self.accepted.set()
                elif event == "ack":
                    self.committed = response.ack.committed_offset
                elif event == "result":
                    self.result = response.result
        except grpc.RpcError:
            # A result may come before a status that says the same.
            self.result = None
            raise
        finally:
            self._ended.set()

    def _requests(self):
        """Ends with its try, so that no thread keeps waiting for a message to send."""
        ended = self._ended
        yield pb.ImportRequest(header=self.header)
        for payload in self.payloads():
            if ended.is_set():
                return
            yield payload

    def _failed(self, error):
        reason = verdict(error)
        may_pass = reason is None or reason in MAY_PASS
        if not (self.resumes and may_pass and time.monotonic() < self.until):
            self.error = error
            return
        self.failures.append((error.code(), reason))
        self.header.resume = True
        time.sleep(0.1)

    def end(self):
        """Its result; it must have succeeded."""
        self.join(timeout=max(self.until - time.monotonic(), 1))
        if self.error:
            raise AssertionError(f"{self.name}: {self.error}, after {self.failures}")
        assert self.result, f"{self.name} has not ended: {self.failures}"
        assert self.result.state == pb.STATE_SUCCEEDED, self.result
        assert_law(self.result.stats)
        return self.result

    def failed(self):
        """How its only try failed: code and reason."""
        self.join(timeout=max(self.until - time.monotonic(), 1))
        assert self.error, f"{self.name} did not fail: {self.result}"
        return self.error.code(), verdict(self.error)


def assert_law(stats):
    """Every row that was received has exactly one outcome."""
    decided = (stats.inserted_row_count + stats.updated_row_count + stats.unchanged_row_count
               + stats.skipped_row_count + stats.rejected_row_count + stats.blank_row_count
               + stats.unprocessed_row_count)
    assert stats.received_row_count == decided, stats


def eventually(what, condition, seconds_max=30):
    """Waits until the condition holds; its value."""
    until = time.monotonic() + seconds_max
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < until, f"not within {seconds_max} s: {what}"
        time.sleep(0.02)


class Lock:
    """Lets nobody write to a table until it is released."""

    def __init__(self, url, table):
        self.psql = subprocess.Popen(["psql", "-XAqt", "-v", "ON_ERROR_STOP=1", "-d", url],
                                     stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.psql.stdin.write(f"begin; lock table {table} in share mode; select 'held';\n")
        self.psql.stdin.flush()
        assert self.psql.stdout.readline() == "held\n"

    def release(self):
        self.psql.communicate("rollback;\n", timeout=30)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.psql.poll() is None:
            self.release()


def n_waiting(database):
    """Statements of the services that wait for a lock."""
    return int(database.query(
        "select count(*) from pg_stat_activity where wait_event_type = 'Lock'"
        " and datname = current_database()"))
