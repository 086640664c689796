# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest

from ansible_collections.plano.delivery.plugins.module_utils.data import rules
from ansible_collections.plano.delivery.plugins.module_utils.data.errors import DataError
from ansible_collections.plano.delivery.plugins.module_utils.data.names import Table
from ansible_collections.plano.delivery.plugins.module_utils.data.rules import (
    Known,
    Limit,
    Place,
    Rule,
    RuleError,
    Shape,
)

CLIENTS = Table("crm", "clients")
SHAPE = Shape(
    {"id": "bigint", "ref": "text", "kind": "text", "born": "date", "gone": "date"},
    ("id",),
    frozenset({frozenset({"id"})}),
)
TABLES = {CLIENTS: SHAPE, Table("crm", "kinds"): Shape({"kind": "text"})}


def parse(*items, target=None):
    return rules.parse(list(items), TABLES.get, target)


def faults(*items, target=None):
    with pytest.raises(RuleError) as caught:
        parse(*items, target=target)
    return caught.value.faults


def place(where=rules.LIVE):
    return Place(CLIENTS, "staged" if where == rules.STAGING else CLIENTS.sql, SHAPE, where)


def test_every_fault_of_every_rule_is_told_at_once():
    found = faults(
        "no mapping",
        {"check": "unique"},
        {"name": "a", "check": "nothing"},
        {"name": "b", "check": "matches", "table": "crm.clients", "column": "ref", "patern": "x", "severity": "high"},
        {"name": "c", "check": "not_null", "table": "crm.gone", "column": "x"},
        {"name": "d", "check": "not_null", "table": "crm.clients", "columns": ["id", "x"], "max_failures": "many"},
        {
            "name": "e",
            "check": "foreign_key",
            "table": "crm.clients",
            "column": "kind",
            "references": "crm.kinds(a, b)",
        },
        {"name": "f", "check": "range", "table": "crm.clients", "column": "id"},
        {
            "name": "g",
            "check": "valid_period",
            "table": "crm.clients",
            "from": "ref",
            "to": "gone",
            "bounds": "()",
            "at": "soon",
        },
        {"name": "h", "check": "freshness", "table": "crm.clients", "column": "born", "max_age": "2 moons"},
        {"name": "i", "check": "row_count_change", "table": "crm.clients", "min": "some", "against": "yesterday"},
        {"name": "j", "check": "row_count", "table": "crm.clients", "min": -1},
        {"name": "k", "check": "query", "sql": "SELECT 1", "max_failures": "1%"},
        {"name": "l", "check": "accepted_values", "table": "Clients", "column": "kind", "values": "red"},
        {"name": "l", "check": "not_null", "column": "id"},
    )
    wanted = [
        "rule 1: is no mapping",
        "rule 2: name is missing",
        "rule a: check 'nothing' is unknown; known are not_null, unique",
        "rule b: patern is unknown to matches",
        "rule b: matches needs pattern",
        "rule b: severity is 'high'; it must be one of warn, critical",
        "rule c: table crm.gone is not there",
        "rule d: columns x is no column of crm.clients; it has id, ref",
        "rule d: max_failures is 'many'",
        "rule e: references column a, which crm.kinds does not have",
        "rule e: 1 columns cannot reference 2",
        "rule f: range needs min, max or both",
        "rule g: from ref is of type text; a period has dates or timestamps",
        "rule g: bounds is '()'",
        "rule g: at is 'soon'",
        "rule h: max_age is '2 moons'",
        "rule i: min is 'some'; it must be a percentage",
        "rule i: against is 'yesterday'",
        "rule j: min is -1",
        "rule k: max_failures is a share, and the rule names no table",
        "rule l: values must be a list",
        "rule l: 'Clients' does not name a table",
        "rule l: there are 2 of this name",
    ]
    missing = [words for words in wanted if not any(fault.startswith(words) for fault in found)]
    assert missing == []


@pytest.mark.parametrize(
    "key, where",
    [
        ({"check": "not_null", "column": "id"}, ["staging"]),
        ({"check": "unique", "column": "id"}, ["staging", "live"]),
        ({"check": "row_count", "min": 1}, ["staging"]),
        ({"check": "row_count_change", "max": "5%"}, ["live"]),
        ({"check": "query", "sql": "SELECT id FROM crm.clients"}, ["live"]),
        ({"check": "query", "sql": "SELECT id FROM {table}"}, ["staging", "live"]),
        ({"check": "not_null", "column": "id", "on": "both"}, ["staging", "live"]),
        ({"check": "not_null", "column": "kind", "table": "crm.kinds"}, ["live"]),
    ],
)
def test_a_rule_looks_where_it_makes_sense(key, where):
    rule = parse({"name": "r", **key}, target=CLIENTS)[0]
    assert list(rules.places_of(rule)) == where


def test_another_table_is_never_staged():
    assert faults(
        {"name": "r", "check": "not_null", "column": "kind", "table": "crm.kinds", "on": "staging"}, target=CLIENTS
    ) == ["rule r: on staging is for the table that is imported; crm.kinds is only there live"]


@pytest.mark.parametrize(
    "given, limit",
    [(0, Limit(0)), ("12", Limit(12)), ("0.5%", Limit(share=Decimal("0.005"))), ("100 %", Limit(share=Decimal(1)))],
)
def test_limits(given, limit):
    assert rules.limit(given) == limit


@pytest.mark.parametrize("given", [-1, True, "x", "101%", "-1%", None, 1.5])
def test_limits_that_are_none(given):
    with pytest.raises(DataError):
        rules.limit(given)


def test_values_are_constants_of_the_columns_type():
    rule = parse(
        {"name": "r", "check": "accepted_values", "column": "kind", "values": ["it's", "b\\"]}, target=CLIENTS
    )[0]
    assert rules.condition(rule, place()) == "t.\"kind\" NOT IN ('it''s'::text, E'b\\\\'::text)"
    rule = parse({"name": "r", "check": "range", "column": "born", "min": date(2026, 1, 31)}, target=CLIENTS)[0]
    assert rules.condition(rule, place()) == "t.\"born\" < '2026-01-31'::date"


def test_a_unique_index_vouches_only_for_live_rows():
    rule = parse({"name": "r", "check": "unique", "columns": ["id", "ref"]}, target=CLIENTS)[0]
    assert rules.vouched(rule, place())
    assert not rules.vouched(rule, place(rules.STAGING))


@pytest.mark.parametrize(
    "options, rows, known, failures",
    [
        ({"min": 3}, 1, None, 2),
        ({"max": 3}, 5, None, 2),
        ({"min": 1, "max": 3}, 2, None, 0),
    ],
)
def test_a_count_fails_by_as_many_rows_as_it_is_off(options, rows, known, failures):
    assert rules.judge(Rule("r", "row_count", CLIENTS, options=options), rows, known) == (failures, "")


@pytest.mark.parametrize("rows, failures", [(99, 0), (98, 1), (120, 0), (121, 1)])
def test_a_change_is_measured_from_what_was_there(rows, failures):
    rule = parse({"name": "r", "check": "row_count_change", "min": "-1%", "max": "20%"}, target=CLIENTS)[0]
    assert rules.judge(rule, rows, Known(100)) == (failures, "")


def test_composite_keys_are_one_text():
    shape = Shape({"a": "int", "b": "text"}, ("a", "b"))
    assert rules.key_text(Place(CLIENTS, "x", shape)) == 'ROW(t."a", t."b")::text'
    assert rules.key_text(Place(CLIENTS, "x", Shape({"a": "int"}))) == "'a row without a key'"
