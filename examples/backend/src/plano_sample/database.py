"""The connection pool: it opens without a database, and finds back to it after an outage."""

from __future__ import annotations

import psycopg
from psycopg import AsyncConnection, errors
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from plano_sample._release import SCHEMA
from plano_sample.settings import Database

Connection = AsyncConnection[tuple[object, ...]]
Pool = AsyncConnectionPool[Connection]


def create_pool(database: Database) -> Pool:
    """Return a closed pool. Every connection is tested before a request gets it, so a restart costs no request."""
    return AsyncConnectionPool(
        database.url,
        kwargs=database.options(),
        # Open before the first request asks for them: each takes 10 ms of the one thread that answers all requests.
        min_size=5,
        max_size=10,
        timeout=5,
        # Give up early and start afresh: the wait between two attempts doubles, so long series end in long waits.
        reconnect_timeout=5,
        check=AsyncConnectionPool.check_connection,
        configure=_configure,
        open=False,
        name="plano_sample",
    )


async def _configure(connection: Connection) -> None:
    # Shorter than the time a stopping process gives its last requests.
    await connection.execute("SET statement_timeout = '25s'")
    await connection.commit()


async def failure(pool: Pool, database: Database) -> str | None:
    """Say why no request could be served, or None when the database and its schema are fit for this release."""
    try:
        async with pool.connection(timeout=2) as connection:
            cursor = await connection.execute("SELECT max(version_num) FROM alembic_version")
            row = await cursor.fetchone()
    except PoolTimeout:
        return await _why_not(database)
    except errors.UndefinedTable:
        return f"the database has no schema; this release needs {SCHEMA}"
    except psycopg.Error as error:
        return f"the database answers with an error: {_first_line(error)}"
    schema = str(row[0]) if row and row[0] else "nothing"
    # Revisions count upwards. A newer schema is fine here: whoever brought it knew which releases it keeps working.
    if schema == "nothing" or schema < SCHEMA:
        return f"the database has schema {schema}; this release needs {SCHEMA}"
    return None


async def _why_not(database: Database) -> str:
    """The pool only knows that it waited in vain; a connection of our own tells the reason."""
    try:
        connection = await AsyncConnection.connect(database.url, **database.options())
    except psycopg.Error as error:
        return f"the database does not answer: {_first_line(error)}"
    await connection.close()
    return "all connections to the database are in use"


def _first_line(error: psycopg.Error) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
