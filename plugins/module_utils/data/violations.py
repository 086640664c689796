# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The keys of rows that broke a rule, and the rows of files that are no rows, for those who may see client data and nobody else."""

from __future__ import annotations

from typing import Iterable, NamedTuple

from .session import Session

# How many keys of one rule are kept; the count is always whole.
MOST = 1000
DDL = """
CREATE TABLE IF NOT EXISTS plano_delivery.violation (
    run text NOT NULL,
    rule text NOT NULL,
    severity text NOT NULL,
    target text NOT NULL,
    place text NOT NULL,
    key text NOT NULL,
    row bigint,
    at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX IF NOT EXISTS violation_run ON plano_delivery.violation (run, rule);
COMMENT ON TABLE plano_delivery.violation IS 'Keys of rows that broke a rule; row counts from 1 in the file that was staged';
CREATE TABLE IF NOT EXISTS plano_delivery.quarantine (
    run text NOT NULL,
    target text NOT NULL,
    line bigint NOT NULL,
    reason text NOT NULL,
    fields text[] NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX IF NOT EXISTS quarantine_run ON plano_delivery.quarantine (run, line);
COMMENT ON TABLE plano_delivery.quarantine IS 'Lines of files that could not become rows, with the reason; client data';
"""


class Violation(NamedTuple):
    """A row that broke a rule: its key, and its number in the file when it was staged."""

    rule: str
    severity: str
    target: str
    place: str
    key: str
    row: int | None


def clear(session: Session, run: str) -> None:
    """Remove what an earlier attempt of *run* has left."""
    for table in ("violation", "quarantine"):
        session.execute(f"DELETE FROM plano_delivery.{table} WHERE run = %s", [run])


def keep(session: Session, run: str, found: Iterable[Violation]) -> None:
    """Write violations down."""
    columns = list(zip(*found))
    if columns:
        session.execute(
            "INSERT INTO plano_delivery.violation (run, rule, severity, target, place, key, row)"
            " SELECT %s, * FROM unnest(%s::text[], %s::text[], %s::text[], %s::text[], %s::text[], %s::bigint[])",
            [run, *map(list, columns)],
        )


def kept(session: Session, run: str) -> list[Violation]:
    """Return the violations of *run*; none when the table is not there yet."""
    if not session.value("SELECT to_regclass('plano_delivery.violation')"):
        return []
    rows = session.rows(
        "SELECT rule, severity, target, place, key, row FROM plano_delivery.violation WHERE run = %s", [run]
    )
    return [Violation(*row) for row in rows]


def purge(session: Session, days: float) -> None:
    """Remove what is older than *days* days: it is client data, and nobody looks at it for ever."""
    for table in ("violation", "quarantine"):
        session.execute(
            f"DELETE FROM plano_delivery.{table} WHERE at < clock_timestamp() - make_interval(secs => %s)",
            [days * 86400],
        )
