# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import threading
import time
from typing import Any

import pytest
from logbook import WHO, content, images, log_tables, undo_run, write
from server import Server

from ansible_collections.plano.delivery.plugins.module_utils.data import home, log, runs, upkeep
from ansible_collections.plano.delivery.plugins.module_utils.data.errors import DataError, ServerError
from ansible_collections.plano.delivery.plugins.module_utils.data.names import Table
from ansible_collections.plano.delivery.plugins.module_utils.data.session import Session

T = Table("public", "t")


@pytest.fixture
def table(session: Session) -> Session:
    session.execute("CREATE TABLE public.t (id int PRIMARY KEY, a text)")
    return session


def ask(server: Server, database: str, check: bool = False, lock: float = 10.0, **wanted: Any) -> upkeep.Outcome:
    wanted.setdefault("tables", (T,))
    return upkeep.carry_out(server.login(database, lock_seconds=lock), upkeep.Wanted(**wanted), WHO, check)


def test_each_statement_is_logged_with_its_run_role_and_images(table: Session, application: Session) -> None:
    log_tables(table, "t")
    write(
        application, "r1", "INSERT INTO public.t VALUES (1, 'x'), (2, 'y')", "UPDATE public.t SET a = 'z' WHERE id = 2"
    )
    application.execute("DELETE FROM public.t WHERE id = 1")
    application.execute("DELETE FROM public.t WHERE id = 77")
    assert [(run, verb, added, row.split(",", 2)[2]) for run, verb, added, row in images(table, "t")] == [
        ("r1", "I", True, "1,x)"),
        ("r1", "I", True, "2,y)"),
        ("r1", "U", False, "2,y)"),
        ("r1", "U", True, "2,z)"),
        (None, "D", False, "1,x)"),
    ]
    assert table.rows("SELECT role, verb::text, rows FROM plano_delivery.action ORDER BY id") == [
        ("app", "I", 2),
        ("app", "U", 2),
        ("app", "D", 1),
    ]
    assert table.value("SELECT count(DISTINCT xid) FROM plano_delivery.action") == 2


def test_for_the_application_the_log_can_only_grow(table: Session, application: Session) -> None:
    log_tables(table, "t")
    application.execute("INSERT INTO public.t VALUES (1, 'x')")
    for statement in (
        "SELECT * FROM plano_delivery.action",
        "DELETE FROM plano_delivery.log_1",
        "SELECT plano_delivery.log_1()",
        "ALTER TABLE public.t DISABLE TRIGGER ALL",
    ):
        with pytest.raises(ServerError) as caught:
            application.execute(statement)
        assert caught.value.state == "42501"


def test_setting_up_again_changes_nothing_and_check_mode_leaves_nothing(
    table: Session, server: Server, database: str
) -> None:
    planned = ask(server, database, check=True, mark="m")
    assert not home.exists(table)
    done = ask(server, database, mark="m")
    assert planned.steps == done.steps == ["made the schema plano_delivery", "logged public.t", "set mark m"]
    assert ask(server, database, mark="m").steps == []
    assert ask(server, database).tables[0]["logged"] is True


def test_drift_is_told_and_mended(session: Session, server: Server, database: str) -> None:
    session.execute(
        "CREATE TABLE public.t (day date PRIMARY KEY, a text) PARTITION BY RANGE (day); CREATE TABLE public.t_1 PARTITION OF public.t DEFAULT"
    )
    ask(server, database)
    session.execute(
        "ALTER TABLE public.t DETACH PARTITION public.t_1;"
        "CREATE TABLE public.t_2 PARTITION OF public.t FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');"
        "ALTER TABLE public.t DISABLE TRIGGER plano_log_insert"
    )
    found = ask(server, database, check=True)
    assert found.drift == [
        "triggers of public.t are missing, disabled or out of date",
        "partition public.t_2 has no triggers",
    ]
    assert ask(server, database).steps == ["set up public.t again"]
    assert ask(server, database).drift == []
    session.execute("ALTER TABLE public.t ADD COLUMN b int")
    (text,) = [text for text in ask(server, database, check=True).drift if "structure" in text]
    assert text.startswith("the structure of public.t has changed")
    ask(server, database)
    assert len(log.sources(session)) == 2


@pytest.mark.parametrize(
    ("ddl", "reason"),
    [
        ("CREATE TABLE public.t (a int)", "has no primary key"),
        ("CREATE TABLE public.p (id int PRIMARY KEY); CREATE TABLE public.t (PRIMARY KEY (id)) INHERITS (public.p)", "inherits"),
        ("CREATE TABLE public.t (id int PRIMARY KEY); CREATE RULE r AS ON UPDATE TO public.t DO INSTEAD NOTHING", "has rules"),
        ("CREATE TABLE public.t (id int PRIMARY KEY); ALTER TABLE public.t FORCE ROW LEVEL SECURITY", "forces row security"),
        ("CREATE TABLE public.p (id int PRIMARY KEY) PARTITION BY HASH (id); CREATE TABLE public.t PARTITION OF public.p"
         " FOR VALUES WITH (MODULUS 1, REMAINDER 0)", r"is a partition: log public\.p"),
        ("CREATE VIEW public.t AS SELECT 1", r"public\.t is a view"),
        ("", r"has no table public\.t"),
    ],
)  # fmt: skip
def test_tables_that_cannot_be_logged(session: Session, server: Server, database: str, ddl: str, reason: str) -> None:
    if ddl:
        session.execute(ddl)
    with pytest.raises(DataError, match=reason):
        ask(server, database)
    assert not home.exists(session)


def test_truncate_is_refused_when_asked_for(table: Session, server: Server, database: str) -> None:
    ask(server, database, truncate="refuse")
    table.execute("INSERT INTO public.t VALUES (1, 'x')")
    with pytest.raises(ServerError, match=r"TRUNCATE of public\.t is refused"):
        table.execute("TRUNCATE public.t")
    assert ask(server, database, truncate="log").steps == ["set up public.t again"]
    table.execute("TRUNCATE public.t")
    assert [verb for _run, verb, _added, _row in images(table, "t")] == ["I", "T"]


def test_a_truncate_after_a_migration_is_logged_too(table: Session) -> None:
    log_tables(table, "t")
    table.execute("INSERT INTO public.t VALUES (1, 'x'); ALTER TABLE public.t ADD COLUMN b float8 DEFAULT 0.1")
    write(table, "r1", "TRUNCATE public.t")
    undo_run(table, "r1")
    assert content(table, "t") == ["(1,x,0.1)"]


def test_a_type_that_a_migration_replaces_can_be_dropped(session: Session, application: Session) -> None:
    session.execute(
        "CREATE TYPE public.mood AS ENUM ('sad'); CREATE TABLE public.t (id int PRIMARY KEY, a public.mood)"
    )
    log_tables(session, "t")
    application.execute("INSERT INTO public.t VALUES (1, 'sad')")
    session.execute(
        "CREATE TYPE public.mood2 AS ENUM ('sad', 'glad'); ALTER TABLE public.t ALTER a TYPE public.mood2 USING a::text::public.mood2;"
        "DROP TYPE public.mood"
    )
    application.execute("UPDATE public.t SET a = 'glad'")
    assert session.value("SELECT count(*) FROM plano_delivery.log_other") == 2


def test_a_longer_text_neither_breaks_a_write_nor_needs_a_new_log(
    session: Session, server: Server, database: str, application: Session
) -> None:
    session.execute("CREATE TABLE public.t (id int PRIMARY KEY, a varchar(3), b numeric(3, 1))")
    log_tables(session, "t")
    session.execute("ALTER TABLE public.t ALTER a TYPE varchar(10), ALTER b TYPE numeric(9, 1)")
    application.execute("INSERT INTO public.t VALUES (1, '0123456789', 12345.5)")
    assert images(session, "t")[0][3].endswith(",1,0123456789,12345.5)")
    assert ask(server, database).drift == []


def test_no_longer_logged(table: Session, server: Server, database: str) -> None:
    ask(server, database)
    table.execute("INSERT INTO public.t VALUES (1, 'x')")
    assert ask(server, database, present=False).steps == ["no longer logged public.t"]
    assert ask(server, database, present=False).steps == []
    table.execute("INSERT INTO public.t VALUES (2, 'x')")
    assert len(images(table, "t")) == 1
    assert ask(server, database).steps == ["logged public.t"]


def test_what_is_old_goes_but_never_half_a_run_or_one_that_is_open(
    table: Session, server: Server, database: str
) -> None:
    ask(server, database, mark="m")
    runs.begin(table, "open", runs.DISTRIBUTION, "t", WHO)
    for run in ("old", "half", "half", "open"):
        write(table, run, "INSERT INTO public.t SELECT count(*), 'x' FROM public.t")
    table.execute("INSERT INTO public.t VALUES (77, 'x')")
    table.execute(
        "UPDATE plano_delivery.action SET at = at - interval '40 days' WHERE id <> 4; UPDATE plano_delivery.mark SET at = at - interval '40 days'"
    )
    assert ask(server, database, check=True, keep_days=30).steps == ["purged 2 image(s) older than 30 day(s)"]
    assert ask(server, database, keep_days=30).steps == ["purged 2 image(s) older than 30 day(s)"]
    assert [row[0] for row in images(table, "t")] == ["half", "half", "open"]
    assert table.value("SELECT count(*) FROM plano_delivery.mark") == 0
    ask(server, database, present=False)
    table.execute(
        "UPDATE plano_delivery.action SET at = at - interval '40 days'; UPDATE plano_delivery.run SET state = 'failed'"
    )
    ask(server, database, present=False, keep_days=30)
    assert log.sources(table) == []
    assert table.value("SELECT to_regclass('plano_delivery.log_1')") is None


def test_a_persons_images_are_erased_everywhere_and_that_is_kept(table: Session, server: Server, database: str) -> None:
    ask(server, database)
    write(table, "r1", "INSERT INTO public.t VALUES (1, 'ana'), (2, 'bob')", "UPDATE public.t SET a = a || '!'")
    table.execute("ALTER TABLE public.t ADD COLUMN b int")
    table.execute("UPDATE public.t SET b = 1")
    assert ask(server, database, check=True, erase=((T, {"id": "1"}),), tables=()).erased == 5
    found = ask(server, database, erase=((T, {"id": "1"}),), tables=())
    assert (found.erased, found.steps) == (5, ["erased 5 image(s) from the log of public.t"])
    left = " ".join(row[3] for row in images(table, "t")) + table.value(
        "SELECT string_agg(image::text, ' ') FROM plano_delivery.log_other"
    )
    assert "ana" not in left
    assert "bob" in left
    assert table.rows("SELECT tables, images, actor FROM plano_delivery.log_erasure") == [(["public.t"], 5, "ana")]
    with pytest.raises(DataError, match="give a value for each column of its key: id"):
        ask(server, database, erase=((T, {"a": "1"}),), tables=())
    assert ask(server, database, erase=((T, {"id": "1"}),), tables=()).steps == []


def test_a_mark_waits_for_whoever_is_writing(
    table: Session, server: Server, database: str, application: Session
) -> None:
    ask(server, database)
    with application.transaction():
        application.execute("INSERT INTO public.t VALUES (1, 'x')")
        with pytest.raises(ServerError, match="The lock was not given within"):
            ask(server, database, lock=0.2, mark="m")
        waiting = threading.Thread(target=lambda: ask(server, database, mark="m"))
        waiting.start()
        time.sleep(0.5)
        application.execute("INSERT INTO public.t VALUES (2, 'x')")
    waiting.join(10)
    assert (
        table.value("SELECT count(*) FROM plano_delivery.action WHERE id > (SELECT action FROM plano_delivery.mark)")
        == 0
    )


def test_only_the_log_of_a_role_that_owns_the_tables(table: Session, server: Server, database: str) -> None:
    with pytest.raises(ServerError, match="Log in as the owner of the tables") as caught:
        upkeep.carry_out(server.login(database, "app", ""), upkeep.Wanted((T,)), WHO)
    assert caught.value.state == "42501"
