# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""PostgreSQL's own programs: found in the server's version, run without a secret in their arguments, and their errors without a row."""

from __future__ import annotations

import ctypes
import os
import re
import shutil
import signal
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Callable, Sequence

from .errors import DataError
from .session import Login, Session

# Debian's and the PostgreSQL project's places of one version beside others.
PLACES = ("/usr/lib/postgresql/{major}/bin", "/usr/pgsql-{major}/bin")
_PR_SET_PDEATHSIG = 1  # prctl(2)
_LIBC = ctypes.CDLL(None)
# The server's words that repeat the text of a value.
_VALUES = re.compile(r"invalid (input|byte)|malformed|out of range|cannot be cast|value too long|incorrect|bad ")


def server_version(session: Session) -> tuple[int, str]:
    """Return the major version and the full one."""
    number, text = session.rows("SELECT current_setting('server_version_num')::int, current_setting('server_version')")[
        0
    ]
    return number // 10000, text


@dataclass(frozen=True)
class Tools:
    """pg_dump and pg_restore of one version, and as whom they log in."""

    folder: Path
    login: Login

    @staticmethod
    def of(session: Session) -> Tools:
        """Find the programs of the server's own version. Raises DataError.

        Older ones cannot read the server; newer ones write settings into the dump that the server does not know.
        """
        major, text = server_version(session)
        on_path = shutil.which("pg_dump")
        places = [Path(place.format(major=major)) for place in PLACES] + ([Path(on_path).parent] if on_path else [])
        found = {place: _major(place / "pg_dump") for place in places if (place / "pg_dump").exists()}
        for place, version in found.items():
            if version == major and (place / "pg_restore").exists():
                return Tools(place, session.login)
        others = ", ".join(f"{version} in {place}" for place, version in found.items()) or "none"
        raise DataError(
            f"{session.login.place} runs PostgreSQL {text} and this host has no pg_dump and pg_restore of version {major} (found: {others}): "
            f"install the package postgresql-client-{major}"
        )

    def start(
        self, program: str, *arguments: str, database: str = "", application: str = "", output: Path | None = None
    ) -> Work:
        """Start a program on *database* (the login's without one); it dies with this process."""
        login = self.login.with_database(database) if database else self.login
        mine = {name: word for name, word in os.environ.items() if not name.startswith("PG")}
        environment = {**mine, **login.environment(), "LC_ALL": "C"}
        if application:
            environment["PGAPPNAME"] = application
        errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the work
        with open(output or os.devnull, "wb") as stream:
            process = subprocess.Popen(
                [str(self.folder / program), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=errors,
                env=environment,
                preexec_fn=die_with_parent(signal.SIGTERM),
            )
        return Work(program, process, errors, login)

    def run(self, program: str, *arguments: str, database: str = "", application: str = "") -> None:
        """Run a program to its end. Raises DataError."""
        self.start(program, *arguments, database=database, application=application).wait()

    def answer(self, program: str, *arguments: str) -> str:
        """Run a program that needs no server, and return what it prints."""
        with tempfile.TemporaryDirectory() as folder:
            output = Path(folder, "out")
            self.start(program, *arguments, output=output).wait()
            return output.read_text(encoding="utf-8", errors="replace")

    @property
    def role(self) -> list[str]:
        """The arguments that let a program become the owner."""
        return [f"--role={self.login.role}"] if self.login.role else []


class Work:
    """A program under way."""

    def __init__(self, program: str, process: subprocess.Popen[bytes], errors: IO[bytes], login: Login) -> None:
        self._program, self._process, self._errors, self._login = program, process, errors, login

    def running(self) -> bool:
        return self._process.poll() is None

    def wait(self) -> None:
        """Wait for its end. Raises DataError in words without a row."""
        try:
            code = self._process.wait()
        except BaseException:  # a signal too must not leave it running; it is raised again
            self.stop()
            raise
        with self._errors:
            self._errors.seek(0)
            said = self._errors.read().decode("utf-8", "replace")
        if code != 0:
            raise DataError(f"{self._program} on {self._login.place}: {first_error(said) or f'ended with code {code}'}")

    def stop(self) -> None:
        """End it and wait until it is gone."""
        if self.running():
            self._process.terminate()
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()


def first_error(said: str) -> str:
    """Return a program's first error: the message itself, never the lines below it, which may show a row."""
    found = [line.split("error:", 1)[1].strip() for line in said.splitlines() if re.match(r"pg_\w+: error:", line)]
    fatal = next((text for text in found if not text.startswith("could not execute query: error returned")), "")
    if _VALUES.search(fatal):
        return fatal.split("ERROR:")[0].strip(" :") + ": a value cannot be read as its column's type"
    return fatal.rstrip(": ")


def listing(text: str) -> list[Entry]:
    """Read what C(pg_restore -l) prints."""
    found = []
    for line in text.splitlines():
        match = re.match(r"(\d+); (\d+) (\d+) (.*)", line)
        if match:
            found.append(Entry(int(match[1]), int(match[2]), int(match[3]), match[4], line))
    return found


@dataclass(frozen=True)
class Entry:
    """An item of a dump: *kind* begins with what it is and goes on with its names; *oid* is the object's in the dumped database."""

    id: int
    catalog: int
    oid: int
    kind: str
    line: str

    @property
    def is_data(self) -> bool:
        return self.kind.startswith("TABLE DATA ")


def pattern(schemas: Sequence[str]) -> list[str]:
    """Return pg_dump's arguments for exactly these schemas."""
    return ["--schema=" + '"' + schema.replace('"', '""') + '"' for schema in schemas]


def die_with_parent(number: signal.Signals) -> Callable[[], None]:
    """Return what a program calls before it begins, for the kernel to end it with this process, however that ends."""
    parent = os.getpid()

    def die() -> None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, number)
        if os.getppid() != parent:  # it has ended already
            os._exit(1)

    return die


def _major(program: Path) -> int:
    done: Any = subprocess.run([str(program), "--version"], capture_output=True, text=True, timeout=30, check=False)
    match = re.search(r" (\d+)", done.stdout)
    return int(match[1]) if match else 0
