# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is in tables: how many rows, and a checksum that does not depend on their order.

The checksum is two sums of 64-bit hashes of each row's text, under two seeds: sums do not depend on the order of rows, count a row twice
that is there twice, and can be computed by parallel workers. It finds accidents and forgotten rows; it is no defence against somebody who
may choose the rows. PostgreSQL keeps hashtextextended the same from version to version, because hash partitions rest on it.
"""

from __future__ import annotations

import contextlib
import queue
import threading
from dataclasses import dataclass
from typing import Any, Callable, Iterator, NamedTuple, Sequence, TypeVar

from .errors import DataError, ServerError
from .names import Table, identifier, identifiers, literal
from .session import Login, Session, connect

_Result = TypeVar("_Result")
SEEDS = (1, 2)
# What the text of a row depends on beyond the settings of every session; a policy on rows must fail instead of hiding some.
SETTINGS = {"lc_monetary": "C", "row_security": "off"}


@dataclass(frozen=True)
class Shape:
    """A table with rows of its own. *columns* are in their order."""

    table: Table
    oid: int
    columns: tuple[str, ...]
    bytes: int = 0

    def moved(self, schemas: dict[str, str]) -> Shape:
        """Return it under the name its schema has in *schemas*."""
        return Shape(
            Table(schemas.get(self.table.schema, self.table.schema), self.table.name),
            self.oid,
            self.columns,
            self.bytes,
        )


class Content(NamedTuple):
    """The rows of a table: how many, and the two sums as text."""

    rows: int
    sums: tuple[str, str]


def shapes(session: Session, schemas: Sequence[str]) -> list[Shape]:
    """Return the tables of *schemas* that hold rows themselves, the largest first; those of an extension are the extension's."""
    rows = session.rows(
        "SELECT n.nspname, c.relname, c.oid::bigint, ARRAY(SELECT a.attname::text FROM pg_attribute a WHERE a.attrelid = c.oid"
        " AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum), pg_table_size(c.oid)"
        " FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE n.nspname = ANY(%s) AND c.relkind = 'r' AND c.relpersistence <> 't' AND NOT EXISTS (SELECT FROM pg_depend d"
        " WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e') ORDER BY 5 DESC, 1, 2",
        [list(schemas)],
    )
    return [Shape(Table(schema, name), oid, tuple(columns), size) for schema, name, oid, columns, size in rows]


def row_text(columns: Sequence[str]) -> str:
    """Return the SQL of the text of a row of the alias t."""
    return f'ROW({identifiers(columns, "t.")})::text COLLATE "C"'


def content(session: Session, shape: Shape) -> Content:
    """Count and sum a table's rows."""
    sums = ", ".join(f"coalesce(sum(hashtextextended(r.line, {seed})), 0)::text" for seed in SEEDS)
    found = session.rows(
        f"SELECT count(*), {sums} FROM ONLY {shape.table.sql} AS t"
        f" CROSS JOIN LATERAL (SELECT {row_text(shape.columns)} AS line OFFSET 0) AS r"
    )[0]
    return Content(found[0], (found[1], found[2]))


def prepare(session: Session) -> None:
    """Let *session* read rows as checksums need them."""
    for name, setting in SETTINGS.items():
        session.execute("SELECT set_config(%s, %s, false)", [name, setting])


@contextlib.contextmanager
def snapshot(session: Session, name: str = "") -> Iterator[str]:
    """Let the block see one moment of the database, that of the snapshot *name* if given; yields its name for others."""
    prepare(session)
    session.execute("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY")
    try:
        if name:
            _enter(session, name)
        yield name or str(session.value("SELECT pg_export_snapshot()"))
    finally:
        with contextlib.suppress(ServerError):  # a lost connection has no transaction either; the block tells of it
            session.execute("ROLLBACK")


def _enter(session: Session, name: str) -> None:
    try:
        session.execute(f"SET TRANSACTION SNAPSHOT {literal(name)}")
    except ServerError as error:
        if error.state not in ("22023", "42704", "55000"):
            raise
        raise DataError(
            f"{session.login.place}: the connection is lost that held the moment to be copied. Nothing was kept; run the same command again"
        ) from None


def contents(login: Login, found: Sequence[Shape], jobs: int, name: str = "") -> dict[Table, Content]:
    """Count and sum tables in *jobs* connections at once, within the snapshot *name* if given. Raises the first error of any."""
    return {shape.table: result for shape, result in parallel(login, found, jobs, content, name)}


def analyze(login: Login, found: Sequence[Shape], jobs: int) -> None:
    """Tell the planner what is in tables that were just loaded."""
    parallel(login, found, jobs, lambda session, shape: session.execute(f"ANALYZE {shape.table.sql}"))


def parallel(
    login: Login, found: Sequence[Shape], jobs: int, work: Callable[[Session, Shape], _Result], name: str = ""
) -> list[tuple[Shape, _Result]]:
    """Do *work* for each table in *jobs* connections at once, within the snapshot *name* if given. Raises the first error of any."""
    waiting: queue.SimpleQueue[Shape] = queue.SimpleQueue()
    for shape in found:
        waiting.put(shape)
    results: list[tuple[Shape, _Result]] = []
    errors: list[BaseException] = []

    def worker() -> None:
        try:
            with connect(login) as session, _view(session, name):
                while not errors:
                    shape = waiting.get_nowait()
                    results.append((shape, work(session, shape)))
        except queue.Empty:
            pass
        except BaseException as error:  # it is raised in the thread that asked
            errors.append(error)

    threads = [threading.Thread(target=worker, daemon=True) for _number in range(min(max(jobs, 1), len(found)))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return results


@contextlib.contextmanager
def _view(session: Session, name: str) -> Iterator[None]:
    """Let the block see the snapshot *name*, or what is committed when it has none."""
    if name:
        with snapshot(session, name):
            yield
    else:
        prepare(session)
        yield


def only_in(session: Session, left: Shape, right: Shape) -> int:
    """Return how many rows of *left* are not in *right*, by their hash; a row that is there twice counts twice."""
    hashes = [
        f"SELECT hashtextextended({row_text(left.columns)}, {SEEDS[0]}) FROM ONLY {shape.table.sql} AS t"
        for shape in (left, right)
    ]
    return int(session.value(f"SELECT count(*) FROM ({hashes[0]} EXCEPT ALL {hashes[1]}) AS gone"))


def sequences(session: Session, schemas: Sequence[str]) -> dict[Table, tuple[int, bool]]:
    """Return where each sequence stands: its last value, and whether that was given out."""
    names = session.rows(
        "SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE n.nspname = ANY(%s) AND c.relkind = 'S' ORDER BY 1, 2",
        [list(schemas)],
    )
    found: dict[Table, tuple[int, bool]] = {}
    for schema, name in names:
        table = Table(schema, name)
        found[table] = tuple(session.rows(f"SELECT last_value, is_called FROM {table.sql}")[0])
    return found


_OBJECTS = """
SELECT 'columns', count(*) FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN chosen n ON n.oid = c.relnamespace
 WHERE a.attnum > 0 AND NOT a.attisdropped AND c.relkind IN ('r', 'p', 'v', 'm')
UNION ALL SELECT 'indexes', count(*) FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN chosen n ON n.oid = c.relnamespace
UNION ALL SELECT 'constraints', count(*) FROM pg_constraint k JOIN chosen n ON n.oid = k.connamespace WHERE k.contype <> 't'
UNION ALL SELECT 'functions', count(*) FROM pg_proc p JOIN chosen n ON n.oid = p.pronamespace
UNION ALL SELECT 'types', count(*) FROM pg_type t JOIN chosen n ON n.oid = t.typnamespace WHERE t.typelem = 0 OR t.typtype <> 'b'
UNION ALL SELECT 'triggers', count(*) FROM pg_trigger g JOIN pg_class c ON c.oid = g.tgrelid JOIN chosen n ON n.oid = c.relnamespace
 JOIN pg_proc p ON p.oid = g.tgfoid
 WHERE NOT g.tgisinternal AND p.pronamespace IS DISTINCT FROM to_regnamespace('plano_delivery')
UNION ALL SELECT 'rules', count(*) FROM pg_rewrite w JOIN pg_class c ON c.oid = w.ev_class JOIN chosen n ON n.oid = c.relnamespace
UNION ALL SELECT 'policies', count(*) FROM pg_policy y JOIN pg_class c ON c.oid = y.polrelid JOIN chosen n ON n.oid = c.relnamespace
UNION ALL SELECT 'statistics', count(*) FROM pg_statistic_ext s JOIN chosen n ON n.oid = s.stxnamespace
UNION ALL SELECT kinds.name, count(c.oid) FROM (VALUES ('r', 'tables'), ('p', 'partitioned'), ('v', 'views'), ('m', 'materialized'), ('S', 'sequences'))
 AS kinds (kind, name) LEFT JOIN (SELECT c.oid, c.relkind FROM pg_class c JOIN chosen n ON n.oid = c.relnamespace) c ON c.relkind::text = kinds.kind
 GROUP BY 1
"""


def objects(session: Session, schemas: Sequence[str]) -> dict[str, int]:
    """Count what the schemas are made of, kind by kind. Triggers of the action log are not part of them."""
    rows: list[Any] = session.rows(
        f"WITH chosen AS (SELECT oid FROM pg_namespace WHERE nspname = ANY(%s)) {_OBJECTS}", [list(schemas)]
    )
    return dict(sorted(rows))


def schema_revision(session: Session, schemas: Sequence[str]) -> str:
    """Return Alembic's revision of the application's schema, empty where there is none."""
    for schema in schemas:
        if session.value("SELECT to_regclass(%s)", [f"{identifier(schema)}.alembic_version"]):
            rows = session.rows(f"SELECT version_num FROM {identifier(schema)}.alembic_version ORDER BY 1")
            return ",".join(row[0] for row in rows)
    return ""
