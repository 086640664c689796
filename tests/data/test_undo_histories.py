# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Random histories of several runs, of which one is undone: exactly its rows go back, the others stay.

The oracle knows nothing of the log. It keeps the whole content of every table before and after each statement, and from that says of each
key whether the run may be undone there, and what it must then hold.
PLANO_HISTORIES is how many histories are tried.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from logbook import log_tables, undo_run
from server import Server

from ansible_collections.plano.delivery.plugins.module_utils.data import runs, undo
from ansible_collections.plano.delivery.plugins.module_utils.data.errors import ServerError
from ansible_collections.plano.delivery.plugins.module_utils.data.session import Session

HISTORIES = int(os.environ.get("PLANO_HISTORIES", "40"))
TABLES = ("owner", "item", "part")
DDL = """
CREATE TABLE public.owner (id int PRIMARY KEY, a int, u int UNIQUE);
CREATE TABLE public.item (id int PRIMARY KEY, owner int REFERENCES public.owner ON DELETE CASCADE ON UPDATE CASCADE, a int);
CREATE TABLE public.part (item int REFERENCES public.item ON UPDATE CASCADE, nr int, owner int REFERENCES public.owner ON DELETE SET NULL, a int,
    PRIMARY KEY (item, nr));
CREATE FUNCTION public.again() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    UPDATE public.item SET a = coalesce(a, 0) + 10 WHERE id = NEW.id AND coalesce(a, 0) < 10; RETURN NULL; END $$;
CREATE TRIGGER again AFTER INSERT OR UPDATE OF owner ON public.item FOR EACH ROW EXECUTE FUNCTION public.again();
"""
State = dict[str, dict[Any, tuple[Any, ...]]]
KEYS = {"owner": 1, "item": 1, "part": 2}

number = st.integers(1, 4)
maybe = st.one_of(st.none(), number)
statement = st.one_of(
    st.tuples(st.just("INSERT INTO public.owner VALUES (%s, %s, %s)"), st.tuples(number, number, maybe)),
    st.tuples(
        st.just("INSERT INTO public.owner VALUES (%s, %s, NULL) ON CONFLICT (id) DO UPDATE SET a = EXCLUDED.a"),
        st.tuples(number, number),
    ),
    st.tuples(st.just("UPDATE public.owner SET a = a + %s"), st.tuples(number)),
    st.tuples(st.just("UPDATE public.owner SET id = %s WHERE id = %s"), st.tuples(number, number)),
    st.tuples(st.just("UPDATE public.owner SET u = %s WHERE id = %s"), st.tuples(maybe, number)),
    st.tuples(st.just("DELETE FROM public.owner WHERE id = %s"), st.tuples(number)),
    st.tuples(st.just("INSERT INTO public.item VALUES (%s, %s, %s)"), st.tuples(number, maybe, number)),
    st.tuples(st.just("UPDATE public.item SET owner = %s WHERE id <= %s"), st.tuples(maybe, number)),
    st.tuples(st.just("UPDATE public.item SET a = %s WHERE id = %s"), st.tuples(number, number)),
    st.tuples(st.just("UPDATE public.item SET id = id + %s WHERE id = %s"), st.tuples(number, number)),
    st.tuples(st.just("DELETE FROM public.item WHERE id >= %s"), st.tuples(number)),
    st.tuples(st.just("INSERT INTO public.part VALUES (%s, %s, %s, %s)"), st.tuples(number, number, maybe, number)),
    st.tuples(st.just("UPDATE public.part SET a = a + 1 WHERE nr = %s"), st.tuples(number)),
    st.tuples(st.just("DELETE FROM public.part WHERE item = %s"), st.tuples(number)),
)
step = st.tuples(st.sampled_from(["r0", "r1", "r1", "r2"]), statement)


@pytest.fixture(scope="module")
def pair(server: Server) -> Iterator[tuple[Session, Session]]:
    name = server.database()
    with server.session(name) as session, server.session(name, "app", "") as application:
        session.execute(DDL)
        log_tables(session, *TABLES)
        yield session, application


def look(session: Session) -> State:
    return {
        table: {row[: KEYS[table]]: row for row in session.rows(f"SELECT * FROM public.{table}")} for table in TABLES
    }


def touched(before: State, after: State) -> Iterator[tuple[str, Any]]:
    for table in TABLES:
        for key in before[table].keys() | after[table].keys():
            if before[table].get(key) != after[table].get(key):
                yield table, key


def expected(trail: list[tuple[str, State, State]], undone: str) -> tuple[State, set[tuple[str, Any]]]:
    """Return what the tables hold without the run, and the keys where others have come between or after."""
    now = {table: dict(rows) for table, rows in trail[-1][2].items()}
    first: dict[tuple[str, Any], Any] = {}
    last: dict[tuple[str, Any], Any] = {}
    foreign: dict[tuple[str, Any], Any] = {}
    for run, before, after in trail:
        for table, key in touched(before, after):
            if run == undone:
                if (table, key) in first and (table, key) in foreign:
                    last[table, key] = "others"  # between two of the run's own
                first.setdefault((table, key), before[table].get(key))
                last.setdefault((table, key), None)
                if last[table, key] != "others":
                    last[table, key] = after[table].get(key)
            elif (table, key) in first:
                foreign[table, key] = True
    conflicts = set()
    for (table, key), start in first.items():
        end = last[table, key]
        if end != "others" and start == end:
            continue  # the run has left nothing there
        if end == "others" or now[table].get(key) != end:
            conflicts.add((table, key))
        elif start is None:
            now[table].pop(key, None)
        else:
            now[table][key] = start
    return now, conflicts


def whole(state: State) -> bool:
    """Whether every rule between rows holds."""
    unique = [row[2] for row in state["owner"].values() if row[2] is not None]
    return (
        len(unique) == len(set(unique))
        and all(row[1] is None or (row[1],) in state["owner"] for row in state["item"].values())
        and all((row[0],) in state["item"] for row in state["part"].values())
        and all(row[2] is None or (row[2],) in state["owner"] for row in state["part"].values())
    )


@settings(
    max_examples=HISTORIES,
    deadline=None,
    derandomize="PLANO_HISTORIES" not in os.environ,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(steps=st.lists(step, min_size=3, max_size=14))
def test_undoing_one_run_of_many(pair: tuple[Session, Session], steps: list[Any]) -> None:
    session, application = pair
    session.execute(
        "ALTER TABLE public.item DISABLE TRIGGER again; DELETE FROM public.part; DELETE FROM public.item; DELETE FROM public.owner"
    )
    session.execute(
        "INSERT INTO public.owner VALUES (1, 1, 1), (2, 2, 2); INSERT INTO public.item VALUES (1, 1, 11), (2, 2, 12);"
        "INSERT INTO public.part VALUES (1, 1, 2, 1); ALTER TABLE public.item ENABLE TRIGGER again;"
        "DELETE FROM plano_delivery.action; DELETE FROM plano_delivery.run"
    )
    trail: list[tuple[str, State, State]] = []
    before = look(session)
    for run, (sql, values) in steps:
        try:
            with application.transaction():
                runs.mark_session(application, run)
                application.execute(sql, values)
        except ServerError:
            continue  # a rule of the tables refused it
        after = look(session)
        trail.append((run, before, after))
        before = after
    if not session.value("SELECT 1 FROM plano_delivery.action WHERE run = 'r1' LIMIT 1"):
        return
    wanted, conflicts = expected(trail, "r1")
    if not conflicts and whole(wanted):
        event("undone")
        undo_run(session, "r1")
        assert look(session) == wanted
        undo_run(session, "undo-r1-1")
        assert look(session) == before
        undo_run(session, "r1")
        assert look(session) == wanted
        return
    event("refused")
    with pytest.raises(undo.ConflictError) as caught:
        undo_run(session, "r1")
    assert look(session) == before
    assert caught.value.outcome.conflict_rows >= len(conflicts)
    outcome = undo_run(session, "r1", skip=True)
    found = look(session)
    assert whole(found)
    own = {(table, key) for run, old, new in trail if run == "r1" for table, key in touched(old, new)}
    assert set(touched(before, found)) <= own  # nobody else's rows have changed
    assert not set(touched(before, found)) & conflicts
    for table, key in touched(before, found):
        assert found[table].get(key) == wanted[table].get(key)
    undo_run(session, outcome.run_id)
    assert look(session) == before
