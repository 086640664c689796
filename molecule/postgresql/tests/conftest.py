"""What only the tests of a database host need."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path

import pytest
from testinfra.backend.base import CommandResult
from testinfra.host import Host


@pytest.fixture
def cache() -> Path:
    """Where this checkout keeps what it generated."""
    return Path(__file__).resolve().parents[3] / ".cache"


@pytest.fixture
def local_sql(host: Host, cache: Path) -> Callable[[str, str, str | None], CommandResult]:
    """Run a statement on the host itself as one of the inventory's users, over TLS; None dumps the database.

    The password is given by a file, and encoded on its way: sudo writes every command line into the journal.
    """

    def run(user: str, secret: str, statement: str | None) -> CommandResult:
        password = (cache / "secrets" / secret).read_text().split()[0]
        line = base64.b64encode(f"*:*:*:{user}:{password}".encode()).decode()
        target = f"host=localhost dbname=backend user={user} sslmode=verify-full sslrootcert=/etc/ssl/plano-postgresql/ca.crt"
        command = f"pg_dump '{target}'" if statement is None else f"psql -XAtq '{target}' -c \"{statement}\""
        passfile = f"/run/plano-test-{user}"
        return host.run(f"umask 077; echo {line} | base64 -d >{passfile}; PGPASSFILE={passfile} {command}")

    return run
