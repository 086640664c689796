# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The structure of tables, as pg_catalog tells it (documentation, chapter 53)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Iterable, Mapping

from .errors import DataError
from .names import Table, identifier
from .session import Session

# pg_constraint.confdeltype and confupdtype.
ACTIONS = {"a": "NO ACTION", "r": "RESTRICT", "c": "CASCADE", "n": "SET NULL", "d": "SET DEFAULT"}
# What initdb has made has a lower number: FirstNormalObjectId (transam.h).
_FIRST_OID = 16384
_KINDS = {"r": "table", "p": "table", "v": "view", "m": "materialized view", "f": "foreign table", "S": "sequence"}


@dataclass(frozen=True)
class Column:
    """One column. *type* is SQL for its type with its modifier; *base* for a built-in type without one that holds every value.

    *base* is the type itself, below a domain the domain's, and text for what an extension or the application has made: nothing that
    stores a *base* keeps anybody from altering or dropping such a type. *collation* is SQL, empty for the type's own.
    """

    name: str
    number: int
    type: str
    base: str
    type_oid: int
    not_null: bool
    default: bool
    generated: str
    identity: str
    collation: str

    @property
    def sql(self) -> str:
        return identifier(self.name)

    @property
    def built_in(self) -> bool:
        return self.type_oid < _FIRST_OID

    @property
    def bare(self) -> str:
        """Its type without a modifier, so that a value is never cut to its length."""
        return self.base if self.built_in else self.type


@dataclass(frozen=True)
class ForeignKey:
    """*table*'s *columns* point to *target*'s. *operators* compare, each column with its own, target's on the left."""

    name: str
    table: Table
    columns: tuple[str, ...]
    target: Table
    target_columns: tuple[str, ...]
    operators: tuple[str, ...]
    on_update: str
    on_delete: str
    deferrable: bool


@dataclass(frozen=True)
class Unique:
    """A unique index over columns alone. *whole* is false for a partial one, *operators* compare its columns."""

    name: str
    columns: tuple[str, ...]
    operators: tuple[str, ...]
    primary: bool
    deferrable: bool
    whole: bool
    nulls_distinct: bool


@dataclass(frozen=True)
class Trigger:
    """A trigger that somebody has made. *constraint*: by CREATE CONSTRAINT TRIGGER; *enabled* is pg_trigger's letter."""

    name: str
    function: Table
    arguments: tuple[str, ...]
    enabled: str
    constraint: bool


@dataclass(frozen=True)
class Structure:
    """A table. *partitions* are those of every level below, *root* the topmost one above; *odd_uniques* are unique or exclusion
    rules that no list of columns describes (over expressions, by other operators)."""

    oid: int
    table: Table
    owner: str
    partitioned: bool
    persistence: str
    row_security: str
    rules: bool
    inherits: bool
    columns: tuple[Column, ...]
    uniques: tuple[Unique, ...]
    odd_uniques: tuple[str, ...]
    foreign_keys: tuple[ForeignKey, ...]
    referenced_by: tuple[ForeignKey, ...]
    triggers: tuple[Trigger, ...]
    partitions: tuple[Table, ...]
    root: Table

    @property
    def key(self) -> Unique | None:
        """The primary key."""
        return next((unique for unique in self.uniques if unique.primary), None)

    def column(self, name: str) -> Column:
        return next(column for column in self.columns if column.name == name)

    def numbered(self, number: int) -> Column | None:
        return next((column for column in self.columns if column.number == number), None)

    @property
    def written(self) -> tuple[Column, ...]:
        """The columns that are not generated."""
        return tuple(column for column in self.columns if not column.generated)


def read(session: Session, tables: Iterable[Table]) -> dict[Table, Structure]:
    """Return the structure of each of *tables* that exists. Raises DataError for what is no table."""
    asked = sorted(set(tables))
    found = session.rows(
        "SELECT c.oid, n.nspname, c.relname, pg_get_userbyid(c.relowner), c.relkind, c.relpersistence,"
        " CASE WHEN c.relforcerowsecurity THEN 'forced' WHEN c.relrowsecurity THEN 'on' ELSE '' END, c.relhasrules,"
        " NOT c.relispartition AND EXISTS (SELECT FROM pg_inherits i WHERE i.inhrelid = c.oid)"
        " OR c.relkind = 'r' AND EXISTS (SELECT FROM pg_inherits i WHERE i.inhparent = c.oid)"
        " FROM unnest(%s::text[], %s::text[]) AS asked (schema, name)"
        " JOIN pg_namespace n ON n.nspname = asked.schema JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = asked.name",
        [[table.schema for table in asked], [table.name for table in asked]],
    )
    for row in found:
        if row[4] not in "rp":
            raise DataError(f"{row[1]}.{row[2]} is a {_KINDS.get(row[4], 'relation')}, not a table")
    oids = [row[0] for row in found]
    columns, uniques, odd = _columns(session, oids), _uniques(session, oids), _odd_uniques(session, oids)
    keys, triggers, families = _foreign_keys(session, oids), _triggers(session, oids), _families(session, oids)
    return {
        Table(schema, name): Structure(
            oid=oid,
            table=Table(schema, name),
            owner=owner,
            partitioned=kind == "p",
            persistence=persistence,
            row_security=row_security,
            rules=rules,
            inherits=inherits,
            columns=tuple(columns.get(oid, ())),
            uniques=tuple(uniques.get(oid, ())),
            odd_uniques=tuple(odd.get(oid, ())),
            foreign_keys=tuple(key for key in keys if key.table == (schema, name)),
            referenced_by=tuple(key for key in keys if key.target == (schema, name)),
            triggers=tuple(triggers.get(oid, ())),
            partitions=tuple(families[oid][1:]),
            root=families[oid][0],
        )
        for oid, schema, name, owner, kind, persistence, row_security, rules, inherits in found
    }


def read_one(session: Session, table: Table) -> Structure:
    """Return the structure of *table*. Raises DataError when there is none."""
    found = read(session, [table]).get(table)
    if found is None:
        raise DataError(f"{session.login.place} has no table {table}")
    return found


def _columns(session: Session, oids: list[int]) -> Mapping[int, list[Column]]:
    # A domain may stand on a domain.
    return _grouped(
        (
            row[0],
            Column(
                name=row[1], number=row[2], type=row[3], base=row[4], type_oid=row[5], not_null=row[6], default=row[7],
                generated=row[8], identity=row[9], collation=f"{identifier(row[10])}.{identifier(row[11])}" if row[11] else "",
            ),
        )
        for row in session.rows(
            "WITH RECURSIVE below (domain, type) AS (SELECT oid, typbasetype FROM pg_type WHERE typtype = 'd'"
            " UNION ALL SELECT b.domain, t.typbasetype FROM below b JOIN pg_type t ON t.oid = b.type AND t.typtype = 'd')"
            " SELECT a.attrelid, a.attname, a.attnum, format_type(a.atttypid, a.atttypmod),"
            f" CASE WHEN t.oid < {_FIRST_OID} THEN format_type(t.oid, -1) ELSE 'text' END, a.atttypid::bigint, a.attnotnull, a.atthasdef,"
            " a.attgenerated::text, a.attidentity::text, cn.nspname, c.collname"
            " FROM pg_attribute a"
            " LEFT JOIN (SELECT b.domain, b.type FROM below b JOIN pg_type u ON u.oid = b.type AND u.typtype <> 'd') d ON d.domain = a.atttypid"
            " JOIN pg_type t ON t.oid = coalesce(d.type, a.atttypid)"
            " LEFT JOIN pg_collation c ON c.oid = a.attcollation AND a.attcollation <> t.typcollation"
            " LEFT JOIN pg_namespace cn ON cn.oid = c.collnamespace"
            " WHERE a.attrelid = ANY (%s) AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attrelid, a.attnum",
            [oids],
        )
    )  # fmt: skip


_OPERATOR = "format('OPERATOR(%%I.%%s)', o_n.nspname, o.oprname)"


def _uniques(session: Session, oids: list[int]) -> Mapping[int, list[Unique]]:
    nulls = "NOT i.indnullsnotdistinct" if session.connection.info.server_version >= 150000 else "true"
    return _grouped(
        (row[0], Unique(row[1], tuple(row[2]), tuple(row[3]), *row[4:]))
        for row in session.rows(
            f"SELECT i.indrelid, c.relname, array_agg(a.attname::text ORDER BY k.place), array_agg({_OPERATOR} ORDER BY k.place),"
            f" i.indisprimary, NOT i.indimmediate, i.indpred IS NULL, {nulls}"
            " FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid"
            " CROSS JOIN LATERAL unnest(i.indkey::int2[], i.indclass::oid[]) WITH ORDINALITY AS k (number, class, place)"
            " JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.number"
            " JOIN pg_opclass oc ON oc.oid = k.class"
            " JOIN pg_amop am ON am.amopfamily = oc.opcfamily AND am.amopstrategy = 3 AND am.amoplefttype = oc.opcintype"
            " AND am.amoprighttype = oc.opcintype"
            " JOIN pg_operator o ON o.oid = am.amopopr JOIN pg_namespace o_n ON o_n.oid = o.oprnamespace"
            " WHERE i.indrelid = ANY (%s) AND i.indisunique AND i.indisvalid AND i.indexprs IS NULL AND k.place <= i.indnkeyatts"
            " GROUP BY i.indrelid, i.indexrelid, c.relname, i.indisprimary, i.indimmediate, i.indpred"
            + (", i.indnullsnotdistinct" if session.connection.info.server_version >= 150000 else "")
            + " ORDER BY i.indrelid, i.indisprimary DESC, c.relname",
            [oids],
        )
    )


def _odd_uniques(session: Session, oids: list[int]) -> Mapping[int, list[str]]:
    return _grouped(
        (row[0], row[1])
        for row in session.rows(
            "SELECT i.indrelid, c.relname FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid WHERE i.indrelid = ANY (%s)"
            " AND (i.indisexclusion OR i.indisunique AND i.indexprs IS NOT NULL) ORDER BY 1, 2",
            [oids],
        )
    )


def _foreign_keys(session: Session, oids: list[int]) -> list[ForeignKey]:
    # conparentid <> 0: what a partition has of its parent's key; the parent's says the same.
    return [
        ForeignKey(
            row[0], Table(row[1], row[2]), tuple(row[3]), Table(row[4], row[5]), tuple(row[6]), tuple(row[7]),
            ACTIONS[row[8]], ACTIONS[row[9]], row[10],
        )
        for row in session.rows(
            "SELECT f.conname, n.nspname, c.relname, array_agg(a.attname::text ORDER BY k.place), t_n.nspname, t.relname,"
            f" array_agg(b.attname::text ORDER BY k.place), array_agg({_OPERATOR} ORDER BY k.place), f.confupdtype::text,"
            " f.confdeltype::text, f.condeferrable"
            " FROM pg_constraint f JOIN pg_class c ON c.oid = f.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace"
            " JOIN pg_class t ON t.oid = f.confrelid JOIN pg_namespace t_n ON t_n.oid = t.relnamespace"
            " CROSS JOIN LATERAL unnest(f.conkey, f.confkey, f.conpfeqop) WITH ORDINALITY AS k (number, target, operator, place)"
            " JOIN pg_attribute a ON a.attrelid = f.conrelid AND a.attnum = k.number"
            " JOIN pg_attribute b ON b.attrelid = f.confrelid AND b.attnum = k.target"
            " JOIN pg_operator o ON o.oid = k.operator JOIN pg_namespace o_n ON o_n.oid = o.oprnamespace"
            " WHERE f.contype = 'f' AND f.conparentid = 0 AND (f.conrelid = ANY (%s) OR f.confrelid = ANY (%s))"
            " GROUP BY f.oid, f.conname, n.nspname, c.relname, t_n.nspname, t.relname, f.confupdtype, f.confdeltype, f.condeferrable"
            " ORDER BY 2, 3, 1",
            [oids, oids],
        )
    ]  # fmt: skip


def _triggers(session: Session, oids: list[int]) -> Mapping[int, list[Trigger]]:
    # tgargs holds each argument with a null byte behind it.
    return _grouped(
        (
            row[0],
            Trigger(row[1], Table(row[2], row[3]), tuple(bytes(row[4]).decode().split("\0")[:-1]), row[5], row[6]),
        )
        for row in session.rows(
            "SELECT t.tgrelid, t.tgname, n.nspname, p.proname, t.tgargs, t.tgenabled::text, t.tgconstraint <> 0"
            " FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid JOIN pg_namespace n ON n.oid = p.pronamespace"
            " WHERE t.tgrelid = ANY (%s) AND NOT t.tgisinternal ORDER BY 1, 2",
            [oids],
        )
    )


def _families(session: Session, oids: list[int]) -> Mapping[int, list[Table]]:
    """Return for each table its root, then what is below it."""
    return _grouped(
        (row[0], Table(row[1], row[2]))
        for row in session.rows(
            "SELECT asked.oid, n.nspname, c.relname"
            " FROM unnest(%s::oid[]) AS asked (oid) CROSS JOIN LATERAL ("
            " SELECT coalesce(pg_partition_root(asked.oid), asked.oid)::oid AS oid, 0 AS place"
            " UNION ALL SELECT relid::oid, 1 FROM pg_partition_tree(asked.oid) WHERE relid::oid <> asked.oid) AS member"
            " JOIN pg_class c ON c.oid = member.oid JOIN pg_namespace n ON n.oid = c.relnamespace"
            " ORDER BY asked.oid, member.place, n.nspname, c.relname",
            [oids],
        )
    )


def _grouped(pairs: Iterable[tuple[int, Any]]) -> dict[int, list[Any]]:
    found: dict[int, list[Any]] = {}
    for key, item in pairs:
        found.setdefault(key, []).append(item)
    return found
