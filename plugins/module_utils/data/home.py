# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The schema plano_delivery, where all of this keeps its own tables. Only their owner sees into it: applications have no grant there."""

from __future__ import annotations

from . import copies, log, messages, runs, violations
from .errors import DataError
from .session import Session

SCHEMA = "plano_delivery"
# What the schema is made of; a part that changes later adds statements that also mend an older one.
PARTS = (runs.DDL, log.DDL, copies.DDL, violations.DDL, messages.DDL)
VERSION = 1
_COMMENT = "plano.delivery data"


def exists(session: Session) -> bool:
    """Whether the schema is there at all."""
    return bool(session.value("SELECT 1 FROM pg_namespace WHERE nspname = %s", [SCHEMA]))


def ensure(session: Session) -> bool:
    """Make the schema what this version needs; return whether that changed anything. Raises DataError for one of a later version."""
    found = _version(session)
    if found == VERSION:
        return False
    if found > VERSION:
        raise DataError(
            f"schema {SCHEMA} in {session.login.place} is of version {found}, this collection knows {VERSION}: use the newer collection"
        )
    with session.transaction():
        session.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [_COMMENT])
        session.execute(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}")
        session.execute(f"REVOKE ALL ON SCHEMA {SCHEMA} FROM PUBLIC")
        for part in PARTS:
            session.execute(part)
        session.execute(f"COMMENT ON SCHEMA {SCHEMA} IS '{_COMMENT} {VERSION}'")
    return True


def _version(session: Session) -> int:
    comment = session.value(
        "SELECT obj_description(oid, 'pg_namespace') FROM pg_namespace WHERE nspname = %s", [SCHEMA]
    )
    words = (comment or "").rsplit(" ", 1)
    return int(words[1]) if len(words) == 2 and words[0] == _COMMENT and words[1].isdigit() else 0
