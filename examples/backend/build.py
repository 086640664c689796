"""Build the sample backend's versions into artifacts, each a tar.gz with everything a host needs.

All versions come from the one source tree here; a version is a few settings (VERSIONS) written into `_release.py`. The
same input gives the same bytes, and what is built already is left alone. Standard library, and pip to fetch the locked
wheels once.

    build.py [--output DIR]     build what has changed; artifacts go to DIR/backend, with an index of them
    build.py --lock             resolve requirements.in anew into requirements.txt
"""

from __future__ import annotations

import argparse
import base64
import gzip
import hashlib
import io
import json
import platform
import re
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

HERE: Final = Path(__file__).resolve().parent
CACHE: Final = HERE.parents[1] / ".cache"
SOURCE: Final = HERE / "src" / "plano_sample"
LOCK: Final = HERE / "requirements.txt"
INPUT: Final = HERE / "requirements.in"

COMPONENT: Final = "backend"
PYTHONS: Final = ("3.11", "3.13")  # Debian 12 and 13
MACHINES: Final = ("x86_64", "aarch64")
# Only Alembic uses it, a moment per migration: one portable wheel instead of a large compiled one per Python.
PORTABLE: Final = ("sqlalchemy",)


@dataclass(frozen=True)
class Version:
    """One version to build: the newest migration in it, the schemas that stay usable after it, and a built-in fault."""

    version: str
    schema: str
    keeps: tuple[str, ...] = ()
    fault: str = ""

    @property
    def wheel_version(self) -> str:
        """The version as Python packages write it: 1.2.0-broken is 1.2.0+broken there."""
        return self.version.replace("-", "+", 1)

    def manifest(self) -> dict[str, Any]:
        """The artifact's plano.json."""
        schema = {"revision": self.schema, "runs_on": [self.schema], "keeps": list(self.keeps)}
        return {"component": COMPONENT, "version": self.version, "schema": schema}


VERSIONS: Final = (
    Version("1.0.0", schema="0001"),
    Version("1.1.0", schema="0002", keeps=("0001",)),
    Version("1.2.0-broken", schema="0002", keeps=("0001",), fault="unhealthy"),
    Version("1.3.0-crash", schema="0002", keeps=("0001",), fault="crash"),
)


@dataclass(frozen=True)
class Requirement:
    """One locked dependency."""

    name: str
    version: str
    hashes: frozenset[str]


class BuildError(Exception):
    """Something the builder cannot go on with; the message says what to do."""


# --- The application's wheel -----------------------------------------------------------------------------------------


def release_module(version: Version) -> bytes:
    """The `_release.py` of a version: the committed one with this version's settings."""
    text = (SOURCE / "_release.py").read_text(encoding="utf-8")
    for name, value in (("VERSION", version.version), ("SCHEMA", version.schema), ("FAULT", version.fault)):
        text, count = re.subn(rf"(?m)^{name}: Final\[str\] = .*$", f"{name}: Final[str] = {json.dumps(value)}", text)
        if count != 1:
            raise BuildError(f"{SOURCE / '_release.py'} must set {name} once")
    return text.encode()


def source_files(version: Version) -> dict[str, bytes]:
    """The package as this version has it: name in the wheel to content, migrations after its schema left out."""
    files: dict[str, bytes] = {}
    for path in sorted(SOURCE.rglob("*")):
        if not path.is_file() or "__pycache__" in path.parts:
            continue
        if path.parent.name == "versions" and path.name[:4].isdigit() and path.name[:4] > version.schema:
            continue
        name = f"plano_sample/{path.relative_to(SOURCE).as_posix()}"
        files[name] = release_module(version) if name == "plano_sample/_release.py" else path.read_bytes()
    return files


def wheel(version: Version) -> tuple[str, bytes]:
    """The application as a wheel: file name and content."""
    info = f"plano_sample-{version.wheel_version}.dist-info"
    requires = [line for line in INPUT.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]
    metadata = [
        "Metadata-Version: 2.1",
        "Name: plano-sample",
        f"Version: {version.wheel_version}",
        "Summary: Sample backend of plano.delivery",
        "License: GPL-3.0-or-later",
        "Requires-Python: >=3.11",
        *(f"Requires-Dist: {line}" for line in requires),
    ]
    files = source_files(version)
    files[f"{info}/METADATA"] = ("\n".join(metadata) + "\n").encode()
    files[f"{info}/WHEEL"] = b"Wheel-Version: 1.0\nGenerator: plano\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    record = [f"{name},{_record_hash(content)},{len(content)}" for name, content in files.items()]
    files[f"{info}/RECORD"] = ("\n".join([*record, f"{info}/RECORD,,"]) + "\n").encode()

    buffer = io.BytesIO()
    # Stored, not deflated: the bytes then depend on no compression library.
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, content in files.items():
            member = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            member.create_system = 3
            member.external_attr = 0o100644 << 16
            archive.writestr(member, content)
    return f"plano_sample-{version.wheel_version}-py3-none-any.whl", buffer.getvalue()


def _record_hash(content: bytes) -> str:
    return "sha256=" + base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()


# --- The locked dependencies -----------------------------------------------------------------------------------------


def read_lock(text: str) -> list[Requirement]:
    """The requirements in a lock file."""
    joined = text.replace("\\\n", " ")
    found = []
    for line in joined.splitlines():
        words = line.split("#", 1)[0].split()
        if not words:
            continue
        name, equals, version = words[0].partition("==")
        hashes = frozenset(word.removeprefix("--hash=sha256:") for word in words[1:] if word.startswith("--hash="))
        if not equals or not hashes:
            raise BuildError(f"{LOCK}: {words[0]} needs an exact version and hashes; run build.py --lock")
        found.append(Requirement(name, version, hashes))
    return found


def fetch_wheels(lock: Path, machine: str) -> Path:
    """The folder with the locked wheels for all Pythons on *machine*; only the first time the network is needed."""
    key = hashlib.sha256(lock.read_bytes() + repr((PYTHONS, machine)).encode()).hexdigest()[:16]
    folder = CACHE / "wheels" / f"{COMPONENT}-{key}"
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        staged = Path(scratch, "wheels")
        for python in PYTHONS:
            say(f"fetch    wheels for CPython {python} on {machine}")
            _download(["--require-hashes", "--no-deps", "-r", str(lock)], python, machine, staged)
        try:
            staged.rename(folder)
        except OSError:
            # Another build was here first, with the same wheels.
            if not folder.is_dir():
                raise
    return folder


def _download(arguments: list[str], python: str, machine: str | None, folder: Path) -> None:
    """Run pip download; without a machine only portable wheels count."""
    # manylinux up to 2_28, whatever this machine's C library is, so that every Debian 12 and 13 can load them.
    tags = ("manylinux_2_28", "manylinux_2_17", "manylinux2014") if machine else ()
    platforms = [f"--platform={tag}_{machine}" for tag in tags] or ["--platform=any"]
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    command += ["--only-binary=:all:", "--implementation=cp", f"--python-version={python}", *platforms]
    done = subprocess.run([*command, "--dest", str(folder), *arguments], check=False, capture_output=True, text=True)
    if done.returncode:
        raise BuildError(f"pip download failed; is the package index reachable?\n{done.stderr.strip()}")


def wheels_for(requirements: Iterable[Requirement], folder: Path) -> dict[str, bytes]:
    """The wheels of *folder*; every one is locked, and every requirement has one."""
    files = {path.name: path.read_bytes() for path in sorted(folder.glob("*.whl"))}
    present = {hashlib.sha256(content).hexdigest(): name for name, content in files.items()}
    requirements = list(requirements)
    locked = frozenset[str]().union(*(requirement.hashes for requirement in requirements))
    strange = sorted(name for digest, name in present.items() if digest not in locked)
    missing = sorted(requirement.name for requirement in requirements if not requirement.hashes & present.keys())
    if strange or missing:
        raise BuildError(
            f"{folder} does not match the lock ({', '.join([*strange, *missing])}): delete it, build again"
        )
    return files


def lock() -> None:
    """Resolve requirements.in for every Python and machine, and write the versions and all hashes down."""
    hashes: dict[tuple[str, str], set[str]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        for python in PYTHONS:
            for machine in MACHINES:
                say(f"resolve  for CPython {python} on {machine}")
                _download(["-r", str(INPUT)], python, machine, Path(scratch))
        for path in Path(scratch).glob("*.whl"):
            name, version = path.name.split("-")[:2]
            hashes.setdefault((name.lower().replace("_", "-"), version), set())
        for name, version in hashes:
            if name in PORTABLE:
                for path in Path(scratch).glob(f"{name}-*.whl"):
                    path.unlink()
                _download(["--no-deps", f"{name}=={version}"], PYTHONS[0], None, Path(scratch))
        for path in Path(scratch).glob("*.whl"):
            name, version = path.name.split("-")[:2]
            hashes[name.lower().replace("_", "-"), version].add(hashlib.sha256(path.read_bytes()).hexdigest())
    if len({name for name, _digest in hashes}) != len(hashes):
        raise BuildError(f"the Pythons and machines resolve to different versions: {sorted(hashes)}")
    lines = ["# Made from requirements.in by build.py --lock."]
    for (name, version), digests in sorted(hashes.items()):
        lines.append(
            " \\\n    ".join([f"{name}=={version}", *(f"--hash=sha256:{digest}" for digest in sorted(digests))])
        )
    LOCK.write_text("\n".join(lines) + "\n", encoding="utf-8")
    say(f"wrote    {LOCK.name}: {len(hashes)} packages, {sum(map(len, hashes.values()))} wheels")


# --- The archives ----------------------------------------------------------------------------------------------------


def members(version: Version, requirements: Iterable[Requirement], dependencies: dict[str, bytes]) -> dict[str, bytes]:
    """Everything in a version's archive: name to content."""
    name, content = wheel(version)
    present = {hashlib.sha256(data).hexdigest() for data in dependencies.values()}
    lines = [
        " ".join([f"{item.name}=={item.version}", *(f"--hash=sha256:{one}" for one in sorted(item.hashes & present))])
        for item in requirements
    ]
    lines.append(f"plano-sample=={version.wheel_version} --hash=sha256:{hashlib.sha256(content).hexdigest()}")
    files = {
        "plano.json": (json.dumps(version.manifest(), indent=2) + "\n").encode(),
        "requirements.txt": ("\n".join(lines) + "\n").encode(),
        f"wheels/{name}": content,
    }
    files |= {f"wheels/{wheel_name}": data for wheel_name, data in dependencies.items()}
    return files


def write_archive(files: dict[str, bytes], path: Path) -> None:
    """Write a tar.gz that depends on nothing but *files*: sorted, nobody's, timeless."""
    # Level 0: wheels are compressed already, hosts unpack it faster, and the bytes depend on no compression library.
    with (
        path.open("wb") as raw,
        gzip.GzipFile("", "wb", 0, raw, mtime=0) as packed,
        tarfile.open(mode="w", fileobj=packed, format=tarfile.USTAR_FORMAT) as archive,
    ):
        for name, content in sorted(files.items()):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            member.mode = 0o644
            archive.addfile(member, io.BytesIO(content))


def build(output: Path, machine: str) -> bool:
    """Build all versions whose input changed into *output*; True when anything was written."""
    requirements = read_lock(LOCK.read_text(encoding="utf-8"))
    folder = output / COMPONENT
    folder.mkdir(parents=True, exist_ok=True)
    index = folder / "index.json"
    try:
        known = json.loads(index.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        known = []
    dependencies: dict[str, bytes] = {}
    rows, entries, written = [], [], False
    for version in VERSIONS:
        started = time.monotonic()
        path = folder / f"{COMPONENT}-{version.version}.tar.gz"
        inputs = fingerprint(version, machine)
        digest = _digest(path)
        state = "unchanged"
        entry = {"version": version.version, "file": path.name, "sha256": digest, "inputs": inputs}
        if digest is None or entry not in known:
            say(f"build    {path.name}")
            dependencies = dependencies or wheels_for(requirements, fetch_wheels(LOCK, machine))
            draft = path.with_name(path.name + ".new")
            write_archive(members(version, requirements, dependencies), draft)
            draft.replace(path)
            digest, state, written = _digest(path) or "", "built", True
        entries.append({**entry, "sha256": digest})
        _write_if_changed(path.with_name(path.name + ".sha256"), f"{digest}  {path.name}\n")
        rows.append((version, path, digest, state, time.monotonic() - started))
    _write_if_changed(index, json.dumps(entries, indent=2) + "\n")

    say("")
    say(f"{'version':<14} {'schema':<7} {'MiB':>5} {'state':<10} {'s':>5}  sha256")
    for version, path, digest, state, seconds in rows:
        size = path.stat().st_size / 2**20
        say(f"{version.version:<14} {version.schema:<7} {size:5.1f} {state:<10} {seconds:5.2f}  {digest}")
    return written


def fingerprint(version: Version, machine: str) -> str:
    """A digest of everything an archive is made from."""
    total = hashlib.sha256(repr((version, machine, PYTHONS)).encode())
    for path in (Path(__file__), LOCK, INPUT):
        total.update(hashlib.sha256(path.read_bytes()).digest())
    for name, content in source_files(version).items():
        total.update(name.encode() + b"\0" + hashlib.sha256(content).digest())
    return total.hexdigest()


def _digest(path: Path) -> str | None:
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except FileNotFoundError:
        return None


def _write_if_changed(path: Path, text: str) -> None:
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        draft = path.with_name(path.name + ".new")
        draft.write_text(text, encoding="utf-8")
        draft.replace(path)


def say(text: str) -> None:
    """Print at once, also into a pipe, so that a long step shows what it does."""
    print(text, flush=True)


def main() -> int:
    """Build, or lock."""
    parser = argparse.ArgumentParser(description="Build the sample backend's artifacts.")
    parser.add_argument("--output", type=Path, default=CACHE / "artifacts", help="default: .cache/artifacts")
    parser.add_argument("--machine", choices=MACHINES, default=platform.machine(), help="default: this machine's")
    parser.add_argument("--lock", action="store_true", help="write requirements.txt anew from requirements.in")
    arguments = parser.parse_args()
    try:
        if arguments.lock:
            lock()
        else:
            build(arguments.output.resolve(), arguments.machine)
    except BuildError as error:
        print(f"build.py: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
