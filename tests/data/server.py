# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real PostgreSQL server of the tests' own, on a socket and a port of loopback, with the roles a real environment has."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ansible_collections.plano.delivery.plugins.module_utils.data.session import Login, Session, connect

PASSWORD = "pa:ss/w@rd %20"  # every character that a URL would have to escape
# As the role postgresql makes them: the owner cannot log in, who works on the data can become the owner, the application may write rows.
ROLES = f"""
CREATE ROLE owner NOLOGIN;
CREATE ROLE data LOGIN NOINHERIT CREATEDB PASSWORD '{PASSWORD}';
CREATE ROLE app LOGIN PASSWORD '{PASSWORD}';
GRANT owner TO data;
"""
GRANTS = """
GRANT USAGE ON SCHEMA public TO app;
ALTER DEFAULT PRIVILEGES FOR ROLE owner IN SCHEMA public GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO app;
ALTER DEFAULT PRIVILEGES FOR ROLE owner IN SCHEMA public GRANT USAGE, SELECT, UPDATE ON SEQUENCES TO app;
ALTER DEFAULT PRIVILEGES FOR ROLE owner REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;
"""


@dataclass
class Server:
    """A running server. Databases are made per test and go with it."""

    binaries: Path
    folder: Path
    port: int
    options: str
    made: list[str] = field(default_factory=list)

    def run(self, program: str, *arguments: str) -> str:
        account = pwd.getpwnam("postgres")
        as_user = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []} if os.geteuid() == 0 else {}
        done = subprocess.run(
            [self.binaries / program, *arguments],
            cwd="/",
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            **as_user,
        )
        assert done.returncode == 0, f"{program} {' '.join(arguments)}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def start(self) -> None:
        options = (
            f"-c listen_addresses=127.0.0.1 -p {self.port} -c unix_socket_directories={self.folder} {self.options}"
        )
        self.run(
            "pg_ctl",
            "start",
            "--wait",
            "--silent",
            f"--pgdata={self.folder}/data",
            f"--log={self.folder}/log",
            "-o",
            options,
        )

    def stop(self, mode: str = "fast") -> None:
        self.run("pg_ctl", "stop", "--wait", "--silent", f"--pgdata={self.folder}/data", "-m", mode)

    def sql(self, statement: str, database: str = "postgres") -> str:
        """Run SQL as the superuser and return the bare answer."""
        where = ["-h", str(self.folder), "-p", str(self.port), "-U", "super", "-d", database]
        return self.run("psql", *where, "-XAtq", "-v", "ON_ERROR_STOP=1", "-c", statement).strip()

    def database(self) -> str:
        """Make an empty database of the owner's, with the grants an application has, and return its name."""
        name = f"d{len(self.made)}"
        self.made.append(name)
        self.sql(f"CREATE DATABASE {name} OWNER owner")
        self.sql(GRANTS, name)
        return name

    def login(self, database: str, user: str = "data", role: str = "owner", **more: float) -> Login:
        return Login(
            database=database,
            host="127.0.0.1",
            port=self.port,
            user=user,
            password=PASSWORD,
            role=role,
            ssl_mode="disable",
            **more,
        )

    def session(self, database: str, user: str = "data", role: str = "owner", **more: float) -> Session:
        """Log in; the application does so as ``session(name, "app", "")``."""
        return connect(self.login(database, user, role, **more))


def as_ansible(module: str, arguments: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    """Run a module in a process of its own, with its arguments on stdin as Ansible gives them; return its exit code and its result."""
    name = f"ansible_collections.plano.delivery.plugins.modules.{module}"
    done = subprocess.run(
        [sys.executable, "-m", name],
        input=json.dumps({"ANSIBLE_MODULE_ARGS": arguments}),
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout.strip(), done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    return done.returncode, result


def newest_binaries() -> Path | None:
    """Return where the newest server of this machine is, or None."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[4]))
    return found[-1].parent if found else None


@contextmanager
def running(binaries: Path, options: str = "-c fsync=off") -> Iterator[Server]:
    """Start a server with a fresh cluster; nothing of it stays."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    folder = Path(tempfile.mkdtemp(prefix="plano-pg-"))
    server = Server(binaries, folder, port, options)
    try:
        if os.geteuid() == 0:
            shutil.chown(folder, "postgres", "postgres")
        secret = folder / "secret"
        secret.write_text(PASSWORD)
        secret.chmod(0o644)
        server.run(
            "initdb", f"--pgdata={folder}/data", "--username=super", f"--pwfile={secret}", "--auth-local=trust", "--auth-host=scram-sha-256",
            "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync",
        )  # fmt: skip
        server.start()
        server.sql(ROLES)
        yield server
    finally:
        if (folder / "data" / "postmaster.pid").exists():
            server.stop("immediate")
        shutil.rmtree(folder, ignore_errors=True)
