# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Restoring a checkpoint: loaded beside the live schemas, compared with its manifest, and swapped in by rename in one transaction.

Until that transaction commits, the live data is in use and untouched; after it, the schemas it replaced stay aside and can be swapped back.
"""

from __future__ import annotations

import contextlib
import json
import time
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from typing import Any, Callable, Iterator, Mapping, Sequence

from . import aside, dependencies, erasure, fingerprint, home, leftovers, runs
from .aside import Loading
from .book import Book, Page
from .checkpoint import Place, nowhere
from .errors import DataError
from .fingerprint import Content, Shape
from .manifest import Manifest
from .names import Table, identifier
from .runs import Stamp
from .session import Session, connect
from .tools import Tools, server_version

OLDEST_SERVER = 15
# Reading a checkpoint back, its indexes and the comparison take about this many times what making it took (tests/bench/data_checkpoint.py).
SLOWER = 3.0


@dataclass(frozen=True)
class Order:
    """What is to be restored. *confirm* repeats the checkpoint's name; *keep* is how many sets of replaced schemas stay."""

    checkpoint: str
    confirm: str = ""
    run: str = ""
    allow_loss: bool = False
    keep: int = 1


@dataclass(frozen=True)
class Look:
    """The live tables as one moment had them. *oldest* is the first transaction that this moment may not have seen."""

    shapes: dict[Table, Shape]
    contents: dict[Table, Content]
    oldest: str


@dataclass(frozen=True)
class Loss:
    """Rows of a live table that the checkpoint does not hold. Until both can be compared row by row, *lost* is only a lower bound."""

    table: Table
    rows: int
    kept: int
    lost: int
    exact: bool = False

    def told(self) -> dict[str, Any]:
        return {
            "table": str(self.table),
            "rows_now": self.rows,
            "rows_in_checkpoint": self.kept,
            "rows_lost": self.lost,
            "exact": self.exact,
        }


AfterSwap = Callable[[Session], None]


def restored(
    session: Session, place: Place, order: Order, book: Book, stamp: Stamp, check: bool = False, after_swap: AfterSwap | None = None,
    at: Callable[[str], None] = nowhere,
) -> dict[str, Any]:  # fmt: skip
    """Replace the checkpoint's schemas by what they were; return what a module tells of it. Raises DataError; then nothing was replaced."""
    run = runs.check_id(order.run or run_name("restore", order.checkpoint))
    known = runs.find(session, run) if home.exists(session) else None
    if known is not None and known.state == runs.CONFIRMED:
        return {"changed": False, "run": run, **known.details}
    found = place.need(order.checkpoint, check)
    look = look_at(session, found.schemas, place.jobs)
    losses = first_losses(found, look)
    plan = _plan(session, place, order, found, look, losses)
    if check:
        return {"changed": True, "run": run, "checkpoint": found.summary(), "plan": plan}
    if plan["refused"]:
        raise DataError(
            f"checkpoint {order.checkpoint} is not restored: {'; '.join(plan['refused'][:10])}. Nothing was changed"
        )
    leftovers.settle(session, book, stamp, place.standing)
    with _noted(book, run, "restore", stamp, order.checkpoint) as page:
        began = time.monotonic()
        result = _restore(session, place, order, found, look, run, stamp, after_swap, at)
        seconds = round(time.monotonic() - began, 3)
        page.write("confirmed", target=order.checkpoint, seconds=seconds, kept=result["kept"] or None)
    return {"changed": True, "run": run, "checkpoint": found.summary(), "plan": plan, **result}


def swapped_back(
    session: Session,
    place: Place,
    order: Order,
    book: Book,
    stamp: Stamp,
    check: bool = False,
    after_swap: AfterSwap | None = None,
) -> dict[str, Any]:
    """Take a restore back: the schemas it put aside become the live ones again, and the restored ones are put aside."""
    run = runs.check_id(order.run or run_name("swap-back", order.checkpoint))
    known = runs.find(session, run) if home.exists(session) else None
    if known is not None and known.state == runs.CONFIRMED:
        return {"changed": False, "run": run, **known.details}
    rows = [row for row in kept_sets(session) if row["checkpoint"] == order.checkpoint]
    if not rows:
        raise DataError(
            f"no schemas are kept aside from a restore of checkpoint {order.checkpoint}: nothing was changed"
        )
    chosen = rows[-1]
    schemas: dict[str, str] = chosen["schemas"]
    reference = {Table(t["schema"], t["name"]): t for t in chosen["tables"]}
    look = look_at(session, list(schemas), place.jobs)
    losses = [
        Loss(table, look.contents[table].rows, known_rows, max(1, look.contents[table].rows - known_rows))
        for table, known_rows in ((t, reference[t]["rows"] if t in reference else 0) for t in look.contents)
        if table not in reference
        or Content(known_rows, (reference[table]["sums"][0], reference[table]["sums"][1])) != look.contents[table]
    ]
    refused = (
        _confirmation(order)
        + _ties(session, list(schemas))
        + ([] if order.allow_loss else words(losses, "written since the restore"))
    )
    plan = {"schemas": schemas, "losses": [loss.told() for loss in losses], "refused": refused}
    if check:
        return {"changed": True, "run": run, "plan": plan}
    if refused:
        raise DataError(
            f"the restore of {order.checkpoint} is not taken back: {'; '.join(refused[:10])}. Nothing was changed"
        )
    with _noted(book, run, "restore", stamp, order.checkpoint) as page, session.alone(leftovers.RESTORE):
        began = time.monotonic()
        leftovers.remove(session)
        runs.begin(session, run, runs.RESTORE, _target(list(schemas)), stamp)
        try:
            suffix = aside.new_suffix()
            back = fingerprint.shapes(session, list(schemas.values()))
            contents = fingerprint.contents(session.login, back, place.jobs)
            names = {new: live for live, new in schemas.items()}
            swap = _Swap(
                suffix,
                run,
                order.checkpoint,
                schemas,
                [_table(shape.moved(names), contents[shape.table]) for shape in back],
            )
            with session.transaction():
                lock(session, list(schemas))
                changed = written_since(session, look)
                if changed and not order.allow_loss:
                    raise DataError(
                        f"rows were written while the restore was taken back: {', '.join(map(str, changed))}. Nothing was changed; run it again"
                    )
                session.execute("DELETE FROM plano_delivery.restore WHERE suffix = %s", [chosen["suffix"]])
                kept = swap.rename(session)
                details = {"checkpoint": order.checkpoint, "kept": kept, "losses": [loss.told() for loss in losses]}
                runs.finish(session, run, runs.CONFIRMED, details)
                if after_swap is not None:
                    after_swap(session)
        except Exception as error:
            _failed(session, run, error)
            raise
        page.write(
            "confirmed", target=order.checkpoint, seconds=round(time.monotonic() - began, 3), kept=kept, back=True
        )
    return {"changed": True, "run": run, **details}


def drilled(
    session: Session,
    place: Place,
    order: Order,
    book: Book,
    stamp: Stamp,
    check: bool = False,
    at: Callable[[str], None] = nowhere,
) -> dict[str, Any]:
    """Prove that a checkpoint can be restored: all of it into a scratch database, compared, dropped. The live data is not looked at."""
    found = place.need(order.checkpoint, check)
    if check:
        return {"changed": False, "checkpoint": found.summary()}
    leftovers.settle(session, book, stamp, place.standing)
    with _noted(book, order.checkpoint, "drill", stamp) as page, session.alone(leftovers.RESTORE):
        began = time.monotonic()
        home.ensure(session)
        leftovers.remove(session)
        place.prepare()
        place.prove(found)
        with aside.begun(session, place, found, "drill") as loading:
            at("scratch")
            with aside.scratch(session, loading, found.schemas) as login:
                at("load")
                aside.load_scratch(session, place, found, loading, login)
                at("compare")
                with connect(login) as there:
                    aside.compare(there, found, {}, place.jobs)
            leftovers.drop(session, loading.suffix, None, [])
        seconds = round(time.monotonic() - began, 3)
        page.write("confirmed", seconds=seconds, rows=found.rows)
    return {"changed": False, "checkpoint": found.summary(), "seconds": {"total": seconds}}


def cleaned(session: Session, keep: int, check: bool = False) -> dict[str, Any]:
    """Remove what killed restores left, and the sets of replaced schemas beyond the newest *keep*."""
    going = leftovers.found(session)
    beyond = kept_sets(session)[: -keep if keep else None]
    names = going + [f"schema {schema}" for row in beyond for schema in row["schemas"].values()]
    if names and not check:
        with session.alone(leftovers.RESTORE):
            leftovers.remove(session)
            prune(session, keep)
    return {"changed": bool(names), "removed": names}


def prune(session: Session, keep: int) -> list[str]:
    """Drop the sets of replaced schemas beyond the newest *keep*; return the schemas."""
    gone = []
    for row in kept_sets(session)[: -keep if keep else None]:
        for schema in row["schemas"].values():
            session.execute(f"DROP SCHEMA IF EXISTS {identifier(schema)} CASCADE")
            gone.append(schema)
        session.execute("DELETE FROM plano_delivery.restore WHERE suffix = %s", [row["suffix"]])
    return gone


def kept_sets(session: Session) -> list[dict[str, Any]]:
    """Return the sets of replaced schemas, the oldest first: live name to kept name, and what was swapped in."""
    if not session.value("SELECT to_regclass('plano_delivery.restore')"):
        return []
    rows = session.rows(
        "SELECT suffix, run, checkpoint, schemas, tables, swapped FROM plano_delivery.restore WHERE state = 'kept' ORDER BY swapped"
    )
    return [
        {"suffix": suffix, "run": run, "checkpoint": checkpoint, "schemas": {live: names["kept"] for live, names in schemas.items() if names["kept"]},
         "tables": tables, "swapped": swapped.isoformat()}
        for suffix, run, checkpoint, schemas, tables, swapped in rows
    ]  # fmt: skip


def run_name(verb: str, checkpoint: str) -> str:
    """Return an id for a run that was given none."""
    tail = f".{datetime.now(timezone.utc):%Y%m%dT%H%M%S%f}"
    return f"{verb}.{checkpoint}"[: 100 - len(tail)] + tail


def look_at(session: Session, schemas: Sequence[str], jobs: int) -> Look:
    """Read all live tables of *schemas* at one moment."""
    with connect(session.login) as reader, fingerprint.snapshot(reader) as name:
        oldest = str(reader.value("SELECT pg_snapshot_xmin(pg_current_snapshot())::xid::text"))
        shapes = fingerprint.shapes(reader, schemas)
        contents = fingerprint.contents(session.login, shapes, jobs, name)
    return Look({shape.table: shape for shape in shapes}, contents, oldest)


def first_losses(found: Manifest, look: Look) -> list[Loss]:
    """Say which live tables differ from the checkpoint, with the rows that are lost at least."""
    kept, columns = found.contents(), {shape.table: shape.columns for shape in found.shapes()}
    losses = []
    for table, now in look.contents.items():
        if table not in kept or columns[table] != look.shapes[table].columns:
            if now.rows:  # all of its rows: the table, or a column of it, is not in the checkpoint
                losses.append(Loss(table, now.rows, kept[table].rows if table in kept else 0, now.rows, True))
        elif now != kept[table]:
            losses.append(Loss(table, now.rows, kept[table].rows, max(0, now.rows - kept[table].rows)))
    return losses


def exact_losses(session: Session, losses: Sequence[Loss], look: Look, loading: Loading) -> list[Loss]:
    """Count row by row what is lost, now that the checkpoint stands beside the live tables."""
    return [
        loss if loss.exact else replace(loss, lost=_only_live(session, look.shapes[loss.table], loading), exact=True)
        for loss in losses
    ]


def _only_live(session: Session, live: Shape, loading: Loading) -> int:
    return fingerprint.only_in(session, live, live.moved(dict(loading.schemas)))


def lock(session: Session, schemas: Sequence[str]) -> None:
    """Keep everybody away from the live tables until the transaction ends; each lock is waited for as long as lock_timeout says."""
    tables = session.rows(
        "SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE n.nspname = ANY(%s) AND c.relkind IN ('r', 'p') ORDER BY c.relkind, c.oid",
        [list(schemas)],
    )
    if tables:
        session.execute(f"LOCK TABLE {', '.join(Table(*row).sql for row in tables)} IN ACCESS EXCLUSIVE MODE")


def written_since(session: Session, look: Look) -> list[Table]:
    """Return the live tables whose rows are no longer those of *look*; the caller has locked them.

    What was written since is either there, by a transaction that *look* may not have seen, or it took a row away and the count is another
    one. One quick pass finds both; only a table it suspects is summed again, as a transaction that was open then may have been seen.
    """
    fingerprint.prepare(session)
    now = {shape.table: shape for shape in fingerprint.shapes(session, sorted({table.schema for table in look.shapes}))}
    changed = [table for table in look.shapes if table not in now]
    for table, shape in now.items():
        before = look.shapes.get(table)
        if before is None or before.columns != shape.columns or before.oid != shape.oid:
            changed.append(table)
            continue
        rows, newer = session.rows(
            f"SELECT count(*), count(*) FILTER (WHERE age(xmin) BETWEEN 0 AND age(%s::text::xid)) FROM ONLY {table.sql}",
            [look.oldest],
        )[0]
        if rows != look.contents[table].rows or (newer and fingerprint.content(session, shape) != look.contents[table]):
            changed.append(table)
    return sorted(changed)


@dataclass(frozen=True)
class _Swap:
    """What takes the place of the live schemas: *schemas* maps their names to those of the new ones, *tables* is what is in these."""

    suffix: str
    run: str
    checkpoint: str
    schemas: Mapping[str, str]
    tables: list[dict[str, Any]]

    def rename(self, session: Session) -> list[str]:
        """Put the live schemas aside and the new ones in their places; return the names of those put aside."""
        names: dict[str, dict[str, str | None]] = {}
        for live, new in self.schemas.items():
            kept: str | None = None
            if session.value("SELECT 1 FROM pg_namespace WHERE nspname = %s", [live]):
                kept = aside.name_beside(live, "before", self.suffix)
                session.execute(f"ALTER SCHEMA {identifier(live)} RENAME TO {identifier(kept)}")
            session.execute(f"ALTER SCHEMA {identifier(new)} RENAME TO {identifier(live)}")
            names[live] = {"aside": new, "kept": kept}
        session.execute(
            "INSERT INTO plano_delivery.restore (suffix, run, checkpoint, state, schemas, tables, swapped)"
            " VALUES (%s, %s, %s, 'kept', %s::jsonb, %s::jsonb, clock_timestamp())"
            " ON CONFLICT (suffix) DO UPDATE SET (state, scratch, schemas, tables, swapped)"
            " = ('kept', NULL, EXCLUDED.schemas, EXCLUDED.tables, EXCLUDED.swapped)",
            [self.suffix, self.run, self.checkpoint, json.dumps(names), json.dumps(self.tables)],
        )
        return [name["kept"] for name in names.values() if name["kept"]]


def _restore(
    session: Session, place: Place, order: Order, found: Manifest, look: Look, run: str, stamp: Stamp, after_swap: AfterSwap | None,
    at: Callable[[str], None],
) -> dict[str, Any]:  # fmt: skip
    seconds: dict[str, float] = {}
    with session.alone(leftovers.RESTORE):
        home.ensure(session)
        leftovers.remove(session)
        place.prepare()
        erasure.keep(session, place.folder)
        at("prove")
        with _timed(seconds, "files"):
            place.prove(found)
        runs.begin(session, run, runs.RESTORE, _target(found.schemas), stamp)
        try:
            with aside.begun(session, place, found, run) as loading:
                aside.load(session, place, found, loading, at, seconds)
                at("compare")
                with _timed(seconds, "compare"):
                    aside.compare(session, found, loading.schemas, place.jobs)
                at("losses")
                with _timed(seconds, "losses"):
                    losses = exact_losses(session, first_losses(found, look), look, loading)
                _refuse_losses(losses, order)
                at("erase")
                tables, erased = _erase(session, place, found, loading)
                at("swap")
                with _timed(seconds, "swap"):
                    kept, losses = _swap(
                        session, order, found, look, losses, loading, run, tables, erased, after_swap, at
                    )
        except Exception as error:
            _failed(session, run, error)
            raise
        at("prune")
        pruned = prune(session, order.keep)
    return {
        "kept": [name for name in kept if name not in pruned],
        "pruned": pruned,
        "losses": [loss.told() for loss in losses if loss.lost],
        "erased": {str(table): rows for table, rows in erased.items()},
        "log_detached": []
        if after_swap is not None
        else sorted({name for _oid, name in dependencies.log_triggers(session, kept)}),
        "seconds": seconds,
    }


def _swap(
    session: Session, order: Order, found: Manifest, look: Look, losses: list[Loss], loading: Loading, run: str,
    tables: list[dict[str, Any]], erased: Mapping[Table, int], after_swap: AfterSwap | None, at: Callable[[str], None],
) -> tuple[list[str], list[Loss]]:  # fmt: skip
    """Look a last time and swap, in one transaction. Raises DataError; then the live data is in use as before."""
    with session.transaction():
        at("lock")
        lock(session, found.schemas)
        at("look")
        changed = written_since(session, look)
        if changed:
            now = Look(
                {s.table: s for s in fingerprint.shapes(session, found.schemas)},
                {t: c for t, c in look.contents.items() if t not in changed},
                "",
            )
            for table in changed:
                if table in now.shapes:
                    now.contents[table] = fingerprint.content(session, now.shapes[table])
            losses = exact_losses(session, first_losses(found, now), now, loading)
            _refuse_losses(losses, order, " They were written while the checkpoint was loaded.")
        ties = _ties(session, found.schemas)
        if ties:
            raise DataError(f"checkpoint {found.name} is not restored: {'; '.join(ties[:10])}. Nothing was changed")
        at("rename")
        kept = _Swap(loading.suffix, run, found.name, loading.schemas, tables).rename(session)
        details = {
            "checkpoint": found.name, "kept": kept, "losses": [loss.told() for loss in losses if loss.lost],
            "erased": {str(table): rows for table, rows in erased.items()},
        }  # fmt: skip
        runs.finish(session, run, runs.CONFIRMED, details)
        if after_swap is not None:
            at("after")
            after_swap(session)
        at("commit")
    return kept, losses


def _erase(
    session: Session, place: Place, found: Manifest, loading: Loading
) -> tuple[list[dict[str, Any]], dict[Table, int]]:
    """Take out what was erased for privacy; return what is in the tables then, and how many rows went."""
    shapes = found.shapes()
    erased = erasure.apply(
        session,
        erasure.listed(session, place.folder),
        loading.schemas,
        {shape.table: shape.columns for shape in shapes},
    )
    contents = found.contents()
    for shape in shapes:
        if shape.table in erased:
            fingerprint.prepare(session)
            contents[shape.table] = fingerprint.content(session, shape.moved(dict(loading.schemas)))
    return [_table(shape, contents[shape.table]) for shape in shapes], erased


def _table(shape: Shape, content: Content) -> dict[str, Any]:
    return {"schema": shape.table.schema, "name": shape.table.name, "rows": content.rows, "sums": list(content.sums)}


def _plan(
    session: Session, place: Place, order: Order, found: Manifest, look: Look, losses: Sequence[Loss]
) -> dict[str, Any]:
    """Say what a restore would do, lose and take, and why it would be refused."""
    Tools.of(session)
    place.key_of(found)
    kept = found.contents()
    refused = _confirmation(order) + _ties(session, found.schemas)
    major = server_version(session)[0]
    if major < OLDEST_SERVER:
        refused.append(f"the server runs PostgreSQL {major}; a restore by rename needs {OLDEST_SERVER} or later")
    if not session.value("SELECT rolcreatedb OR rolsuper FROM pg_roles WHERE rolname = session_user"):
        refused.append(
            "the role that logs in may not create databases: ALTER ROLE ... CREATEDB (a scratch database is needed for seconds)"
        )
    at_least = [loss for loss in losses if loss.lost]
    if at_least and not order.allow_loss:
        refused += words(at_least, "not in the checkpoint")
    return {
        "schemas": found.schemas,
        "tables": [
            {
                "table": str(table),
                "rows_now": look.contents[table].rows if table in look.contents else None,
                "rows_in_checkpoint": kept[table].rows if table in kept else None,
                "differs": look.contents.get(table) != kept.get(table),
            }
            for table in sorted(look.contents.keys() | kept.keys())
        ],
        "losses": [loss.told() for loss in losses],
        "bytes_stored": found.stored_bytes,
        "bytes_needed": sum(table["bytes"] for table in found.tables),
        "seconds_estimated": round(found.seconds["total"] * SLOWER, 1),
        "version_then": found.version,
        "schema_revision_then": found.schema_revision,
        "leftovers": leftovers.found(session),
        "refused": refused,
    }


def _confirmation(order: Order) -> list[str]:
    return (
        [] if order.confirm == order.checkpoint else [f"confirm must repeat the checkpoint's name, {order.checkpoint}"]
    )


def _ties(session: Session, schemas: Sequence[str]) -> list[str]:
    """Return what forbids that the schemas are replaced by others."""
    tied = dependencies.dependents(session, schemas)
    return [f"{line} (it would go on pointing at what is put aside)" for line in tied] + [
        f"{line}, whom the role {session.login.role or session.login.user or 'that logs in'} is not"
        for line in dependencies.foreign_owners(session, schemas)
    ]


def _refuse_losses(losses: Sequence[Loss], order: Order, more: str = "") -> None:
    lost = [loss for loss in losses if loss.lost]
    if lost and not order.allow_loss:
        raise DataError(
            f"checkpoint {order.checkpoint} is not restored: {'; '.join(words(lost, 'not in the checkpoint')[:10])}.{more} Nothing was changed"
        )


def words(losses: Sequence[Loss], what: str) -> list[str]:
    """Say what would be lost, table by table."""
    return [
        f"{loss.lost if loss.exact else f'at least {loss.lost}'} rows of {loss.table} are {what} and would be lost (now {loss.rows}, then {loss.kept});"
        " allow_loss: true accepts that"
        for loss in losses
    ]


def _target(schemas: Sequence[str]) -> str:
    return ", ".join(sorted(schemas))


def _failed(session: Session, run: str, error: Exception) -> None:
    """Write a run down as failed; where the connection is gone, through another one, or by whoever comes next."""
    with contextlib.suppress(DataError), connect(session.login) as other:
        found = runs.find(other, run)
        if found is not None and found.state == runs.PENDING:
            runs.finish(other, run, runs.FAILED, {"reason": str(error)})


@contextlib.contextmanager
def _noted(book: Book, what: str, operation: str, stamp: Stamp, target: str | None = None) -> Iterator[Page]:
    """Hold the book for the block, which writes how it ended; what ends it otherwise is written down as failed."""
    with book.change(what, operation, stamp.change) as page:
        page.write("begun", target=target)
        try:
            yield page
        except Exception as error:
            page.write("failed", reason=str(error), target=target)
            raise


@contextlib.contextmanager
def _timed(seconds: dict[str, float], name: str) -> Iterator[None]:
    began = time.monotonic()
    yield
    seconds[name] = round(time.monotonic() - began, 3)
