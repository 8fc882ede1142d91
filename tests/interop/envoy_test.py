"""Imports through Envoy: its bounds on time and silence, and the retries that Istio configures."""

import threading
import unittest

import grpc
from google.protobuf import duration_pb2

from callers import Import, Lock, eventually, n_waiting
from proxy import ISTIO_RETRIES, Envoy, listener
from rowlift.v1 import import_service_pb2 as pb
from rowlift.v1 import import_service_pb2_grpc as rpc
from service import Postgres, Service, wait_until_serving

TABLE = "create table people (id bigint generated always as identity primary key, name text)"
TABLES = ['tables = [{name = "people"}]']
LISTENERS = {
    # As components/istio configures it.
    "ours": listener(),
    "impatient": listener(timeout="1s"),
    "wary_of_silence": listener(stream_idle_timeout="1s"),
    "istio": listener(retries=ISTIO_RETRIES),
}
# Without a word from the service: what the proxy ends.
CUT = {grpc.StatusCode.CANCELLED, grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.INTERNAL,
       grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.UNKNOWN}


def header(import_id, **options):
    source = pb.RowSource(column_names=["name"])
    return pb.ImportHeader(import_id=import_id, table="people", row_source=source, **options)


def named_rows(*names):
    return [pb.Row(values=[pb.Value(string_value=name)]) for name in names]


def whole(*names):
    """Makes the messages of an import after its header."""
    def payloads():
        yield pb.ImportRequest(rows=pb.RowBatch(offset=0, rows=named_rows(*names)))
        yield pb.ImportRequest(finish=pb.Finish(total_row_count=len(names)))
    return payloads


class EnvoyCase(unittest.TestCase):
    """Two services behind an Envoy, which gives them the calls in turn."""

    def setUp(self):
        self.database = Postgres()
        self.addCleanup(self.database.drop)
        self.database.query(TABLE)
        self.services = {name: self.start(name) for name in ("first", "second")}
        for service in self.services.values():
            wait_until_serving(service)
        addresses = [service.address for service in self.services.values()]
        self.envoy = Envoy(addresses, LISTENERS, lb_policy="ROUND_ROBIN")
        self.addCleanup(self.envoy.stop)

    def start(self, name):
        service = Service(self.database.url, TABLES, server_name=name, progress_interval="200ms",
                          drain_grace="300ms", imports_max=4, imports_queue_max=0)
        self.addCleanup(lambda: service.process.poll() is not None or service.stop())
        return service

    def through(self, way, import_id, names, **options):
        address = self.envoy.address(way)
        return Import(address, header(import_id, **options), whole(*names), resumes=False)

    def names(self):
        return self.database.query("select name from people order by name").splitlines()


class TailTest(EnvoyCase):
    def wait_until_suspended(self, import_id):
        get = pb.GetImportRequest(import_id=import_id)
        stub = self.services["first"].stub
        eventually(f"{import_id} is suspended", lambda: (
            stub.GetImport(get, timeout=10).job.state == pb.STATE_SUSPENDED))

    def cut_and_resumed(self, patient, cut):
        """Two imports in a long tail: the second is cut by the proxy, the first goes on.

        Each is a way in and options. Both have sent everything before the wait begins.
        """
        with Lock(self.database.url, "people") as lock:
            goes_on = self.through(patient[0], "goes-on", ["Ann"], **patient[1])
            eventually("the first import waits", lambda: n_waiting(self.database) == 1)
            broken = self.through(cut[0], "broken", ["Bo"], **cut[1])
            code, reason = broken.failed()
            self.assertIn(code, CUT)
            self.assertIsNone(reason, "the service has nothing to do with it")
            self.assertTrue(broken.accepted.is_set())
            self.wait_until_suspended("broken")
            lock.release()
        self.assertEqual(goes_on.end().stats.inserted_row_count, 1)
        self.assertEqual(self.names(), ["Ann"])
        resumed = self.through("ours", "broken", ["Bo"], resume=True)
        self.assertEqual(resumed.end().stats.inserted_row_count, 1)
        self.assertEqual(self.names(), ["Ann", "Bo"])

    def test_a_long_tail_after_the_half_close_needs_a_route_without_timeout(self):
        self.cut_and_resumed(("ours", {}), ("impatient", {}))

    def test_an_idle_limit_must_be_longer_than_the_service_is_silent(self):
        silent = {"progress_interval": duration_pb2.Duration(seconds=15)}
        self.cut_and_resumed(("wary_of_silence", {}), ("wary_of_silence", silent))


class RetriesTest(EnvoyCase):
    def n_retries(self):
        return self.envoy.stat("cluster.rowlift.upstream_rq_retry")

    def fill(self, service):
        """Imports in every place of a service, which stay until the returned event is set."""
        may_finish = threading.Event()
        self.addCleanup(may_finish.set)

        def payloads():
            may_finish.wait(60)
            yield pb.ImportRequest(finish=pb.Finish())

        held = [Import(service.address, header(f"held-{n}"), payloads, resumes=False)
                for n in range(4)]
        for it in held:
            self.assertTrue(it.accepted.wait(timeout=30))
        return may_finish, held

    def test_a_refused_import_that_istio_repeats_is_written_once(self):
        may_finish, held = self.fill(self.services["first"])
        names = [f"name {n}" for n in range(6)]
        for n, name in enumerate(names):
            self.assertEqual(self.through("istio", f"retried-{n}", [name]).end().stats
                             .inserted_row_count, 1)
        # Whenever the full one's turn came first.
        self.assertGreaterEqual(self.n_retries(), 5)
        self.assertEqual(self.names(), names)

        # As we configure it, the refusal arrives as it is, and nobody repeats it.
        n_before = self.n_retries()
        refusals = []
        for n in range(2):
            plain = self.through("ours", f"plain-{n}", [f"plain {n}"])
            plain.join()
            refusals += [plain.failed()] if plain.error else []
        self.assertEqual(refusals, [(grpc.StatusCode.UNAVAILABLE, "OVERLOADED")])
        self.assertEqual(self.n_retries(), n_before)
        self.assertEqual(len(self.names()), len(names) + 1)
        may_finish.set()
        for it in held:
            self.assertEqual(it.end().stats.received_row_count, 0)

    def test_a_batch_that_istio_repeats_elsewhere_is_written_once(self):
        # ImportRows answers when it is done: what its first server had begun, the second finds.
        request = pb.ImportRowsRequest(import_id="batch", table="people", column_names=["name"],
                                       rows=named_rows("Ann", "Bo"))
        with Lock(self.database.url, "people") as lock, \
                grpc.insecure_channel(self.envoy.address("istio")) as channel:
            call = rpc.ImportServiceStub(channel).ImportRows.future(request, timeout=60)
            eventually("the batch waits", lambda: n_waiting(self.database) == 1)
            server = self.database.query("select server from rowlift.sessions")
            self.services[server].process.terminate()
            eventually("another one has it", lambda: self.database.query(
                f"select count(*) from rowlift.sessions where server <> '{server}'") == "1")
            lock.release()
            result = call.result().result
        self.assertEqual(result.state, pb.STATE_SUCCEEDED)
        self.assertEqual(result.stats.inserted_row_count, 2)
        self.assertEqual(self.names(), ["Ann", "Bo"])
        self.assertEqual(self.n_retries(), 1)
        self.services[server].ends_well()


if __name__ == "__main__":
    unittest.main()
