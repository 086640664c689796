# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Measure how an artifact comes to the store, beside the least that any tool must do with it: hash it and write it down.

    make bench-artifact ARGS="--megabytes 50 --rounds 5 --folder DIR"

The archive holds random bytes, so nothing is won by compression; the store fetches it from a file: URL, hashes it, reads
every member before a byte is written, unpacks it, hashes every file and makes all of it durable. The floor hashes
the archive once, writes its content once and makes it durable. Both in turn, medians.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import os
import random
import shutil
import statistics
import sys
import tarfile
import tempfile
import time
from collections import defaultdict
from pathlib import Path

from ansible_collections.plano.delivery.plugins.module_utils.engine import fs
from ansible_collections.plano.delivery.plugins.module_utils.engine.store import Store
from ansible_collections.plano.delivery.plugins.module_utils.engine.systemd import Host

SMALL_FILES = 400
SMALL_BYTES = 16 << 10


def make_archive(path: Path, size: int) -> None:
    """Write an uncompressed tar of *size* bytes: a few hundred small files, as wheels have, and large ones of 8 MiB."""
    bytes_of = random.Random(1)
    with tarfile.open(path, "w") as out:
        left = size
        for number in range(10**6):
            length = min(left, SMALL_BYTES if number < SMALL_FILES else 8 << 20)
            member = tarfile.TarInfo(f"lib/{number:06d}")
            member.size = length
            out.addfile(member, io.BytesIO(bytes_of.randbytes(length)))
            left -= length
            if not left:
                return


def floor(archive: Path, folder: Path) -> float:
    """Return the seconds that hashing the archive and writing its bytes durably take."""
    started = time.monotonic()
    digest = hashlib.sha256()
    with archive.open("rb") as source, (folder / "floor").open("wb") as out:
        while chunk := source.read(fs.CHUNK):
            digest.update(chunk)
            out.write(chunk)
        out.flush()
        os.fsync(out.fileno())
    seconds = time.monotonic() - started
    (folder / "floor").unlink()
    return seconds


def store(archive: Path, sha256: str, folder: Path) -> dict[str, float]:
    """Return the seconds of each phase of storing the archive, and of all of it."""
    root = folder / "store"
    started = time.monotonic()
    phases = Store(root, Host()).add({"version": "1", "sha256": sha256, "sources": [archive.as_uri()]})
    seconds = time.monotonic() - started
    shutil.rmtree(root)
    return {**phases, "all": seconds}


def main() -> int:
    """Measure, and print a markdown table."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--megabytes", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folder", type=Path, default=Path("/var/tmp"), help="on the disk to measure")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder, prefix="plano-bench-") as name:
        folder = Path(name)
        archive = folder / "artifact.tar"
        make_archive(archive, options.megabytes << 20)
        sha256 = fs.sha256_file(archive)
        seen: dict[str, list[float]] = defaultdict(list)
        for _round in range(options.rounds):
            seen["floor"].append(floor(archive, folder))
            for phase, seconds in store(archive, sha256, folder).items():
                seen[phase].append(seconds)
    least = statistics.median(seen.pop("floor"))
    print(f"{options.megabytes} MiB, {options.rounds} rounds; sha256 and one durable write: {least:.3f} s\n")
    print("| phase | s | x the floor |\n|---|---:|---:|")
    for phase, times in seen.items():
        print(f"| {phase} | {statistics.median(times):.3f} | {statistics.median(times) / least:.2f} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
