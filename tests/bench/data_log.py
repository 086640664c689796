# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the action log costs a write, and how long an undo takes: beside bare tables, and beside E-Maj where its SQL file is given.

    python tests/bench/data_log.py --rows 200000 --emaj emaj-5.0.0.sql

Starts a server of its own with fsync on. Each kind of table takes its turn in every round. A cell is the median time, then the median
of each round's own ratio to the bare table, then the ratio of the server process's CPU time in all rounds, which a busy machine moves
less. E-Maj's file needs the extensions dblink and btree_gist (package postgresql-contrib).
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

REPOSITORY = Path(__file__).parents[2]
sys.path[:0] = [str(REPOSITORY / ".cache/collections"), str(REPOSITORY / "tests/data")]

from server import Server, newest_binaries, running  # noqa: E402

from ansible_collections.plano.delivery.plugins.module_utils.data import catalog, home, log, runs, undo  # noqa: E402
from ansible_collections.plano.delivery.plugins.module_utils.data.names import Table  # noqa: E402

OPTIONS = "-c fsync=on -c shared_buffers=512MB -c max_wal_size=8GB -c checkpoint_timeout=1h -c autovacuum=off"
CLIENTS = 1000
# As the results of a distribution are: a key, a foreign key with its index, an amount, a date, a text.
TABLE = """
CREATE TABLE public.{name} (
    id bigint PRIMARY KEY,
    client bigint NOT NULL REFERENCES public.client,
    cents numeric(12, 2) NOT NULL,
    day date NOT NULL,
    note text NOT NULL
);
CREATE INDEX ON public.{name} (client);
"""
ROWS = "SELECT g, g %% {clients} + 1, g * 1.25, date '2026-01-01' + (g %% 300)::int, 'share of client number ' || g FROM generate_series({first}, {last}) g"


def rows(first: int, last: int) -> str:
    return ROWS.format(clients=CLIENTS, first=first, last=last).replace("%%", "%")


class Spent(NamedTuple):
    """Seconds on the clock, and of the server process on a processor."""

    wall: float
    cpu: float


def cpu_of(pid: int) -> float:
    """Return the CPU seconds of a process so far: fields 14 and 15 of proc(5) stat."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


Found = list[tuple[str, dict[str, list[Spent]]]]


class Bench:
    """The tables, by how they are logged."""

    def __init__(self, server: Server, count: int, emaj: Path | None) -> None:
        self.server = server
        self.count = count
        self.database = server.database()
        self.session = server.session(self.database)
        self.kinds = ["bare", "logged", *(["emaj"] if emaj else [])]
        self.session.execute(
            f"CREATE TABLE public.client (id bigint PRIMARY KEY); INSERT INTO public.client SELECT generate_series(1, {CLIENTS})"
        )
        for kind in self.kinds:
            self.session.execute(TABLE.format(name=kind))
        home.ensure(self.session)
        with self.session.transaction():
            log.set_up(self.session, catalog.read_one(self.session, Table("public", "logged")), "log")
        if emaj:
            server.sql("CREATE EXTENSION dblink; CREATE EXTENSION btree_gist", self.database)
            server.run(
                "psql",
                "-h",
                str(server.folder),
                "-p",
                str(server.port),
                "-U",
                "super",
                "-d",
                self.database,
                "-Xq",
                "-f",
                str(emaj),
            )
            server.sql(
                "SELECT emaj.emaj_create_group('g'); SELECT emaj.emaj_assign_table('public', 'emaj', 'g');"
                " SELECT emaj.emaj_start_group('g', 'start')",
                self.database,
            )
        self.text = "\n".join("\t".join(map(str, row)) for row in self.session.rows(rows(1, count))) + "\n"

    def statements(self, kind: str) -> dict[str, Callable[[], object]]:
        execute, count = self.session.execute, self.count

        def copy() -> None:
            with self.session.connection.cursor().copy(f"COPY public.{kind} FROM STDIN") as stream:
                stream.write(self.text)

        return {
            f"INSERT {count}": lambda: execute(f"INSERT INTO public.{kind} {rows(1, count)}"),
            f"UPDATE {count // 2}": lambda: execute(f"UPDATE public.{kind} SET cents = cents + 1 WHERE id % 2 = 0"),
            f"DELETE {count // 10}": lambda: execute(f"DELETE FROM public.{kind} WHERE id % 10 = 0"),
            f"DELETE {count - count // 10} (all)": lambda: execute(f"DELETE FROM public.{kind}"),
            f"COPY {count}": copy,
        }

    def timed(self, work: Callable[[], object]) -> Spent:
        started, used = time.monotonic(), cpu_of(self.session.connection.info.backend_pid)
        work()
        return Spent(time.monotonic() - started, cpu_of(self.session.connection.info.backend_pid) - used)

    def clean(self) -> None:
        for kind in self.kinds:
            self.session.execute(f"DELETE FROM public.{kind}")
            self.session.execute(f"VACUUM public.{kind}")
        self.session.execute("TRUNCATE plano_delivery.action, plano_delivery.log_1")
        self.server.sql("CHECKPOINT", self.database)

    def bulk(self, rounds: int) -> Found:
        found: dict[str, dict[str, list[Spent]]] = {}
        for turn in range(rounds + 1):
            self.clean()
            kinds = self.kinds if turn % 2 else self.kinds[::-1]
            for what in self.statements("bare"):
                for kind in kinds:
                    seconds = self.timed(self.statements(kind)[what])
                    if turn:  # the first warms files and plans
                        found.setdefault(what, {}).setdefault(kind, []).append(seconds)
        return list(found.items())

    def single(self, rounds: int, block: int = 300) -> Found:
        """Transactions of one row each, in short blocks by turns."""
        self.clean()
        for kind in self.kinds:
            self.session.execute(f"INSERT INTO public.{kind} {rows(1, 20000)}")
            self.session.execute(f"VACUUM ANALYZE public.{kind}")
        found: dict[str, dict[str, list[Spent]]] = {}
        for turn in range(rounds * 4 + 1):
            for what, sql in {
                f"{block} x UPDATE of one row, committed": "UPDATE public.{} SET cents = cents + 1 WHERE id = %s",
                f"{block} x INSERT of one row, committed": "INSERT INTO public.{} VALUES (%s, 1, 2, '2026-01-01', 'one share')",
            }.items():
                for kind in self.kinds if turn % 2 else self.kinds[::-1]:
                    statement = sql.format(kind)
                    first = 20001 + turn * block if "INSERT" in what else 1

                    def work(statement: str = statement, first: int = first) -> None:
                        for number in range(first, first + block):
                            self.session.execute(statement, [number])

                    seconds = self.timed(work)
                    if turn:
                        found.setdefault(what, {}).setdefault(kind, []).append(seconds)
        return list(found.items())

    def undo(self) -> list[tuple[str, str]]:
        """Time the undo of 320 row changes for every 200 rows: 200 inserted, 100 updated, 20 deleted."""
        count = self.count
        self.clean()
        told = []
        work = (
            f"INSERT INTO public.{{0}} {rows(count + 1, 2 * count)}",
            f"UPDATE public.{{0}} SET cents = cents + 1 WHERE id <= {count} AND id % 2 = 0",
            f"DELETE FROM public.{{0}} WHERE id <= {count} AND id % 10 = 1",
        )
        changes = f"{count + count // 2 + count // 10} row changes"
        for kind in self.kinds[1:]:
            self.session.execute(f"INSERT INTO public.{kind} {rows(1, count)}")
            self.session.execute(f"ANALYZE public.{kind}")
        with self.session.transaction():
            runs.mark_session(self.session, "r1")
            for statement in work:
                self.session.execute(statement.format("logged"))
        self.server.sql("CHECKPOINT", self.database)
        for run in ("r1", "undo-r1-1", "r1"):
            request = undo.Request(run=run)
            target, _why = undo.find(self.session, request)
            assert target is not None
            name = undo.own_id(self.session, target, request)
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            seconds = self.timed(
                lambda t=target, r=request, n=name: undo.run(self.session, t, r, n, runs.Stamp("bench"))
            )
            grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
            told.append(
                (
                    f"undo of {changes} ({target.name}), logged",
                    f"{seconds.wall:.1f} s, CPU {seconds.cpu:.1f} s; {grown} kB more memory of the client",
                )
            )
        if "emaj" in self.kinds:
            self.server.sql("SELECT emaj.emaj_set_mark_group('g', 'before')", self.database)
            for statement in work:
                self.session.execute(statement.format("emaj"))
            self.server.sql("CHECKPOINT", self.database)
            for words, call in (("logged", "emaj_logged_rollback_group"), ("not logged", "emaj_rollback_group")):
                seconds = self.timed(
                    lambda c=call: self.server.sql(f"SELECT * FROM emaj.{c}('g', 'before', false)", self.database)
                ).wall
                told.append((f"E-Maj: rollback of {changes}, {words}", f"{seconds:.1f} s"))
                if words == "logged":  # the same changes again for the other way
                    for statement in work:
                        self.session.execute(statement.format("emaj"))
                    self.server.sql("CHECKPOINT", self.database)
        return told


def show(kinds: list[str], found: Found) -> None:
    for what, by_kind in found:
        cells = []
        for kind in kinds:
            shown = f"{statistics.median(spent.wall for spent in by_kind[kind]):.2f} s"
            if kind != "bare":
                ratio = statistics.median(a.wall / b.wall for a, b in zip(by_kind[kind], by_kind["bare"], strict=True))
                cpu = sum(spent.cpu for spent in by_kind[kind]) / sum(spent.cpu for spent in by_kind["bare"])
                shown += f" ({ratio:.2f} x, CPU {cpu:.2f} x)"
            cells.append(shown)
        print(f"| {what} | {' | '.join(cells)} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--binaries", type=Path, default=newest_binaries(), help="folder of initdb, pg_ctl and psql")
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--emaj", type=Path, help="E-Maj's SQL file, such as emaj-5.0.0.sql")
    options = parser.parse_args()
    with running(options.binaries, OPTIONS) as server:
        bench = Bench(server, options.rows, options.emaj)
        version = bench.session.value("SHOW server_version")
        print(f"PostgreSQL {version}, {options.rows} rows, {options.rounds} rounds\n")
        print(f"| | {' | '.join(bench.kinds)} |\n|---|{'---:|' * len(bench.kinds)}")
        show(bench.kinds, bench.bulk(options.rounds))
        show(bench.kinds, bench.single(options.rounds))
        print("\n| | |\n|---|---:|")
        for what, value in bench.undo():
            print(f"| {what} | {value} |", flush=True)


if __name__ == "__main__":
    main()
