# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What ties schemas to the rest of their database, so that they cannot be copied or replaced alone."""

from __future__ import annotations

from typing import Any, Sequence

from .session import Session

# Every object that stands in a schema, or on something that does, with that schema's oid.
_PLACED = """
SELECT 'pg_class'::regclass AS classid, oid AS objid, relnamespace AS place FROM pg_class
UNION ALL SELECT 'pg_type'::regclass, oid, typnamespace FROM pg_type
UNION ALL SELECT 'pg_proc'::regclass, oid, pronamespace FROM pg_proc
UNION ALL SELECT 'pg_operator'::regclass, oid, oprnamespace FROM pg_operator
UNION ALL SELECT 'pg_opclass'::regclass, oid, opcnamespace FROM pg_opclass
UNION ALL SELECT 'pg_opfamily'::regclass, oid, opfnamespace FROM pg_opfamily
UNION ALL SELECT 'pg_collation'::regclass, oid, collnamespace FROM pg_collation
UNION ALL SELECT 'pg_ts_config'::regclass, oid, cfgnamespace FROM pg_ts_config
UNION ALL SELECT 'pg_ts_dict'::regclass, oid, dictnamespace FROM pg_ts_dict
UNION ALL SELECT 'pg_statistic_ext'::regclass, oid, stxnamespace FROM pg_statistic_ext
UNION ALL SELECT 'pg_constraint'::regclass, oid, connamespace FROM pg_constraint
UNION ALL SELECT 'pg_rewrite'::regclass, r.oid, c.relnamespace FROM pg_rewrite r JOIN pg_class c ON c.oid = r.ev_class
UNION ALL SELECT 'pg_trigger'::regclass, g.oid, c.relnamespace FROM pg_trigger g JOIN pg_class c ON c.oid = g.tgrelid
UNION ALL SELECT 'pg_attrdef'::regclass, a.oid, c.relnamespace FROM pg_attrdef a JOIN pg_class c ON c.oid = a.adrelid
UNION ALL SELECT 'pg_policy'::regclass, p.oid, c.relnamespace FROM pg_policy p JOIN pg_class c ON c.oid = p.polrelid
"""
# Names as they are shown: an object of a table by its table.
_SHOWN = "(pg_identify_object({0}.classid, {0}.objid, 0)).type || ' ' || (pg_identify_object({0}.classid, {0}.objid, 0)).identity"
_CROSSING = f"""
WITH placed AS MATERIALIZED ({_PLACED}),
chosen AS (SELECT oid FROM pg_namespace WHERE nspname = ANY(%(schemas)s)),
-- The system's own, the action log (attached again after a restore) and what belongs to an extension need no place in the list.
apart AS (SELECT oid FROM pg_namespace
    WHERE nspname IN ('pg_catalog', 'information_schema', 'pg_toast', 'plano_delivery') OR nspname ~ '^pg_(temp|toast_temp)_')
SELECT DISTINCT {_SHOWN.format("o")}, {_SHOWN.format("r")} FROM pg_depend d
JOIN placed o ON (o.classid, o.objid) = (d.classid, d.objid)
JOIN placed r ON (r.classid, r.objid) = (d.refclassid, d.refobjid)
WHERE d.deptype IN ('n', 'a', 'i', 'P', 'S')
AND {{}}
AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.deptype = 'e' AND (e.classid, e.objid) IN ((o.classid, o.objid), (r.classid, r.objid)))
ORDER BY 1, 2
"""
_OUT = "o.place IN (SELECT oid FROM chosen) AND r.place NOT IN (SELECT oid FROM chosen UNION ALL SELECT oid FROM apart)"
_IN = "r.place IN (SELECT oid FROM chosen) AND o.place NOT IN (SELECT oid FROM chosen UNION ALL SELECT oid FROM apart)"
# What stands in no schema, yet names tables or functions of one.
_LOOSE = """
WITH chosen AS (SELECT oid FROM pg_namespace WHERE nspname = ANY(%(schemas)s))
SELECT 'publication ' || p.pubname || ' of table ' || c.oid::regclass FROM pg_publication_rel r JOIN pg_publication p ON p.oid = r.prpubid
 JOIN pg_class c ON c.oid = r.prrelid WHERE c.relnamespace IN (SELECT oid FROM chosen)
UNION ALL SELECT 'event trigger ' || e.evtname FROM pg_event_trigger e JOIN pg_proc p ON p.oid = e.evtfoid
 WHERE p.pronamespace IN (SELECT oid FROM chosen)
UNION ALL SELECT 'cast from ' || format_type(k.castsource, NULL) || ' to ' || format_type(k.casttarget, NULL) FROM pg_cast k
 WHERE EXISTS (SELECT FROM pg_type t WHERE t.oid IN (k.castsource, k.casttarget) AND t.typnamespace IN (SELECT oid FROM chosen))
 OR EXISTS (SELECT FROM pg_proc p WHERE p.oid = k.castfunc AND p.pronamespace IN (SELECT oid FROM chosen))
UNION ALL SELECT 'extension ' || x.extname FROM pg_extension x WHERE x.extnamespace IN (SELECT oid FROM chosen) ORDER BY 1
"""
_LOOSE_15 = """
SELECT 'publication ' || p.pubname || ' of schema ' || n.nspname FROM pg_publication_namespace r JOIN pg_publication p ON p.oid = r.pnpubid
 JOIN pg_namespace n ON n.oid = r.pnnspid WHERE n.nspname = ANY(%(schemas)s) ORDER BY 1
"""
_FOREIGN = """
SELECT format('%%I.%%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE n.nspname = ANY(%(schemas)s) AND c.relkind = 'f' ORDER BY 1
"""
_REGISTERED = """
SELECT format('%%I.%%I.%%I', n.nspname, c.relname, a.attname) FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
 JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_type t ON t.oid = a.atttypid
 WHERE n.nspname = ANY(%(schemas)s) AND c.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped AND t.typnamespace = 'pg_catalog'::regnamespace
 AND t.typname ~ '^_?reg' ORDER BY 1
"""


def needs(session: Session, schemas: Sequence[str]) -> list[str]:
    """Return what in *schemas* needs an object of another schema; without that, a copy cannot be restored alone."""
    found = [f"{what} needs {other}" for what, other in session.rows(_CROSSING.format(_OUT), _of(schemas))]
    return found + [f"foreign table {row[0]} needs its server" for row in session.rows(_FOREIGN, _of(schemas))]


def dependents(session: Session, schemas: Sequence[str]) -> list[str]:
    """Return what elsewhere points at the very objects of *schemas*, and would go on pointing at them once they are replaced."""
    found = [f"{what} needs {other}" for what, other in session.rows(_CROSSING.format(_IN), _of(schemas))]
    found += [row[0] for row in session.rows(_LOOSE, _of(schemas))]
    if session.value("SELECT to_regclass('pg_catalog.pg_publication_namespace') IS NOT NULL"):
        found += [row[0] for row in session.rows(_LOOSE_15, _of(schemas))]
    # Such a value is an object's number, shown as a name: loaded beside the live schema it would become the live object's.
    found += [
        f"column {row[0]} holds names of objects (regclass or its like)"
        for row in session.rows(_REGISTERED, _of(schemas))
    ]
    return found


def log_triggers(session: Session, schemas: Sequence[str]) -> list[tuple[int, str]]:
    """Return the triggers of the action log, each with its oid: they belong to the log, not to the application."""
    return [
        tuple(row)
        for row in session.rows(
            "SELECT g.oid::bigint, format('%%s on %%I.%%I', g.tgname, n.nspname, c.relname) FROM pg_trigger g JOIN pg_class c ON c.oid = g.tgrelid"
            " JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_proc p ON p.oid = g.tgfoid"
            " WHERE n.nspname = ANY(%s) AND NOT g.tgisinternal AND p.pronamespace = to_regnamespace('plano_delivery') ORDER BY 2",
            [list(schemas)],
        )
    ]


def foreign_owners(session: Session, schemas: Sequence[str]) -> list[str]:
    """Return the schemas that the session's role does not own: it could not rename them."""
    rows = session.rows(
        "SELECT nspname, pg_get_userbyid(nspowner) FROM pg_namespace WHERE nspname = ANY(%s)"
        " AND NOT pg_has_role(nspowner, 'USAGE') ORDER BY 1",
        [list(schemas)],
    )
    return [f"schema {schema} belongs to {owner}" for schema, owner in rows]


def _of(schemas: Sequence[str]) -> dict[str, Any]:
    return {"schemas": list(schemas)}
