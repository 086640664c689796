# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every check on a real table: what fails, with which keys, and what it costs in scans."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.plano.delivery.plugins.module_utils.data import checks, violations
from ansible_collections.plano.delivery.plugins.module_utils.data.errors import ServerError
from ansible_collections.plano.delivery.plugins.module_utils.data.names import Table
from ansible_collections.plano.delivery.plugins.module_utils.data.rules import Known, RuleError
from ansible_collections.plano.delivery.plugins.module_utils.data.session import Session

T = Table("public", "t")


@pytest.fixture
def table(session: Session) -> Session:
    session.execute(
        "CREATE TABLE public.t (id int PRIMARY KEY, parent int, code text, kind text, amount numeric(10,2), begins date, ends date,"
        " seen timestamptz, pos point)"
    )
    session.execute(
        "INSERT INTO public.t VALUES"
        " (1, NULL, 'a', 'red', 10, '2026-01-01', '2026-02-01', now(), NULL),"
        " (2, 1, 'a', 'blue', 20.5, '2026-02-01', '2026-03-01', now() - interval '2 days', NULL),"
        " (3, 9, 'b', NULL, -5, '2026-01-15', NULL, NULL, NULL),"
        " (4, 1, NULL, 'Red', NULL, '2026-05-01', '2026-04-01', NULL, NULL),"
        " (5, 2, 'b', '', 99, '2025-01-01', '2026-01-15', NULL, NULL)"
    )
    return session


def judged(session: Session, known: dict[Table, Known] | None = None, **rule: Any) -> tuple[int, list[str]]:
    """Return the count of failing rows, and their keys."""
    given = {"name": "r", "table": "public.t", **{name.rstrip("_"): value for name, value in rule.items()}}
    report = checks.look(session, [given], known or {}, "test")
    assert not report.findings[0].fault, report.findings[0]
    return report.findings[0].failures, sorted(violation.key for violation in violations.kept(session, "test"))


CASES: list[tuple[dict[str, Any], int, list[str]]] = [
    ({"check": "not_null", "column": "code"}, 1, ["4"]),
    ({"check": "not_null", "columns": ["kind", "amount"]}, 2, ["3", "4"]),
    ({"check": "unique", "column": "code"}, 4, ["1", "2", "3", "5"]),
    ({"check": "unique", "columns": ["code", "kind"]}, 0, []),
    ({"check": "unique", "column": "id"}, 0, []),
    ({"check": "foreign_key", "column": "parent", "references": "public.t(id)"}, 1, ["3"]),
    ({"check": "accepted_values", "column": "kind", "values": ["red", "blue"]}, 2, ["4", "5"]),
    ({"check": "accepted_values", "column": "amount", "values": [10, 20.50, -5, 99]}, 0, []),
    ({"check": "matches", "column": "kind", "pattern": "^[a-z]+$"}, 2, ["4", "5"]),
    ({"check": "matches", "column": "amount", "pattern": r"^\d"}, 1, ["3"]),
    ({"check": "range", "column": "amount", "min": 0, "max": 20.5}, 2, ["3", "5"]),
    ({"check": "range", "column": "begins", "min": "2026-01-01"}, 1, ["5"]),
    ({"check": "row_count", "min": 5, "max": 5}, 0, []),
    ({"check": "row_count", "min": 8}, 3, []),
    ({"check": "freshness", "column": "seen", "max_age": "1h"}, 0, []),
    ({"check": "freshness", "column": "ends", "max_age": "1d"}, 1, []),
    ({"check": "valid_period", "from": "begins", "to": "ends"}, 1, ["4"]),
    ({"check": "valid_period", "from": "begins", "to": "ends", "at": "2026-02-01"}, 3, ["1", "4", "5"]),
    ({"check": "valid_period", "from": "begins", "to": "ends", "at": "2026-02-01", "bounds": "[]"}, 2, ["4", "5"]),
    # a: 1 and 2 meet at a day that only closed periods share; b: 3 begins on the day 5 ends.
    ({"check": "valid_period", "from": "begins", "to": "ends", "key": "code"}, 1, ["4"]),
    ({"check": "valid_period", "from": "begins", "to": "ends", "key": "code", "bounds": "[]"}, 3, ["2", "3", "4"]),
    ({"check": "valid_period", "from": "begins", "to": "ends", "key": ["id"], "bounds": "[]"}, 1, ["4"]),
    ({"check": "query", "sql": "SELECT id FROM {table} WHERE amount < 0;"}, 1, ["3"]),
    ({"check": "query", "sql": "SELECT id, code FROM public.t WHERE kind LIKE '%e%' AND id < 3"}, 2, ["1,a", "2,a"]),
]  # fmt: skip


def test_checks(table: Session) -> None:
    for rule, failures, keys in CASES:
        assert judged(table, **rule) == (failures, keys), rule


def test_comparison_with_a_checkpoint(table: Session) -> None:
    for rows, failures in ((5, 0), (6, 0), (8, 2), (2, 2)):
        found = judged(table, {T: Known(rows)}, check="row_count_change", min="-20%", max="50%")
        assert found == (failures, []), rows
    place = checks.Place(T, T.sql, checks.Eyes(table)(T) or checks.Shape({}))
    known = checks.content(table, place)
    assert judged(table, {T: known}, check="checksum_unchanged") == (0, [])
    table.execute("UPDATE public.t SET code = 'c' WHERE id = 1")
    assert judged(table, {T: known}, check="checksum_unchanged") == (1, [])


def test_what_is_not_known_is_no_proof(table: Session) -> None:
    rules = [
        {"name": "rows", "table": "public.t", "check": "row_count_change", "min": "0%"},
        {"name": "same", "table": "public.t", "check": "checksum_unchanged"},
    ]
    report = checks.look(table, rules, {})
    assert [finding.breaks for finding in report.findings] == [True, True]
    assert "not known" in report.findings[0].fault
    with pytest.raises(RuleError, match="rule rows: against before is for an import"):
        checks.look(table, [{**rules[0], "against": "before"}], {})


def test_an_empty_table_is_not_fresh(session: Session) -> None:
    session.execute("CREATE TABLE public.t (at timestamptz)")
    assert judged(session, check="freshness", column="at", max_age="1d") == (1, [])
    assert judged(session, check="row_count", min=1) == (1, [])


def test_limits_and_severities(table: Session) -> None:
    rule = {"name": "r", "table": "public.t", "check": "not_null", "column": "kind"}
    for given, passed in ((0, False), (1, True), ("20%", True), ("19.9%", False)):
        finding = checks.look(table, [{**rule, "max_failures": given}], {}).findings[0]
        assert (finding.passed, finding.breaks) == (passed, not passed), given
    finding = checks.look(table, [{**rule, "severity": "warn"}], {}).findings[0]
    assert (finding.passed, finding.breaks) == (False, False)


def test_all_rules_of_rows_take_one_scan(table: Session) -> None:
    rules = [
        {"name": f"r{number}", "table": "public.t", "check": "range", "column": "amount", "max": number}
        for number in range(8)
    ]
    rules += [
        {"name": "rows", "table": "public.t", "check": "row_count", "min": 1},
        {"name": "fresh", "table": "public.t", "check": "freshness", "column": "seen", "max_age": "1d"},
        {"name": "key", "table": "public.t", "check": "unique", "column": "id"},
    ]
    seen = "SELECT seq_scan FROM pg_stat_xact_user_tables WHERE relname = 't'"
    with table.transaction():
        before = table.value(seen)
        checks.look(table, rules, {})
        assert table.value(seen) - before == 1


def test_a_user_query_can_write_nothing_and_leaves_no_setting(table: Session) -> None:
    table.execute("CREATE FUNCTION public.wipe() RETURNS int LANGUAGE sql AS 'DELETE FROM public.t RETURNING id'")
    rule = {"name": "wipes", "check": "query", "sql": "SELECT public.wipe()", "table": "public.t"}
    finding = checks.look(table, [rule], {}).findings[0]
    assert finding.breaks
    assert "read-only" in finding.fault
    assert table.value("SELECT count(*) FROM public.t") == 5
    table.execute("INSERT INTO public.t (id) VALUES (6)")
    assert table.value("SHOW statement_timeout") == "0"


def test_a_user_query_has_its_time(table: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "QUERY_SECONDS", 1.0)
    rules = [
        {"name": "slow", "check": "query", "sql": "SELECT pg_sleep(60)"},
        {"name": "ok", "check": "query", "sql": "SELECT 1 WHERE false"},
    ]
    report = checks.look(table, rules, {})
    assert "took longer than statement_timeout" in report.findings[0].fault
    assert report.findings[1].passed


def test_keys_are_kept_once_and_as_many_as_asked(table: Session) -> None:
    rule = {"name": "r", "table": "public.t", "check": "row_count", "min": 0}
    many = {"name": "m", "table": "public.t", "check": "range", "column": "id", "max": 0}
    first = checks.look(table, [rule, many], {}, "nightly", most=2)
    assert (first.findings[1].failures, first.kept, first.changed) == (5, 2, True)
    assert checks.look(table, [rule, many], {}, "nightly", most=2).changed is False
    assert checks.look(table, [rule], {}, "nightly", write=False).changed is True
    assert table.value("SELECT count(*) FROM plano_delivery.violation") == 2
    assert checks.look(table, [rule], {}, "nightly").changed is True
    assert table.value("SELECT count(*) FROM plano_delivery.violation") == 0


def test_without_keys_nothing_is_made(table: Session) -> None:
    checks.look(table, [{"name": "m", "table": "public.t", "check": "range", "column": "id", "max": 0}], {})
    checks.look(
        table, [{"name": "m", "table": "public.t", "check": "range", "column": "id", "max": 0}], {}, "x", write=False
    )
    assert not table.value("SELECT to_regnamespace('plano_delivery')::text")


def test_views_and_composite_keys(session: Session) -> None:
    session.execute("CREATE TABLE public.t (a int, b text, c int, PRIMARY KEY (a, b))")
    session.execute("INSERT INTO public.t VALUES (1, 'x', NULL), (1, 'y', 2)")
    assert judged(session, check="not_null", column="c") == (1, ["(1,x)"])
    session.execute("CREATE VIEW public.v AS SELECT * FROM public.t")
    report = checks.look(session, [{"name": "r", "table": "public.v", "check": "not_null", "column": "c"}], {})
    assert report.findings[0].failures == 1


def test_a_lost_server_is_no_broken_rule(table: Session, server: Any, database: str) -> None:
    with server.session(database, "data", "") as other:
        pid = table.connection.info.backend_pid
        other.value("SELECT pg_terminate_backend(%s)", [pid])
    with pytest.raises(ServerError, match="see that the server runs"):
        checks.look(table, [{"name": "m", "table": "public.t", "check": "range", "column": "id", "max": 0}], {})
