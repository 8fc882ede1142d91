"""Two services on one database behind Envoy; one of them goes while imports run."""

import threading
import unittest

from callers import Import, Lock, eventually, n_waiting
from proxy import Envoy, listener
from rowlift.v1 import import_service_pb2 as pb
from service import Postgres, Service, wait_until_serving

TABLE = """create table people (
    id bigint generated always as identity primary key, import text not null, n bigint not null)"""
TABLES = ['tables = [{name = "people"}]']
N_IMPORTS = 6
PARTS, PART_ROWS = 3, 200


class FailoverTest(unittest.TestCase):
    def setUp(self):
        self.database = Postgres()
        self.addCleanup(self.database.drop)
        self.database.query(TABLE)
        self.services = [self.start(name) for name in ("first", "second")]
        for service in self.services:
            wait_until_serving(service)
        # In turn: each has half of the imports.
        self.envoy = Envoy([it.address for it in self.services], {"ours": listener()},
                           lb_policy="ROUND_ROBIN")
        self.addCleanup(self.envoy.stop)
        # Every import sends one part; then each event lets one more out.
        self.gates = [threading.Event() for _ in range(PARTS - 1)]
        for gate in self.gates:
            self.addCleanup(gate.set)

    def start(self, name):
        # Every import has a batch in the database at once.
        service = Service(self.database.url, TABLES, server_name=name, drain_grace="500ms",
                          writers_max=N_IMPORTS + 2, writers_per_import=2)
        self.addCleanup(lambda: service.process.poll() is not None or service.stop())
        return service

    def payloads(self, import_id):
        for part in range(PARTS):
            if part > 0:
                self.gates[part - 1].wait(60)
            first = part * PART_ROWS
            rows = [pb.Row(values=[pb.Value(string_value=import_id), pb.Value(int_value=n)])
                    for n in range(first, first + PART_ROWS)]
            yield pb.ImportRequest(rows=pb.RowBatch(offset=first, rows=rows))
        yield pb.ImportRequest(finish=pb.Finish(total_row_count=PARTS * PART_ROWS))

    def begin(self, import_id):
        source = pb.RowSource(column_names=["import", "n"])
        header = pb.ImportHeader(import_id=import_id, table="people", row_source=source)
        return Import(self.envoy.address("ours"), header, lambda: self.payloads(import_id))

    def goes_down(self, go):
        """`go` makes the first service end; whatever ran there ends at the second."""
        imports = [self.begin(f"import-{n}") for n in range(N_IMPORTS)]
        eventually("the first part of each is in",
                   lambda: all(it.committed == PART_ROWS for it in imports))
        there = self.database.query(
            "select count(*) filter (where server = 'first') from rowlift.sessions")
        self.assertGreater(int(there), 0, "the balancer gives calls to both")
        with Lock(self.database.url, "people") as lock:
            self.gates[0].set()
            eventually("all of them write", lambda: n_waiting(self.database) >= N_IMPORTS)
            go(self.services[0], lock)
        self.gates[1].set()
        for it in imports:
            self.assertEqual(it.end().stats.inserted_row_count, PARTS * PART_ROWS)
        taken_up = [it for it in imports if it.failures]
        self.assertGreaterEqual(len(taken_up), int(there))
        self.assertEqual(self.envoy.n_healthy(), 1)
        self.assertEqual(self.database.query(
            "select count(*), count(distinct (import, n)), min(n), max(n) from people"),
            f"{N_IMPORTS * PARTS * PART_ROWS}|{N_IMPORTS * PARTS * PART_ROWS}|0|"
            f"{PARTS * PART_ROWS - 1}")
        eventually("no transaction is left open", lambda: self.database.query(
            "select count(*) from pg_stat_activity where datname = current_database()"
            " and state like 'idle in transaction%'") == "0")

    def test_a_service_that_is_terminated_hands_its_imports_on(self):
        def go(service, lock):
            service.process.terminate()
            eventually("the balancer has seen it", lambda: self.envoy.n_healthy() == 1)
            lock.release()
            service.ends_well()
        self.goes_down(go)

    def test_imports_of_a_service_that_is_killed_go_on_at_the_other(self):
        def go(service, lock):
            service.kill()
            lock.release()
            eventually("the balancer has seen it", lambda: self.envoy.n_healthy() == 1)
        self.goes_down(go)


if __name__ == "__main__":
    unittest.main()
