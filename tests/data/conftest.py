# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import secrets
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from copying import fill
from imports import TABLES, Importer
from server import Server, newest_binaries, running

from ansible_collections.plano.delivery.plugins.module_utils.data.seal import Seal
from ansible_collections.plano.delivery.plugins.module_utils.data.session import Session

# Debian has no moto: the controller's serves, behind all that the system has of its own.
sys.path += [str(path) for path in Path(__file__).resolve().parents[2].glob(".cache/venv/lib/python3*/site-packages")]


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    binaries = newest_binaries()
    assert binaries is not None, "no PostgreSQL server in /usr/lib/postgresql: install the package postgresql"
    with running(binaries) as found:
        yield found


@pytest.fixture
def database(server: Server) -> str:
    """A database of this test's own."""
    return server.database()


@pytest.fixture
def session(server: Server, database: str) -> Iterator[Session]:
    """A session of whoever works on the data."""
    with server.session(database) as found:
        yield found


@pytest.fixture
def application(server: Server, database: str) -> Iterator[Session]:
    """A session of the application."""
    with server.session(database, "app", "") as found:
        yield found


@pytest.fixture
def importer(server: Server, database: str, session: Session, tmp_path: Path) -> Importer:
    """Imports into the sample backend's tables, which are empty."""
    for statement in TABLES.split(";\n"):
        if statement.strip():
            session.execute(statement)
    return Importer(server, database, tmp_path)


@pytest.fixture
def odd(session: Session) -> Session:
    """A database with everything that a copy can get wrong."""
    fill(session)
    return session


@pytest.fixture
def keys(tmp_path: Path) -> dict[str, Seal]:
    """A seal of each method, and others with another key."""
    for name in ("a", "b"):
        (tmp_path / f"{name}.key").write_text(secrets.token_hex(32) + "\nsecond line\n")
        subprocess.run(["age-keygen", "-o", tmp_path / f"{name}.age"], check=True, capture_output=True)
    recipient = subprocess.run(
        ["age-keygen", "-y", tmp_path / "a.age"], check=True, capture_output=True, text=True
    ).stdout.strip()
    return {
        "age": Seal("age", str(tmp_path / "a.age"), recipient),
        "openssl": Seal("openssl", str(tmp_path / "a.key")),
        "other age": Seal("age", str(tmp_path / "b.age")),
        "other openssl": Seal("openssl", str(tmp_path / "b.key")),
    }
