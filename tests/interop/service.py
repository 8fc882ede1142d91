"""A running Rowlift and its database, for tests from outside."""

import contextlib
import os
import queue
import re
import subprocess
import tempfile
import threading
import time
import uuid

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from rowlift.v1 import import_service_pb2 as pb
from rowlift.v1 import import_service_pb2_grpc as rpc

START_SECONDS_MAX = 60


class Service:
    """One `rowlift serve`, on a free port unless told, with a channel and a stub.

    `lines` go into the configuration file; settings are keys of it that go into the environment, as
    does what `environment` has besides.
    """

    def __init__(self, database_url, lines, listen="127.0.0.1:0", environment=None, **settings):
        self.folder = tempfile.TemporaryDirectory(prefix="rowlift-interop-")
        config = os.path.join(self.folder.name, "rowlift.toml")
        with open(config, "w", encoding="utf-8") as file:
            for line in lines:
                file.write(line + "\n")
        self.process = subprocess.Popen(
            [os.environ["ROWLIFT_BINARY"], "serve", "--listen", listen,
             "--database-url", database_url, "--config", config],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=self.folder.name,
            env={**os.environ, "ROWLIFT_SPOOL_DIR": self.folder.name,
                 **{f"ROWLIFT_{key.upper()}": str(value) for key, value in settings.items()},
                 **(environment or {})},
        )
        self.log = []
        # Where probes and metrics are, if that is configured: it is logged first.
        self.admin_address = None
        try:
            self.address = self._wait_for_address()
        except BaseException:
            # Whoever asked for it has nothing to stop it by.
            self.process.kill()
            self.process.wait()
            self.folder.cleanup()
            raise
        self.channel = grpc.insecure_channel(self.address)
        self.stub = rpc.ImportServiceStub(self.channel)

    def _wait_for_address(self):
        """The service logs where it serves; the rest of its log is kept for failures."""
        found = queue.Queue()

        def read():
            with self.process.stdout:
                for line in self.process.stdout:
                    self.log.append(line)
                    match = re.search(r"127\.0\.0\.1:(\d+)", line)
                    if match and "serving probes" in line:
                        self.admin_address = match.group(0)
                    if match and "serving gRPC" in line:
                        found.put(match.group(0))
            found.put(None)

        threading.Thread(target=read, daemon=True).start()
        try:
            address = found.get(timeout=START_SECONDS_MAX)
        except queue.Empty:
            raise AssertionError("the service does not listen: " + "".join(self.log)) from None
        if address is None:
            raise AssertionError("the service ended: " + "".join(self.log))
        return address

    def stop(self):
        self.process.terminate()
        self.ends_well()

    def ends_well(self):
        """It was asked to stop; it does so in time."""
        try:
            code = self.process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError("it does not end after SIGTERM: " + "".join(self.log)) from None
        self._forget()
        assert code == 0, f"exit code {code} after SIGTERM: " + "".join(self.log)

    def kill(self):
        """As `kill -9`; returns once the process is gone."""
        self.process.kill()
        self.process.wait()
        self._forget()

    def _forget(self):
        self.channel.close()
        self.folder.cleanup()


class Postgres:
    """A fresh database on the shared cluster."""

    def __init__(self):
        self.cluster = os.environ["ROWLIFT_TEST_POSTGRES"]
        self.name = "interop_" + uuid.uuid4().hex
        self._psql(self.cluster, f"create database {self.name}")
        base, _, query = self.cluster.partition("?")
        self.url = re.sub(r"/[^/]*$", "/" + self.name, base) + ("?" + query if query else "")
        try:
            subprocess.run([os.environ["ROWLIFT_BINARY"], "migrate", "--database-url", self.url],
                           check=True, capture_output=True)
        except BaseException:
            self.drop()
            raise

    def query(self, sql):
        return self._psql(self.url, sql)

    def drop(self):
        self._psql(self.cluster, f"drop database {self.name} with (force)")

    @staticmethod
    def _psql(url, sql):
        done = subprocess.run(["psql", "-XAqt", "-v", "ON_ERROR_STOP=1", "-d", url, "-c", sql],
                              check=False, capture_output=True, text=True)
        if done.returncode:
            raise AssertionError(done.stderr)
        return done.stdout.rstrip("\n")


def wait_until_serving(service):
    """Imports are refused until the ledger is ready; health tells when."""
    from grpc_health.v1 import health_pb2, health_pb2_grpc

    stub = health_pb2_grpc.HealthStub(service.channel)
    request = health_pb2.HealthCheckRequest(service="rowlift.v1.ImportService")
    until = time.monotonic() + START_SECONDS_MAX
    for response in stub.Watch(request, timeout=START_SECONDS_MAX):
        if response.status == health_pb2.HealthCheckResponse.SERVING:
            return
        assert time.monotonic() < until
    raise AssertionError("never SERVING: " + "".join(service.log))


def run_import(stub, header, payloads, **finish):
    """All events of an import that is expected to end OK."""
    return list(stub.Import(messages(header, payloads, **finish), timeout=120))


def messages(header, payloads, **finish):
    yield pb.ImportRequest(header=header)
    for payload in payloads:
        yield payload
    yield pb.ImportRequest(finish=pb.Finish(**finish))


def chunks(data, size=64 * 1024):
    for offset in range(0, len(data), size):
        chunk = pb.FileChunk(offset=offset, data=data[offset:offset + size])
        yield pb.ImportRequest(chunk=chunk)


def result_of(events):
    assert events[0].WhichOneof("event") == "accepted", events[0]
    assert events[-1].WhichOneof("event") == "result", events[-1]
    return events[-1].result


@contextlib.contextmanager
def refused(test, code, reason):
    """The call inside must end with this status; yields its details."""
    details = {}
    with test.assertRaises(grpc.RpcError) as caught:
        yield details
    error = caught.exception
    test.assertEqual(error.code(), code, error.details())
    for detail in rpc_status.from_call(error).details:
        for message in (error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()):
            if detail.Unpack(message):
                details[type(message).__name__] = message
    test.assertEqual(details["ErrorInfo"].reason, reason)
    test.assertEqual(details["ErrorInfo"].domain, "rowlift")
