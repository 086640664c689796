# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Commands and systemd, at arm's length: everything the engine starts goes through Host.run()."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Mapping, Sequence

from .errors import EngineError
from .fs import fsync_dir, make_dir, symlink_atomic, unlink_durable, write_if_changed

COMMAND_SECONDS = 120.0
# A unit has time limits of its own (a database writes its last checkpoint when it stops); this is only the last resort.
UNIT_SECONDS = 1800.0
UNIT_DIR = Path("/etc/systemd/system")
WANTS = "multi-user.target.wants"


@dataclass(frozen=True)
class Done:
    """A finished command."""

    argv: Sequence[str]
    code: int
    stdout: str
    stderr: str

    @property
    def why(self) -> str:
        """What the command said last, for a message."""
        said = (self.stderr.strip() or self.stdout.strip()).splitlines()
        return " | ".join(said[-6:]) or f"exit code {self.code} without a word"


class Host:
    """This host's commands and units; tests hand in one that records."""

    proc = Path("/proc")

    def __init__(self, unit_dir: Path = UNIT_DIR) -> None:
        self.unit_dir = unit_dir

    def run(
        self,
        argv: Sequence[str],
        timeout: float = COMMAND_SECONDS,
        env: Mapping[str, str] | None = None,
        stdin: bytes = b"",
    ) -> Done:
        """Run *argv* without a shell; a missing program or a time-out is an exit code, not an exception."""
        try:
            done = subprocess.run(
                list(argv),
                input=stdin,
                capture_output=True,
                timeout=timeout,
                env={**os.environ, "LC_ALL": "C.UTF-8", **(env or {})},
                check=False,
            )
        except FileNotFoundError:
            return Done(argv, 127, "", f"{argv[0]} is not installed")
        except subprocess.TimeoutExpired:
            return Done(argv, 124, "", f"{argv[0]} did not end within {timeout:.0f} s")
        return Done(argv, done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace"))

    def must(self, argv: Sequence[str], timeout: float = COMMAND_SECONDS) -> Done:
        """Run *argv* and raise EngineError with its own words unless it succeeds."""
        done = self.run(argv, timeout)
        if done.code != 0:
            raise EngineError(f"'{' '.join(argv)}' failed: {done.why}")
        return done

    def show(self, unit: str, *names: str) -> dict[str, str]:
        """Return the named properties of *unit*."""
        done = self.run(["systemctl", "show", unit, "--property=" + ",".join(names)])
        return dict(line.split("=", 1) for line in done.stdout.splitlines() if "=" in line)

    def environment(self, unit: str) -> dict[str, str]:
        """Return the variables that the main process of *unit* was started with; empty when there is none."""
        pid = self.show(unit, "MainPID").get("MainPID") or "0"
        try:
            text = (self.proc / pid / "environ").read_bytes().decode(errors="replace")
        except OSError:
            return {}
        return dict(pair.split("=", 1) for pair in text.split("\0") if "=" in pair)

    def is_active(self, unit: str) -> bool:
        return self.show(unit, "ActiveState").get("ActiveState") in ("active", "reloading")

    def daemon_reload(self) -> None:
        self.must(["systemctl", "daemon-reload"])

    def start(self, unit: str) -> None:
        self.run(["systemctl", "reset-failed", unit])
        done = self.run(["systemctl", "start", unit], UNIT_SECONDS)
        if done.code != 0:
            raise EngineError(f"{unit} did not start: {done.why}{self.journal(unit)}")

    def stop(self, unit: str) -> None:
        self.must(["systemctl", "stop", unit], UNIT_SECONDS)
        self.run(["systemctl", "reset-failed", unit])

    def journal(self, unit: str, lines: int = 8) -> str:
        """Return the last words of the latest run of *unit* that said any, ready to be appended to a message."""
        run = self.show(unit, "InvocationID").get("InvocationID")
        # One that crashes again and again may be between two runs, the latest of which has said nothing yet.
        for which in ([f"_SYSTEMD_INVOCATION_ID={run}"], ["--unit", unit]) if run else (["--unit", unit],):
            done = self.run(["journalctl", *which, "--lines", str(lines), "--output=cat", "--no-pager", "--quiet"])
            if done.stdout.strip():
                return f"\nLast words of {unit}:\n{done.stdout.rstrip()}"
        return ""

    def unit_text(self, unit: str) -> str | None:
        """Return the unit file the engine wrote for *unit*, if there is one."""
        try:
            return (self.unit_dir / unit).read_text(encoding="utf-8")
        except FileNotFoundError:
            return None

    def write_unit(self, unit: str, text: str) -> bool:
        """Install *text* as *unit*; say whether it differed."""
        differs = write_if_changed(self.unit_dir / unit, text.encode())
        # A kill may have come between the file and the reload: systemd would then start what the file said before.
        if differs or self.show(unit, "NeedDaemonReload").get("NeedDaemonReload") == "yes":
            self.daemon_reload()
        return differs

    def enable(self, unit: str) -> None:
        """Start *unit* at boot. A link, as 'systemctl enable' makes it, without its reload of all units."""
        wants = self.unit_dir / WANTS
        make_dir(wants)
        if (wants / unit).is_symlink():
            fsync_dir(wants)
        else:
            symlink_atomic(str(self.unit_dir / unit), wants / unit)

    def disable(self, unit: str) -> None:
        unlink_durable(self.unit_dir / WANTS / unit)

    def is_planned(self, name: str) -> bool:
        """Say whether later() has a plan of this *name* that is still to come."""
        return self.is_active(f"{name}.timer")

    def later(self, name: str, seconds: float, argv: Sequence[str]) -> None:
        """Run *argv* in so many seconds, replacing an earlier plan of the same *name*."""
        self.forget(name)
        self.must(["systemd-run", "--quiet", "--collect", f"--unit={name}", f"--on-active={seconds:.0f}", *argv])

    def forget(self, name: str) -> None:
        """Give up what was planned, and end it where it has begun: by its lock, or waiting for it, it does no harm half done."""
        self.run(["systemctl", "stop", f"{name}.timer", f"{name}.service"])
        self.run(["systemctl", "reset-failed", f"{name}.timer", f"{name}.service"])
