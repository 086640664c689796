# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A connection to the database, as whom and with which limits, and its errors in words an operator can act on."""

from __future__ import annotations

import contextlib
import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Iterable, Iterator, Mapping, Sequence

from .errors import BusyError, DataError, ServerError
from .names import identifier

try:
    import psycopg
except ImportError:  # the module says so, with the name of the package
    psycopg = None  # type: ignore[assignment]

if TYPE_CHECKING:
    from psycopg import Connection, Cursor

APPLICATION = "plano.delivery"
# Texts of rows, checksums and images must not depend on how a server or a role is set up.
SETTINGS = {
    "client_encoding": "UTF8",
    "DateStyle": "ISO, YMD",
    "IntervalStyle": "postgres",
    "TimeZone": "UTC",
    "extra_float_digits": "1",
    "bytea_output": "hex",
    "search_path": "pg_catalog",
    "default_transaction_isolation": "read committed",
    "default_transaction_read_only": "off",
    "idle_in_transaction_session_timeout": "0",
}


@dataclass(frozen=True)
class Login:
    """Where the database is and who asks. An empty *host* is the server's own socket, which needs no password."""

    database: str
    host: str = ""
    port: int = 5432
    user: str = ""
    password: str = ""
    role: str = ""
    ssl_mode: str = "prefer"
    ca_cert: str = ""
    socket: str = "/var/run/postgresql"
    lock_seconds: float = 10.0
    statement_seconds: float = 0.0

    @staticmethod
    def of(params: Mapping[str, Any]) -> Login:
        """Return the login that a module's options describe (doc fragment C(login))."""
        return Login(
            database=params["login_db"],
            host=params["login_host"],
            port=params["login_port"],
            user=params["login_user"],
            password=params["login_password"] or "",
            role=params["session_role"],
            ssl_mode=params["ssl_mode"],
            ca_cert=params["ca_cert"],
            socket=params["login_unix_socket"],
            lock_seconds=params["lock_timeout"],
            statement_seconds=params["statement_timeout"],
        )

    @property
    def place(self) -> str:
        """Where this is, for messages."""
        return f"database {self.database} on {self.host or self.socket}:{self.port}"

    def with_database(self, name: str) -> Login:
        return Login(**{**self.__dict__, "database": name})

    def connection_words(self) -> dict[str, str]:
        """Return the words libpq connects with, without the password."""
        words = {
            "host": self.host or self.socket,
            "port": str(self.port),
            "dbname": self.database,
            "user": self.user,
            "sslmode": self.ssl_mode if self.host else "",
            "sslrootcert": self.ca_cert,
            "application_name": APPLICATION,
            "connect_timeout": "10",
        }
        return {name: word for name, word in words.items() if word}

    def environment(self) -> dict[str, str]:
        """Return libpq's environment for pg_dump and its like: the password is in no argument."""
        names = {"dbname": "PGDATABASE", "application_name": "PGAPPNAME"}
        found = {
            names.get(name, "PG" + name.replace("_", "").upper()): word
            for name, word in self.connection_words().items()
        }
        found.pop("PGCONNECTTIMEOUT", None)
        found["PGCONNECT_TIMEOUT"] = "10"
        return {**found, **({"PGPASSWORD": self.password} if self.password else {})}


class Session:
    """One connection in autocommit mode. Whatever belongs together stands in `with session.transaction():`."""

    def __init__(self, connection: Connection[Any], login: Login) -> None:
        self.connection = connection
        self.login = login

    def execute(self, statement: str, values: Sequence[Any] | Mapping[str, Any] | None = None) -> Cursor[Any]:
        """Run one statement. Raises ServerError, which never tells the values."""
        with explained(self.login):
            return self.connection.execute(statement, values)

    def script(self, statements: str, values: Mapping[str, Any]) -> None:
        """Run one or more statements with the values filled in on this side, which a server does for single statements only."""
        with explained(self.login):
            psycopg.ClientCursor(self.connection).execute(statements, values)

    def copy_in(self, statement: str, blocks: Iterable[bytes]) -> int:
        """Send *blocks* to a COPY from STDIN; return its rows. What *blocks* raises is raised, and nothing was copied."""
        failed: list[Exception] = []
        try:
            with explained(self.login), self.connection.cursor() as cursor:
                with cursor.copy(statement) as copy:
                    try:
                        for block in blocks:
                            copy.write(block)
                    except Exception as error:
                        failed.append(error)
                        raise
                return cursor.rowcount
        except ServerError:
            # psycopg 3.1 tells of the COPY that was cut off instead of why.
            if failed and not isinstance(failed[0], psycopg.Error):
                raise failed[0] from None
            raise

    def copy_out(self, statement: str) -> Iterator[bytes]:
        """Return what a COPY TO STDOUT sends, block by block."""
        with explained(self.login), self.connection.cursor() as cursor, cursor.copy(statement) as copy:
            for block in copy:
                yield bytes(block)

    def rows(self, statement: str, values: Sequence[Any] | Mapping[str, Any] | None = None) -> list[Any]:
        """Return all rows of a statement, each a tuple."""
        with explained(self.login):
            return self.execute(statement, values).fetchall()

    def value(self, statement: str, values: Sequence[Any] | Mapping[str, Any] | None = None) -> Any:
        """Return the first column of the first row, None without one."""
        with explained(self.login):
            row = self.execute(statement, values).fetchone()
        return row[0] if row else None

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """All of the block or nothing of it; what fails at the commit is explained too. Within another one it is a savepoint."""
        with explained(self.login), self.connection.transaction():
            yield

    @contextlib.contextmanager
    def unchanged(self) -> Iterator[None]:
        """A transaction of which nothing stays: what check mode needs to look closely, such as temporary tables."""
        with explained(self.login), self.connection.transaction(force_rollback=True):
            yield

    @contextlib.contextmanager
    def alone(self, what: str) -> Iterator[None]:
        """Hold the database-wide lock on *what* for the block, or raise BusyError at once. It ends with the connection at the latest."""
        key = lock_key(what)
        if not self.value("SELECT pg_try_advisory_lock(%s)", [key]):
            raise BusyError(
                f"{what} of {self.login.place} is at work in another session{self._holder(key)}. Nothing was done; try again when it has ended."
            )
        try:
            yield
        finally:
            with contextlib.suppress(
                ServerError
            ):  # a lost connection has lost its lock too; what was lost with it is told by the block
                self.execute("SELECT pg_advisory_unlock(%s)", [key])

    def _holder(self, key: int) -> str:
        found = self.rows(
            "SELECT a.pid, a.usename, a.backend_start::timestamp(0) FROM pg_locks l JOIN pg_stat_activity a USING (pid)"
            " WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1"
            " AND (l.classid::bigint << 32 | l.objid::bigint) = %s",
            [key],
        )
        return "".join(f" (pid {pid}, {user}, since {since} UTC)" for pid, user, since in found[:1])

    def close(self) -> None:
        self.connection.close()

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_caught: object) -> None:
        self.close()


def lock_key(what: str) -> int:
    """Return the advisory lock of *what*: 63 bits, so that it is the same number in pg_locks."""
    return int.from_bytes(hashlib.sha256(f"plano.delivery {what}".encode()).digest()[:8], "big") >> 1


def connect(login: Login) -> Session:
    """Open a session as *login* says. Raises DataError."""
    if psycopg is None:
        raise DataError("Python's psycopg is missing on this host: install the package python3-psycopg")
    with explained(login):
        connection = psycopg.connect(password=login.password or None, autocommit=True, **login.connection_words())  # type: ignore[arg-type]
    session = Session(connection, login)
    try:
        limits = {
            "lock_timeout": f"{round(login.lock_seconds * 1000)}ms",
            "statement_timeout": f"{round(login.statement_seconds * 1000)}ms",
        }
        for name, setting in {**SETTINGS, **limits}.items():
            session.execute("SELECT set_config(%s, %s, false)", [name, setting])
        if login.role:
            session.execute(f"SET ROLE {identifier(login.role)}")
    except BaseException:  # whatever ends this must not leave a connection; it is raised again
        session.close()
        raise
    return session


@contextlib.contextmanager
def explained(login: Login) -> Iterator[None]:
    """Turn what psycopg raises within the block into a ServerError."""
    try:
        yield
    except psycopg.Error as error:
        found = error.diag
        table = f"{found.schema_name}.{found.table_name}" if found.table_name else ""
        raise ServerError(explain(error, login), error.sqlstate or "", table, found.constraint_name or "") from None


def explain(error: Any, login: Login) -> str:
    """Say what went wrong where, and what to do next; of the server's own words only those that hold no row."""
    diagnosis = error.diag
    state = error.sqlstate or ""
    # DETAIL and CONTEXT may show a row's values; the primary message names objects, but also the text that was no number or date.
    words = (
        "a value cannot be read as its column's type"
        if state.startswith("22")
        else (diagnosis.message_primary or str(error)).strip()
    )
    where = [
        f"{kind} {name}"
        for kind, name in (
            ("table", diagnosis.table_name and f"{diagnosis.schema_name}.{diagnosis.table_name}"),
            ("column", diagnosis.column_name),
            ("constraint", diagnosis.constraint_name),
        )
        if name
    ]
    return f"{login.place}: {words}{' (' + ', '.join(where) + ')' if where else ''}{_advice(state, login)}"


def _advice(state: str, login: Login) -> str:
    if not state or state.startswith(("08", "57P")):
        return ". What was not committed is undone; see that the server runs and is reached, then run the same command again"
    return {
        "55P03": (
            f". The lock was not given within {login.lock_seconds:g} s and nothing was changed;"
            " pg_stat_activity tells who holds it; or raise lock_timeout"
        ),
        "57014": ". The statement took longer than statement_timeout allows; nothing was changed",
        "42501": f". Log in as the owner of the tables, or as a member of it with session_role (now {login.role or 'none'})",
        "53100": ". The server's disk is full; nothing was changed. Free some space, then run the same command again",
        "40P01": ". The server broke a deadlock and nothing was changed; run the same command again",
    }.get(state, "")
