"""Fixtures: an own PostgreSQL server with an empty database, and the built artifacts."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from real import BUILD, PASSWORD, Artifacts, Backend, Postgres, free_port, server_binaries, service_account


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    binaries = server_binaries()
    if binaries is None:
        pytest.skip("no PostgreSQL server binaries on this machine (Debian: postgresql)")
    # Not below pytest's own folder, which only its user may enter: PostgreSQL refuses to run as root.
    home = Path(tempfile.mkdtemp(prefix="plano-postgresql-"))
    if os.geteuid() == 0:
        account = service_account()
        os.chown(home, account.pw_uid, account.pw_gid)
    server = Postgres(binaries, home / "data", free_port())
    server.run(
        "initdb", "-D", str(server.data), "-U", "super", "--no-sync", "-E", "UTF8", "--locale=C.UTF-8", "-A", "trust"
    )
    rules = "local all all trust\nhost all all 127.0.0.1/32 scram-sha-256\n"
    (server.data / "pg_hba.conf").write_text(rules)
    server.start()
    for statement in (
        "CREATE ROLE plano_owner NOLOGIN",
        f"CREATE ROLE plano_migrator LOGIN PASSWORD '{PASSWORD}' IN ROLE plano_owner",
        f"CREATE ROLE plano_app LOGIN PASSWORD '{PASSWORD}'",
    ):
        server.sql(statement, "postgres")
    yield server
    server.stop()
    shutil.rmtree(home)


@pytest.fixture
def database(postgres: Postgres) -> Postgres:
    """An empty database; the application may read and write what the owner creates, and create nothing itself."""
    postgres.sql("DROP DATABASE IF EXISTS plano WITH (FORCE)", "postgres")
    postgres.sql("CREATE DATABASE plano OWNER plano_owner", "postgres")
    postgres.sql("REVOKE ALL ON DATABASE plano FROM public")
    postgres.sql("GRANT CONNECT ON DATABASE plano TO plano_app, plano_migrator")
    postgres.sql(
        "ALTER DEFAULT PRIVILEGES FOR ROLE plano_owner GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO plano_app"
    )
    return postgres


@pytest.fixture(scope="session")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> Artifacts:
    folder = tmp_path_factory.mktemp("artifacts")
    subprocess.run([sys.executable, BUILD, "--output", folder], check=True)
    return Artifacts(folder)


@pytest.fixture
def backend(artifacts: Artifacts, database: Postgres, tmp_path: Path) -> Iterator[Backend]:
    started = Backend(artifacts, database, tmp_path)
    yield started
    for process in started.processes:
        process.popen.kill()
        process.popen.wait()
