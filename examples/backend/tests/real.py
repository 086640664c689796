"""A PostgreSQL server of the tests' own, and backends that run from built artifacts as on a host."""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

BUILD = Path(__file__).resolve().parents[1] / "build.py"
PASSWORD = "pa:ss/w@rd %20"  # every character that a URL would have to escape


def wait_for(condition: Callable[[], Any], seconds: float = 15) -> Any:
    """Return the first true value of *condition*."""
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, f"waited {seconds} s in vain"
        time.sleep(0.05)
    return value


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Postgres:
    """A server on a port of its own, never run as root, with the roles a real environment has."""

    binaries: Path
    data: Path
    port: int

    def run(self, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        as_user: dict[str, Any] = {}
        if os.geteuid() == 0:
            account = service_account()
            as_user = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
        return subprocess.run(
            [str(self.binaries / command[0]), *command[1:]],
            check=check, capture_output=True, text=True, cwd=self.data.parent, **as_user,
        )  # fmt: skip

    def start(self) -> None:
        log = str(self.data.parent / "log")
        options = (
            f"-c listen_addresses=127.0.0.1 -p {self.port} -c unix_socket_directories={self.data.parent} -c fsync=off"
        )
        self.run("pg_ctl", "start", "--wait", "--silent", "-D", str(self.data), "-l", log, "-o", options)

    def stop(self) -> None:
        self.run("pg_ctl", "stop", "--wait", "--silent", "-D", str(self.data), "-m", "fast")

    def sql(self, statement: str, database: str = "plano") -> str:
        """Run SQL as the superuser and return the bare answer."""
        arguments = ["-h", str(self.data.parent), "-p", str(self.port), "-U", "super", "-d", database]
        return self.run("psql", *arguments, "-XAtq", "-v", "ON_ERROR_STOP=1", "-c", statement).stdout.strip()

    def url(self, role: str) -> str:
        return f"postgresql://{role}@127.0.0.1:{self.port}/plano"

    @contextlib.contextmanager
    def locked(self, table: str) -> Iterator[Callable[[], int]]:
        """Hold a table, so that writes to it wait; yields a function that counts those who wait."""
        arguments = ["-h", str(self.data.parent), "-p", str(self.port), "-U", "super", "-d", "plano", "-XAtq"]
        holder = subprocess.Popen(
            [str(self.binaries / "psql"), *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert holder.stdin and holder.stdout
        holder.stdin.write(f"BEGIN; LOCK TABLE {table} IN SHARE MODE; SELECT 'held';\n")
        holder.stdin.flush()
        assert holder.stdout.readline() == "held\n"
        try:
            yield lambda: int(self.sql("SELECT count(*) FROM pg_locks WHERE NOT granted"))
        finally:
            holder.stdin.close()
            holder.wait(10)


def service_account() -> pwd.struct_passwd:
    with contextlib.suppress(KeyError):
        return pwd.getpwnam("postgres")
    return pwd.getpwnam("nobody")


def server_binaries() -> Path | None:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    on_path = shutil.which("postgres")
    return found[-1].parent if found else Path(on_path).parent if on_path else None


@dataclass
class Answer:
    status: int
    json: Any
    text: str


@dataclass
class Process:
    """A backend that runs."""

    popen: subprocess.Popen[bytes]
    port: int
    log: Path

    def request(self, method: str, path: str, body: bytes | dict[str, Any] | None = None, **headers: str) -> Answer:
        data = json.dumps(body).encode() if isinstance(body, dict) else body
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", data, method=method)
        request.add_header("Content-Type", "application/json" if isinstance(body, dict) else "text/csv")
        for name, value in headers.items():
            request.add_header(name.replace("_", "-"), value)
        try:
            with urllib.request.urlopen(request, timeout=40) as reply:
                status, text = reply.status, reply.read().decode()
        except urllib.error.HTTPError as error:
            status, text = error.code, error.read().decode()
        return Answer(status, json.loads(text) if text[:1] in "[{" else None, text)

    def get(self, path: str) -> Answer:
        return self.request("GET", path)

    def import_csv(self, text: str, **headers: str) -> Answer:
        return self.request("POST", "/clients/import", text.encode(), **headers)

    def healthy(self) -> bool:
        try:
            return self.get("/health").status == 200
        except OSError:
            assert self.popen.poll() is None, self.log.read_text()
            return False

    def terminate(self) -> None:
        self.popen.send_signal(signal.SIGTERM)


@dataclass
class Artifacts:
    """Virtual environments made from the artifacts as a host would, each once."""

    folder: Path
    built: dict[str, Path] = field(default_factory=dict)

    def python(self, version: str) -> Path:
        if version not in self.built:
            home = self.folder / version
            with tarfile.open(self.folder / "backend" / f"backend-{version}.tar.gz") as archive:
                archive.extractall(home)
            subprocess.run([sys.executable, "-m", "venv", "--without-pip", home / "venv"], check=True)
            subprocess.run(
                [sys.executable, "-m", "pip", "--python", home / "venv", "install", "--quiet", "--no-index", "--no-deps",
                 "--no-compile", "--require-hashes", "--find-links", home / "wheels", "-r", home / "requirements.txt"],
                check=True,
            )  # fmt: skip
            self.built[version] = home / "venv" / "bin" / "python"
        return self.built[version]


@dataclass
class Backend:
    """Start and migrate any version against one database."""

    artifacts: Artifacts
    database: Postgres
    folder: Path
    processes: list[Process] = field(default_factory=list)

    def environment(self, role: str, **more: str) -> dict[str, str]:
        (self.folder / "database_password").write_text(PASSWORD + "\n")
        (self.folder / "migrator_password").write_text(PASSWORD + "\n")
        settings = {"DATABASE_URL": self.database.url(role), "CREDENTIALS_DIRECTORY": str(self.folder)}
        return {"PATH": os.environ["PATH"], **settings, **more}

    def migrate(self, version: str, *options: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.artifacts.python(version), "-m", "plano_sample", "migrate", *options],
            env=self.environment("plano_migrator", DATABASE_OWNER="plano_owner"),
            check=check, capture_output=True, text=True,
        )  # fmt: skip

    def spawn(self, version: str) -> Process:
        """Start a version without waiting for its health."""
        port = free_port()
        log = self.folder / f"{version}-{port}.log"
        environment = self.environment(
            "plano_app", PORT=str(port), PLANO_RELEASE=f"r-{version}", PLANO_ARTIFACT_SHA256="ab" * 32
        )
        with log.open("wb") as stream:
            popen = subprocess.Popen(
                [self.artifacts.python(version), "-m", "plano_sample", "serve"],
                env=environment,
                stdout=stream,
                stderr=stream,
            )
        process = Process(popen, port, log)
        self.processes.append(process)
        return process

    def serve(self, version: str) -> Process:
        """Start a version and wait until it is healthy."""
        process = self.spawn(version)
        wait_for(process.healthy)
        return process
