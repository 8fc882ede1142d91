"""Three replicas behind Envoy on one PostgreSQL, which are killed, stopped and started again at random
while imports of every kind run. In the end every import has succeeded, and every row is in once.

Run by scripts/replicas; a short form is replicas_test.py.
"""

import argparse
import contextlib
import csv
import hashlib
import io
import os
import random
import signal
import socket
import sys
import time

import openpyxl

from callers import Import, assert_law, eventually
from proxy import Envoy, listener
from rowlift.v1 import import_service_pb2 as pb
from rowlift.v1 import import_service_pb2_grpc as rpc
from service import Postgres, Service, chunks

# Every row takes its time, so that what happens meanwhile happens to many imports.
SCHEMA = """
create table parts (
    id bigint generated always as identity primary key,
    batch text not null, n integer not null, value text, unique (batch, n));
create function take_time() returns trigger language plpgsql as $$
begin
    perform pg_sleep(0.002);
    return new;
end $$;
create trigger take_time before insert or update on parts
    for each row execute function take_time()"""
TABLES = ['tables = [{name = "parts"}]']
COLUMNS = ["batch", "n", "value"]
# Every so many rows: one whose number is none; one with the key of the row before.
BAD_EVERY, REPEATED_EVERY = 50, 60
# Every so many keys are in the table before the imports begin.
OLD_EVERY = 7
OLD_ROWS = """
alter table parts disable trigger take_time;
insert into parts (batch, n, value) select batch, n, 'old'
    from unnest(array[{ids}]) batch, generate_series(0, {n_rows} - 1, {step}) n;
alter table parts enable trigger take_time"""
N_REPLICAS = 3
MESSAGE_ROWS = 50
CHUNK_BYTES = 2_000


class Plan:
    """What one import sends, and what the table must hold of it afterwards."""

    KINDS = ["rows", "csv", "xlsx"]
    ACTIONS = [pb.CONFLICT_ACTION_REJECT, pb.CONFLICT_ACTION_SKIP, pb.CONFLICT_ACTION_UPDATE]

    def __init__(self, number, n_rows, pace):
        self.kind = self.KINDS[number % 3]
        self.action = self.ACTIONS[number // 3 % 3]
        self.id = f"import-{number}-{self.kind}"
        self.pace = pace
        self.is_atomic = number % 10 == 9
        self.rows = []
        for at in range(n_rows):
            n = at - 1 if at % REPEATED_EVERY == REPEATED_EVERY - 1 else at
            bad = at % BAD_EVERY == BAD_EVERY - 1
            self.rows.append((self.id, "no number" if bad and self.kind != "rows" else n,
                              f"value {at}"))
        self.old = [(self.id, n, "old") for n in range(0, n_rows, OLD_EVERY)]
        # The same bytes for every try.
        self.file = {"csv": self.csv, "xlsx": self.workbook}.get(self.kind, bytes)()

    def wanted(self):
        """The rows in the table, and how many are rejected."""
        table = {n: value for _, n, value in self.old}
        n_rejected = 0
        for _, n, value in self.rows:
            if n == "no number":
                n_rejected += 1
            elif n not in table or self.action == pb.CONFLICT_ACTION_UPDATE:
                table[n] = value
            elif self.action == pb.CONFLICT_ACTION_REJECT:
                n_rejected += 1
        return {(self.id, n, value) for n, value in table.items()}, n_rejected

    def header(self):
        header = pb.ImportHeader(import_id=self.id, table="parts", on_conflict=self.action,
                                 max_rejected_row_count=-1, rejected_row_sample_count=-1)
        if self.action != pb.CONFLICT_ACTION_REJECT:
            header.conflict_columns.extend(["batch", "n"])
        if self.is_atomic:
            header.commit_mode = pb.COMMIT_MODE_ATOMIC
        if self.kind == "rows":
            header.row_source.column_names.extend(COLUMNS)
        else:
            header.file.SetInParent()
        return header

    def payloads(self):
        """The messages of a try, at the pace of a caller who makes them as it goes."""
        if self.kind == "rows":
            messages = list(self.row_batches())
            finish = pb.Finish(total_row_count=len(self.rows))
        else:
            messages = list(chunks(self.file, CHUNK_BYTES))
            finish = pb.Finish(total_bytes=len(self.file),
                               sha256=hashlib.sha256(self.file).digest())
        for message in messages:
            yield message
            time.sleep(self.pace / len(messages))
        yield pb.ImportRequest(finish=finish)

    def row_batches(self):
        for first in range(0, len(self.rows), MESSAGE_ROWS):
            rows = [pb.Row(values=[pb.Value(string_value=batch), pb.Value(int_value=n),
                                   pb.Value(string_value=value)])
                    for batch, n, value in self.rows[first:first + MESSAGE_ROWS]]
            yield pb.ImportRequest(rows=pb.RowBatch(offset=first, rows=rows))

    def csv(self):
        text = io.StringIO()
        csv.writer(text).writerows([COLUMNS, *self.rows])
        return text.getvalue().encode()

    def workbook(self):
        book = openpyxl.Workbook(write_only=True)
        sheet = book.create_sheet()
        for row in [COLUMNS, *self.rows]:
            sheet.append(row)
        data = io.BytesIO()
        book.save(data)
        return data.getvalue()


class Replicas:
    """The replicas by their addresses, which stay the same; None while one is down."""

    def __init__(self, database):
        self.database = database
        self.running = {}
        self.envoy = None
        # Where any of them has run.
        self.folders = []
        with contextlib.ExitStack() as undo:
            undo.callback(self.stop)
            for address in free_addresses(N_REPLICAS):
                self.start(address)
            self.envoy = Envoy(list(self.running), {"ours": listener()})
            undo.pop_all()

    def start(self, address):
        self.running[address] = service = Service(
            self.database.url, TABLES, listen=address, drain_grace="1s", batch_rows_max=50,
            batch_rows_first=10, writers_max=4, writers_per_import=2, log="warn,rowlift::app=info")
        self.folders.append(service.folder.name)

    def take_down(self, address, how):
        service, self.running[address] = self.running[address], None
        if how == "SIGTERM":
            service.stop()
        else:
            service.kill()

    def stop(self):
        """Ends all of them, whatever becomes of one; Envoy first."""
        with contextlib.ExitStack() as stops:
            for service in self.running.values():
                if service:
                    stops.callback(service.stop)
            if self.envoy:
                stops.callback(self.envoy.stop)

    def left(self):
        """What imports have left: spool files, and processes other than the services themselves.

        A process is known by its folder and its open files, which may have no name any more.
        """
        services = [it for it in self.running.values() if it]
        own = {str(it.process.pid): it.folder.name for it in services}
        found = []
        for it in services:
            found += [os.path.join(it.folder.name, name) for name in os.listdir(it.folder.name)
                      if name != "rowlift.toml"]
        for pid in filter(str.isdigit, os.listdir("/proc")):
            for link in [f"/proc/{pid}/cwd", *open_files(pid)]:
                target = target_of(link)
                if target.startswith(tuple(self.folders)) and own.get(pid) != target:
                    found.append(f"{link}: {target}")
        return found


def open_files(pid):
    try:
        return [f"/proc/{pid}/fd/{fd}" for fd in os.listdir(f"/proc/{pid}/fd")]
    except OSError:
        # It has ended meanwhile, or is somebody else's.
        return []


def target_of(link):
    try:
        return os.readlink(link)
    except OSError:
        return ""


def free_addresses(n):
    """Ports that are free now, all different, and that no outgoing connection gets meanwhile."""
    with contextlib.ExitStack() as sockets:
        addresses = []
        for port in random.sample(range(10_000, 20_000), 100):
            with contextlib.suppress(OSError):
                sockets.enter_context(socket.create_server(("127.0.0.1", port)))
                addresses.append(f"127.0.0.1:{port}")
            if len(addresses) == n:
                return addresses
    raise AssertionError(f"no {n} ports are free")


def disturb(replicas, imports, n_faults, chance, say):
    """Takes replicas down and up again until so many faults or the imports are over."""
    done = 0
    while done < n_faults and any(it.is_alive() for it in imports):
        # A moment that nothing announces.
        time.sleep(chance.uniform(0.1, 1.0))
        address = chance.choice(list(replicas.running))
        how = chance.choice(["SIGKILL", "SIGKILL", "SIGTERM"])
        replicas.take_down(address, how)
        done += 1
        time.sleep(chance.uniform(0.0, 0.7))
        replicas.start(address)
        n_ended = sum(not it.is_alive() for it in imports)
        say(f"fault {done}: {how} of {address}, started again; {n_ended} imports have ended")
    return done


def check(database, plans, imports, replicas):
    """Every import has succeeded; the table holds what it must, once; the ledger agrees; nothing of
    the imports is left."""
    stub = next(it.stub for it in replicas.running.values() if it)
    wanted = set()
    for plan, it in zip(plans, imports):
        result = it.end()
        rows, n_rejected = plan.wanted()
        wanted |= rows
        job = stub.GetImport(pb.GetImportRequest(import_id=plan.id), timeout=30).job
        assert job.state == pb.STATE_SUCCEEDED, job
        assert_law(job.result.stats)
        stats = result.stats
        assert stats.received_row_count == len(plan.rows), (plan.id, stats)
        assert stats.rejected_row_count == n_rejected, (plan.id, stats, n_rejected)
        assert stats.unprocessed_row_count == 0, (plan.id, stats)
    found = database.query("select batch, n, value from parts")
    found = [tuple(line.split("|")) for line in found.splitlines()]
    wanted = {(batch, str(n), value) for batch, n, value in wanted}
    assert len(found) == len(set(found)), "rows are there twice"
    assert set(found) == wanted, (f"missing: {sorted(wanted - set(found))[:5]},"
                                  f" too many: {sorted(set(found) - wanted)[:5]}")
    # What the ledger has of each import, range by range, adds up to the same.
    off = database.query(
        "select i.import_id, sum(b.end_ordinal - b.first_ordinal), min(b.first_ordinal),"
        " max(b.end_ordinal), sum(b.inserted + b.updated + b.unchanged + b.skipped + b.rejected"
        " + b.blank) from rowlift.imports i join rowlift.import_batches b on b.import = i.id"
        " group by 1")
    sums = {line.split("|")[0]: line.split("|")[1:] for line in off.splitlines()}
    for plan in plans:
        n = str(len(plan.rows))
        assert sums[plan.id] == [n, "0", n, n], (plan.id, sums[plan.id])
    eventually("no transaction is left open", lambda: database.query(
        "select count(*) from pg_stat_activity where datname = current_database()"
        " and state like 'idle in transaction%'") == "0")
    try:
        eventually("no spool file and no decoder is left", lambda: not replicas.left(), 10)
    except AssertionError as error:
        raise AssertionError(f"{error}: {replicas.left()}") from None


def run(n_imports, n_rows, n_faults, pace, seed, say=print):
    """One whole run; raises AssertionError if anything is lost, doubled or left. Its faults and tries."""
    say(f"seed {seed}")
    chance = random.Random(seed)
    with contextlib.ExitStack() as ends:
        database = Postgres()
        ends.callback(database.drop)
        database.query(SCHEMA)
        plans = [Plan(number, n_rows, pace) for number in range(n_imports)]
        database.query(OLD_ROWS.format(ids=", ".join(f"'{plan.id}'" for plan in plans),
                                       n_rows=n_rows, step=OLD_EVERY))
        replicas = Replicas(database)
        ends.callback(replicas.stop)
        begun = time.monotonic()
        address = replicas.envoy.address("ours")
        imports = [Import(address, plan.header(), plan.payloads, seconds_max=600)
                   for plan in plans]
        done = disturb(replicas, imports, n_faults, chance, say)
        for it in imports:
            it.join()
        check(database, plans, imports, replicas)
        n_tries = sum(len(it.failures) for it in imports)
        say(f"{n_imports} imports of {n_rows} rows, {done} faults, {n_tries} tries broken off,"
            f" {time.monotonic() - begun:.1f} s: every row once")
        return done, n_tries


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--imports", type=int, default=20)
    parser.add_argument("--rows", type=int, default=3000, help="of each import")
    parser.add_argument("--faults", type=int, default=40)
    parser.add_argument("--pace", type=float, default=10, help="seconds that an upload takes")
    parser.add_argument("--seed", type=int, default=None)
    args = parser.parse_args()
    # All that was started is stopped on the way out.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    seed = random.randrange(2**32) if args.seed is None else args.seed
    done, n_tries = run(args.imports, args.rows, args.faults, args.pace, seed)
    if not (done and n_tries):
        sys.exit("no import was interrupted: raise --rows or --pace")


if __name__ == "__main__":
    main()
