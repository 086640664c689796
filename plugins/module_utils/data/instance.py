# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A whole server that was restored beside the live one: what it holds, what would be lost with the live one, and the proof that it took its place.

Who restores and renames servers stands elsewhere (aws/restores.py, on the controller). Here is what only SQL can tell, from a host that
reaches both. Nothing is written to a server that is live; what is about to become live gets a mark, by which it is known afterwards.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import Any, Iterator, Mapping, Sequence

from . import catalog, erasure, fingerprint, home, log, restore, runs
from .book import Book
from .checkpoint import Place
from .errors import DataError, ServerError
from .fingerprint import SEEDS, Content, Shape
from .manifest import Manifest
from .names import Table, identifiers
from .restore import Loss
from .runs import Run, Stamp
from .session import Login, Session, connect
from .tools import server_version

# A server that was just restored or renamed has a name that not everybody knows yet, and may start once more.
PATIENCE, PAUSE = 600.0, 5.0
# What the action plugin asks for, in the order of a restore, and of taking one back.
STEPS = ("looked", "compared", "counted", "proven", "looked_back", "marked_back", "failed")
UNMARKED = "restore"
# What an RDS instance has beside the databases of its owner.
OWN_DATABASES = ("postgres", "rdsadmin")
_SCHEMAS = r"SELECT nspname FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname NOT IN ('information_schema', 'plano_delivery') ORDER BY 1"


@dataclass(frozen=True)
class Order:
    """What was restored where. *target* is the checkpoint, or the time; *instance* is the name that the server shall have.

    *stamp* is in the names of the two servers and tells the marks of one restore from those of another.
    """

    instance: str
    target: str
    stamp: str
    checkpoint: str = ""
    allow_loss: bool = False
    allow_difference: bool = False
    # Whether the restore is taken back.
    back: bool = False


@dataclass(frozen=True)
class Since:
    """What the log of a table tells of a time: rows that came, less those that went; their sums where each image says all of its row."""

    statements: int
    rows: int
    sums: tuple[int, int] | None


def reached(login: Login, seconds: float = PATIENCE) -> Session:
    """Log in to a server that may need a while until it answers under its name. Raises DataError."""
    end = time.monotonic() + seconds
    while True:
        try:
            return connect(login)
        except ServerError as error:
            # It answers, and does not let this role in; libpq tells no SQLSTATE of a connection that failed.
            if error.state.startswith("28") or "authentication failed" in str(error):
                raise DataError(
                    f"{error}. What was restored has the passwords of then: set today's, or give login_password that of then"
                ) from None
            if time.monotonic() >= end:
                raise
        time.sleep(min(PAUSE, max(0.0, end - time.monotonic())))


def looked(session: Session, place: Place, order: Order, check: bool) -> dict[str, Any]:
    """Say before anything is done what is live now, and what forbids to replace it."""
    refused = []
    beside = _beside(session)
    if beside and not order.allow_loss:
        refused.append(
            f"the instance goes back as a whole, and has other databases too: {', '.join(beside)}; what is newer there is lost unseen."
            " allow_loss: true accepts that"
        )
    found = place.need(order.checkpoint, check) if order.checkpoint else None
    look = restore.look_at(session, found.schemas if found else _schemas(session), place.jobs)
    # At least so much: what a snapshot holds beyond the dump is known once it is restored, and counted row by row then.
    losses = restore.first_losses(found, look) if found else []
    kept = found.contents() if found else {}
    return {
        "tables": [
            {"table": str(table), "rows_now": look.contents[table].rows if table in look.contents else None,
             "rows_in_checkpoint": kept[table].rows if table in kept else None}
            for table in sorted(look.contents.keys() | kept.keys())
        ],
        "losses": [loss.told() for loss in losses],
        "databases": beside,
        "refused": refused,
        "checkpoint": {**found.summary(), "seconds": found.seconds["total"]} if found else None,
    }  # fmt: skip


def compared(live: Session, other: Session, place: Place, order: Order, stamp: Stamp) -> dict[str, Any]:
    """Compare the restored server *other* with the checkpoint and with what is live, and mark it. Raises DataError; then it is not marked."""
    began = time.monotonic()
    found = place.need(order.checkpoint) if order.checkpoint else None
    known = _marked(other, order, found.digest if found else "")
    if known is not None:
        differences = _since_mark(other, known, place.jobs)
        what = "what it was when it was compared"
    elif found:
        differences = differing(other, found, place.jobs)
        what = f"checkpoint {order.checkpoint}"
    else:
        differences = _structure(live, other)
        what = "the live database as far as time cannot explain it"
    wrong = [one["text"] for one in differences if not one["explained"]]
    if wrong and not order.allow_difference:
        raise DataError(
            f"what was restored is not {what}: {'; '.join(wrong[:10])}. The live instance was not touched;"
            " allow_difference: true accepts what is listed"
        )
    losses = counted(live, other, place.jobs)
    if not order.allow_loss and losses:
        raise DataError(
            f"{order.target} is not restored: {'; '.join(_words(losses)[:10])}. The live instance was not touched"
        )
    if known is None:
        run, erased = mark(live, other, place, order, stamp)
    else:
        run, erased = known.id, marked_again(live, other, place, known, stamp)
    return {
        "run": run,
        "differences": differences,
        "losses": [loss.told() for loss in losses],
        "erased": {str(table): rows for table, rows in erased.items()},
        "seconds": round(time.monotonic() - began, 3),
    }


def differing(other: Session, found: Manifest, jobs: int) -> list[dict[str, Any]]:
    """Say where *other* is not what the manifest says, and whether its own log of changes explains it.

    A snapshot of an instance is younger than the dump that it belongs to. Checksums are sums, so that what was logged after the very moment
    of the dump can be taken out of them again: what is left must be the manifest's, row for row.
    """
    standing = {shape.table: shape for shape in fingerprint.shapes(other, found.schemas)}
    told = [_told(str(table), "is missing") for table in found.contents().keys() - standing.keys()]
    told += [_told(str(table), "is not part of the checkpoint") for table in standing.keys() - found.contents().keys()]
    same = []
    for shape in found.shapes():
        if shape.table in standing and standing[shape.table].columns == shape.columns:
            same.append(standing[shape.table])
        elif shape.table in standing:
            told.append(_told(str(shape.table), "has other columns"))
    fingerprint.prepare(other)
    there, wanted = fingerprint.contents(other.login, same, jobs), found.contents()
    changed = {shape.table: shape for shape in same if there[shape.table] != wanted[shape.table]}
    for root, members in _families(other, same).items():
        if any(member.table in changed for member in members):
            since = logged_since(other, root, members, found.snapshot)
            told.append(_explanation(root, members, wanted, there, since, _unlogged(other, root)))
    standing_at, steps = fingerprint.sequences(other, found.schemas), _steps(other, found.schemas)
    for table, (last, _called) in found.positions().items():
        now = standing_at.get(table)
        # Sequences move on outside of snapshots, and RDS may find one a few numbers ahead after a restore.
        if now is None or (now[0] - last) * steps.get(table, 1) < 0:
            told.append(_told(f"sequence {table}", f"stands at {now[0] if now else 'nothing'}, before {last}"))
    if server_version(other)[0] == found.major:
        counts = fingerprint.objects(other, found.schemas)
        told += [
            _told(kind, f"are {counts.get(kind)} instead of {number}")
            for kind, number in found.objects.items()
            if counts.get(kind) != number
        ]
    return sorted(told, key=lambda one: str(one["what"]))


def logged_since(session: Session, root: Table, members: Sequence[Shape], snapshot: str) -> Since:
    """Sum up what the log of *root* has of transactions that *snapshot* does not see: exactly those that the dump does not hold."""
    if not home.exists(session):
        return Since(0, 0, (0, 0))
    statements, rows, sums = 0, 0, (0, 0)
    exact = True
    hidden = "a.source = %s AND NOT pg_visible_in_snapshot(a.xid, %s::pg_snapshot)"
    for source in [source for source in log.sources(session) if source.table == root]:
        values = [source.number, snapshot]
        here, other = session.rows(
            f"SELECT count(*), count(*) FILTER (WHERE structure IS NOT NULL) FROM plano_delivery.action a WHERE {hidden}",
            values,
        )[0]
        if not here:
            continue
        statements += here
        names = {column.name: column.sql for column in source.columns}
        orders = {member.columns for member in members}
        # A generated column is in no image; an image in jsonb, or of a table whose columns stand in another order, is another text.
        typed = not other and len(orders) == 1 and set(next(iter(orders))) == set(names)
        line = (
            f'ROW({", ".join("l." + names[name] for name in next(iter(orders)))})::text COLLATE "C"' if typed else "''"
        )
        hashes = ", ".join(
            f"coalesce(sum(CASE WHEN l.added THEN 1 ELSE -1 END * hashtextextended(r.line, {seed})::numeric), 0)"
            for seed in SEEDS
        )
        count, *net = session.rows(
            f"SELECT coalesce(sum(CASE WHEN l.added THEN 1 ELSE -1 END), 0)::bigint, {hashes} FROM {source.log} l"
            f" JOIN plano_delivery.action a ON a.id = l.action CROSS JOIN LATERAL (SELECT {line} AS line OFFSET 0) r WHERE {hidden}",
            values,
        )[0]
        rows += count + session.value(
            "SELECT coalesce(sum(CASE WHEN l.added THEN 1 ELSE -1 END), 0)::bigint FROM plano_delivery.log_other l"
            f" JOIN plano_delivery.action a ON a.id = l.action WHERE {hidden}",
            values,
        )
        exact = exact and typed
        sums = (sums[0] + int(net[0]), sums[1] + int(net[1]))
    return Since(statements, rows, sums if exact else None)


def counted(live: Session, other: Session, jobs: int) -> list[Loss]:
    """Count, row by row, what is live and not in *other*."""
    now, then = ({shape.table: shape for shape in fingerprint.shapes(one, _schemas(one))} for one in (live, other))
    here = fingerprint.contents(live.login, list(now.values()), jobs)
    there = fingerprint.contents(other.login, list(then.values()), jobs)
    for session in (live, other):
        fingerprint.prepare(session)
    losses = []
    for table, shape in now.items():
        rows = here[table].rows
        if table not in then or then[table].columns != shape.columns:
            lost = rows
        elif here[table] == there[table]:
            continue
        else:
            lost = only_left(_hashes(live, shape), _hashes(other, shape))
        if lost:
            losses.append(Loss(table, rows, there[table].rows if table in there else 0, lost, True))
    return sorted(losses, key=lambda loss: loss.table)


def others(session: Session) -> list[dict[str, Any]]:
    """Say who else is on a server. Whoever keeps its address, and not its name, writes to it on after it was renamed."""
    rows = session.rows(
        "SELECT usename::text, count(*) FROM pg_stat_activity WHERE usename IS NOT NULL AND datname IS NOT NULL"
        " AND NOT usename = ANY(ARRAY[session_user, 'rdsadmin']::name[]) GROUP BY 1 ORDER BY 1"
    )
    return [{"role": role, "sessions": count} for role, count in rows]


def only_left(left: Iterator[int], right: Iterator[int]) -> int:
    """Return how many of *left* are not in *right*; both come in their order, and one that is there twice counts twice."""
    count, beside = 0, next(right, None)
    for one in left:
        while beside is not None and beside < one:
            beside = next(right, None)
        if beside == one:
            beside = next(right, None)
        else:
            count += 1
    return count


def mark(
    live: Session | None, other: Session, place: Place, order: Order, stamp: Stamp
) -> tuple[str, dict[Table, int]]:
    """Write into what is about to become live who it is and what it holds, and take out rows that were erased for privacy since."""
    erased, tables = _without_erased(live, other, place, stamp)
    run = runs.check_id(restore.run_name("restore" if live else "swap-back", order.target))
    details = {
        "instance": order.instance, "checkpoint": order.target, "stamp": order.stamp, "back": live is None,
        "digest": place.need(order.checkpoint).digest if live and order.checkpoint else "", "tables": tables,
    }  # fmt: skip
    with other.transaction():
        runs.begin(other, run, runs.RESTORE, order.instance, stamp)
        _note(other, run, details)
    return run, erased


def marked_again(live: Session | None, other: Session, place: Place, known: Run, stamp: Stamp) -> dict[Table, int]:
    """Take out what was erased for privacy since the mark was made."""
    erased, tables = _without_erased(live, other, place, stamp)
    if any(erased.values()):
        _note(other, known.id, {"tables": tables})
    return erased


def _note(session: Session, run: str, details: Mapping[str, Any]) -> None:
    session.execute(
        "UPDATE plano_delivery.run SET details = details || %s::jsonb WHERE id = %s", [json.dumps(details), run]
    )


def _without_erased(
    live: Session | None, other: Session, place: Place, stamp: Stamp
) -> tuple[dict[Table, int], list[dict[str, Any]]]:
    """Take out the rows that were erased for privacy; return how many there were, and what is there then."""
    home.ensure(other)
    listed = set(erasure.listed(other, place.folder)) | set(erasure.listed(live, place.folder) if live else [])
    shapes = fingerprint.shapes(other, _schemas(other))
    columns = {shape.table: shape.columns for shape in shapes}
    with other.transaction():
        erasure.keep(other, place.folder, sorted(listed))
        erased = erasure.apply(other, sorted(listed), {table.schema: table.schema for table in columns}, columns)
        _forget(other, sorted(listed), stamp)
    contents = fingerprint.contents(other.login, shapes, place.jobs)
    return erased, [
        {"schema": t.schema, "name": t.name, "rows": c.rows, "sums": list(c.sums)} for t, c in contents.items()
    ]


def looked_back(live: Session, place: Place, order: Order) -> dict[str, Any]:
    """Say what was written into a restored server since it became live, which taking it back loses."""
    known = _newest(live, order, (runs.CONFIRMED, runs.PENDING, runs.FAILED), back=False)
    if known is None:
        raise DataError(
            f"{live.login.place} holds no mark of a restore of {order.target}: it is not the server that was restored"
        )
    reference = _reference(known)
    shapes = fingerprint.shapes(live, _schemas(live))
    contents = fingerprint.contents(live.login, shapes, place.jobs)
    losses = [
        Loss(table, now.rows, reference[table].rows if table in reference else 0,
             max(1, now.rows - (reference[table].rows if table in reference else 0)))
        for table, now in sorted(contents.items())
        if now != reference.get(table) and (now.rows or table in reference)
    ]  # fmt: skip
    words = restore.words(losses, "written since the restore")
    return {"losses": [loss.told() for loss in losses], "refused": [] if order.allow_loss else words}


def marked_back(other: Session, place: Place, order: Order, stamp: Stamp) -> dict[str, Any]:
    """Mark the server that was put aside, before it becomes live again."""
    known = _newest(other, order, (runs.PENDING,), back=True)
    if known is None:
        return {"run": mark(None, other, place, order, stamp)[0]}
    marked_again(None, other, place, known, stamp)
    return {"run": known.id}


def proven(
    login: Login, order: Order, run: str, details: Mapping[str, Any], stamp: Stamp, seconds: float = PATIENCE
) -> Run:
    """Find the mark behind the name that everybody uses, and write the run down as confirmed. Raises DataError."""
    end = time.monotonic() + seconds
    while True:
        with reached(login, max(0.0, end - time.monotonic())) as session:
            # Without its id it is the newest of its direction: that of the restore is in the server that was taken back.
            known = (
                runs.find(session, run)
                if run and home.exists(session)
                else _newest(session, order, runs.STATES, order.back)
            )
            if known is not None:
                with session.transaction():
                    if known.state != runs.CONFIRMED:
                        # One that somebody took for interrupted is taken up again.
                        runs.begin(session, known.id, runs.RESTORE, order.instance, stamp)
                        runs.finish(session, known.id, runs.CONFIRMED, details)
                return known
        if time.monotonic() >= end:
            raise DataError(
                f"{login.place} does not hold the mark of what was restored: its name still leads to another server."
                " Run the same command again; it goes on from here"
            )
        time.sleep(min(PAUSE, max(0.0, end - time.monotonic())))


def written_down(book: Book, run: str, order: Order, stamp: Stamp, state: str, **detail: Any) -> None:
    """Tell the host's ledger how it ended, once."""
    if any(one["release"] == run and one["state"] == "confirmed" for one in book.entries()):
        return
    with book.change(run, "restore", stamp.change) as page:
        page.write("begun", target=order.target)
        page.write(state, target=order.target, instance=order.instance, **detail)


def _words(losses: Sequence[Loss]) -> list[str]:
    return restore.words(losses, "not in what would be restored")


def _schemas(session: Session) -> list[str]:
    return [row[0] for row in session.rows(_SCHEMAS)]


def _beside(session: Session) -> list[str]:
    rows = session.rows(
        "SELECT datname FROM pg_database WHERE NOT datistemplate AND datname <> current_database() AND NOT datname = ANY(%s) ORDER BY 1",
        [list(OWN_DATABASES)],
    )
    return [row[0] for row in rows]


def _marked(other: Session, order: Order, digest: str) -> Run | None:
    """Return the mark of a comparison with this very checkpoint, not with an earlier one of its name."""
    known = _newest(other, order, (runs.PENDING,), back=False)
    return known if known and known.details.get("digest", "") == digest else None


def _newest(session: Session, order: Order, states: Sequence[str], back: bool) -> Run | None:
    """Return the newest mark of this restore, or of its taking *back*."""
    if not home.exists(session):
        return None
    rows = session.rows(
        "SELECT id FROM plano_delivery.run WHERE kind = %s AND state = ANY(%s) AND details ->> 'instance' = %s"
        " AND details ->> 'stamp' = %s AND coalesce((details ->> 'back')::boolean, false) = %s ORDER BY began DESC LIMIT 1",
        [runs.RESTORE, list(states), order.instance, order.stamp, back],
    )
    return runs.find(session, rows[0][0]) if rows else None


def _reference(known: Run) -> dict[Table, Content]:
    """Return what a server held when it was marked."""
    return {
        Table(t["schema"], t["name"]): Content(t["rows"], (t["sums"][0], t["sums"][1])) for t in known.details["tables"]
    }


def _since_mark(other: Session, known: Run, jobs: int) -> list[dict[str, Any]]:
    """Say where *other* is no longer what was compared. The manifest cannot say it: erasures may have taken rows out since."""
    reference = _reference(known)
    contents = fingerprint.contents(other.login, fingerprint.shapes(other, _schemas(other)), jobs)
    changed = {table for table in reference.keys() | contents.keys() if reference.get(table) != contents.get(table)}
    return [_told(str(table), "was changed after it was compared") for table in sorted(changed)]


def _told(what: str, how: str, explained: bool = False) -> dict[str, Any]:
    return {"what": what, "text": f"{what} {how}", "explained": explained}


def _families(session: Session, shapes: Sequence[Shape]) -> dict[Table, list[Shape]]:
    """Return the tables by the table whose log they are in: that of all partitions, or their own."""
    structures = catalog.read(session, [shape.table for shape in shapes])
    found: dict[Table, list[Shape]] = {}
    for shape in shapes:
        found.setdefault(structures[shape.table].root, []).append(shape)
    return found


def _explanation(
    root: Table,
    members: Sequence[Shape],
    wanted: Mapping[Table, Content],
    there: Mapping[Table, Content],
    since: Since,
    unlogged: bool,
) -> dict[str, Any]:
    rows = sum(there[one.table].rows - wanted[one.table].rows for one in members)
    sums = tuple(
        sum(int(there[one.table].sums[at]) - int(wanted[one.table].sums[at]) for one in members)
        for at in range(len(SEEDS))
    )
    name = str(root)
    if since.statements and since.rows == rows and (since.sums is None or since.sums == sums):
        how = "to the row" if since.sums is not None else "in their number; the log does not hold all of their values"
        return _told(
            name, f"has changed after the checkpoint: {since.statements} logged statements explain it {how}", True
        )
    seen = f"({rows:+d} rows)" if rows else "(other values)"
    if unlogged:
        return _told(name, f"differs {seen}: it is UNLOGGED, of which no snapshot holds a row")
    if since.statements:
        return _told(
            name, f"differs {seen}, and the {since.statements} statements logged after the checkpoint do not explain it"
        )
    return _told(name, f"differs {seen}, and no statement on it is logged after the checkpoint")


def _unlogged(session: Session, table: Table) -> bool:
    return bool(session.value("SELECT relpersistence = 'u' FROM pg_class WHERE oid = to_regclass(%s)", [table.sql]))


def _structure(live: Session, other: Session) -> list[dict[str, Any]]:
    """Say where what was restored to a time is made of other tables than what is live."""
    now, then = ({shape.table: shape for shape in fingerprint.shapes(one, _schemas(one))} for one in (live, other))
    told = [_told(str(table), "is live and was not there then") for table in now.keys() - then.keys()]
    told += [_told(str(table), "was there then and is not live") for table in then.keys() - now.keys()]
    told += [
        _told(str(table), "had other columns then")
        for table in now.keys() & then.keys()
        if now[table].columns != then[table].columns
    ]
    return sorted(told, key=lambda one: str(one["what"]))


def _steps(session: Session, schemas: Sequence[str]) -> dict[Table, int]:
    rows = session.rows(
        "SELECT schemaname, sequencename, increment_by FROM pg_sequences WHERE schemaname = ANY(%s)", [list(schemas)]
    )
    return {Table(schema, name): step for schema, name, step in rows}


def _hashes(session: Session, shape: Shape) -> Iterator[int]:
    """Return the hash of every row, in their order, without holding them all."""
    line = f'ROW({identifiers(shape.columns, "t.")})::text COLLATE "C"'
    query = f"COPY (SELECT hashtextextended({line}, {SEEDS[0]}) FROM ONLY {shape.table.sql} AS t ORDER BY 1) TO STDOUT"
    rest = b""
    for block in session.copy_out(query):
        *lines, rest = (rest + block).split(b"\n")
        yield from map(int, lines)


def _forget(session: Session, erased: Sequence[erasure.Erased], stamp: Stamp) -> None:
    """Take the images of erased rows out of the log too: those of then, and those of the deletion itself."""
    keys: dict[Table, tuple[str, ...]] = {source.table: source.key for source in log.sources(session)}
    tables, images = set(), 0
    for one in erased:
        table = erasure.table_of(one)
        if table in keys and {name for name, _value in one.key} == set(keys[table]):
            images += log.erase(session, table, dict(one.key))
            tables.add(table)
    if images:
        log.note_erasure(session, sorted(tables), images, stamp)
