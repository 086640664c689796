"""Every statement the backend runs.

Each change is one statement in one transaction and carries its run id, also as the setting `plano.run_id`, where triggers
find it. Columns are always named: `*` would break prepared statements of a running release as soon as a migration
of the next one adds a column.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from psycopg import sql
from psycopg.errors import UniqueViolation
from psycopg.rows import class_row

from plano_sample import csvfile, models
from plano_sample.database import Connection, Pool


class RunExistsError(Exception):
    """The run id was used before: the same change is never made twice."""


class NobodyValidError(Exception):
    """A distribution without anyone to get a share."""


def _names(*names: str) -> sql.Composed:
    return sql.SQL(", ").join(sql.Identifier(name) for name in names)


_CLIENT = _names(*models.Client.model_fields)
_DISTRIBUTION = _names(*models.Distribution.model_fields)
_IMPORT = sql.SQL("run_id, file, rows, inserted, updated, rows - inserted - updated AS unchanged, created_at")
_VALID = sql.SQL("valid_from <= {day} AND (valid_until IS NULL OR valid_until >= {day})")
_TYPES = {"valid_from": "date", "valid_until": "date"}


async def _stamp(connection: Connection, run_id: UUID) -> None:
    await connection.execute("SELECT set_config('plano.run_id', %s, true)", [str(run_id)])


async def import_clients(pool: Pool, run_id: UUID, file: str, content: csvfile.ClientFile) -> models.ImportSummary:
    """Insert the new clients and update the changed ones; clients that stay the same are not written."""
    columns = content.columns
    values = [column for column in columns if column != "external_id"]
    statement = sql.SQL(
        """
        WITH written AS (
            INSERT INTO clients ({columns}, run_id)
            SELECT {columns}, %(run_id)s FROM unnest({arrays}) AS file ({columns})
            ORDER BY external_id -- two imports at once then lock their rows in the same order
            ON CONFLICT (external_id) DO UPDATE SET {updates}, run_id = EXCLUDED.run_id
            WHERE ({current}) IS DISTINCT FROM ({new})
            RETURNING xmax = 0 AS inserted -- a row that was there before carries the lock of this update
        )
        INSERT INTO imports (run_id, file, rows, inserted, updated)
        SELECT %(run_id)s, %(file)s, %(rows)s, count(*) FILTER (WHERE inserted), count(*) FILTER (WHERE NOT inserted)
        FROM written
        RETURNING {summary}
        """
    ).format(
        columns=_names(*columns),
        arrays=sql.SQL(", ").join(
            sql.SQL("{}::{}[]").format(sql.Placeholder(column), sql.SQL(_TYPES.get(column, "text")))
            for column in columns
        ),
        updates=sql.SQL(", ").join(sql.SQL("{0} = EXCLUDED.{0}").format(sql.Identifier(column)) for column in values),
        current=sql.SQL(", ").join(sql.Identifier("clients", column) for column in values),
        new=sql.SQL(", ").join(sql.Identifier("excluded", column) for column in values),
        summary=_IMPORT,
    )
    parameters: dict[str, Any] = {column: [getattr(client, column) for client in content.clients] for column in columns}
    parameters |= {"run_id": run_id, "file": file, "rows": len(content.clients)}
    try:
        async with pool.connection() as connection:
            await _stamp(connection, run_id)
            cursor = connection.cursor(row_factory=class_row(models.ImportSummary))
            await cursor.execute(statement, parameters)
            return _one(await cursor.fetchone())
    except UniqueViolation as error:
        raise RunExistsError(f"the run {run_id} exists already") from error


async def imports(pool: Pool, *, limit: int) -> list[models.ImportSummary]:
    """The last imports, newest first."""
    async with pool.connection() as connection:
        cursor = connection.cursor(row_factory=class_row(models.ImportSummary))
        await cursor.execute(
            sql.SQL("SELECT {} FROM imports ORDER BY created_at DESC, run_id LIMIT %s").format(_IMPORT), [limit]
        )
        return await cursor.fetchall()


async def clients(pool: Pool, query: models.ClientQuery) -> list[models.Client]:
    """Clients in the order of their id."""
    wanted = query.model_dump()
    conditions: list[sql.Composable] = [sql.SQL("id > %(after)s")]
    if wanted["valid_on"]:
        conditions.append(_VALID.format(day=sql.Placeholder("valid_on")))
    if wanted.get("segment"):
        conditions.append(sql.SQL("segment = %(segment)s"))
    async with pool.connection() as connection:
        cursor = connection.cursor(row_factory=class_row(models.Client))
        await cursor.execute(
            sql.SQL("SELECT {} FROM clients WHERE {} ORDER BY id LIMIT %(limit)s").format(
                _CLIENT, sql.SQL(" AND ").join(conditions)
            ),
            wanted,
        )
        return await cursor.fetchall()


async def start_distribution(pool: Pool, run_id: UUID, new: models.NewDistribution) -> models.Distribution:
    """Share the total out among the clients valid on the day, to the cent; the first ones get the odd cents."""
    wanted = new.model_dump()
    statement = sql.SQL(
        """
        WITH recipient AS MATERIALIZED (
            SELECT id, row_number() OVER (ORDER BY id) AS position, count(*) OVER () AS total
            FROM clients WHERE {valid} {limited}
        ), distribution AS (
            INSERT INTO distributions ({columns}, run_id, recipients)
            SELECT {values}, %(run_id)s, (SELECT count(*) FROM recipient)
            WHERE EXISTS (SELECT FROM recipient)
            RETURNING {distribution}
        ), shared AS (
            INSERT INTO results (distribution_id, client_id, share_cents, run_id)
            SELECT distribution.id, recipient.id,
                   total_cents / total + (position <= total_cents %% total)::int, distribution.run_id
            FROM distribution CROSS JOIN recipient
        )
        SELECT {distribution} FROM distribution
        """
    ).format(
        valid=_VALID.format(day=sql.Placeholder("as_of")),
        limited=sql.SQL("AND segment = %(segment)s" if wanted.get("segment") else ""),
        columns=_names(*wanted),
        values=sql.SQL(", ").join(sql.Placeholder(name) for name in wanted),
        distribution=_DISTRIBUTION,
    )
    try:
        async with pool.connection() as connection:
            await _stamp(connection, run_id)
            cursor = connection.cursor(row_factory=class_row(models.Distribution))
            await cursor.execute(statement, wanted | {"run_id": run_id})
            made = await cursor.fetchone()
    except UniqueViolation as error:
        raise RunExistsError(f"the run {run_id} exists already") from error
    if made is None:
        of_segment = f" of the segment {wanted['segment']}" if wanted.get("segment") else ""
        raise NobodyValidError(f"no client{of_segment} is valid on {wanted['as_of']}")
    return made


async def distributions(pool: Pool, *, limit: int) -> list[models.Distribution]:
    """The last distributions, newest first."""
    async with pool.connection() as connection:
        cursor = connection.cursor(row_factory=class_row(models.Distribution))
        await cursor.execute(
            sql.SQL("SELECT {} FROM distributions ORDER BY id DESC LIMIT %s").format(_DISTRIBUTION), [limit]
        )
        return await cursor.fetchall()


async def distribution(pool: Pool, number: int) -> models.Distribution | None:
    """One distribution, if there is one with this number."""
    async with pool.connection() as connection:
        cursor = connection.cursor(row_factory=class_row(models.Distribution))
        await cursor.execute(sql.SQL("SELECT {} FROM distributions WHERE id = %s").format(_DISTRIBUTION), [number])
        return await cursor.fetchone()


async def results(pool: Pool, number: int, *, after: int, limit: int) -> list[models.Result]:
    """The results of a distribution in the order of the clients' ids, from the one after *after*."""
    async with pool.connection() as connection:
        cursor = connection.cursor(row_factory=class_row(models.Result))
        await cursor.execute(
            """
            SELECT client_id, external_id, share_cents FROM results JOIN clients ON clients.id = client_id
            WHERE distribution_id = %s AND client_id > %s ORDER BY client_id LIMIT %s
            """,
            [number, after, limit],
        )
        return await cursor.fetchall()


def _one(row: models.ImportSummary | None) -> models.ImportSummary:
    if row is None:
        raise RuntimeError("INSERT ... RETURNING gave no row")
    return row
