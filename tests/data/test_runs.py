# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from server import Server

from ansible_collections.plano.delivery.plugins.module_utils.data import home, runs
from ansible_collections.plano.delivery.plugins.module_utils.data.errors import BusyError, DataError, ServerError
from ansible_collections.plano.delivery.plugins.module_utils.data.session import Session

WHO = runs.Stamp("ana", "monthly", "c1", "1.0.0")


def test_the_schema_is_made_once_and_the_application_sees_nothing_of_it(session: Session, application: Session) -> None:
    assert home.ensure(session) is True
    assert home.ensure(session) is False
    with pytest.raises(ServerError, match="permission denied for schema plano_delivery") as caught:
        application.rows("SELECT * FROM plano_delivery.run")
    assert caught.value.state == "42501"


def test_a_schema_of_a_later_version_is_left_alone(session: Session) -> None:
    home.ensure(session)
    session.execute("COMMENT ON SCHEMA plano_delivery IS 'plano.delivery data 99'")
    with pytest.raises(DataError, match="is of version 99, this collection knows"):
        home.ensure(session)


def test_a_run_is_in_the_log_before_it_is_confirmed(session: Session, server: Server, database: str) -> None:
    home.ensure(session)
    runs.begin(session, "r1", runs.IMPORT, "public.clients", WHO)
    with server.session(database) as other:
        assert runs.find(other, "r1").state == runs.PENDING
        assert runs.pending_since(other) is not None
    runs.finish(session, "r1", runs.CONFIRMED, {"rows": 3})
    found = runs.find(session, "r1")
    assert (found.state, found.details, found.actor, found.version) == ("confirmed", {"rows": 3}, "ana", "1.0.0")
    assert found.ended >= found.began
    assert runs.pending_since(session) is None


@pytest.mark.parametrize("over", [runs.CONFIRMED, runs.REVERTED])
def test_a_run_that_is_over_does_not_begin_again(session: Session, over: str) -> None:
    home.ensure(session)
    runs.begin(session, "r1", runs.IMPORT, "public.clients", WHO)
    runs.finish(session, "r1", over)
    with pytest.raises(DataError, match=f"run r1 is {over} already"):
        runs.begin(session, "r1", runs.IMPORT, "public.clients", WHO)


def test_an_id_belongs_to_one_target(session: Session) -> None:
    home.ensure(session)
    runs.begin(session, "r1", runs.IMPORT, "public.clients", WHO)
    with pytest.raises(DataError, match=r"another one already: import of public\.clients"):
        runs.begin(session, "r1", runs.IMPORT, "public.orders", WHO)


@pytest.mark.parametrize("bad", ["", "a b", "-x", "é", "x" * 101, "a'b"])
def test_an_id_that_cannot_be_one_is_refused(bad: str) -> None:
    with pytest.raises(DataError, match="a run's id is 1 to 100"):
        runs.check_id(bad)


def test_one_at_a_time(session: Session, server: Server, database: str) -> None:
    with server.session(database) as other, session.alone("import public.clients"):
        with pytest.raises(
            BusyError, match=r"import public.clients of .* is at work in another session \(pid \d+, data, since"
        ), other.alone("import public.clients"):
            pass
        with other.alone("import public.orders"):
            pass
    with session.alone("import public.clients"):
        pass


def test_an_error_tells_no_value(session: Session) -> None:
    session.execute("CREATE TABLE public.t (id int PRIMARY KEY, born date)")
    session.execute("INSERT INTO public.t VALUES (1)")
    for statement, words in {
        "INSERT INTO public.t VALUES (1, NULL)": r"duplicate key value violates unique constraint .* \(table public.t, constraint t_pkey\)",
        "SELECT 'secret-value'::date": "a value cannot be read as its column's type",
        "INSERT INTO public.t VALUES (NULL, '2020-01-01')": r"null value in column .* \(table public.t, column id\)",
    }.items():
        with pytest.raises(ServerError, match=words) as caught:
            session.execute(statement)
        assert "secret-value" not in str(caught.value)
        assert "2020" not in str(caught.value)


def test_a_server_that_is_not_there(server: Server) -> None:
    gone = server.login("nowhere")
    with pytest.raises(ServerError, match=r"database nowhere on 127.0.0.1:\d+: .*does not exist"):
        server.session(gone.database)


def test_the_newest_runs_are_listed_first(session: Session) -> None:
    home.ensure(session)
    for run in ("r1", "r2", "r3"):
        runs.begin(session, run, runs.IMPORT, "public.clients", WHO)
    runs.finish(session, "r2", runs.CONFIRMED)
    assert [run.id for run in runs.listing(session, [], [], 2)] == ["r3", "r2"]
    assert [run.id for run in runs.listing(session, ["r1", "r2"], [], 9)] == ["r2", "r1"]
    assert [run.id for run in runs.listing(session, [], [runs.CONFIRMED], 9)] == ["r2"]
    told = runs.listing(session, ["r1"], [], 1)[0].told()
    assert (told["state"], told["ended"], len(told["began"])) == ("pending", None, 20)


def test_a_lost_connection_within_a_lock_is_told_as_such(session: Session, server: Server) -> None:
    with pytest.raises(ServerError, match="run the same command again"), session.alone("import public.clients"):
        server.sql(f"SELECT pg_terminate_backend({session.connection.info.backend_pid}, 5000)")
        session.execute("SELECT 1")
