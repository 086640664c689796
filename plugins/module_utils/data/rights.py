# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who may do what with the objects of schemas: read, and made the same elsewhere.

pg_dump writes only how rights differ from PostgreSQL's own defaults. Where a role has default privileges of its own, what is created there
starts with others, and a plain restore leaves the difference: a grant too many, or one too few. The schema public is another trap: what
initdb granted on it counts as default and is not in the dump, but CREATE SCHEMA does not grant it.
"""

from __future__ import annotations

from typing import NamedTuple, Sequence

from .names import identifier
from .session import Session

SCHEMA = "SCHEMA"
_RIGHTS = """
WITH chosen AS (SELECT oid, nspname, nspowner, nspacl FROM pg_namespace WHERE nspname = ANY(%s)),
found AS (
 SELECT 'SCHEMA' AS kind, nspname::text AS name, nspowner AS owner, coalesce(nspacl, acldefault('n', nspowner)) AS acl FROM chosen
 UNION ALL SELECT CASE c.relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END, format('%%I.%%I', n.nspname, c.relname), c.relowner,
  coalesce(c.relacl, acldefault(CASE c.relkind WHEN 'S' THEN 's'::"char" ELSE 'r'::"char" END, c.relowner))
  FROM pg_class c JOIN chosen n ON n.oid = c.relnamespace WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
 UNION ALL SELECT 'ROUTINE', format('%%I.%%I(%%s)', n.nspname, p.proname, pg_get_function_identity_arguments(p.oid)), p.proowner,
  coalesce(p.proacl, acldefault('f', p.proowner)) FROM pg_proc p JOIN chosen n ON n.oid = p.pronamespace
 UNION ALL SELECT 'TYPE', format('%%I.%%I', n.nspname, t.typname), t.typowner, coalesce(t.typacl, acldefault('T', t.typowner))
  FROM pg_type t JOIN chosen n ON n.oid = t.typnamespace LEFT JOIN pg_class c ON c.oid = t.typrelid
  WHERE t.typtype IN ('d', 'e', 'r') OR c.relkind = 'c'
)
SELECT f.kind, f.name, coalesce(g.rolname::text, ''), a.privilege_type, a.is_grantable FROM found f
CROSS JOIN LATERAL aclexplode(f.acl) a LEFT JOIN pg_roles g ON g.oid = a.grantee WHERE a.grantor = f.owner
"""


class Right(NamedTuple):
    """One privilege on one object, named as SQL spells it, a schema by its bare name; an empty *role* is everybody."""

    kind: str
    name: str
    role: str
    privilege: str
    grantable: bool


def of(session: Session, schemas: Sequence[str]) -> set[Right]:
    """Return the rights that the owners have given, to themselves too."""
    return {Right(*row) for row in session.rows(_RIGHTS, [list(schemas)])}


def changes(found: set[Right], wanted: set[Right]) -> list[str]:
    """Return the SQL that turns the rights *found* into those *wanted*."""
    taken = [
        f"REVOKE {right.privilege} ON {right.kind} {_name(right)} FROM {_role(right)}"
        for right in sorted(found - wanted)
    ]
    given = [
        f"GRANT {right.privilege} ON {right.kind} {_name(right)} TO {_role(right)}{' WITH GRANT OPTION' if right.grantable else ''}"
        for right in sorted(wanted - found)
    ]
    return taken + given


def of_schemas(session: Session, schemas: Sequence[str]) -> set[Right]:
    """Return the rights on the schemas themselves."""
    return {right for right in of(session, schemas) if right.kind == SCHEMA}


def _name(right: Right) -> str:
    return identifier(right.name) if right.kind == SCHEMA else right.name


def _role(right: Right) -> str:
    return identifier(right.role) if right.role else "PUBLIC"
