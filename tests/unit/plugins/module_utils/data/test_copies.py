# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from ansible_collections.plano.delivery.plugins.module_utils.data.aside import name_beside
from ansible_collections.plano.delivery.plugins.module_utils.data.errors import DataError
from ansible_collections.plano.delivery.plugins.module_utils.data.fingerprint import Content, Shape
from ansible_collections.plano.delivery.plugins.module_utils.data.manifest import Kept, Manifest, check_name, to_prune
from ansible_collections.plano.delivery.plugins.module_utils.data.names import Table
from ansible_collections.plano.delivery.plugins.module_utils.data.offsite import Offsite
from ansible_collections.plano.delivery.plugins.module_utils.data.restore import Look, first_losses, run_name
from ansible_collections.plano.delivery.plugins.module_utils.data.rights import Right, changes
from ansible_collections.plano.delivery.plugins.module_utils.data.runs import check_id
from ansible_collections.plano.delivery.plugins.module_utils.data.tools import first_error, listing, pattern

NOW = datetime(2026, 11, 27)
# Made 1, 2, 3, 40 and 50 days ago; the fourth is protected.
FOUND = [Kept(f"c{days}", NOW - timedelta(days=days), days == 40) for days in (1, 2, 3, 40, 50)]


@pytest.mark.parametrize(
    "keep, keep_days, gone",
    [
        (0, 0, []),
        (2, 0, ["c50", "c3"]),
        (0, 30, ["c50"]),
        (1, 30, ["c50"]),
        (4, 0, []),
        (0, 0.5, ["c50", "c3", "c2"]),
        (9, 1, []),
    ],
)
def test_retention_keeps_the_newest_the_young_and_the_protected(keep: int, keep_days: float, gone: list[str]) -> None:
    assert to_prune(FOUND, keep, keep_days, NOW) == gone


@pytest.mark.parametrize("name", ["a", "before-2026.11", "x" * 100])
def test_a_good_name(name: str) -> None:
    assert check_name(name) == name


def test_a_name_beside_keeps_within_the_limit() -> None:
    assert name_beside("public", "new", "0123abcd") == "public__new_0123abcd"
    long = name_beside("é" * 31, "before", "0123abcd")
    assert len(long.encode()) <= 63
    assert long.endswith("__before_0123abcd")


def test_a_run_without_a_name_gets_one_that_is_allowed() -> None:
    assert check_id(run_name("restore", "x" * 100)).startswith("restore.xxx")


def test_a_programs_error_shows_no_row() -> None:
    said = (
        "pg_restore: from TOC entry 3; 0 0 TABLE DATA public t owner\n"
        'pg_restore: error: COPY failed for table "t": ERROR:  invalid input syntax for type integer: "secret"\n'
        'CONTEXT:  COPY t, line 1, column a: "secret"\n'
    )
    assert first_error(said) == 'COPY failed for table "t": a value cannot be read as its column\'s type'
    assert first_error("pg_dump: error: no\npg_dump: detail: secret\n") == "no"
    assert first_error("") == ""


def test_a_listing_is_read_by_numbers_whatever_the_names_are() -> None:
    found = listing("; comment\n217; 1259 16401 TABLE My s T ;x owner\n3368; 0 16401 TABLE DATA My s T ;x owner\n")
    assert [(entry.id, entry.oid, entry.is_data) for entry in found] == [(217, 16401, False), (3368, 16401, True)]


def test_a_pattern_names_one_schema() -> None:
    assert pattern(["public", 'a"b*']) == ['--schema="public"', '--schema="a""b*"']


def test_rights_are_taken_before_they_are_given() -> None:
    plain = Right("TABLE", "public.t", "app", "SELECT", False)
    everybody = Right("SCHEMA", 'my "s', "", "USAGE", False)
    assert changes({plain}, {plain._replace(grantable=True), everybody}) == [
        'REVOKE SELECT ON TABLE public.t FROM "app"',
        'GRANT USAGE ON SCHEMA "my ""s" TO PUBLIC',
        'GRANT SELECT ON TABLE public.t TO "app" WITH GRANT OPTION',
    ]
    assert changes({plain}, {plain}) == []


@pytest.mark.parametrize(
    "columns, rows, sums, lost",
    [
        (("a",), 3, ("1", "1"), []),
        (("a",), 5, ("2", "1"), [(2, False)]),
        (("a",), 2, ("2", "1"), [(0, False)]),
        (("a", "b"), 3, ("9", "9"), [(3, True)]),
        (("a", "b"), 0, ("0", "0"), []),
    ],
)
def test_what_differs_is_lost_at_least_by_number(
    columns: tuple[str, ...], rows: int, sums: tuple[str, str], lost: list[tuple[int, bool]]
) -> None:
    table = Table("public", "t")
    then = {"schema": "public", "name": "t", "oid": 1, "columns": ["a"], "rows": 3, "sums": ["1", "1"], "bytes": 0}
    found = Manifest(
        name="c", database="d", at="", schemas=["public"], server="15.1", lsn="", snapshot="", version="", schema_revision="", comment="",
        encryption={"method": "none"}, tables=[then], sequences=[], objects={}, rights=[], left_out=[], files={}, seconds={},
    )  # fmt: skip
    look = Look({table: Shape(table, 1, columns)}, {table: Content(rows, sums)}, "3")
    assert [(loss.lost, loss.exact) for loss in first_losses(found, look)] == lost


@pytest.mark.parametrize("url", ["s3:/x", "https://x", "s3://", "s3://UPPER/x"])
def test_a_place_in_s3_is_written_as_one(url: str) -> None:
    with pytest.raises(DataError, match=r"write s3://bucket/prefix"):
        Offsite.of(url, "d")
    assert Offsite.of("", "d") is None
