"""Where promtool is: named by PLANO_PROMTOOL, or in the mirror's archives of Prometheus, newest first."""

from __future__ import annotations

import os
import re
import subprocess
import tarfile
from pathlib import Path

from rule_files import ROOT

ARTIFACTS = ROOT / ".cache" / "artifacts" / "prometheus"
UNPACKED = ROOT / ".cache" / "promtool"


class NoPromtoolError(RuntimeError):
    """promtool is nowhere."""


def promtools() -> list[Path]:
    """Return every promtool there is, the newest first."""
    named = os.environ.get("PLANO_PROMTOOL", "")
    if named:
        found = [Path(name) for name in named.split(os.pathsep)]
        missing = [str(path) for path in found if not path.is_file()]
        if missing:
            raise NoPromtoolError(f"PLANO_PROMTOOL names {', '.join(missing)}, which is no file")
        return found
    archives = sorted(ARTIFACTS.rglob("*.tar.gz"), key=version, reverse=True)
    if not archives:
        raise NoPromtoolError(
            f"There is no promtool: no archive of Prometheus below {ARTIFACTS.relative_to(ROOT)}. "
            "Let 'make artifacts' fill the mirror, or name one: PLANO_PROMTOOL=/path/to/promtool"
        )
    return [unpacked(archive) for archive in archives]


def version(archive: Path) -> tuple[int, ...]:
    """Return the version in an archive's name, for sorting; one without any is the oldest."""
    found = re.search(r"(\d+(?:\.\d+)+)", archive.name)
    return tuple(int(part) for part in found.group(1).split(".")) if found else ()


def unpacked(archive: Path) -> Path:
    """Take promtool out of an archive of Prometheus, once."""
    target = UNPACKED / archive.name.replace(".tar.gz", "") / "promtool"
    if not target.exists() or target.stat().st_mtime < archive.stat().st_mtime:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tarfile.open(archive) as contents:
            member = next((each for each in contents if each.isfile() and Path(each.name).name == "promtool"), None)
            source = contents.extractfile(member) if member else None
            if source is None:
                raise NoPromtoolError(f"{archive} holds no promtool")
            fresh = target.with_name(f".promtool.{os.getpid()}")
            fresh.write_bytes(source.read())
        fresh.chmod(0o755)
        fresh.rename(target)
    return target


def run(promtool: Path, *arguments: str | Path) -> tuple[int, str]:
    """Run promtool; return its exit code and all it said."""
    done = subprocess.run([promtool, *arguments], capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr
