"""Put Grafana's artifact beside the others: the real one where it is named, else two versions of a stand-in.

No registry that tests reach has Grafana's server, so the local and test hosts run examples/grafana_stand_in, which says at
every turn that it is none. Its versions end in +standin, so that nobody takes it for the real one.

    grafana.py [--output DIR]                                         the stand-in
    PLANO_GRAFANA_ARTIFACT=/path/to/grafana-X.Y.Z.linux-amd64.tar.gz grafana.py    the real one (several: separated by colons)
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import sys
import tarfile
from pathlib import Path
from typing import Any, Iterable

from catalog import write_if_changed
from mirror import Members, digest_of, write_archive

ROOT = Path(__file__).resolve().parent.parent
STAND_IN = ROOT / "examples" / "grafana_stand_in"
VERSIONS = ("11.6.0+standin", "12.1.0+standin")
NAMED = "PLANO_GRAFANA_ARTIFACT"
# What a role needs of the archive, below its one top directory; a path that ends in a slash is a folder.
NEEDED = ("bin/grafana", "conf/defaults.ini", "public/")


class ArtifactError(Exception):
    """What is no release of Grafana; the message says what to do."""


def stand_in(version: str) -> Members:
    """The files of one version of the stand-in, in Grafana's layout."""
    files = {
        "bin/grafana": STAND_IN / "grafana.py",
        "conf/defaults.ini": STAND_IN / "conf" / "defaults.ini",
        "public/index.html": STAND_IN / "public" / "index.html",
        "LICENSE": ROOT / "LICENSE",
    }
    members = {name: (path.read_bytes(), name.startswith("bin/")) for name, path in files.items()}
    return {**members, "VERSION": (f"{version}\n".encode(), False)}


def build_stand_in(version: str, folder: Path) -> dict[str, Any]:
    """Write an archive of the stand-in; the same files give the same bytes, and those are left alone."""
    path = folder / f"grafana-{version}.linux-any.tar.gz"
    draft = path.with_name(f".{path.name}")
    write_archive(stand_in(version), f"grafana-{version}", draft)
    if digest_of(draft) == digest_of(path):
        draft.unlink()
    else:
        draft.replace(path)
    return entry(version, path)


def entry(version: str, path: Path) -> dict[str, Any]:
    """One artifact as catalog.py wants it."""
    return {"version": version, "file": path.name, "sha256": digest_of(path), "strip": 1}


def real_version(path: Path) -> str:
    """The version of a release of Grafana, from its file VERSION, else from its name."""
    try:
        with tarfile.open(path) as archive:
            names = archive.getnames()
            tops = {name.split("/", 1)[0] for name in names}
            below = {name.split("/", 1)[1] for name in names if "/" in name}
            missing = [need for need in NEEDED if not any(name == need or name.startswith(need) for name in below)]
            if len(tops) != 1 or missing:
                raise ArtifactError(
                    f"{path} is no release of Grafana: "
                    + (f"it lacks {', '.join(missing)}" if missing else "it has no single top directory")
                    + "; name the archive for Linux as Grafana offers it (grafana-X.Y.Z.linux-amd64.tar.gz)"
                )
            said = archive.extractfile(f"{tops.pop()}/VERSION") if "VERSION" in below else None
            text = said.read().decode(errors="replace").strip() if said else ""
    except (OSError, tarfile.TarError) as exc:
        raise ArtifactError(f"{path} cannot be read: {exc}; {NAMED} must name the archive of a release") from exc
    found = re.fullmatch(r"v?(\d+\.\d+\.\d+[0-9A-Za-z.+~-]*)", text) or re.match(
        r"grafana[-_]v?(\d+\.\d+\.\d+)", path.name
    )
    if not found:
        raise ArtifactError(f"{path} does not say its version, neither in a file VERSION nor in its name")
    return found[1]


def take_real(path: Path, folder: Path) -> dict[str, Any]:
    """Copy a release of Grafana to its place, unless it is there."""
    version = real_version(path)
    place = folder / path.name
    if digest_of(place) != digest_of(path):
        draft = place.with_name(f".{place.name}")
        shutil.copyfile(path, draft)
        draft.replace(place)
    return entry(version, place)


def order(item: dict[str, Any]) -> tuple[int, ...]:
    """Older versions first, as with the other components."""
    return tuple(map(int, re.findall(r"\d+", item["version"])[:3]))


def build(output: Path, named: Iterable[Path]) -> str:
    """Leave the artifacts and their index in *output*; say in a line what they are."""
    folder = output / "grafana"
    folder.mkdir(parents=True, exist_ok=True)
    paths = list(named)
    entries = [take_real(path, folder) for path in paths] or [build_stand_in(version, folder) for version in VERSIONS]
    entries.sort(key=order)
    changed = write_if_changed(folder / "index.json", json.dumps(entries, indent=2) + "\n")
    kept = {item["file"] for item in entries} | {"index.json"}
    for path in folder.iterdir():
        if path.name not in kept:
            path.unlink()
    kind = (
        "Grafana itself"
        if paths
        else f"a stand-in; {NAMED}=/path/to/grafana-X.Y.Z.linux-amd64.tar.gz takes the real one"
    )
    return f"grafana: {' and '.join(item['version'] for item in entries)}, {'written' if changed else 'unchanged'} ({kind})"


def main() -> int:
    """Build, or take what is named."""
    parser = argparse.ArgumentParser(description="Put Grafana's artifact beside the others.")
    parser.add_argument("--output", type=Path, default=ROOT / ".cache" / "artifacts", help="default: .cache/artifacts")
    arguments = parser.parse_args()
    named = [Path(item) for item in os.environ.get(NAMED, "").split(os.pathsep) if item]
    try:
        print(build(arguments.output.resolve(), named), flush=True)
    except ArtifactError as error:
        print(f"grafana.py: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
