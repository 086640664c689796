# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest

from ansible_collections.plano.delivery.plugins.module_utils.data import catalog
from ansible_collections.plano.delivery.plugins.module_utils.data.errors import DataError
from ansible_collections.plano.delivery.plugins.module_utils.data.names import Table
from ansible_collections.plano.delivery.plugins.module_utils.data.session import Session

TABLES = """
CREATE DOMAIN public.cents AS numeric(12, 2) CHECK (VALUE >= 0);
CREATE DOMAIN public.price AS public.cents;
CREATE TYPE public.mood AS ENUM ('sad', 'glad');
CREATE TABLE public.client (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    gone int,
    "E mail" varchar(40) COLLATE "C" NOT NULL UNIQUE,
    code char(3),
    price public.price DEFAULT 1,
    mood public.mood,
    moods public.mood[],
    double_id bigint GENERATED ALWAYS AS (id * 2) STORED,
    UNIQUE (code, mood) DEFERRABLE
);
ALTER TABLE public.client DROP COLUMN gone;
CREATE UNIQUE INDEX client_lower ON public.client (lower("E mail"));
CREATE UNIQUE INDEX client_some ON public.client (code) WHERE price > 5;
CREATE TABLE public.share (
    client bigint REFERENCES public.client ON DELETE CASCADE ON UPDATE SET NULL, day date, PRIMARY KEY (client, day)
) PARTITION BY RANGE (day);
CREATE TABLE public.share_old PARTITION OF public.share FOR VALUES FROM (MINVALUE) TO ('2026-01-01') PARTITION BY RANGE (day);
CREATE TABLE public.share_first PARTITION OF public.share_old FOR VALUES FROM (MINVALUE) TO ('2025-01-01');
CREATE VIEW public.seen AS SELECT 1;
"""
CLIENT, SHARE = Table("public", "client"), Table("public", "share")


def test_columns_with_what_an_image_of_them_needs(session: Session) -> None:
    session.execute(TABLES)
    found = catalog.read_one(session, CLIENT)
    assert [(c.name, c.number, c.type, c.base) for c in found.columns] == [
        ("id", 1, "bigint", "bigint"),
        ("E mail", 3, "character varying(40)", "character varying"),
        ("code", 4, "character(3)", "bpchar"),
        ("price", 5, "public.price", "numeric"),
        ("mood", 6, "public.mood", "text"),
        ("moods", 7, "public.mood[]", "text"),
        ("double_id", 8, "bigint", "bigint"),
    ]
    assert [c.name for c in found.columns if c.generated] == ["double_id"]
    assert found.column("id").identity == "a"
    assert found.column("E mail").collation == '"pg_catalog"."C"'
    assert found.column("code").collation == ""
    assert found.column("price").default
    assert found.owner == "owner"
    assert found.numbered(2) is None


def test_what_must_be_unique(session: Session) -> None:
    session.execute(TABLES)
    found = catalog.read_one(session, CLIENT)
    assert found.key is not None
    assert (found.key.columns, found.key.operators) == (("id",), ("OPERATOR(pg_catalog.=)",))
    assert {u.name: (u.columns, u.deferrable, u.whole) for u in found.uniques if not u.primary} == {
        "client_E mail_key": (("E mail",), False, True),
        "client_code_mood_key": (("code", "mood"), True, True),
        "client_some": (("code",), False, False),
    }
    assert found.odd_uniques == ("client_lower",)


def test_foreign_keys_are_seen_from_both_ends_and_partitions_of_every_level(session: Session) -> None:
    session.execute(TABLES)
    found = catalog.read(session, [CLIENT, SHARE, Table("public", "share_first"), Table("public", "nothing")])
    assert set(found) == {CLIENT, SHARE, Table("public", "share_first")}
    (key,) = found[SHARE].foreign_keys
    assert found[CLIENT].referenced_by == (key,)
    assert (key.columns, key.target, key.target_columns) == (("client",), CLIENT, ("id",))
    assert (key.on_delete, key.on_update, key.deferrable) == ("CASCADE", "SET NULL", False)
    assert [table.name for table in found[SHARE].partitions] == ["share_first", "share_old"]
    assert found[Table("public", "share_first")].root == SHARE
    assert found[Table("public", "share_first")].foreign_keys == ()
    assert found[SHARE].partitioned
    assert not found[SHARE].inherits


def test_triggers_with_their_arguments(session: Session) -> None:
    session.execute(TABLES)
    session.execute(
        "CREATE FUNCTION public.note() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';"
        "CREATE TRIGGER noted AFTER INSERT ON public.client EXECUTE FUNCTION public.note('a', 'b c');"
        "ALTER TABLE public.client DISABLE TRIGGER noted"
    )
    (found,) = catalog.read_one(session, CLIENT).triggers
    assert (found.name, found.function, found.arguments) == ("noted", Table("public", "note"), ("a", "b c"))
    assert (found.enabled, found.constraint) == ("D", False)


def test_what_is_no_table_is_refused(session: Session) -> None:
    session.execute(TABLES)
    with pytest.raises(DataError, match=r"public\.seen is a view, not a table"):
        catalog.read_one(session, Table("public", "seen"))
    with pytest.raises(DataError, match=r"has no table public\.nothing"):
        catalog.read_one(session, Table("public", "nothing"))
