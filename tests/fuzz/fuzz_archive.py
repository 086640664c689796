# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Feed the archive checker random hostile archives and insist on what it promises.

An archive is either refused by ArchiveError, soon and in bounded memory, or it is unpacked, and then nothing outside
of the destination has changed, no link leads out, nothing is special or setuid, there is as much as was declared, and tarfile reads
the very same tree from it. Unpacking without inspecting first must keep to the same.

    python tests/fuzz/fuzz_archive.py --seconds 60 --seed 1     # the same seed makes the same archives
    python tests/fuzz/fuzz_archive.py .cache/fuzz/1-2345.tar    # what a finding was written to
"""

from __future__ import annotations

import argparse
import bz2
import contextlib
import gzip
import io
import itertools
import lzma
import os
import random
import re
import resource
import shutil
import signal
import stat
import sys
import tarfile
import tempfile
import time
import traceback
import zlib
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable, Iterator

import rawtar
from rawtar import BLOCK, END, GNU, POSIX

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / ".cache/collections"))

from ansible_collections.plano.delivery.plugins.module_utils.engine import archive as checker

ROOT = Path(__file__).resolve().parents[2]
FINDINGS = ROOT / ".cache/fuzz"
CPU_SECONDS = 3.0  # for one archive; the ones made here are small
MEMORY = 1 << 30
STRIPS = (0, 0, 0, 1, 2)

Maker = random.Random


class Finding(AssertionError):
    """The checker did not keep what it promises."""


class TooSlow(BaseException):
    """Raised by the timer; no handler in between may take it for a refusal."""


# -- making archives ---------------------------------------------------------------------------------

NAMES = (b"a", b"b", b"c", b"d", b"e", b"f", b"g", b"h", b"l", b"m", b"n", b"o")
ODD_NAMES = (
    *(b"..", b".", b"", b"/", b"\xff", "ü☃".encode(), b" ", b"a\0b", b"a\nb", b"\x1b[2J", b"-rf", b"~", b"a\\b", b"*"),
    *(b"n" * 99, b"n" * 100, b"n" * 101, b"n" * 255, b"n" * 256, b"n" * 1200, b"x/" * 99, b"x/" * 130),
    *(b"/etc", b"../../../secret", b"entry.json", b"\xed\xa0\x80", b"\xc2\x85", b"__pycache__"),
)
ODD_KINDS = (b"1", b"3", b"4", b"6", b"7", b"\0", b"S", b"V", b"M", b"D", b"N", b"X", b"s", b"\xff", b"A")
ODD_SIZES = (
    b"",
    b"-1",
    b"7777777777777"[:12],
    b"\xff" * 12,
    b"\x80" + b"\xff" * 11,
    b"\x80" + bytes(10) + b"\x05",
    b" 12 ",
    b"9",
    b"0x10",
)


def path(make: Maker, odd: float) -> bytes:
    parts = [
        make.choice(ODD_NAMES if make.random() < odd else NAMES) for _part in range(make.choice((1, 1, 1, 2, 2, 3, 5)))
    ]
    name = b"/".join(parts)
    return (b"./" if make.random() < 0.1 else b"") + name


def target(make: Maker, odd: float) -> bytes:
    up = b"../" * make.choice((0, 0, 0, 0, 1, 1, 2, 4))
    return up + path(make, odd)


def extension(make: Maker, odd: float) -> bytes:
    """Return an extension header for the member to come."""
    what = make.random()
    if what < 0.3:
        return rawtar.gnu_long(rawtar.LONG_NAME, path(make, odd))
    if what < 0.45:
        return rawtar.gnu_long(rawtar.LONG_LINK, target(make, odd))
    keys: dict[str, Callable[[], bytes]] = {
        "path": lambda: path(make, odd),
        "linkpath": lambda: target(make, odd),
        "size": lambda: make.choice((b"0", b"5", b"512", b"-512", b"x", b"99999999999", b"")),
        "mtime": lambda: b"1700000000.5",
        "comment": lambda: make.randbytes(make.choice((0, 40, 2000))),
        "hdrcharset": lambda: b"BINARY",
        "GNU_sparse_major": lambda: b"1",
        "GNU_sparse_name": lambda: path(make, odd),
        "GNU_sparse_map": lambda: b"0,5",
    }
    chosen = make.sample(
        sorted(keys)[2:] if make.random() < odd else ["path", "linkpath", "mtime", "comment"], make.choice((1, 1, 2, 3))
    )
    kind = rawtar.GLOBAL if make.random() < odd else rawtar.PAX
    return rawtar.pax(kind, **{key: keys[key]() for key in chosen})


def member(make: Maker, odd: float) -> bytes:
    made = b""
    while make.random() < 0.2:
        made += extension(make, odd)
    kind = make.choices((rawtar.FILE, rawtar.DIR, rawtar.LINK, make.choice(ODD_KINDS)), (50, 15, 30, 100 * odd))[0]
    content = (
        make.randbytes(make.choice((0, 5, 5, 511, 512, 513, 2000)))
        if kind == rawtar.FILE or make.random() < odd
        else b""
    )
    fields: dict[str, Any] = {
        "mode": make.choice(
            (0o644, 0o755, 0o600, 0o4755, 0o2755, 0o1777, 0) if make.random() < odd else (0o644, 0o755)
        ),
        "magic": make.choice((POSIX, GNU, bytes(8), b"ustar\0\0\0") if make.random() < odd else (POSIX, GNU)),
        "prefix": path(make, odd)[:155] if make.random() < odd / 4 else b"",
    }
    if make.random() < odd / 4:
        fields["size"] = make.choice((*ODD_SIZES, make.randrange(4000)))
    name = path(make, odd)
    if (kind == rawtar.DIR and make.random() < 0.5) or make.random() < odd / 4:
        name += b"/"
    pointing = target(make, odd) if kind in (rawtar.LINK, rawtar.HARD) or make.random() < odd / 4 else b""
    return made + rawtar.member(name, content, kind, target=pointing, **fields)


def honest(make: Maker) -> bytes:
    """Return what Python's own tarfile writes for a tree of files, directories and links."""
    out = io.BytesIO()
    with tarfile.open(
        fileobj=out, mode="w", format=make.choice((tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT))
    ) as tar:
        for number in range(make.randrange(1, 8)):
            info = tarfile.TarInfo(f"top/{'long-' * make.choice((0, 0, 15, 40))}{number}"[:200])
            info.type = make.choice((tarfile.REGTYPE, tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE))
            info.linkname = "../" * make.randrange(3) + f"top/{number}" if info.issym() else ""
            content = make.randbytes(make.choice((0, 700))) if info.isreg() else b""
            info.size, info.mtime = len(content), 1700000000.5
            with contextlib.suppress(ValueError):  # a name too long for ustar
                tar.addfile(info, io.BytesIO(content))
    return out.getvalue()


def mutated(make: Maker, data: bytes) -> bytes:
    """Return *data* with a few changes, some of them with a checksum that still holds."""
    blocks = [data[start : start + BLOCK] for start in range(0, len(data), BLOCK)]
    for _change in range(make.choice((1, 1, 2, 5))):
        if not blocks:
            return b""
        place = make.randrange(len(blocks))
        change = make.randrange(7)
        block = bytearray(blocks[place].ljust(BLOCK, b"\0"))
        if change == 0:
            block[make.randrange(BLOCK)] = make.randrange(256)
            blocks[place] = bytes(block)
        elif change in (1, 2):
            # one of the fields: name, mode, size, kind, target, magic, prefix
            start, end = make.choice(((0, 100), (100, 108), (124, 136), (156, 157), (157, 257), (257, 265), (345, 500)))
            block[make.randrange(start, end)] = make.choice(
                (0, ord("/"), ord("."), ord("7"), 0x80, 0xFF, make.randrange(256))
            )
            blocks[place] = rawtar.seal(bytes(block))
        elif change == 3:
            blocks.insert(make.randrange(len(blocks)), blocks[place])
        elif change == 4:
            del blocks[place]
        elif change == 5:
            blocks[place] = bytes(BLOCK)
        else:
            other = make.randrange(len(blocks))
            blocks[place], blocks[other] = blocks[other], blocks[place]
    return b"".join(blocks)


def made_archive(make: Maker) -> bytes:
    """Return an archive that may be anything from sound to senseless, but looks like one for some way."""
    if make.random() < 0.15:
        data = honest(make)
    else:
        # Most refusals hide what stands behind them: often all but one member is plain.
        odds = [make.choice((0.0, 0.0, 0.02, 0.2))] * make.choice((0, 1, 2, 3, 5, 8, 20))
        if odds and make.random() < 0.6:
            odds[make.randrange(len(odds))] = 0.5
        data = b"".join(member(make, odd) for odd in odds)
        data += make.choices(
            (END, bytes(10240), b"", bytes(BLOCK), END + b"x", END + data + END), (60, 20, 2, 2, 2, 2)
        )[0]
    if make.random() < 0.3:
        data = mutated(make, data)
    if make.random() < 0.08:
        data = data[: make.randrange(len(data) + 1)]
    data = make.choice(
        (bytes, bytes, bytes, lambda raw: gzip.compress(raw, 1, mtime=0), lambda raw: bz2.compress(raw, 1), packed_xz)
    )(data)
    if make.random() < 0.1 and data:
        place = make.randrange(len(data))
        data = make.choice(
            (data[:place], data + make.randbytes(9), data[:place] + make.randbytes(1) + data[place + 1 :], data + data)
        )
    return data


def packed_xz(data: bytes) -> bytes:
    return lzma.compress(data, preset=0)


# -- what must hold ----------------------------------------------------------------------------------


class Ground:
    """A directory to unpack into, and around it what an archive might reach for."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.into = root / "1/2/3/into"
        self.archive = root / "archive"
        for name in ("secret", "1/secret", "1/2/a", "1/2/3/b", "1/2/3/l", "a/b"):
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(name)
        self.into.mkdir()
        self.before = self.outside()

    def outside(self) -> dict[str, tuple[Any, ...]]:
        found: dict[str, tuple[Any, ...]] = {}
        for folder, folders, files in os.walk(self.root):
            if folder == str(self.into.parent) and "into" in folders:
                folders.remove("into")
            for name in folders + files:
                place = os.path.join(folder, name)
                info = os.lstat(place)
                if place != str(self.archive):
                    found[place] = (
                        info.st_mode,
                        info.st_ino,
                        info.st_nlink,
                        stat.S_ISREG(info.st_mode) and (info.st_size, info.st_mtime_ns),
                    )
        return found

    def unpack(self, strip: int) -> str | None:
        """Unpack the archive; return the words of a refusal. Whatever happens, nothing outside may change."""
        shutil.rmtree(self.into, ignore_errors=True)
        self.into.mkdir()
        try:
            checker.extract(self.archive, self.into, strip)
        except checker.ArchiveError as exc:
            return str(exc)
        finally:
            if self.outside() != self.before:
                raise Finding("something outside of the destination has changed")
        return None

    def tree(self, whole: bool) -> dict[str, tuple[str, bytes]]:
        """Return what stands in the destination, kind and content of each; refuse what must not stand there.

        Unless it is *whole*, its last file may not have its mode yet.
        """
        modes = (0o644, 0o755) if whole else (0o644, 0o755, 0o600)
        found = {}
        inside = os.path.realpath(self.into) + "/"
        for folder, folders, files in os.walk(self.into):
            for name in folders + files:
                place = os.path.join(folder, name)
                mode = os.lstat(place).st_mode
                relative = os.path.relpath(place, self.into)
                if stat.S_ISLNK(mode):
                    if not (os.path.realpath(place) + "/").startswith(inside):
                        raise Finding(f"{relative!r} leads out, to {os.readlink(place)!r}")
                    found[relative] = ("link", os.fsencode(os.readlink(place)))
                elif stat.S_ISDIR(mode) and stat.S_IMODE(mode) == 0o755:
                    found[relative] = ("directory", b"")
                elif stat.S_ISREG(mode) and stat.S_IMODE(mode) in modes:
                    found[relative] = ("file", Path(place).read_bytes())
                else:
                    raise Finding(f"{relative!r} has mode {mode:o}")
        return found


def tarfile_tree(data: bytes, strip: int) -> dict[str, tuple[str, bytes]] | None:
    """Return what Python's tarfile reads from an archive, or None where it cannot."""
    found: dict[str, tuple[str, bytes]] = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(data)) as tar:
            for info in tar:
                parts = [part for part in info.name.split("/") if part not in ("", ".")][strip:]
                for depth in range(1, len(parts)):
                    found.setdefault("/".join(parts[:depth]), ("directory", b""))
                if not parts:
                    continue
                name = "/".join(parts)
                if info.issym():
                    found[name] = ("link", os.fsencode(info.linkname))
                elif info.isdir():
                    found[name] = ("directory", b"")
                elif info.isreg():
                    source = tar.extractfile(info)
                    found[name] = ("file", source.read() if source else b"")
                else:
                    found[name] = (f"kind {info.type!r}", b"")
    except (tarfile.TarError, OSError, EOFError, ValueError, zlib.error, lzma.LZMAError, RecursionError):
        return None
    return found


def judge(ground: Ground, data: bytes, strip: int) -> tuple[str | None, bool]:
    """Let the checker see *data*; return its refusal and whether tarfile was there to compare. Raises Finding."""
    ground.archive.write_bytes(data)
    refusal: str | None = None
    try:
        with cpu_limit():
            contents = checker.inspect(ground.archive, strip)
    except checker.ArchiveError as exc:
        refusal = str(exc)
    with cpu_limit():
        again = ground.unpack(strip)
    if again != refusal:
        raise Finding(f"inspect said {refusal!r}, extract said {again!r}")
    tree = ground.tree(whole=refusal is None)
    if refusal is not None:
        if any(kind == "link" for kind, _content in tree.values()):
            raise Finding("a link was written before the archive was refused")
        return refusal, False
    if (contents.members, contents.size) != (
        len(tree),
        sum(len(content) for kind, content in tree.values() if kind == "file"),
    ):
        raise Finding(f"{contents} was announced, {len(tree)} members were written")
    other = tarfile_tree(data, strip)
    if other is not None and other != tree:
        differs = {
            name: (tree.get(name), other.get(name))
            for name in tree.keys() | other.keys()
            if tree.get(name) != other.get(name)
        }
        raise Finding(f"tarfile reads something else: {str(differs)[:500]}")
    return None, other is not None


@contextlib.contextmanager
def cpu_limit() -> Iterator[None]:
    def too_slow(_signal: int, _frame: object) -> None:
        raise TooSlow

    previous = signal.signal(signal.SIGPROF, too_slow)
    signal.setitimer(signal.ITIMER_PROF, CPU_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, previous)


# -- running -----------------------------------------------------------------------------------------


@dataclass
class Report:
    """What a run saw."""

    executions: int = 0
    accepted: int = 0
    compared: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    findings: dict[str, bytes] = field(default_factory=dict)

    def __str__(self) -> str:
        refusals = "".join(f"{count:8}  {reason}\n" for reason, count in self.refused.most_common())
        return (
            f"{self.executions} executions: {self.accepted} accepted ({self.compared} of them read the same by tarfile), "
            f"{sum(self.refused.values())} refused for {len(self.refused)} reasons, {len(self.findings)} findings\n{refusals}"
        )


def reason(refusal: str) -> str:
    """Return what is common to refusals of one kind: no names, no numbers, no advice."""
    return re.sub(r"b?(\"[^\"]*\"|'(?:[^'\\]|\\.)*')(\.\.\.)?|\d+", "_", refusal).split(";")[0]


def one(ground: Ground, data: bytes, strip: int, report: Report) -> None:
    report.executions += 1
    try:
        refusal, compared = judge(ground, data, strip)
    except Finding as exc:
        report.findings[str(exc)] = data
    except TooSlow:
        report.findings[f"more than {CPU_SECONDS} s of processor time"] = data
    except Exception as exc:
        where = traceback.extract_tb(exc.__traceback__)[-1]
        report.findings[f"{type(exc).__name__}: {exc} (line {where.lineno} of {Path(where.filename).name})"] = data
    else:
        report.accepted += refusal is None
        report.compared += compared
        if refusal is not None:
            report.refused[reason(refusal)] += 1


def fuzz(root: Path, seed: int, enough: Callable[[Report], bool]) -> Report:
    """Make archives from *seed* until it is enough."""
    ground = Ground(root)
    report = Report()
    for number in itertools.count():
        if enough(report):
            return report
        make = random.Random(f"{seed}-{number}")
        one(ground, made_archive(make), make.choice(STRIPS), report)
    raise AssertionError("counting does not end")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("archive", nargs="*", type=Path, help="judge these files instead of making archives")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    args = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    with tempfile.TemporaryDirectory() as scratch:
        if args.archive:
            report, ground = Report(), Ground(Path(scratch))
            for file in args.archive:
                for strip in sorted(set(STRIPS)):
                    one(ground, file.read_bytes(), strip, report)
        else:
            print(f"seed {args.seed}, Python {sys.version.split()[0]}", flush=True)
            until = time.monotonic() + args.seconds
            report = fuzz(Path(scratch), args.seed, lambda _report: time.monotonic() > until)
    print(report, end="")
    for number, (finding, data) in enumerate(report.findings.items()):
        print(f"FINDING {finding}")
        if not args.archive:
            FINDINGS.mkdir(parents=True, exist_ok=True)
            kept = FINDINGS / f"{args.seed}-{number}.tar"
            kept.write_bytes(data)
            print(f"  reproduce: python tests/fuzz/fuzz_archive.py {kept.relative_to(ROOT)}")
    return 1 if report.findings else 0


if __name__ == "__main__":
    sys.exit(main())
