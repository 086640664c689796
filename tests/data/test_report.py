# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The report of a run that was taken back, of what a real server and a real ledger hold."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from server import PASSWORD, Server, as_ansible

from ansible_collections.plano.delivery.plugins.module_utils.data import facts, home, runs
from ansible_collections.plano.delivery.plugins.module_utils.data.book import Book
from ansible_collections.plano.delivery.plugins.module_utils.data.errors import DataError
from ansible_collections.plano.delivery.plugins.module_utils.data.session import Session
from ansible_collections.plano.delivery.plugins.modules import data_report

WHO = runs.Stamp("ana", "monthly", "c1", "1.0.0")
FAILURES = [{"rule": "dates", "severity": "warn", "rows": 9}, {"rule": "keys", "severity": "critical", "rows": 1}]


@pytest.fixture
def story(session: Session, tmp_path: Path) -> Book:
    """An import that was accepted, and undone an hour later."""
    home.ensure(session)
    session.execute("CREATE TABLE public.clients AS SELECT i AS id FROM generate_series(1, 5) i")
    book = Book("shop", tmp_path / "data", "db1")
    with book.change("c0", "checkpoint", "c-0") as page:
        page.write("begun")
        page.write("confirmed", verified=True)
    runs.begin(session, "r1", runs.IMPORT, "public.clients", WHO)
    with book.change("r1", "import", "c-1") as page:
        page.write("begun", target="public.clients")
        runs.finish(session, "r1", runs.CONFIRMED, {"rows": {"read": 5, "inserted": 5}, "failures": FAILURES})
        page.write("accepted", target="public.clients")
    runs.finish(session, "r1", runs.REVERTING)
    runs.begin(session, "u1", runs.UNDO, "run r1", runs.Stamp("bob", version="1.1.0"), "r1")
    runs.finish(session, "u1", runs.CONFIRMED, {"rows": 5})
    runs.finish(session, "r1", runs.REVERTED)
    return book


def others(session: Session) -> None:
    """As much of what other parts of this collection keep as a report reads."""
    manifest = json.dumps({"tables": [{"schema": "public", "name": "clients", "rows": 3}]})
    session.execute(
        "CREATE TABLE IF NOT EXISTS plano_delivery.checkpoint"
        " (name text PRIMARY KEY, taken timestamptz NOT NULL, folder text NOT NULL, manifest jsonb NOT NULL)"
    )
    session.execute(
        "INSERT INTO plano_delivery.checkpoint (name, taken, folder, manifest)"
        " SELECT name, began + ago, '/nowhere', %s::jsonb FROM plano_delivery.run, (VALUES ('old', interval '-2 day'),"
        " ('c0', interval '-1 hour'), ('after', interval '1 hour')) AS t (name, ago) WHERE id = 'r1'",
        [manifest],
    )
    session.execute(
        "CREATE TABLE IF NOT EXISTS plano_delivery.logged (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, schema text NOT NULL,"
        " name text NOT NULL, columns jsonb NOT NULL, key jsonb NOT NULL, ended timestamptz)"
    )
    session.execute(
        "CREATE TABLE IF NOT EXISTS plano_delivery.action (id bigint PRIMARY KEY, run text, xid xid8 NOT NULL, role text NOT NULL,"
        ' at timestamptz NOT NULL, source int NOT NULL, verb "char" NOT NULL, structure bigint, rows bigint NOT NULL)'
    )
    session.execute(
        "INSERT INTO plano_delivery.logged (schema, name, columns, key, ended) VALUES ('public', 'clients', '[]', '[]', now()),"
        " ('public', 'clients', '[1]', '[]', NULL), ('public', 'Old', '[]', '[]', NULL)"
    )
    session.execute(
        "INSERT INTO plano_delivery.action (id, run, xid, role, at, source, verb, rows)"
        " SELECT row_number() OVER (), run, pg_current_xact_id(), 'app', clock_timestamp(), source, verb, rows FROM (VALUES"
        " ('r1', 1, 'I', 3), ('r1', 2, 'I', 2), ('r1', 1, 'U', 8), ('r1', 3, 'D', 1), ('r1', 3, 'T', 6), ('r2', 1, 'I', 9),"
        " ('u1', 1, 'D', 5)) AS t (run, source, verb, rows)"
    )
    session.execute(
        "INSERT INTO plano_delivery.message (run, event, recipient, language, state) VALUES ('r1', 'reverted', 'a', 'en', 'sent'),"
        " ('u1', 'undone', 'b', 'en', 'sent'), ('r1', 'reverted', 'c', 'pt-BR', 'sent'), ('r1', 'reverted', 'd', 'en', 'sending')"
    )


def test_all_that_is_known_is_gathered(session: Session, story: Book) -> None:
    others(session)
    conflicts = [{"table": "public.clients", "key": {"id": "4"}, "reason": "changed later", "by": {"run": "r2"}}] * 2
    found = facts.gather(session, "r1", story.entries(), conflicts)
    assert (found.run.state, [run.id for run in found.related]) == ("reverted", ["u1"])
    assert [(each.what, each.operation, each.state) for each in found.timeline] == [
        ("c0", "checkpoint", "begun"),
        ("c0", "checkpoint", "confirmed"),
        ("r1", "import", "begun"),
        ("r1", "import", "accepted"),
        ("u1", "undo", "begun"),
        ("u1", "undo", "confirmed"),
        ("r1", "message", "sent"),
    ]
    assert [each.rule for each in found.rules] == ["keys", "dates"]
    assert found.rows == {"read": 5, "inserted": 5}
    assert found.changes == (
        facts.Change("r1", "public.clients", 5, 4, 0),
        facts.Change("r1", "public.Old", 0, 0, 7),
        facts.Change("u1", "public.clients", 0, 0, 5),
    )
    assert found.counts == (facts.Count("public.clients", 3, 5),)
    assert (found.checkpoint, found.told) == ("c0", {"en": 2, "pt-BR": 1})
    assert found.conflicts == (facts.Conflict("public.clients", "changed later", 2),)
    assert facts.gather(session, "r1", [], conflicts, show_keys=True).conflicts[0].keys == ("id=4", "id=4")
    assert [run.id for run in facts.gather(session, "u1").related] == ["r1"]


def test_without_the_other_parts_there_is_a_report_too(session: Session, story: Book) -> None:
    session.execute("DROP TABLE plano_delivery.message")
    session.execute("DROP TABLE public.clients")
    found = facts.gather(session, "r1")
    # The log of the database remembers the beginning and the end.
    assert [(each.what, each.state) for each in found.timeline] == [
        ("r1", "begun"), ("u1", "begun"), ("u1", "confirmed"), ("r1", "reverted"),
    ]  # fmt: skip
    assert (found.counts, found.changes, found.told, found.checkpoint) == ((), (), {}, "")


def params(folder: Path, **more: Any) -> dict[str, Any]:
    return {"run": "r1", "folder": str(folder), "language": "en", "conflicts": [], "show_keys": False, **more}


def test_the_files_are_written_once_for_those_who_may_read_them(
    server: Server, database: str, story: Book, tmp_path: Path
) -> None:
    login, folder = server.login(database), tmp_path / "reports"
    entries = story.entries()
    planned = data_report.write(login, params(folder), entries, apply=False)
    assert (planned["changed"], folder.exists()) == (True, False)
    assert data_report.write(login, params(folder), entries, apply=True) == planned
    assert planned["paths"] == [f"{folder}/run-r1.md", f"{folder}/run-r1.html"]
    assert [oct(Path(path).stat().st_mode & 0o777) for path in (folder, *planned["paths"])] == [
        "0o750",
        "0o640",
        "0o640",
    ]
    assert data_report.write(login, params(folder), entries, apply=True)["changed"] is False
    assert Path(planned["paths"][0]).read_text().startswith("# Run r1: reverted\n")
    again = data_report.write(login, params(folder, language="pt-BR"), entries, apply=True)
    assert again["changed"] is True
    assert Path(again["paths"][1]).read_text().count("<h2>") == 10


def test_a_run_that_is_not_there(session: Session) -> None:
    with pytest.raises(DataError, match="run r1 is not in the log"):
        facts.gather(session, "r1")
    home.ensure(session)
    with pytest.raises(DataError, match="run r1 is not in the log"):
        facts.gather(session, "r1")


def test_as_ansible_runs_it(server: Server, database: str, story: Book, tmp_path: Path) -> None:
    login = {"login_db": database, "login_host": "127.0.0.1", "login_port": server.port, "login_user": "data"}
    arguments = {
        **login,
        "login_password": PASSWORD,
        "session_role": "owner",
        "run": "r1",
        "folder": str(tmp_path / "reports"),
    }
    code, result = as_ansible("data_report", arguments)
    assert (code, result["changed"], result["state"]) == (0, True, "reverted")
    assert Path(result["paths"][1]).read_text().startswith("<!DOCTYPE html>")
    code, result = as_ansible("data_report", {**arguments, "run": "r 2"})
    assert (code, result["failed"]) == (1, True)
    assert PASSWORD not in json.dumps(result)
