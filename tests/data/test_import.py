# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from imports import ANA, BEA, HEADER, OLD, RULES, RUN, WHO, Importer, clients, leftovers, of
from logbook import log_tables
from server import Server

from ansible_collections.plano.delivery.plugins.module_utils.data import load, runs, undo
from ansible_collections.plano.delivery.plugins.module_utils.data.errors import BusyError, DataError, ServerError
from ansible_collections.plano.delivery.plugins.module_utils.data.names import Table, parse_table
from ansible_collections.plano.delivery.plugins.module_utils.data.rules import limit
from ansible_collections.plano.delivery.plugins.module_utils.data.session import Session
from ansible_collections.plano.delivery.plugins.module_utils.data.source import Dialect, Source
from ansible_collections.plano.delivery.plugins.module_utils.engine.lock import Busy

# --- what it does --------------------------------------------------------------------------------------------------------------


def test_a_good_file_is_accepted(importer: Importer, session: Session) -> None:
    result = importer(HEADER + ANA + BEA)
    assert (result.outcome, result.changed, result.reason) == ("accepted", True, "")
    assert result.rows == {"read": 2, "inserted": 2, "updated": 0, "unchanged": 0, "deleted": 0, "quarantined": 0}
    assert clients(session) == [OLD, ("c2", 'Bea "B" Lima', "bea@example.org", "2026-01-01", "2026-12-31", "1")]
    assert session.rows("SELECT file, rows, inserted, updated FROM public.imports") == [("clients.csv", 2, 2, 0)]
    found = runs.find(session, RUN)
    assert found is not None
    assert (found.state, found.actor, found.details["rows"]["inserted"]) == ("confirmed", "ana", 2)
    assert importer.states() == ["1 begun", "1 accepted"]
    assert leftovers(session) == []
    assert {"read", "stage", "rules", "publish", "live rules", "analyze"} <= set(result.seconds)
    assert (
        session.value("SELECT last_analyze IS NOT NULL FROM pg_stat_user_tables WHERE relname = 'clients'") is not None
    )


def test_only_rows_that_differ_are_touched(importer: Importer, session: Session) -> None:
    importer(HEADER + ANA + BEA)
    result = importer(
        HEADER + ANA + BEA.replace("2026-12-31", "2027-12-31") + "c3,Cid,c@example.org,2026-01-01,\n", run=of(2)
    )
    assert {key: result.rows[key] for key in ("inserted", "updated", "unchanged")} == {
        "inserted": 1,
        "updated": 1,
        "unchanged": 1,
    }
    assert [(row[0], row[4], row[5]) for row in clients(session)] == [
        ("c1", None, "1"),
        ("c2", "2027-12-31", "2"),
        ("c3", None, "2"),
    ]


def test_a_run_that_is_confirmed_is_not_run_again(importer: Importer, session: Session) -> None:
    first = importer(HEADER + ANA)
    again = importer(HEADER + ANA)
    assert (again.outcome, again.changed, again.rows) == ("accepted", False, first.rows)
    assert importer.states() == ["1 begun", "1 accepted"]
    with pytest.raises(DataError, match=f"run {RUN} was begun with another file"):
        importer(HEADER + BEA)


def test_without_an_id_the_same_file_is_the_same_run(importer: Importer) -> None:
    first = importer(HEADER + ANA, run="")
    again = importer(HEADER + ANA, run="", name="renamed.csv")
    assert (first.changed, again.changed, again.run) == (True, False, first.run)


def test_a_broken_rule_holds_the_import(importer: Importer, session: Session) -> None:
    importer(HEADER + ANA)
    bad = HEADER + "c1,Ana,new@example.org,2026-01-01,\nc9,Bad,nobody,2026-01-01,\n"
    result = importer(bad, run=of(2))
    assert (result.outcome, result.changed) == ("held", False)
    assert "rule email_form (matches of public.clients) is broken by 1 of 2 rows, 0 may" in result.reason
    assert clients(session) == [OLD]
    assert session.value(f"SELECT count(*) FROM {result.staging}") == 2
    assert session.rows("SELECT run, rule, severity, place, key, row FROM plano_delivery.violation") == [
        (of(2), "email_form", "critical", "staging", "c9", 2)
    ]
    assert importer.states()[-1] == "2 held"
    assert importer.book.entries()[-1]["failures"] == [{"rule": "email_form", "severity": "critical", "rows": 1}]
    assert "nobody" not in json.dumps(importer.book.entries())
    # The rule is loosened, the same run goes on.
    again = importer(bad, run=of(2), rules=[{**RULES[0], "severity": "warn"}])
    assert (again.outcome, again.rows["updated"], again.rows["inserted"]) == ("accepted", 1, 1)
    assert leftovers(session) == []
    assert session.rows("SELECT rule, severity, key FROM plano_delivery.violation") == [("email_form", "warn", "c9")]


def test_a_rule_that_breaks_live_takes_it_back_before_anybody_sees_it(
    importer: Importer, session: Session, application: Session
) -> None:
    importer(HEADER + ANA)
    rule = {"name": "few", "check": "query", "sql": "SELECT external_id FROM public.clients OFFSET 1"}
    result = importer(HEADER + ANA + BEA, run=of(2), rules=[rule])
    assert result.outcome == "reverted"
    assert "rule few" in result.reason
    assert "rolled back" in result.reason
    assert clients(session) == [OLD]
    assert session.value("SELECT count(*) FROM public.imports") == 1
    assert session.rows("SELECT rule, place, key FROM plano_delivery.violation") == [("few", "live", "c2")]
    assert runs.find(session, of(2)).state == "reverted"
    assert importer.states()[-2:] == ["2 begun", "2 reverted"]
    assert leftovers(session) == []
    with pytest.raises(DataError, match="is reverted already; a new one needs another id"):
        importer(HEADER + ANA + BEA, run=of(2), rules=[])


def test_live_rows_are_named_by_the_key_of_the_file(importer: Importer, session: Session) -> None:
    rules = [
        {"name": "ends", "check": "not_null", "column": "valid_until", "on": "live", "severity": "warn"},
        {"name": "small", "check": "row_count_change", "max": "10%"},
    ]
    importer(HEADER + ANA)
    assert importer(HEADER + BEA, run=of(2), rules=rules).outcome == "reverted"
    assert session.rows("SELECT rule, severity, key FROM plano_delivery.violation") == [("ends", "warn", "c1")]
    assert importer(HEADER + BEA, run=of(3), rules=rules[:1]).failures == [
        {"rule": "ends", "severity": "warn", "rows": 1}
    ]
    assert runs.find(session, of(3)).details["failures"] == [{"rule": "ends", "severity": "warn", "rows": 1}]


def test_tables_that_must_not_change(importer: Importer, session: Session) -> None:
    rule = {"name": "kept", "check": "checksum_unchanged", "table": "public.imports"}
    result = importer(HEADER + ANA, rules=[rule])
    assert (result.outcome, "rule kept" in result.reason) == ("reverted", True)
    assert importer(HEADER + ANA, run=of(2), rules=[{**rule, "table": "public.clients"}]).outcome == "reverted"
    session.execute("CREATE TABLE public.other (a int)")
    assert importer(HEADER + ANA, run=of(3), rules=[{**rule, "table": "public.other"}]).outcome == "accepted"


def test_check_mode_tells_it_all_and_changes_nothing(importer: Importer, session: Session) -> None:
    result = importer(HEADER + ANA + BEA, check=True)
    assert (result.outcome, result.changed, result.rows["inserted"]) == ("accepted", True, 2)
    assert session.value("SELECT count(*) FROM pg_namespace WHERE nspname = 'plano_delivery'") == 0
    assert not importer.book.path.exists()
    importer(HEADER + ANA + BEA)
    before = clients(session)
    text = HEADER + ANA + BEA.replace("Lima", "Melo") + "c3,Cid,c.example.org,2026-01-01,\n"
    result = importer(text, check=True, run=of(2))
    assert (result.outcome, result.rows["inserted"], result.rows["updated"], result.rows["unchanged"]) == (
        "held",
        1,
        1,
        1,
    )
    assert clients(session) == before
    assert runs.find(session, of(2)) is None
    assert importer(HEADER + ANA + BEA, check=True).changed is False


def test_rows_missing_in_the_file_go_when_asked(importer: Importer, session: Session) -> None:
    importer(HEADER + ANA + BEA)
    preview = importer(HEADER + BEA, run=of(2), delete_missing=True, check=True)
    result = importer(HEADER + BEA, run=of(2), delete_missing=True)
    assert preview.rows["deleted"] == result.rows["deleted"] == 1
    assert [row[0] for row in clients(session)] == ["c2"]
    with pytest.raises(DataError, match=r"has no rows, and with delete_missing all of public.clients would go"):
        importer(HEADER, run=of(3), delete_missing=True)
    assert [row[0] for row in clients(session)] == ["c2"]


def test_insert_takes_new_rows_only(importer: Importer, session: Session) -> None:
    importer(HEADER + ANA)
    result = importer(HEADER + ANA + BEA, run=of(2), mode="insert", rules=[])
    assert result.outcome == "held"
    assert "clients_external_id_key" in result.reason
    assert clients(session) == [OLD]
    assert session.rows("SELECT key FROM plano_delivery.violation") == [("c1",)]
    assert importer(HEADER + BEA, run=of(3), mode="insert").outcome == "accepted"


def test_a_column_of_another_name_and_one_that_is_left_out(importer: Importer, session: Session) -> None:
    text = "id;Nome;e-mail;from;note\nc1;Ana;ana@example.org;2026-01-01;secret\n"
    columns = {"id": "external_id", "Nome": "name", "e-mail": "email", "from": "valid_from"}
    result = importer(text, dialect=Dialect(delimiter=";"), columns=columns, ignore=["note"], rules=[])
    assert result.outcome == "accepted"
    assert clients(session) == [OLD]


def test_json_lines(importer: Importer, session: Session) -> None:
    row = {
        "external_id": "c1",
        "name": "Ana",
        "email": "ana@example.org",
        "valid_from": "2026-01-01",
        "valid_until": None,
    }
    text = "\n".join(json.dumps(each) for each in (row, {**row, "external_id": "c2", "name": "B\tea\\ \n"})) + "\n"
    result = importer(text, name="clients.jsonl", dialect=Dialect(format="jsonl"))
    assert (result.outcome, result.rows["inserted"]) == ("accepted", 2)
    assert clients(session)[1][1] == "B\tea\\ \n"
    bad = json.dumps(row) + '\n{"external_id": 1}\nnot json\n[]\n{"a": 1, "a": 2}\n'
    with pytest.raises(DataError) as caught:
        importer(bad, name="clients.jsonl", dialect=Dialect(format="jsonl"), run=of(2))
    for words in (
        "clients.jsonl:2: key name is missing, key email is missing",
        "clients.jsonl:3:1: is not JSON",
        "clients.jsonl:4:1: is no JSON object",
        "clients.jsonl:5: a key stands there twice",
    ):
        assert words in str(caught.value)


SQL = Dialect(format="sql", fields=("external_id", "name", "email", "valid_from", "valid_until"))


def test_sql(importer: Importer, session: Session) -> None:
    text = """-- rows; of 'two' clients
SET client_encoding = 'UTF8';
INSERT INTO public.clients (external_id, name, email, valid_from) VALUES ('c1', 'Ana', 'ana@example.org', '2026-01-01');
INSERT INTO clients VALUES ('c2', 'Semi;
colon''s', E'bea\\u0040example.org', '2026-01-01', NULL), ('c3', $$C$$, 'c@example.org', '2026-01-01', NULL);
"""
    result = importer(text, name="clients.sql", dialect=SQL)
    assert (result.outcome, result.rows["inserted"]) == ("accepted", 3)
    assert [row[1] for row in clients(session)] == ["Ana", "Semi;\ncolon's", "C"]


BAD_SQL = [
    (
        "INSERT INTO clients (name) VALUES ('a');\n\n\nDELETE FROM public.clients;\n",
        r"clients.sql:4: only INSERT INTO",
    ),
    ("UPDATE public.clients SET name = 'x';\n", "clients.sql:1: only INSERT INTO"),
    ("INSERT INTO public.imports VALUES ('a');\n", "clients.sql:1: only INSERT INTO public.clients"),
    ("INSERT INTO clients VALUES ('a')\n", "clients.sql:1: the statement does not end"),
    ("\nINSERT INTO clients VALUES ('a', 'b;\n", "clients.sql:2: the statement does not end"),
    ("CREATE FUNCTION pg_temp.f() RETURNS int AS 'SELECT 1' LANGUAGE sql;\n", "clients.sql:1: only INSERT INTO"),
    (
        "INSERT INTO clients (name) VALUES (public.sneak());\n",
        "clients.sql:1: its statements also write to public.imports",
    ),
    ("INSERT INTO clients (nothing) VALUES ('a');\n", "clients.sql:1: .*nothing"),
    (
        "INSERT INTO clients (valid_from) VALUES ('31.31.2026');\n",
        "clients.sql:1: .*cannot be read as its column's type",
    ),
]


def test_sql_that_does_anything_else_is_refused(importer: Importer, session: Session) -> None:
    session.execute(
        "CREATE FUNCTION public.sneak() RETURNS text LANGUAGE sql AS $$ INSERT INTO public.imports (run_id, file, rows, inserted, updated)"
        " VALUES (gen_random_uuid(), '', 0, 0, 0) RETURNING 'x' $$"
    )
    for number, (text, words) in enumerate(BAD_SQL):
        with pytest.raises(DataError, match=words):
            importer(text, name="clients.sql", dialect=SQL, run=of(number))
    assert clients(session) == []
    assert session.value("SELECT count(*) FROM public.imports") == 0


def test_checks_after_the_commit_undo_the_run(importer: Importer, session: Session) -> None:
    check = {"type": "tcp", "port": 1}
    with pytest.raises(DataError, match=r"checks need the action log of public\.clients"):
        importer(HEADER + ANA, checks=[check])
    undone: list[str] = []

    def undo(with_session: Session, run: str) -> None:
        with_session.execute("DELETE FROM public.clients WHERE run_id = %s", [run])
        undone.append(run)

    result = importer(HEADER + ANA, checks=[check], checks_seconds=0.1, undo=undo)
    assert (result.outcome, undone) == ("reverted", [RUN])
    assert "refuses connections" in result.reason
    assert importer.states() == ["1 begun", "1 accepted", "1 reverted"]


# --- bad input -----------------------------------------------------------------------------------------------------------------


BAD_FILES: list[tuple[str | bytes, dict[str, Any], str]] = [
    ("", {}, "clients.csv:1: the file is empty"),
    (HEADER + "c1,Ana,ana@example.org,2026-01-01\n", {}, "clients.csv:2: 4 values instead of 5"),
    (HEADER + ANA + "c2,a,b,2026-01-01,,x\n\n", {}, "clients.csv:3: 6 values instead of 5; .*clients.csv:4: the line is empty"),
    (HEADER.encode() + "c1,Jo\xe3o,a@b.c,2026-01-01,\n".encode("latin-1"), {}, "clients.csv:2:6: is not UTF-8 text"),
    (HEADER + 'c1,A"n"a,ana@example.org,2026-01-01,\n', {}, "clients.csv:2:5: a quote within a value"),
    (HEADER + ANA + 'c2,"Ana"x,a@b.c,2026-01-01,\n', {}, "clients.csv:3:9: text behind a closing quote"),
    (HEADER + 'c1,"Ana,a@b.c,2026-01-01,\nc2,b,c,d,e\n', {}, "clients.csv:2:4: the quote that opens here is never closed"),
    (HEADER + "c1,A\0a,a@b.c,2026-01-01,\n", {}, "clients.csv:2:5: a NUL byte"),
    (HEADER + "c1,A\ra,a@b.c,2026-01-01,\n" + ANA, {}, "clients.csv:2:5: a lone carriage return"),
    (HEADER + ANA + "c2,Bea,b@c.d,31.12.2026,\n", {}, "clients.csv:3: column valid_from: a value cannot be read as date"),
    (HEADER + "c1,a,b,x,y\nc2,a,b,2026-13-01,\n", {}, "clients.csv:2: column valid_from.*; column valid_until.*clients.csv:3: column"),
    (HEADER + "x" * 3000 + "\n", {"dialect": Dialect(max_line_bytes=1000)}, "clients.csv:2: the line is longer than max_line_bytes, 1000"),
    ("external_id,name,email,valid_from,valid_until,name\n", {}, "clients.csv:1: column 'name' stands there more than once"),
    ("external_id,name,email,valid_frm\n", {}, "column 'valid_frm' is no column of public.clients; .*column 'valid_from' is missing"),
    (HEADER.encode("utf-16"), {}, "clients.csv:1:1: the file is UTF-16"),
    (HEADER + ANA, {"dialect": Dialect(encoding="utf-16")}, "clients.csv:.* is not utf-16 text"),
    (HEADER.encode() + b"c1,\x81,a@b.c,2026-01-01,\n", {"dialect": Dialect(encoding="cp1252")}, "clients.csv:2: is not cp1252 text"),
    (HEADER + ANA, {"dialect": Dialect(encoding="klingon", delimiter=";;")}, "encoding 'klingon' is unknown.*delimiter ';;' must be one"),
    (HEADER + ANA, {"target": Table("public", "nothing")}, r"has no table public\.nothing"),
    (HEADER + ANA, {"key": ["email"]}, r"key email: public\.clients has no such unique constraint; it has clients_pkey \(id\); clients_ext"),
    (HEADER + ANA, {"constants": {}}, "column 'run_id' is missing"),
    (HEADER + ANA, {"mode": "merge"}, "mode 'merge' is unknown"),
    (HEADER + ANA, {"rules": [{"name": "r", "check": "unique", "table": "crm.nothing", "column": "x"}]}, "rule r: table crm.nothing is not"),
    (HEADER + ANA, {"rules": [{"name": "r", "check": "unique", "column": "x"}]}, "rule r: columns x is no column of public.clients"),
    (HEADER + ANA, {"rules": [{"name": "r", "check": "not_null", "column": "run_id"}]}, "rule r: column run_id is not in the file"),
    (HEADER + ANA, {"run": "a b"}, "a run's id is 1 to 100"),
]  # fmt: skip


def test_a_file_that_is_none_changes_nothing(importer: Importer, session: Session) -> None:
    first = importer(HEADER + "c0,Old,old@example.org,2026-01-01,\n", run=of(9))
    assert first.outcome == "accepted"
    before = clients(session)
    for number, (text, more, words) in enumerate(BAD_FILES):
        run = f"{RUN[:-3]}1{number:02d}"
        with pytest.raises(DataError, match=words):
            importer(text, **{"run": run, **more})
        assert clients(session) == before
        assert leftovers(session) == []
    assert session.value("SELECT count(*) FROM plano_delivery.run WHERE state IN ('pending', 'held')") == 0


def test_a_file_that_is_not_there(importer: Importer, server: Server, database: str) -> None:
    job = load.Job(Source("/nowhere/c.csv", Path("/nowhere/c.csv")), Table("public", "clients"))
    with pytest.raises(DataError, match=r"/nowhere/c.csv cannot be read: No such file or directory"):
        load.import_file(server.login(database), job, WHO, importer.book)


def test_a_message_never_holds_a_value(importer: Importer, session: Session) -> None:
    with pytest.raises(DataError) as caught:
        importer(HEADER + "c1,Ana,ana@example.org,not-a-secret-date,\n")
    assert "secret" not in str(caught.value)
    assert "secret" not in json.dumps(importer.book.entries())
    assert "secret" not in json.dumps(runs.find(session, RUN).details)
    assert importer.states() == ["1 begun", "1 failed"]
    assert (
        importer(
            HEADER + "c1,Ana,ana@example.org,not-a-secret-date,\n".replace("not-a-secret-date", "2026-01-01"), run=of(2)
        ).outcome
        == "accepted"
    )


def test_a_failed_run_begins_again(importer: Importer, session: Session) -> None:
    text = HEADER + ANA + "c2,B,b@c.d,tomorrowish,\n"
    with pytest.raises(DataError):
        importer(text)
    assert runs.find(session, RUN).state == "failed"
    result = importer(text, on_bad_row="quarantine", max_bad_rows=limit("50%"))
    assert (result.outcome, result.rows["read"], result.rows["quarantined"], result.rows["inserted"]) == (
        "accepted",
        2,
        1,
        1,
    )
    assert session.rows("SELECT line, reason, fields FROM plano_delivery.quarantine") == [
        (3, "column valid_from: a value cannot be read as date", ["c2", "B", "b@c.d", "tomorrowish", None])
    ]


def test_more_bad_rows_than_may_be_hold_the_import(importer: Importer, session: Session) -> None:
    text = HEADER + ANA + "c2,B,b@c.d,never,\n" + "short\n" + 'c3,a"b,c,d,e\n'
    result = importer(text, on_bad_row="quarantine", max_bad_rows=limit("10%"))
    assert result.outcome == "held"
    assert "rule readable (readable of public.clients) is broken by 3 of 4 rows, 10% may" in result.reason
    assert session.rows("SELECT line, fields[1] FROM plano_delivery.quarantine ORDER BY line") == [
        (3, "c2"),
        (4, "short"),
        (5, 'c3,a"b,c,d,e'),
    ]
    assert clients(session) == []


def test_duplicate_keys_in_the_file(importer: Importer, session: Session) -> None:
    result = importer(HEADER + ANA + BEA + ANA.replace("Ana", "Other"), rules=[])
    assert result.outcome == "held"
    assert "key external_id must be unique" in result.reason
    assert session.rows("SELECT key, row FROM plano_delivery.violation ORDER BY row") == [("c1", 1), ("c1", 3)]


def test_what_the_table_itself_would_refuse_is_held_with_its_keys(importer: Importer, session: Session) -> None:
    result = importer(HEADER + "c1,Ana,a@b.c,2026-02-01,2026-01-01\n" + "c2,,a@b.c,2026-01-01,\n", rules=[])
    assert result.outcome == "held"
    assert session.rows("SELECT rule, key FROM plano_delivery.violation ORDER BY 2") == [
        ("constraint clients_valid_period", "c1"), ("name must not be null", "c2"),
    ]  # fmt: skip


def test_a_missing_parent_is_held_with_its_keys(importer: Importer, session: Session) -> None:
    session.execute(
        "CREATE TABLE public.orders (id int PRIMARY KEY, client text REFERENCES public.clients (external_id), no int UNIQUE)"
    )
    importer(HEADER + ANA)
    more: dict[str, Any] = {
        "target": Table("public", "orders"),
        "key": [],
        "constants": {},
        "before": [],
        "after": [],
        "rules": [],
    }
    result = importer("id,client,no\n1,c1,1\n2,nobody,2\n", run=of(2), **more)
    assert result.outcome == "held"
    assert "constraint orders_client_fkey" in result.reason
    assert session.rows("SELECT rule, key FROM plano_delivery.violation") == [("constraint orders_client_fkey", "2")]
    assert importer("id,client,no\n1,c1,1\n", run=of(3), **more).outcome == "accepted"
    result = importer("id,client,no\n1,c1,1\n2,c1,1\n", run=of(4), **more)
    assert (result.outcome, "constraint orders_no_key" in result.reason) == ("held", True)
    result = importer("id,client,no\n2,c1,1\n", run=of(5), **more)
    assert (
        result.outcome,
        "constraint orders_no_key is broken by 1" in result.reason.replace(" (constraint of public.orders)", ""),
    ) == ("held", True)


def test_all_faults_of_rules_at_once(importer: Importer) -> None:
    wrong = [{"name": "a", "check": "nul"}, {"name": "b", "check": "matches", "column": "mail", "patern": "x"}]
    with pytest.raises(
        DataError,
        match=r"rule a: check 'nul' is unknown.*rule b: patern is unknown.*rule b: matches needs pattern.*rule b: column mail",
    ):
        importer(HEADER + ANA, rules=wrong)


def test_a_rule_the_server_cannot_judge_is_named(importer: Importer, session: Session) -> None:
    wrong = [
        {"name": "odd", "check": "matches", "column": "email", "pattern": "("},
        {
            "name": "writes",
            "check": "query",
            "sql": "SELECT nextval('public.clients_id_seq')",
            "table": "public.clients",
        },
        {"name": "typo", "check": "query", "sql": "SELECT nothing FROM public.clients", "table": "public.clients"},
        {"name": "fine", "check": "not_null", "column": "email"},
    ]
    result = importer(HEADER + ANA, rules=wrong[:1] + wrong[3:])
    assert result.outcome == "held"
    assert "rule odd cannot be judged" in result.reason
    assert "fine" not in result.reason
    result = importer(HEADER + ANA, rules=wrong[1:])
    assert result.outcome == "reverted"
    assert "rule writes cannot be judged" in result.reason
    assert "rule typo cannot be judged" in result.reason
    assert clients(session) == []


# --- two at once, lost servers -------------------------------------------------------------------------------------------------


def test_one_import_at_a_time(importer: Importer, session: Session) -> None:
    with importer.book.change("x", "restore", "c0"), pytest.raises(Busy):
        importer(HEADER + ANA)
    with session.alone("import public.clients"), pytest.raises(BusyError, match="is at work in another session"):
        importer(HEADER + ANA)
    assert importer(HEADER + ANA).outcome == "accepted"


def test_a_lock_that_is_not_given(importer: Importer, session: Session, server: Server, database: str) -> None:
    importer(HEADER + ANA)
    with server.session(database) as other, other.transaction():
        other.execute("UPDATE public.clients SET name = name")
        with pytest.raises(ServerError, match=r"The lock was not given within 0.2 s") as caught:
            importer(HEADER + BEA, run=of(2), lock_seconds=0.2)
        assert caught.value.details["outcome"] == "failed"
    assert clients(session) == [OLD]
    assert importer.states()[-1] == "2 failed"
    assert importer(HEADER + BEA, run=of(2)).outcome == "accepted"


def test_a_quote_in_the_midst_is_not_dropped_by_the_fast_way(importer: Importer, session: Session) -> None:
    # The server alone would take this as one row of five values.
    with pytest.raises(DataError, match=r"clients.csv:2:5: a quote within a value"):
        importer(HEADER + 'c1,A"na,a@b.c,2026-01-01,\nc2,"Bea,a@b.c,2026-01-01,\n', rules=[])
    with pytest.raises(DataError, match=r"clients.csv:2:9: a quote within a value"):
        importer(HEADER + 'c1,5 ft "tall" Ana,a@b.c,2026-01-01,\n', run=of(2), rules=[])


def test_a_line_that_ends_copy_ends_nothing(importer: Importer, session: Session) -> None:
    session.execute("CREATE TABLE public.words (word text PRIMARY KEY)")
    more: dict[str, Any] = {
        "target": Table("public", "words"),
        "key": [],
        "constants": {},
        "before": [],
        "after": [],
        "rules": [],
    }
    result = importer("word\na\n\\.\nb\n", **more)
    assert (result.outcome, result.rows["inserted"]) == ("accepted", 3)
    assert session.rows('SELECT word FROM public.words ORDER BY word COLLATE "C"') == [("\\.",), ("a",), ("b",)]


def test_byte_order_mark_and_dos_lines(importer: Importer, session: Session) -> None:
    text = b"\xef\xbb\xbf" + (HEADER + ANA + BEA).replace("\n", "\r\n").encode()
    assert importer(text).rows["inserted"] == 2
    assert clients(session)[0] == OLD


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "utf-16", "utf-8-sig"])
def test_other_encodings(importer: Importer, session: Session, encoding: str) -> None:
    text = (HEADER + ANA.replace("Ana", "João")).encode(encoding)
    assert importer(text, dialect=Dialect(encoding=encoding)).outcome == "accepted"
    assert clients(session)[0][1] == "João"


def test_the_application_sees_nothing_of_what_failed(importer: Importer, application: Session) -> None:
    importer(HEADER + "c9,Bad,nobody,2026-01-01,\n")
    for table in ("violation", "quarantine", "run"):
        with pytest.raises(ServerError, match="permission denied"):
            application.rows(f"SELECT * FROM plano_delivery.{table}")


def test_what_is_old_is_removed(importer: Importer, session: Session) -> None:
    held = importer(HEADER + "c9,Bad,nobody,2026-01-01,\n")
    importer(HEADER + ANA, run=of(2))
    assert leftovers(session) == [parse_table(held.staging).name]
    session.execute("UPDATE plano_delivery.run SET ended = ended - interval '40 days' WHERE state = 'held'")
    session.execute("UPDATE plano_delivery.violation SET at = at - interval '40 days'")
    importer(HEADER + ANA, run=of(3))
    assert leftovers(session) == []
    assert session.value("SELECT count(*) FROM plano_delivery.violation") == 0


def test_a_logged_import_is_undone_by_the_action_log_when_the_application_is_not_well(
    importer: Importer, session: Session, server: Server, database: str
) -> None:
    importer(HEADER + ANA)
    login = server.login(database)
    assert undo.of_an_import(login, Table("public", "clients"), WHO) is None
    log_tables(session, "clients", "imports")
    take_back = undo.of_an_import(login, Table("public", "clients"), WHO)
    changed = HEADER + ANA.replace("Ana", "Anna") + ANA.replace("c1", "c9").replace("ana@", "nine@")
    result = importer(changed, run=of(2), checks=[{"type": "tcp", "port": 1}], checks_seconds=0.1, undo=take_back)
    assert (result.outcome, clients(session)) == ("reverted", [OLD])
    assert session.value("SELECT count(*) FROM public.imports") == 1
    assert runs.find(session, of(2)).state == "reverted"
