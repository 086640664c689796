"""Make the artifacts of the monitoring components for the local and test hosts, without upstream's download sites.

Prometheus, Alertmanager and the exporters are repacked from Debian's packages into upstream's layout; bookworm and trixie
carry a real version each. The CloudWatch Exporter is upstream's own jar, by its Maven coordinates. What was fetched is
kept in .cache/mirror; the same packages give the same bytes, and what is built already is left alone. Standard library,
with mmdebstrap (the archive and the keys are those the hosts' images come from), dpkg-deb and mvn as they are configured.

    mirror.py [--output DIR]     build what has changed; artifacts go to DIR/COMPONENT, with an index for catalog.py
    mirror.py --refresh          fetch Debian's packages anew, for example after a security update
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, Iterable, Mapping, NamedTuple, Sequence, Tuple
from urllib.parse import unquote

from catalog import write_if_changed

ROOT = Path(__file__).resolve().parent.parent
CACHE = ROOT / ".cache"
MIRROR = CACHE / "mirror"

# Each with the version of its C library: a program runs on every suite whose library is as new as the symbols it asks for.
SUITES = {"bookworm": (2, 36), "trixie": (2, 41)}
# Level 1: a third of the size for a fifth of level 6's time, and hosts unpack it as fast as they would copy it.
LEVEL = 1

Members = Dict[str, Tuple[bytes, bool]]  # name in the archive to content and whether it is a program


@dataclass(frozen=True)
class Component:
    """What goes from Debian's package into upstream's layout; a path that ends in a slash is a folder with all its files."""

    name: str
    package: str
    files: Mapping[str, str]

    def places(self) -> dict[str, str]:
        """Every path in the package to its name in the archive."""
        documents = f"usr/share/doc/{self.package}"
        return {**self.files, f"{documents}/copyright": "LICENSE", f"{documents}/NOTICE": "NOTICE"}


COMPONENTS = (
    Component(
        "prometheus",
        "prometheus",
        {
            "usr/bin/prometheus": "prometheus",
            "usr/bin/promtool": "promtool",
            "usr/share/doc/prometheus/examples/prometheus.yml": "prometheus.yml",
            "usr/share/doc/prometheus/examples/consoles/": "consoles/",
            "usr/share/doc/prometheus/examples/console_libraries/": "console_libraries/",
        },
    ),
    Component(
        "alertmanager",
        "prometheus-alertmanager",
        {
            "usr/bin/prometheus-alertmanager": "alertmanager",
            "usr/bin/amtool": "amtool",
            "usr/share/doc/prometheus-alertmanager/examples/simple.yml": "alertmanager.yml",
        },
    ),
    Component("node_exporter", "prometheus-node-exporter", {"usr/bin/prometheus-node-exporter": "node_exporter"}),
    Component(
        "postgres_exporter",
        "prometheus-postgres-exporter",
        {"usr/bin/prometheus-postgres-exporter": "postgres_exporter"},
    ),
    Component(
        "blackbox_exporter",
        "prometheus-blackbox-exporter",
        {
            "usr/bin/prometheus-blackbox-exporter": "blackbox_exporter",
            "usr/share/doc/prometheus-blackbox-exporter/examples/blackbox.yml": "blackbox.yml",
        },
    ),
)
# Where a suite splits what upstream ships as one.
ALSO_IN = {("trixie", "prometheus"): ("promtool",)}

JAR = "cloudwatch_exporter"
JAR_COORDINATES = "io.prometheus.cloudwatch:cloudwatch_exporter:{version}:jar:jar-with-dependencies"
# The only version with this classifier there is by these coordinates; a digest, because mvn checks no more than SHA-1.
JARS = {"0.16.0": "f65f377f382c07fcf1577bb29bfb1352ae739258dc5d5ced6ce41d7198566f13"}
MAVEN_COPY = "org.apache.maven.plugins:maven-dependency-plugin:3.6.0:copy"

# Runs with the apt configuration mmdebstrap made for the suite, and before it would unpack anything.
APT_HOOK = " && ".join(
    [
        'cd "$PLANO_FOLDER"',
        'export APT_CONFIG="$MMDEBSTRAP_APT_CONFIG"',
        "apt-get -qq --error-on=any update",
        "apt-get -qq --option APT::Sandbox::User=root download $PLANO_PACKAGES",
    ]
)


class MirrorError(Exception):
    """Something the builder cannot go on with; the message says what to do."""


class Built(NamedTuple):
    """One artifact, for the index and the table."""

    component: str
    version: str
    path: Path
    sha256: str
    inputs: str
    origin: str
    runs_on: str
    state: str
    seconds: float


# --- Debian's packages -----------------------------------------------------------------------------------------------


class Deb(NamedTuple):
    """A package file, as its name tells."""

    path: Path
    package: str
    version: str

    @classmethod
    def of(cls, path: Path) -> Deb:
        """Read name and version off the name of a file."""
        package, version, _architecture = path.stem.split("_")
        return cls(path, package, unquote(version))

    @property
    def upstream(self) -> str:
        """Upstream's version: 2.53.3 of 2.53.3+ds1-2."""
        found = re.match(r"(?:\d+:)?(\d+(?:\.\d+)+)(?=[-+~]|$)", self.version)
        if not found:
            raise MirrorError(f"{self.path.name} has no version that upstream would know; mend tools/mirror.py")
        return found[1]


def packages_of(suite: str) -> dict[str, tuple[str, ...]]:
    """The packages that each component is made from; the first one's version counts."""
    return {one.name: (one.package, *ALSO_IN.get((suite, one.name), ())) for one in COMPONENTS}


def debs_of(component: Component, suite: str, folder: Path) -> list[Deb]:
    """The package files of *component* in a fetched folder, all of one version."""
    found = {deb.package: deb for deb in map(Deb.of, sorted(folder.glob("*.deb")))}
    try:
        debs = [found[package] for package in packages_of(suite)[component.name]]
    except KeyError as missing:
        raise MirrorError(f"{folder} lacks the package {missing}; run tools/mirror.py --refresh") from None
    if len({deb.version for deb in debs}) != 1:
        raise MirrorError(
            f"{suite} carries {' and '.join(f'{deb.package} {deb.version}' for deb in debs)}: "
            "programs of two versions are no release; run tools/mirror.py --refresh when Debian has both"
        )
    return debs


def fetch_debs(suite: str, architecture: str) -> Path:
    """The folder with the packages of *suite*; only the first time the network is needed."""
    packages = sorted(package for names in packages_of(suite).values() for package in names)
    key = hashlib.sha256(repr(packages).encode()).hexdigest()[:8]
    folder = MIRROR / f"{suite}-{architecture}-{key}"
    if folder.is_dir():
        return folder
    say(f"fetch    {len(packages)} packages of {suite} for {architecture}")
    with tempfile.TemporaryDirectory(dir=MIRROR) as scratch:
        staged = Path(scratch, "debs")
        staged.mkdir()
        run(
            ["mmdebstrap", "--quiet", "--variant=custom", "--mode=chrootless", "--format=null", "--skip=update,cleanup",
             f"--architectures={architecture}", f"--setup-hook={APT_HOOK}", suite, "/dev/null"],
            lacking="mmdebstrap",
            failing=f"Debian's packages of {suite} could not be fetched; can this machine reach Debian's archive?",
            environment={"TMPDIR": scratch, "PLANO_FOLDER": str(staged), "PLANO_PACKAGES": " ".join(packages)},
        )  # fmt: skip
        staged.rename(folder)
    return folder


def place(name: str, places: Mapping[str, str]) -> str | None:
    """Where a file of the package goes in the archive, if it does."""
    if name in places:
        return places[name]
    folder = next((one for one in places if one.endswith("/") and name.startswith(one)), None)
    return places[folder] + name[len(folder) :] if folder else None


def read_deb(deb: Deb, places: Mapping[str, str]) -> Members:
    """The files of *places* that a package has."""
    members: Members = {}
    with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", str(deb.path)], stdout=subprocess.PIPE) as unpacking:
        assert unpacking.stdout is not None
        with tarfile.open(fileobj=unpacking.stdout, mode="r|") as archive:
            for member in archive:
                target = place(member.name[2:] if member.name.startswith("./") else member.name, places)
                content = archive.extractfile(member) if target and member.isreg() else None
                if target and content:
                    members[target] = (content.read(), bool(member.mode & 0o111))
        unpacking.stdout.read()  # to its end, else dpkg-deb would fail for want of a reader
    if unpacking.returncode:
        raise tarfile.ReadError("dpkg-deb failed")
    return members


def read_debs(debs: Sequence[Deb], places: Mapping[str, str]) -> Members:
    """The files of *places* out of the packages; every one must be there."""
    members: Members = {}
    for deb in debs:
        try:
            members.update(read_deb(deb, places))
        except tarfile.TarError:
            raise MirrorError(f"{deb.path} is damaged; run tools/mirror.py --refresh") from None
    missing = [source for source, target in places.items() if not any(name.startswith(target) for name in members)]
    if missing:
        raise MirrorError(
            f"{' and '.join(deb.path.name for deb in debs)} carry no {', '.join(missing)}: "
            "Debian moved it; mend COMPONENTS or ALSO_IN in tools/mirror.py"
        )
    return members


def libc_needed(program: bytes) -> tuple[int, int]:
    """The newest symbol version of the C library that a program asks for; (0, 0) when it asks for none.

    These names stand nowhere but in a program's table of dynamic strings; one found elsewhere would err to the safe side.
    """
    found = re.findall(rb"\0GLIBC_([0-9]+)\.([0-9]+)(?=[.\0])", program)
    return max(((int(major), int(minor)) for major, minor in found), default=(0, 0))


def runs_on(members: Members) -> list[str]:
    """The suites whose hosts can run every program of an archive."""
    needed = max((libc_needed(content) for content, is_program in members.values() if is_program), default=(0, 0))
    return [suite for suite, libc in SUITES.items() if libc >= needed]


def write_archive(members: Members, top: str, path: Path) -> None:
    """Write a tar.gz that depends on nothing but *members*: below one top directory, sorted, nobody's, timeless."""
    folders = {f"{top}/{parent}": (b"", True) for name in members for parent in Path(name).parents if parent.name}
    files = {f"{top}/{name}": member for name, member in members.items()}
    draft = path.with_name(path.name + ".new")
    with draft.open("wb") as raw, gzip.GzipFile("", "wb", LEVEL, raw, mtime=0) as packed, tarfile.open(
        mode="w", fileobj=packed, format=tarfile.USTAR_FORMAT
    ) as archive:
        for name, (content, is_program) in sorted({top: (b"", True), **folders, **files}.items()):
            member = tarfile.TarInfo(name)
            member.type = tarfile.REGTYPE if name in files else tarfile.DIRTYPE
            member.size, member.mode = len(content), 0o755 if is_program else 0o644
            archive.addfile(member, io.BytesIO(content))
    draft.replace(path)


# --- The jar ---------------------------------------------------------------------------------------------------------


def fetch_jar(version: str) -> Path:
    """The jar of the CloudWatch Exporter; only the first time the network is needed."""
    coordinates = JAR_COORDINATES.format(version=version)
    path = MIRROR / f"{JAR}-{version}-jar-with-dependencies.jar"
    if path.is_file():
        return path
    say(f"fetch    {coordinates}")
    # In a folder of its own: nothing there is taken for a project, and the plugins that mvn fetches are not kept.
    with tempfile.TemporaryDirectory(dir=MIRROR) as scratch:
        run(
            ["mvn", "--batch-mode", "--quiet", "-Dstyle.color=never", f"-Dmaven.repo.local={scratch}/repository",
             MAVEN_COPY, f"-Dartifact={coordinates}", f"-DoutputDirectory={scratch}"],
            lacking="maven",
            failing=f"{coordinates} could not be fetched; can mvn, as it is configured, reach a Maven repository?",
            cwd=scratch,
        )  # fmt: skip
        fetched = Path(scratch, path.name)
        actual = digest_of(fetched)
        if actual != JARS[version]:
            raise MirrorError(
                f"{path.name} has sha256 {actual}, expected {JARS[version]}: it is not the file that was pinned, "
                "nothing was kept. Find out why before JARS in tools/mirror.py is changed"
            )
        fetched.replace(path)
    return path


# --- Building --------------------------------------------------------------------------------------------------------


def build_archive(component: Component, suite: str, folder: Path, architecture: str, output: Path) -> Built:
    """Repack a component as *suite* has it, unless that was done."""
    started = time.monotonic()
    debs = debs_of(component, suite, folder)
    version = debs[0].upstream
    top = f"{component.name}-{version}.linux-{architecture}"
    path = output / component.name / f"{top}.tar.gz"
    inputs = fingerprint(component.name, component.places(), *(deb.path.name for deb in debs))
    known = index_of(path.parent).get(path.name, {})
    state, digest, suites = "unchanged", digest_of(path), str(known.get("runs_on", ""))
    if not digest or (known.get("inputs"), known.get("sha256")) != (inputs, digest):
        say(f"build    {path.name}")
        members = read_debs(debs, component.places())
        suites = " ".join(runs_on(members))
        path.parent.mkdir(parents=True, exist_ok=True)
        write_archive(members, top, path)
        state, digest = "built", digest_of(path)
    origin = f"{suite} {debs[0].version}"
    return Built(component.name, version, path, digest, inputs, origin, suites, state, time.monotonic() - started)


def build_jar(version: str, output: Path) -> Built:
    """Put the jar into its place, unless it is there."""
    started = time.monotonic()
    path = output / JAR / f"{JAR}-{version}-jar-with-dependencies.jar"
    state = "unchanged"
    if digest_of(path) != JARS[version]:
        source = fetch_jar(version)
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(path.name + ".new")
        shutil.copyfile(source, draft)
        if digest_of(draft) != JARS[version]:
            draft.unlink()
            raise MirrorError(f"{source} is damaged; delete it and run make artifacts again")
        draft.replace(path)
        state = "built"
    digest = JARS[version]
    return Built(JAR, version, path, digest, digest, "Maven", " ".join(SUITES), state, time.monotonic() - started)


def build(output: Path, architecture: str) -> bool:
    """Build all that has changed into *output*; True when anything was written."""
    MIRROR.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        jars = [pool.submit(build_jar, version, output) for version in JARS]
        folders = dict(zip(SUITES, pool.map(lambda suite: fetch_debs(suite, architecture), SUITES)))
        archives = [
            pool.submit(build_archive, component, suite, folders[suite], architecture, output)
            for component in COMPONENTS
            for suite in distinct(component, folders)
        ]
        rows = [job.result() for job in [*archives, *jars]]
    for name in dict.fromkeys(row.component for row in rows):
        write_index(output / name, [row for row in rows if row.component == name])
    built = any(row.state == "built" for row in rows)
    say(table(rows) if built else f"mirror: {len(rows)} artifacts, unchanged")
    return built


def distinct(component: Component, folders: Mapping[str, Path]) -> list[str]:
    """The suites of *component* with a version of their own; of the same version the older suite's runs on both."""
    versions: dict[str, str] = {}
    for suite, folder in folders.items():
        version = debs_of(component, suite, folder)[0].upstream
        if version in versions:
            say(
                f"note     {component.name} is {version} in {versions[version]} and in {suite}: there is no second version"
            )
        versions.setdefault(version, suite)
    return list(versions.values())


def fingerprint(*inputs: object) -> str:
    """A digest of what an archive is made from and of how; Debian never changes a file without its version."""
    total = hashlib.sha256(Path(__file__).read_bytes())
    total.update(repr(inputs).encode())
    return total.hexdigest()


def index_of(folder: Path) -> dict[str, dict[str, Any]]:
    """What is known of the files of a component's folder: name to entry of its index."""
    try:
        return {str(entry["file"]): entry for entry in json.loads((folder / "index.json").read_text(encoding="utf-8"))}
    except (OSError, ValueError, TypeError, KeyError):
        return {}


def write_index(folder: Path, rows: Iterable[Built]) -> None:
    """Say what is in a component's folder: for catalog.py, and for the next run of this."""
    entries = []
    for row in rows:
        entry: dict[str, Any] = {"version": row.version, "file": row.path.name, "sha256": row.sha256}
        entry.update({"format": "file"} if row.component == JAR else {"strip": 1})
        entries.append({**entry, "inputs": row.inputs, "runs_on": row.runs_on})
    write_if_changed(folder / "index.json", json.dumps(entries, indent=2) + "\n")


def table(rows: Iterable[Built]) -> str:
    """What was built, from what, for which hosts, and how long it took."""
    lines = [
        "",
        f"{'component':<20} {'version':<8} {'from':<28} {'runs on':<16} {'MiB':>5} {'state':<10} {'s':>5}  sha256",
    ]
    for row in rows:
        size = row.path.stat().st_size / 2**20
        lines.append(
            f"{row.component:<20} {row.version:<8} {row.origin:<28} {row.runs_on:<16} {size:5.1f} {row.state:<10} "
            f"{row.seconds:5.2f}  {row.sha256}"
        )
    return "\n".join(lines)


# --- Edges -----------------------------------------------------------------------------------------------------------


def run(
    argv: Sequence[str],
    lacking: str,
    failing: str,
    cwd: str | None = None,
    environment: Mapping[str, str] | None = None,
) -> str:
    """Run a command; *lacking* is the package it comes from, *failing* what it means that it failed."""
    try:
        done = subprocess.run(
            list(argv), cwd=cwd, env={**os.environ, **(environment or {})}, capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        raise MirrorError(f"{argv[0]} is not installed; run make setup, which installs the package {lacking}") from None
    if done.returncode:
        # mvn tells its errors on stdout, and resets the colours of a terminal that is none.
        said = re.sub(r"\x1b\[[0-9;]*m", "", done.stdout + done.stderr).strip()
        raise MirrorError(f"{failing}\nWhat was fetched before is kept; run the same command again.\n{said}")
    return done.stdout


def digest_of(path: Path) -> str:
    """The sha256 of a file, empty if there is none."""
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except FileNotFoundError:
        return ""


def say(text: str) -> None:
    """Print at once, also into a pipe, so that a long step shows what it does."""
    print(text, flush=True)


def main() -> int:
    """Build what has changed."""
    parser = argparse.ArgumentParser(description="Make the artifacts of the monitoring components.")
    parser.add_argument("--output", type=Path, default=CACHE / "artifacts", help="default: .cache/artifacts")
    parser.add_argument("--refresh", action="store_true", help="fetch Debian's packages anew")
    arguments = parser.parse_args()
    try:
        architecture = run(["dpkg", "--print-architecture"], "dpkg", "this machine's architecture is unknown").strip()
        if arguments.refresh:
            for suite in SUITES:
                for folder in MIRROR.glob(f"{suite}-*"):
                    shutil.rmtree(folder)
        build(arguments.output.resolve(), architecture)
    except MirrorError as error:
        print(f"mirror.py: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
