# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A server that was restored beside the live one: compared, marked, and proven to have taken its place.

What RDS restores is played by a copy of the database (CREATE DATABASE … TEMPLATE), and where a whole server counts by pg_basebackup.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from copying import WHO, book, place, take
from logbook import log_tables, write
from server import PASSWORD, Server, newest_binaries, running

from ansible_collections.plano.delivery.plugins.module_utils import _copies
from ansible_collections.plano.delivery.plugins.module_utils.aws import instances, restores
from ansible_collections.plano.delivery.plugins.module_utils.data import (
    checkpoint,
    erasure,
    home,
    instance,
    manifest,
    runs,
)
from ansible_collections.plano.delivery.plugins.module_utils.data.errors import DataError
from ansible_collections.plano.delivery.plugins.module_utils.data.instance import Order
from ansible_collections.plano.delivery.plugins.module_utils.data.names import Table
from ansible_collections.plano.delivery.plugins.module_utils.data.session import Session, connect

ORDER = Order("plano-prod", "before", "s1", "before")
TABLES = (
    "CREATE TABLE public.clients (id int PRIMARY KEY, name text, fee numeric(8,2), mood public.mood)",
    "CREATE TABLE public.notes (id int PRIMARY KEY, note text)",
    "CREATE TABLE public.twice (id int PRIMARY KEY, n int, double int GENERATED ALWAYS AS (n * 2) STORED)",
    "CREATE TABLE public.events (id int, at date, PRIMARY KEY (id, at)) PARTITION BY RANGE (at)",
    "CREATE TABLE public.events_1 PARTITION OF public.events FOR VALUES FROM ('2025-01-01') TO ('2026-01-01')",
    "CREATE TABLE public.events_2 PARTITION OF public.events FOR VALUES FROM ('2026-01-01') TO ('2027-01-01')",
    "CREATE SEQUENCE public.numbers",
    "INSERT INTO public.clients SELECT n, 'client ' || n, n, 'fine' FROM generate_series(1, 50) n",
    "INSERT INTO public.notes SELECT n, 'note' FROM generate_series(1, 20) n",
    "INSERT INTO public.twice (id, n) SELECT n, n FROM generate_series(1, 20) n",
    "INSERT INTO public.events SELECT n, '2025-06-01'::date + n FROM generate_series(1, 10) n",
    "SELECT nextval('public.numbers')",
)


@pytest.fixture
def shop(session: Session, tmp_path: Path) -> Session:
    """A database whose tables are logged, but for one, with a checkpoint of it."""
    session.execute("CREATE TYPE public.mood AS ENUM ('fine', 'not so')")
    for statement in TABLES:
        session.execute(statement)
    log_tables(session, "clients", "twice", "events")
    take(session, tmp_path, schemas=("public",))
    return session


@contextmanager
def restored(server: Server, live: Session) -> Iterator[Session]:
    """What RDS would have restored: the database as it is now."""
    name = f"{live.login.database}_copy"
    server.sql(f"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = '{live.login.database}'")
    server.sql(f"CREATE DATABASE {name} TEMPLATE {live.login.database} OWNER owner")
    try:
        with server.session(name) as found:
            yield found
    finally:
        server.sql(f"DROP DATABASE {name} WITH (FORCE)")


def differences(other: Session, folder: Path, database: str) -> list[tuple[str, bool]]:
    found = manifest.read(place(folder, database).of("before"))
    return [(one["text"], one["explained"]) for one in instance.differing(other, found, 2)]


def compare(server: Server, other: Session, folder: Path, **more: Any) -> dict[str, Any]:
    database = other.login.database.replace("_copy", "")
    with server.session(database) as live:
        return instance.compared(live, other, place(folder, database), replace(ORDER, **more), WHO)


def test_a_copy_of_the_moment_is_the_checkpoint(shop: Session, server: Server, tmp_path: Path) -> None:
    with restored(server, shop) as other:
        assert differences(other, tmp_path, shop.login.database) == []
        told = compare(server, other, tmp_path)
        assert (told["differences"], told["losses"], told["erased"]) == ([], [], {})
        known = runs.find(other, told["run"])
        assert (known.state, known.target, known.details["stamp"]) == ("pending", "plano-prod", "s1")
        # The next run finds the mark: it compares with what was there then, and takes out what was erased since.
        folder = place(tmp_path, shop.login.database).folder
        with server.session(shop.login.database) as live:
            live.execute("DELETE FROM public.clients WHERE id = 4")
            home.ensure(live)
            erasure.keep(live, folder, erasure.of([{"table": "public.clients", "key": {"id": 4}}]))
        for rows in (1, 0):
            again = compare(server, other, tmp_path)
            assert (again["run"], again["differences"], sum(again["erased"].values())) == (told["run"], [], rows)
        assert other.value("SELECT count(*) FROM public.clients WHERE id = 4") == 0
        other.execute("DELETE FROM public.notes")
        with pytest.raises(
            DataError, match=r"is not what it was when it was compared: public\.notes was changed after"
        ):
            compare(server, other, tmp_path, allow_loss=True)


def test_a_mark_of_an_earlier_checkpoint_of_that_name_does_not_count(
    shop: Session, server: Server, tmp_path: Path
) -> None:
    with restored(server, shop) as other:
        run = compare(server, other, tmp_path)["run"]
        other.execute(
            "UPDATE plano_delivery.run SET details = jsonb_set(details, '{digest}', '\"d0\"') WHERE id = %s", [run]
        )
        other.execute("DELETE FROM public.notes")
        with pytest.raises(DataError, match=r"what was restored is not checkpoint before: public\.notes differs"):
            compare(server, other, tmp_path, allow_loss=True)


def test_the_mark_of_a_restore_does_not_prove_that_it_was_taken_back(
    shop: Session, server: Server, tmp_path: Path
) -> None:
    with restored(server, shop) as other:
        compare(server, other, tmp_path)
        back = replace(ORDER, back=True)
        with pytest.raises(DataError, match="does not hold the mark"):
            instance.proven(other.login, back, "", {}, WHO, seconds=0)
        run = instance.marked_back(other, place(tmp_path, shop.login.database), back, WHO)["run"]
        assert instance.marked_back(other, place(tmp_path, shop.login.database), back, WHO)["run"] == run
        assert instance.proven(other.login, back, "", {}, WHO, seconds=0).id == run


def test_what_was_logged_between_dump_and_snapshot_is_explained_to_the_row(
    shop: Session, server: Server, tmp_path: Path
) -> None:
    write(
        shop,
        "r1",
        "UPDATE public.clients SET name = name || ', again', mood = 'not so' WHERE id < 7",
        "INSERT INTO public.clients VALUES (51, E'odd \\\\ \"name\"', 1.5, NULL)",
        "DELETE FROM public.clients WHERE id = 50",
        # It moves a row from one partition to the other.
        "UPDATE public.events SET at = '2026-01-02' WHERE id = 1",
        "INSERT INTO public.twice (id, n) VALUES (21, 3)",
        "SELECT nextval('public.numbers')",
    )
    with restored(server, shop) as other:
        assert differences(other, tmp_path, shop.login.database) == [
            ("public.clients has changed after the checkpoint: 3 logged statements explain it to the row", True),
            ("public.events has changed after the checkpoint: 1 logged statements explain it to the row", True),
            # No image holds what is generated.
            (
                "public.twice has changed after the checkpoint: 1 logged statements explain it in their number; the log does not hold all of"
                " their values",
                True,
            ),
        ]
        assert len(compare(server, other, tmp_path)["differences"]) == 3


def test_a_transaction_that_was_open_at_the_checkpoint_is_after_it(
    session: Session, server: Server, tmp_path: Path
) -> None:
    """Its number is older than the dump's snapshot, which does not see it all the same."""
    session.execute("CREATE TABLE public.t (id int PRIMARY KEY)")
    log_tables(session, "t")
    with server.session(session.login.database) as other:
        other.execute("BEGIN")
        other.execute("INSERT INTO public.t VALUES (1)")
        session.execute("INSERT INTO public.t VALUES (2)")
        take(session, tmp_path, schemas=("public",))
        other.execute("COMMIT")
    with restored(server, session) as copy:
        assert differences(copy, tmp_path, session.login.database) == [
            ("public.t has changed after the checkpoint: 1 logged statements explain it to the row", True)
        ]


@pytest.mark.parametrize(
    "statement, text",
    [
        # A value that nobody logged, in a table that has logged changes too.
        (
            "ALTER TABLE public.clients DISABLE TRIGGER USER; UPDATE public.clients SET fee = 0 WHERE id = 9",
            r"public.clients differs \(other values\), and the 1 statements logged after the checkpoint do not explain it",
        ),
        ("DELETE FROM public.notes WHERE id = 3", r"public.notes differs \(-1 rows\), and no statement on it is logged"),
        ("UPDATE public.notes SET note = 'x' WHERE id = 3", r"public.notes differs \(other values\), and no statement"),
        ("DROP TABLE public.notes", "public.notes is missing"),
        ("CREATE TABLE public.more (id int)", "public.more is not part of the checkpoint"),
        ("ALTER TABLE public.notes ADD COLUMN more int", "public.notes has other columns"),
        ("CREATE INDEX more ON public.notes (note)", "indexes are 7 instead of 6"),
        ("DROP SEQUENCE public.numbers", "sequence public.numbers stands at nothing"),
    ],
)  # fmt: skip
def test_what_the_log_does_not_explain_is_refused(
    shop: Session, server: Server, tmp_path: Path, statement: str, text: str
) -> None:
    write(shop, "r1", "UPDATE public.clients SET name = 'x' WHERE id = 1")
    with restored(server, shop) as other:
        for one in statement.split("; "):
            other.execute(one)
        with pytest.raises(DataError, match=rf"what was restored is not checkpoint before: .*{text}.*allow_difference"):
            compare(server, other, tmp_path)
        assert other.value("SELECT count(*) FROM plano_delivery.run") == 0
        told = compare(server, other, tmp_path, allow_difference=True, allow_loss=True)
        assert [one["explained"] for one in told["differences"]].count(False) >= 1


def test_rows_that_are_only_live_are_counted_one_by_one(shop: Session, server: Server, tmp_path: Path) -> None:
    with restored(server, shop) as other:
        with server.session(shop.login.database) as live:
            live.execute("UPDATE public.clients SET name = 'newer' WHERE id < 4")
            live.execute("DELETE FROM public.clients WHERE id > 40")
            live.execute("INSERT INTO public.notes SELECT n, 'note' FROM generate_series(21, 25) n")
            live.execute("CREATE TABLE public.later AS SELECT 1 AS a")
            found = instance.counted(live, other, 2)
        assert [(str(one.table), one.rows, one.kept, one.lost) for one in found] == [
            ("public.clients", 40, 50, 3),
            ("public.later", 1, 0, 1),
            ("public.notes", 25, 20, 5),
        ]
        with pytest.raises(DataError, match=r"before is not restored: 3 rows of public.clients are not in what would"):
            compare(server, other, tmp_path)
        assert other.value("SELECT count(*) FROM plano_delivery.run") == 0
        assert len(compare(server, other, tmp_path, allow_loss=True)["losses"]) == 3


def test_only_left_counts_what_is_there_twice_twice() -> None:
    def count(left: list[int], right: list[int]) -> int:
        return instance.only_left(iter(left), iter(right))

    assert (count([1, 1, 2], [1]), count([], [1]), count([1, 3], []), count([-5, 0, 7], [-9, 0, 7])) == (2, 0, 2, 1)


def test_a_time_without_a_checkpoint_is_compared_with_what_is_live(
    shop: Session, server: Server, tmp_path: Path
) -> None:
    with restored(server, shop) as other:
        other.execute("ALTER TABLE public.notes ADD COLUMN more int")
        order = {"target": "2026-11-27T10:30:00Z", "checkpoint": "", "allow_loss": True}
        with pytest.raises(DataError, match=r"is not the live database .*: public.notes had other columns then"):
            compare(server, other, tmp_path, **order)
        assert compare(server, other, tmp_path, allow_difference=True, **order)["losses"][0]["rows_lost"] == 20


def test_who_was_erased_since_does_not_come_back(shop: Session, server: Server, tmp_path: Path) -> None:
    with restored(server, shop) as other:
        folder = place(tmp_path, shop.login.database).folder
        with server.session(shop.login.database) as live:
            live.execute("DELETE FROM public.clients WHERE id = 4")
            home.ensure(live)
            erasure.keep(live, folder, erasure.of([{"table": "public.clients", "key": {"id": 4}}]))
        told = compare(server, other, tmp_path)
        assert told["erased"] == {"public.clients": 1}
        assert other.value("SELECT count(*) FROM public.clients WHERE id = 4") == 0
        # Nor in the log, which has seen the deletion.
        source = next(one for one in instance.log.sources(other) if one.table == Table("public", "clients"))
        assert other.value(f"SELECT count(*) FROM {source.log} WHERE c1 = 4") == 0


def test_other_databases_go_back_unseen(shop: Session, server: Server, tmp_path: Path) -> None:
    there = place(tmp_path, shop.login.database)
    server.sql("CREATE DATABASE beside OWNER owner")
    try:
        told = instance.looked(shop, there, ORDER, True)
        assert [text.split(":")[0] for text in told["refused"]] == [
            "the instance goes back as a whole, and has other databases too"
        ]
        assert "beside" in told["databases"]
        assert instance.looked(shop, there, replace(ORDER, allow_loss=True), True)["refused"] == []
        assert told["checkpoint"]["digest"]
    finally:
        server.sql("DROP DATABASE beside")


def test_the_mark_is_found_behind_the_name_or_not(shop: Session, server: Server, tmp_path: Path) -> None:
    database = shop.login.database
    with restored(server, shop) as other:
        run = compare(server, other, tmp_path)["run"]
        with pytest.raises(DataError, match=r"does not hold the mark .* its name still leads to another server"):
            instance.proven(server.login(database), ORDER, run, {}, WHO, seconds=0)
        # Somebody's checkpoint took it for interrupted meanwhile.
        runs.finish(other, run, runs.FAILED, {"reason": "interrupted"})
        for asked in (run, ""):
            known = instance.proven(other.login, ORDER, asked, {"kept": "plano-prod-before-s1"}, WHO, seconds=0)
            assert known.id == run
        found = runs.find(other, run)
        assert (found.state, found.details["kept"]) == ("confirmed", "plano-prod-before-s1")
        # Rows that come from here on are what taking it back would lose.
        there = place(tmp_path, database)
        assert instance.looked_back(other, there, ORDER)["losses"] == []
        other.execute("INSERT INTO public.notes VALUES (99, 'since')")
        told = instance.looked_back(other, there, ORDER)
        assert [(one["table"], one["rows_lost"]) for one in told["losses"]] == [("public.notes", 1)]
        assert "written since the restore" in told["refused"][0]
        assert instance.looked_back(other, there, replace(ORDER, allow_loss=True))["refused"] == []
    with connect(server.login(database)) as live, pytest.raises(DataError, match="not the server that was restored"):
        instance.looked_back(live, place(tmp_path, database), ORDER)


def test_how_it_ended_is_in_the_ledger_once(shop: Session, tmp_path: Path) -> None:
    mine = book(tmp_path, shop.login.database)
    instance.written_down(mine, "r1", ORDER, WHO, "failed", reason="x")
    for _again in range(2):
        instance.written_down(mine, "r1", ORDER, WHO, "confirmed", seconds=3.0, kept=["plano-prod-before-s1"])
    told = [(one["operation"], one["release"], one["state"]) for one in mine.entries() if one["operation"] == "restore"]
    assert told == [("restore", "r1", state) for state in ("begun", "failed", "begun", "confirmed")]


def copy_of(server: Server, address: str) -> Server:
    """A physical copy, as RDS makes one for a snapshot; it listens on the same port of another address once it is started."""
    folder = server.folder.with_name(server.folder.name + "-copy")
    folder.mkdir(mode=0o711)
    shutil.chown(folder, "postgres", "postgres")
    copy = Server(server.binaries, folder, server.port, f"-c listen_addresses={address} -c fsync=off")
    where = ["-h", str(server.folder), "-p", str(server.port), "-U", "super"]
    server.run("pg_basebackup", *where, "-D", f"{folder}/data", "-c", "fast", "-N")
    return copy


@contextmanager
def backed_up(server: Server, address: str) -> Iterator[Server]:
    """Another server, made of a physical copy."""
    copy = copy_of(server, address)
    try:
        copy.start()
        yield copy
    finally:
        copy.stop("immediate")
        shutil.rmtree(copy.folder, ignore_errors=True)


def asked(
    server: Server, database: str, folder: Path, step: str, host: str, part: dict[str, Any], **more: Any
) -> dict[str, Any]:
    """Ask the module for a step, as the action plugin does."""
    params = {
        "folder": str(folder / "checkpoints"), "encryption": {}, "upload": "", "s3_endpoint_url": "", "jobs": 2, "state": "restored",
        "instance": "plano-prod", "checkpoint": "before", "to_time": "", "allow_loss": False, "allow_difference": False, "keep": 1,
        "part": {"step": step, "host": "", "beside": "", "run": "", "stamp": "", "details": {}, **part}, **more,
    }  # fmt: skip
    return _copies.restored(params, False, replace(server.login(database), host=host), WHO, folder / "data")


def test_the_module_compares_two_servers_and_proves_which_one_answers(tmp_path: Path) -> None:
    with running(newest_binaries()) as live:
        database = live.database()
        with live.session(database) as session:
            for statement in (
                "CREATE TABLE public.t (id int PRIMARY KEY)",
                "CREATE UNLOGGED TABLE public.quick (id int)",
            ):
                session.execute(statement)
            log_tables(session, "t")
            take(session, tmp_path, schemas=("public",))
            write(session, "r1", "INSERT INTO public.t VALUES (1)")
        with backed_up(live, "127.0.0.2") as copy, live.session(database) as session:

            def ask(step: str, host: str = "127.0.0.1", **part: Any) -> dict[str, Any]:
                return asked(
                    live, database, tmp_path, step, host, {"host": host, "beside": "127.0.0.2", "stamp": "s1", **part}
                )

            assert ask("looked")["refused"] == []
            told = ask("compared")
            assert [one["explained"] for one in told["differences"]] == [True]
            assert (ask("counted")["losses"], ask("counted")["sessions"]) == ([], [])
            with live.session(database, "app", ""), live.session(database, "app", ""):
                assert ask("counted")["sessions"] == [{"role": "app", "sessions": 2}]
            session.execute("INSERT INTO public.t VALUES (2)")
            assert ask("counted")["losses"][0]["rows_lost"] == 1
            assert (
                ask("proven", host="127.0.0.2", run=told["run"], details={"kept": "old", "seconds": 1.0})["run"]
                == told["run"]
            )
            assert ask("marked_back")["run"].startswith("swap-back.before.")
            ask("failed", details={"reason": "x"})
            # An unlogged table is empty after a snapshot's restore.
            session.execute("INSERT INTO public.quick VALUES (1)")
            checkpoint.present(
                session, place(tmp_path, database), checkpoint.Order("later"), book(tmp_path, database), WHO
            )
            found = manifest.read(place(tmp_path, database).of("later"))
            with connect(replace(copy.login(database), host="127.0.0.2")) as other:
                texts = [one["text"] for one in instance.differing(other, found, 2)]
            assert "public.quick differs (-1 rows): it is UNLOGGED, of which no snapshot holds a row" in texts
        states = [
            (one["release"], one["state"])
            for one in book(tmp_path, database).entries()
            if one["operation"] == "restore"
        ]
        assert states == [
            (told["run"], "begun"),
            (told["run"], "confirmed"),
            ("restore", "begun"),
            ("restore", "failed"),
        ]


def test_a_password_of_today_does_not_open_a_server_of_then(server: Server, database: str) -> None:
    with pytest.raises(DataError, match="has the passwords of then"):
        instance.reached(replace(server.login(database), password=PASSWORD + "x"), 0)
    with pytest.raises(DataError, match="see that the server runs"):
        instance.reached(replace(server.login(database), host="127.0.0.3"), 0)


class Cloud:
    """A stand-in for RDS whose instances are real servers: a snapshot is a physical copy, a restore starts it, a rename ends all sessions."""

    class Everything:
        """A model of RDS that knows whatever may be asked for."""

        def __contains__(self, _name: str) -> bool:
            return True

    meta = SimpleNamespace(
        region_name="sa-east-1",
        service_model=SimpleNamespace(
            operation_model=lambda _action: SimpleNamespace(input_shape=SimpleNamespace(members=Cloud.Everything()))
        ),
    )

    def __init__(self, live: Server) -> None:
        self.servers = {"db-1": (live, "127.0.0.1")}
        self.snapshots: dict[str, tuple[dict[str, Any], Server]] = {}
        tags = [{"Key": "plano:environment", "Value": "prod"}, {"Key": "plano:managed", "Value": "true"}]
        self.said = {
            "db-1": {"DBInstanceIdentifier": "plano-prod", "EngineVersion": "17.4", "MultiAZ": True, "TagList": tags}
        }

    def describe_db_instances(self) -> dict[str, Any]:
        return {
            "DBInstances": [
                {"DbiResourceId": ident, "DBInstanceArn": ident, "Engine": "postgres", "DBInstanceStatus": "available",
                 "Endpoint": {"Address": f"{said['DBInstanceIdentifier']}.example"}, **said}
                for ident, said in self.said.items()
            ]
        }  # fmt: skip

    def describe_db_snapshots(self, **asked: str) -> dict[str, Any]:
        found = self.snapshots.get(asked["DBSnapshotIdentifier"])
        return {"DBSnapshots": [found[0]] if found else []}

    def create_db_snapshot(self, **asked: Any) -> None:
        name = asked["DBSnapshotIdentifier"]
        said = {"DBSnapshotIdentifier": name, "Status": "available", "EngineVersion": "17.4", "TagList": asked["Tags"]}
        self.snapshots[name] = (said, copy_of(self.servers["db-1"][0], "127.0.0.2"))

    def restore_db_instance_from_db_snapshot(self, **asked: Any) -> None:
        copy = self.snapshots[asked["DBSnapshotIdentifier"]][1]
        copy.start()
        self.servers["db-2"] = (copy, "127.0.0.2")
        self.said["db-2"] = {"EngineVersion": "17.4", "TagList": asked["Tags"], **asked}

    restore_db_instance_to_point_in_time = restore_db_instance_from_db_snapshot

    def modify_db_instance(self, **asked: Any) -> None:
        new = asked["NewDBInstanceIdentifier"]
        assert self.server(new) is None
        (ident,) = [
            key for key, said in self.said.items() if said["DBInstanceIdentifier"] == asked["DBInstanceIdentifier"]
        ]
        self.said[ident]["DBInstanceIdentifier"] = new
        self.servers[ident][0].sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename IN ('data', 'app')"
        )

    def add_tags_to_resource(self, **asked: Any) -> None:
        said = self.said[asked["ResourceName"]]
        said["TagList"] = list({tag["Key"]: tag for tag in [*said["TagList"], *asked["Tags"]]}.values())

    def server(self, name: str) -> tuple[Server, str] | None:
        return next(
            (self.servers[ident] for ident, said in self.said.items() if said["DBInstanceIdentifier"] == name), None
        )

    def host(self, address: str) -> str:
        """Where the name leads to at this moment."""
        found = self.server(address.removesuffix(".example"))
        assert found is not None, f"nobody has the name {address}"
        return found[1]


def test_an_instance_goes_back_to_its_snapshot_and_forward_again(tmp_path: Path) -> None:
    with running(newest_binaries()) as live:
        database, cloud, said = live.database(), Cloud(live), []
        rds = restores.Rds(cloud, lambda _call: nullcontext(), said.append, restores.Patience(look=0))
        order = instances.Order("plano-prod", "before", "", "before", "plano-prod.example")
        with live.session(database) as session:
            session.execute("CREATE TABLE public.t (id int PRIMARY KEY, a text)")
            log_tables(session, "t")
            write(session, "r1", "INSERT INTO public.t SELECT n, 'x' FROM generate_series(1, 100) n")
            digest = take(session, tmp_path, schemas=("public",))["checkpoint"]["digest"]
            write(session, "r2", "DELETE FROM public.t WHERE id = 1")
            restores.snapshotted(rds, "plano-prod", "before", digest, "1.4.0")
            write(session, "r3", "UPDATE public.t SET a = 'later' WHERE id < 12")

        def restore(flow: Any, allow_loss: bool) -> dict[str, Any]:
            def ask(step: str, host: str = "", beside: str = "", **part: Any) -> dict[str, Any]:
                where = {name: cloud.host(address) for name, address in (("host", host), ("beside", beside)) if address}
                name = "" if host or step == "failed" else cloud.host("plano-prod.example")
                return asked(live, database, tmp_path, step, name, {**where, **part}, allow_loss=allow_loss)

            done: dict[str, Any] = flow(rds, order, ask, allow_loss, False)
            return done

        def rows() -> list[Any]:
            with connect(replace(live.login(database), host=cloud.host("plano-prod.example"))) as session:
                return session.rows("SELECT a, count(*) FROM public.t GROUP BY 1 ORDER BY 1")

        try:
            with pytest.raises(
                DataError, match=r"10 rows of public.t are not in what would be restored and would be lost"
            ):
                restore(restores.restored, False)
            assert rows() == [("later", 10), ("x", 89)]
            told = restore(restores.restored, True)
            assert rows() == [("x", 99)]
            assert [one["explained"] for one in told["differences"]] == [True]
            assert [(one["table"], one["rows_lost"]) for one in told["losses"]] == [("public.t", 10)]
            with connect(replace(live.login(database), host="127.0.0.2")) as session:
                assert runs.find(session, told["run"]).state == "confirmed"
            back = restore(restores.taken_back, False)
            assert rows() == [("later", 10), ("x", 89)]
            kept = told["kept"][0].replace("-before-", "-restored-")
            assert (back["kept"], sorted(one["DBInstanceIdentifier"] for one in cloud.said.values())) == (
                [kept],
                ["plano-prod", kept],
            )
            ledger = [
                (one["release"], one["state"])
                for one in book(tmp_path, database).entries()
                if one["operation"] == "restore"
            ]
            assert [state for _run, state in ledger] == ["begun", "failed", "begun", "confirmed", "begun", "confirmed"]
            assert {ledger[3][0], ledger[5][0]} == {told["run"], back["run"]}
        finally:
            copy = cloud.snapshots["plano-prod-before"][1]
            if (copy.folder / "data" / "postmaster.pid").exists():
                copy.stop("immediate")
            shutil.rmtree(copy.folder, ignore_errors=True)
