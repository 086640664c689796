# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hostile archives by name, each with its exact message, through the engine's own way in; then sound ones."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import lzma
import os
import stat
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from rawtar import (
    BLOCK_DEVICE,
    CHAR,
    DIR,
    END,
    FIFO,
    GLOBAL,
    GNU,
    HARD,
    LONG_LINK,
    LONG_NAME,
    NONE,
    PAX,
    SPARSE,
    archive,
    gnu_long,
    gzip_bomb,
    header,
    link,
    member,
    padded,
    pax,
    records,
)

from ansible_collections.plano.delivery.plugins.module_utils.engine import archive as engine
from ansible_collections.plano.delivery.plugins.module_utils.engine.archive import ArchiveError, extract, inspect
from ansible_collections.plano.delivery.plugins.module_utils.engine.errors import EngineError
from ansible_collections.plano.delivery.plugins.module_utils.engine.store import Store

RELATIVE = "pack again from inside the directory: tar -C DIR -czf FILE ."
ONCE = "pack again, each path once"
AGAIN = "fetch or build it again"
WITHOUT = "which no release may hold; pack again without it"
INSIDE = "let it point inside, relative, or pack what it points to with tar --dereference"
RETAR = "pack it again with tar"
# What lies this far above the directory that is unpacked into is in the surroundings of the store, see there.
UP = "../../../../"
NEGATIVE = b"\xff" * 11 + b"\0"  # -256, base 256
GOOD = member("app/main.py", b"print()\n")
ROOT = member("./", kind=DIR)


def chain(length: int) -> list[bytes]:
    """Return that many links, each to the next, the last one to a directory."""
    return [link(f"l{number}", f"l{number + 1}") for number in range(length - 1)] + [link(f"l{length - 1}", "app")]


def zipped() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as made:
        made.writestr("app/main.py", b"print()\n" * 100)
    return out.getvalue()


# name: the archive, and all that is said about it
HOSTILE: dict[str, tuple[bytes, str]] = {
    # names that lead out
    "name that climbs": (archive(member("../x")), f"member '../x' climbs out with '..'; {RELATIVE}"),
    "name that climbs inside": (archive(member("a/../../x")), f"member 'a/../../x' climbs out with '..'; {RELATIVE}"),
    "name that climbs behind a dot": (archive(member("./../x")), f"member './../x' climbs out with '..'; {RELATIVE}"),
    "directory that climbs": (
        archive(member("a/../..", kind=DIR)),
        f"member 'a/../..' climbs out with '..'; {RELATIVE}",
    ),
    "absolute name": (archive(member("/etc/x")), f"member '/etc/x' has an absolute path; {RELATIVE}"),
    "name that climbs in the prefix field": (
        archive(GOOD, member("secret", b"owned", prefix=UP.rstrip("/").encode())),
        f"member '{UP}secret' climbs out with '..'; {RELATIVE}",
    ),
    "pax path in place of a harmless name": (
        archive(pax(path=UP + "secret"), member("app/x", b"x")),
        f"member '{UP}secret' climbs out with '..'; {RELATIVE}",
    ),
    "GNU long name in place of a harmless name": (
        archive(gnu_long(LONG_NAME, UP + "secret"), member("app/x", b"x")),
        f"member '{UP}secret' climbs out with '..'; {RELATIVE}",
    ),
    # links that lead out
    "absolute link": (
        archive(link("l", "/etc/passwd")),
        f"link 'l' points out of the archive, to '/etc/passwd'; {INSIDE}",
    ),
    "link that climbs": (
        archive(link("a/l", "../../etc")),
        f"link 'a/l' points out of the archive, to '../../etc'; {INSIDE}",
    ),
    "link that climbs where nothing is": (
        archive(link("l", "a/b/../../../x")),
        f"link 'l' points out of the archive, to 'a/b/../../../x'; {INSIDE}",
    ),
    "link out through a link": (
        archive(link("d/up", ".."), link("l", "d/up/../x")),
        f"link 'l' points out of the archive, to 'd/up/../x'; {INSIDE}",
    ),
    "chain of links out": (
        archive(link("a", "b"), link("b", "c/d"), link("c", "."), link("d", "../x")),
        f"link 'd' points out of the archive, to '../x'; {INSIDE}",
    ),
    "pax linkpath in place of a harmless target": (
        archive(pax(linkpath=UP + "secret"), link("l", "app")),
        f"link 'l' points out of the archive, to '{UP}secret'; {INSIDE}",
    ),
    "GNU long link in place of a harmless target": (
        archive(gnu_long(LONG_LINK, UP + "secret"), link("l", "app")),
        f"link 'l' points out of the archive, to '{UP}secret'; {INSIDE}",
    ),
    "links in circles": (
        archive(link("a", "b"), link("b", "a")),
        "link 'a' goes in circles or on through more than 40 links; pack again without it",
    ),
    "link to itself": (
        archive(link("a", "a/x")),
        "link 'a' goes in circles or on through more than 40 links; pack again without it",
    ),
    "chain of more links than a kernel follows": (
        archive(GOOD, *reversed(chain(41))),
        "link 'l0' goes in circles or on through more than 40 links; pack again without it",
    ),
    "chain of links without end": (
        archive(*chain(5000)),
        "link 'l40' goes in circles or on through more than 40 links; pack again without it",
    ),
    "link to nothing": (archive(link("l", "")), "member 'l' is a link to nothing; pack again without it"),
    "link in place of the root": (
        archive(link("./", "app")),
        f"member './' is named like a directory but is none; {RETAR}",
    ),
    "link without a name": (archive(link(".", "app")), "member '.' has no name; pack again without it"),
    # writing through a link, or through what only looks like a directory
    "file below a link out": (
        archive(link("l", UP), member("l/secret", b"owned")),
        f"member 'l/secret' lies below 'l', which is no directory; {ONCE}",
    ),
    "file below a link inside": (
        archive(member("d/", kind=DIR), link("l", "d"), member("l/x")),
        f"member 'l/x' lies below 'l', which is no directory; {ONCE}",
    ),
    "directory replaced by a link": (
        archive(member("d/", kind=DIR), link("d", UP), member("d/secret", b"owned")),
        f"member 'd' occurs twice, as 'd'; {ONCE}",
    ),
    "link behind the file below it": (
        archive(member("l/x"), link("l", "app")),
        f"member 'l' occurs twice, as 'l'; {ONCE}",
    ),
    "link replaced by a directory": (
        archive(link("l", "app"), member("l/", kind=DIR), member("l/x")),
        f"member 'l/' occurs twice, as 'l'; {ONCE}",
    ),
    "file below a file": (
        archive(member("f"), member("f/x")),
        f"member 'f/x' lies below 'f', which is no directory; {ONCE}",
    ),
    # hard links
    "hard link": (
        archive(GOOD, member("h", kind=HARD, target=b"app/main.py")),
        "member 'h' is a hard link; pack again with tar --hard-dereference",
    ),
    "hard link out": (
        archive(member("h", kind=HARD, target=(UP + "secret").encode()), member("h", b"owned")),
        "member 'h' is a hard link; pack again with tar --hard-dereference",
    ),
    "hard link to a deeper link (CVE-2026-11940)": (
        archive(link("a/b/l", "../../app"), member("h", kind=HARD, target=b"a/b/l")),
        "member 'h' is a hard link; pack again with tar --hard-dereference",
    ),
    # what is no file, directory or link
    "FIFO": (archive(GOOD, member("p", kind=FIFO)), f"member 'p' is a FIFO, {WITHOUT}"),
    "character device": (archive(GOOD, member("c", kind=CHAR)), f"member 'c' is a character device, {WITHOUT}"),
    "block device": (archive(GOOD, member("b", kind=BLOCK_DEVICE)), f"member 'b' is a block device, {WITHOUT}"),
    "socket, or any other letter": (archive(GOOD, member("s", kind=b"s")), f"member 's' is of kind b's', {WITHOUT}"),
    "GNU volume header": (archive(member("V", kind=b"V", magic=GNU), GOOD), f"member 'V' is of kind b'V', {WITHOUT}"),
    "old GNU sparse file": (
        archive(member("s", kind=SPARSE, magic=GNU)),
        "member 's' is a sparse file; pack again without tar --sparse",
    ),
    "pax sparse file": (
        archive(pax(GNU_sparse_major="1", GNU_sparse_realsize="99999999"), member("s", b"1\n0\n99999999\n")),
        "member 's' is a sparse file; pack again without tar --sparse",
    ),
    "setuid": (
        archive(GOOD, member("s", mode=0o4755)),
        "member 's' is setuid or setgid; take that away with chmod ug-s and pack again",
    ),
    "setgid directory": (
        archive(GOOD, member("s/", kind=DIR, mode=0o2755)),
        "member 's/' is setuid or setgid; take that away with chmod ug-s and pack again",
    ),
    # names
    "name twice": (archive(GOOD, GOOD), f"member 'app/main.py' occurs twice, as 'app/main.py'; {ONCE}"),
    "name twice in other words": (
        archive(member("a/b"), member("./a//b")),
        f"member './a//b' occurs twice, as 'a/b'; {ONCE}",
    ),
    "file and directory of one name": (
        archive(member("a"), member("a/", kind=DIR)),
        f"member 'a/' occurs twice, as 'a'; {ONCE}",
    ),
    "file without a name": (archive(GOOD, member("")), "member '' has no name; pack again without it"),
    "file named like a directory": (
        archive(member("a/", b"x")),
        f"member 'a/' is named like a directory but is none; {RETAR}",
    ),
    "directory of before POSIX behind the name of a file": (
        archive(pax(path="app/x"), member("d/", b"x" * 512, kind=b"\0")),
        f"member 'app/x' is a directory in the format of before 1988; {RETAR}",
    ),
    "NUL in a pax name": (
        archive(pax(path=b"app/x\0/../../y"), member("x")),
        "member name 'app/x\\x00/../../y' has a control character; rename the file and pack again",
    ),
    "NUL in a pax link target": (
        archive(pax(linkpath=b"app\0x"), link("l", "app")),
        "link target 'app\\x00x' has a control character; rename the file and pack again",
    ),
    "new line in a name": (
        archive(member("a\nreleased: yes")),
        "member name 'a\\nreleased: yes' has a control character; rename the file and pack again",
    ),
    "terminal sequence in a name": (
        archive(member("a\x1b[2Jb")),
        "member name 'a\\x1b[2Jb' has a control character; rename the file and pack again",
    ),
    "name that is not UTF-8": (
        archive(member(b"\xff")),
        "member name b'\\xff' is not UTF-8; rename the file and pack again",
    ),
    "over-long name": (
        archive(pax(path="n/" * 600), member("x")),
        f"member name b'{'n/' * 40}'... has 1200 bytes, 1024 are allowed; shorten it",
    ),
    "over-long part of a name": (
        archive(pax(path="ü" * 128), member("x")),
        f"member '{'ü' * 80}'... has more than 255 bytes between two slashes; shorten its name",
    ),
    "over-long link target": (
        archive(pax(linkpath="n" * 2000), link("l", "x")),
        f"link target b'{'n' * 80}'... has 2000 bytes, 1024 are allowed; shorten it",
    ),
    "directories without end": (
        archive(pax(path="d/" * 500 + "x"), member("x")),
        f"member '{'d/' * 40}'... lies 501 levels deep, 100 are allowed; ship a flatter tree",
    ),
    # headers that contradict each other: what one reader sees is not what another sees
    "pax size that differs": (
        archive(pax(size="1024"), member("a", b"x" * 512), member("../x")),
        f"member 'a' has two sizes, 512 and b'1024'; {RETAR}",
    ),
    "negative size in a pax header": (
        archive(pax(size="-512"), member("a")),
        f"member 'a' has two sizes, 0 and b'-512'; {RETAR}",
    ),
    "negative size (CVE-2025-8194)": (
        archive(member("a", size=NEGATIVE)),
        f"it is damaged, a header has the size -256; {AGAIN}",
    ),
    "size that is no number": (
        archive(member("a", size=b"0x10")),
        f"it is damaged, a header has b'0x10\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00' where a number belongs; {AGAIN}",
    ),
    "directory with content": (
        archive(member("d/", kind=DIR, size=512) + member("../x")),
        f"member 'd/' has content but is no file; {RETAR}",
    ),
    "link with content": (
        archive(link("l", "app", size=512) + member("../x")),
        f"member 'l' has content but is no file; {RETAR}",
    ),
    "global pax header with a path": (
        archive(pax(GLOBAL, path="../x"), GOOD),
        "it has a global pax header that renames or resizes members; pack again without tar --pax-option",
    ),
    "two names for one member": (
        archive(pax(path="app/a"), gnu_long(LONG_NAME, "../x"), member("x")),
        f"it has two extension headers that name one member; {RETAR}",
    ),
    "pax records that are none": (
        archive(member("pax", b"99 path=x\n", kind=PAX), GOOD),
        f"it is damaged, a pax header is no list of records; {AGAIN}",
    ),
    "pax record without an end": (
        archive(member("pax", records(path="x")[:-1] + b"x", kind=PAX), GOOD),
        f"it is damaged, a pax header is no list of records; {AGAIN}",
    ),
    "extension header of nothing": (
        archive(GOOD, pax(path="x")),
        f"it is damaged, it ends behind an extension header; {AGAIN}",
    ),
    "long name that goes on behind its end": (
        archive(header(b"L", LONG_NAME, size=5, magic=GNU) + padded(b"app/x/../../../y"), member("x")),
        f"it is damaged, an extension header has data behind its end; {AGAIN}",
    ),
    "pax record behind the end of its header": (
        archive(
            header(b"pax", PAX, size=len(records(path="x"))) + padded(records(path="x") + records(path="../x")),
            member("x"),
        ),
        f"it is damaged, an extension header has data behind its end; {AGAIN}",
    ),
    "chain of extension headers": (
        archive(GOOD, *[gnu_long(LONG_NAME, "x")] * 3000, member("x")),
        f"it has two extension headers that name one member; {RETAR}",
    ),
    "fields of an incremental archive": (
        archive(GOOD, member("a", magic=GNU, prefix=b"14567234567")),
        "member 'a' has fields of an incremental archive; pack again without tar --listed-incremental",
    ),
    # what is no archive, or more than one
    "zip": (
        zipped(),
        "it is damaged or no tar archive in the POSIX or GNU format, it begins with b'PK\\x03\\x04\\x14\\x00\\x00\\x00'; "
        "pack it with tar, plain or with gzip, bzip2 or xz",
    ),
    "plain text": (
        b"hello\n" * 100,
        "it is damaged or no tar archive in the POSIX or GNU format, it begins with b'hello\\nhe'; "
        "pack it with tar, plain or with gzip, bzip2 or xz",
    ),
    "tar of before 1988": (
        archive(member("v7", magic=NONE)),
        "it is damaged or no tar archive in the POSIX or GNU format, it begins with b'v7\\x00\\x00\\x00\\x00\\x00\\x00'; "
        "pack it with tar, plain or with gzip, bzip2 or xz",
    ),
    "empty file": (b"", f"it is truncated and breaks off within its first header; {AGAIN}"),
    "gzip of nothing": (gzip.compress(b""), f"it is truncated and breaks off within its first header; {AGAIN}"),
    "gzip magic and nothing": (b"\x1f\x8b", f"it is truncated, its compressed data breaks off; {AGAIN}"),
    "archive of nothing": (archive(), "it is empty; pack what to release"),
    "archive of nothing but its root": (archive(ROOT), "it is empty; pack what to release"),
    "header that was changed": (
        archive(GOOD, b"x" + member("x")[1:].replace(b"0000644", b"0000755")),
        f"it is damaged, no valid header stands behind member 'app/main.py'; {AGAIN}",
    ),
    "two archives in one": (
        archive(GOOD) + archive(member("../x")),
        "it holds data behind its end: damaged, or several archives in one; pack one archive, without tar --append",
    ),
    "two gzip archives in one": (
        gzip.compress(archive(GOOD)) + gzip.compress(archive(member("../x"))),
        "it holds data behind the end of its compressed data: damaged, or several archives or streams in one"
        " (as pbzip2 writes them); pack one archive with gzip, bzip2 or xz",
    ),
    "data behind the end": (
        archive(GOOD) + b"x",
        "it holds data behind its end: damaged, or several archives in one; pack one archive, without tar --append",
    ),
    "no end": (GOOD, f"it is truncated and breaks off within member 'app/main.py'; {AGAIN}"),
    "half an end": (GOOD + END[:512], f"it is truncated, its end-of-archive mark is incomplete; {AGAIN}"),
    "xz that asks for 256 MiB of memory": (
        lzma.compress(archive(GOOD), filters=[{"id": lzma.FILTER_LZMA2, "preset": 0, "dict_size": 256 << 20}]),
        f"it is damaged and cannot be decompressed (Memory usage limit exceeded); {AGAIN}",
    ),
} | {
    f"data behind {name}": (
        compress(archive(GOOD)) + b"x",
        "it holds data behind the end of its compressed data: damaged, or several archives or streams in one"
        " (as pbzip2 writes them); pack one archive with gzip, bzip2 or xz",
    )
    for name, compress in {"gzip": gzip.compress, "bzip2": bz2.compress, "xz": lzma.compress}.items()
}


def snapshot(root: Path) -> dict[str, tuple[object, ...]]:
    """Describe everything below *root* to the byte: kind, mode, content or target, and when a file was last written."""
    found: dict[str, tuple[object, ...]] = {}
    for folder, folders, files in os.walk(root):
        for name in folders + files:
            path = Path(folder, name)
            info = path.lstat()
            content: object = None
            if stat.S_ISLNK(info.st_mode):
                content = os.readlink(path)
            elif stat.S_ISREG(info.st_mode):
                content = (path.read_bytes(), info.st_mtime_ns, info.st_nlink)
            found[str(path.relative_to(root))] = (info.st_mode, info.st_uid, content)
    return found


class Surroundings:
    """A host with a store that already holds an artifact, and all around it what an archive might reach for."""

    def __init__(self, root: Path, host: object) -> None:
        self.root = root
        self.plano = root / "opt/plano"
        for name in ("secret", "l", "x", "app/main.py", "etc/passwd", "opt/plano/secret", "opt/plano/app/main.py"):
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(f"{name} of the host")
        (root / "link").symlink_to("secret")
        self.store = Store(self.plano / "store", host)
        self.blob = root / "blobs/app.tar"
        self.blob.parent.mkdir()
        self.put(gzip.compress(archive(GOOD)))
        self.store.add(self.artifact())

    def put(self, data: bytes) -> None:
        self.blob.write_bytes(data)

    def artifact(self, **options: object) -> dict[str, object]:
        sha256 = hashlib.sha256(self.blob.read_bytes()).hexdigest()
        return {"version": "1.0.0", "sha256": sha256, "sources": [self.blob.as_uri()], **options}

    def staging(self) -> Path:
        """Return a directory as deep as the one that the store unpacks into."""
        path = self.plano / "store/.staging-0/tree/files"
        path.mkdir(parents=True)
        return path


@pytest.fixture
def around(tmp_path, host):
    return Surroundings(tmp_path / "host", host)


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_archive_is_refused_by_name_and_nothing_changes(around, monkeypatch, name):
    data, message = HOSTILE[name]
    around.put(data)
    before = snapshot(around.root)
    monkeypatch.setattr(engine, "extract", lambda *_args: pytest.fail("it was unpacked before it was refused"))
    with pytest.raises(EngineError) as caught:
        around.store.add(around.artifact())
    assert str(caught.value) == (
        f"artifact 1.0.0 is refused, nothing was unpacked: {message}. "
        "What serves was not touched; pin the mended archive and run the same command again"
    )
    assert snapshot(around.root) == before


@pytest.mark.parametrize("name", HOSTILE)
def test_an_archive_that_turned_hostile_since_it_was_inspected_writes_nothing_outside(around, name):
    data, message = HOSTILE[name]
    into = around.staging()
    around.put(data)
    before = snapshot(around.root)
    with pytest.raises(ArchiveError) as caught:
        extract(around.blob, into)
    assert str(caught.value) == message
    below = f"{into.relative_to(around.root)}/"
    after = snapshot(around.root)
    assert {path: seen for path, seen in after.items() if not path.startswith(below)} == before
    for path in (into / line for line in after if line.startswith(below)):
        assert Path(os.path.realpath(path)).is_relative_to(into)


@pytest.mark.parametrize("name", ["name that climbs in the prefix field", "file below a link out"])
def test_the_surroundings_show_what_a_careless_unpacker_does(around, name):
    around.put(HOSTILE[name][0])
    before = snapshot(around.root)
    into = around.staging()
    subprocess.run(["tar", "-xPf", around.blob], cwd=into, check=False, capture_output=True)
    assert (around.plano / "secret").read_bytes() != b"opt/plano/secret of the host"
    assert before != snapshot(around.root)


@pytest.mark.parametrize(
    ("members", "strip", "message"),
    [
        ([link("top/l", "../secret")], 1, f"link 'l' points out of the archive, to '../secret'; {INSIDE}"),
        ([link("a/b/c/l", "../../../x")], 3, f"link 'l' points out of the archive, to '../../../x'; {INSIDE}"),
        ([member("a/x"), member("b/x")], 1, f"member 'b/x' occurs twice, as 'x'; {ONCE}"),
        (
            [link("a/x", "y"), member("b/x/secret")],
            1,
            f"member 'b/x/secret' lies below 'x', which is no directory; {ONCE}",
        ),
        ([GOOD], 2, "it has nothing left with strip=2; lower it"),
    ],
)
def test_what_strip_would_make_of_an_archive_is_what_is_checked(around, members, strip, message):
    around.put(archive(*members))
    before = snapshot(around.root)
    with pytest.raises(EngineError) as caught:
        around.store.add(around.artifact(strip=strip))
    assert message in str(caught.value)
    assert snapshot(around.root) == before


COMPRESSIONS = {"tar": bytes, "gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress}


@pytest.mark.parametrize("quarter", [1, 2, 3])
@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_a_truncated_archive_is_refused(around, compression, quarter):
    whole = COMPRESSIONS[compression](archive(*[member(f"f{number}", os.urandom(3000)) for number in range(8)]))
    around.put(whole[: len(whole) * quarter // 4])
    before = snapshot(around.root)
    with pytest.raises(EngineError, match=rf": it is truncated.*; {AGAIN}\. "):
        around.store.add(around.artifact())
    assert snapshot(around.root) == before


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_an_archive_cut_anywhere_is_refused(tmp_path, compression):
    whole = COMPRESSIONS[compression](archive(GOOD, link("l", "app")))
    assert inspect_bytes(tmp_path, whole)
    for length in range(len(whole)):
        with pytest.raises(ArchiveError, match=r"truncated|damaged"):
            inspect_bytes(tmp_path, whole[:length])


def inspect_bytes(tmp_path: Path, data: bytes) -> engine.Contents:
    path = tmp_path / "a.tar"
    path.write_bytes(data)
    return inspect(path)


# -- too much: refused early, in little time and memory ----------------------------------------------

GIB = 1 << 30
ZEROS = bytes(1 << 20)


def million_members() -> list[tuple[bytes, int]]:
    """Return headers with names of their own for as many members as are read, and on to a million."""
    base = bytearray(header(b"00000000"))
    fixed = sum(base[8:148]) + 8 * ord(" ") + sum(base[156:])
    first = bytearray()
    for number in range(engine.MAX_MEMBERS + 1000):
        name = b"%08d" % number
        base[:8] = name
        base[148:156] = b"%06o\0 " % (fixed + sum(name))
        first += base
    return [(bytes(first), 1), (bytes(first[-(1000 << 9) :]), 800)]


BOMBS = {
    "20 GiB of zeros": (
        lambda: [(ZEROS, 20 << 10)],
        "it has more than 1048576 bytes of zeros behind its end; pack it again with tar",
    ),
    "20 GiB of zeros behind a sound archive": (
        lambda: [(archive(GOOD), 1), (ZEROS, 20 << 10)],
        "it has more than 1048576 bytes of zeros behind its end; pack it again with tar",
    ),
    "member of 20 GiB": (
        lambda: [(header(b"zeros", size=b"%o" % (20 * GIB)), 1), (ZEROS, 20 << 10)],
        "it unpacks to more than 8589934592 bytes; ship less",
    ),
    "pax header of 4 GiB": (
        lambda: [(header(b"pax", PAX, size=b"%o" % (4 * GIB)), 1), (ZEROS, 4 << 10)],
        "it has more than 67108864 bytes of extension headers; pack again without tar --xattrs",
    ),
    "long names of 1 MiB for ever": (
        lambda: [(header(b"L", LONG_NAME, size=1 << 20) + ZEROS + member("same/", kind=DIR), 4 << 10)],
        "it has more than 67108864 bytes of extension headers; pack again without tar --xattrs",
    ),
    "sparse map without end": (
        lambda: [
            (pax(GNU_sparse_major="1", GNU_sparse_minor="0") + header(b"s", size=4 * GIB), 1),
            (b"1" * (1 << 20), 4 << 10),
        ],
        "member 's' is a sparse file; pack again without tar --sparse",
    ),
    "a million members": (million_members, "it has more than 200000 members; ship fewer files"),
    "one directory a million times": (
        lambda: [(member("d/", kind=DIR) * 1000, 1000)],
        "it has more than 200000 members; ship fewer files",
    ),
    "directories that only names imply": (
        lambda: [(b"".join(pax(path=f"{n}/" + "d/" * 98 + "x") + member("x") for n in range(2100)), 1)],
        "it has more than 200000 members, directories included; ship fewer files",
    ),
}
# In a process of its own with little memory and time: what takes more of either dies.
PROBE = """
import resource, sys
from pathlib import Path
sys.path[:0] = {path!r}
from ansible_collections.plano.delivery.plugins.module_utils.engine.archive import ArchiveError, inspect
resource.setrlimit(resource.RLIMIT_AS, ({memory}, {memory}))
resource.setrlimit(resource.RLIMIT_CPU, ({seconds}, {seconds}))
try:
    print(inspect(Path(sys.argv[1])))
except ArchiveError as exc:
    print(exc)
"""


@pytest.mark.parametrize("name", BOMBS)
def test_too_much_of_anything_is_refused_in_bounded_memory_and_time(tmp_path, name):
    make, message = BOMBS[name]
    path = tmp_path / "bomb.tar.gz"
    path.write_bytes(gzip_bomb(*make()))
    probe = PROBE.format(path=sys.path, memory=256 << 20, seconds=20)
    done = subprocess.run([sys.executable, "-c", probe, path], capture_output=True, text=True, timeout=300, check=False)
    assert (done.stdout.strip(), done.returncode) == (message, 0), done.stderr


def test_long_chains_of_links_cost_no_more_than_their_text(tmp_path):
    stack = [link(f"l{number}", "./" * 20 + f"l{number - 1}") for number in range(1, 39)]
    many = [link(f"m{number}", "l38/../l38/.") for number in range(5000)]
    with pytest.raises(ArchiveError, match="goes in circles or on through more than 40 links"):
        inspect_bytes(tmp_path, archive(member("l0/", kind=DIR), *stack, *many))
    many = [link(f"m{number}", "l38/.") for number in range(5000)]
    assert inspect_bytes(tmp_path, archive(member("l0/", kind=DIR), *stack, *many)).members == 5039


# -- sound archives ----------------------------------------------------------------------------------

TREE = {
    "bin/run": b"#!/bin/sh\n",
    "empty": b"",
    "lib/block": b"b" * 512,
    "lib/large": os.urandom((1 << 20) + 1),
    "lib/Ünïcode ☃": "☃".encode(),
    "lib/" + "long " * 30 + "/name " * 20 + "/end": b"long",
    "lib/back\\slash and 'quotes'": b"q",
}
LINKS = {
    "lib/alias": "block",
    "bin/lib": "../lib",
    "bin/deep": "lib/alias",
    "bin/dangling": "../not/there",
    "round/about": "../bin/../lib/./block",
    "to-root": ".",
    "long-link": "lib/" + "./" * 60 + "block",
}


@pytest.fixture
def tree(tmp_path):
    root = tmp_path / "tree"
    for name, content in TREE.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    for name, target in LINKS.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).symlink_to(target)
    (root / "bin/run").chmod(0o775)
    (root / "lib/block").chmod(0o600)
    (root / "void/of/all").mkdir(parents=True)
    return root


def described(root: Path) -> dict[str, object]:
    """Describe a tree by what a release keeps of it: contents, targets, directories and who may execute."""
    return {
        path: target
        if stat.S_ISLNK(mode)
        else (stat.S_IFMT(mode), stat.S_ISREG(mode) and bool(mode & 0o111), target and target[0])
        for path, (mode, _owner, target) in snapshot(root).items()
    }


@pytest.mark.parametrize("compression", COMPRESSIONS)
@pytest.mark.parametrize("form", ["gnu", "posix"])
def test_what_gnu_tar_packs_is_unpacked_whole(tree, tmp_path, form, compression):
    packed = subprocess.run(["tar", "-C", tree, f"--format={form}", "-cf-", "."], check=True, capture_output=True)
    path = tmp_path / "a.tar"
    path.write_bytes(COMPRESSIONS[compression](packed.stdout))
    found = inspect(path)
    assert found.size == sum(len(content) for content in TREE.values())
    out = tmp_path / "out"
    out.mkdir()
    before = os.umask(0o077)
    try:
        extract(path, out)
    finally:
        os.umask(before)
    assert described(out) == described(tree)
    assert found.members == len(described(tree))
    assert {oct(one[0]) for one in snapshot(out).values()} == {"0o40755", "0o100755", "0o100644", "0o120777"}


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_what_python_packs_goes_through_the_store_and_verifies(around, tmp_path, form):
    members = {name: content for name, content in TREE.items() if form != tarfile.USTAR_FORMAT or len(name) < 100}
    with tarfile.open(around.blob, "w:gz", format=form) as out:
        for name, content in members.items():
            info = tarfile.TarInfo(f"tool-1.0/{name}")
            info.size, info.mtime = len(content), 1700000000.5
            out.addfile(info, io.BytesIO(content))
    artifact = around.artifact(strip=1)
    around.store.add(artifact)
    assert around.store.verify(artifact["sha256"]) == []
    for name, content in members.items():
        assert (around.store.path(artifact["sha256"]) / "files" / name).read_bytes() == content


@pytest.mark.parametrize(
    "members",
    [
        [pax(GLOBAL, comment="0123456789abcdef"), GOOD],  # as git archive writes it
        [pax(mtime="1700000000.5", SCHILY_xattr_user_x="y" * 70000), GOOD],
        [pax(path="app/other", size="8"), member("app/truncated", b"content\n")],
        [gnu_long(LONG_NAME, "app/" + "n" * 200), gnu_long(LONG_LINK, "./" * 60 + "x"), link("app/n", "x", magic=GNU)],
        [member("app/", kind=DIR), member("./app", kind=DIR), GOOD],  # as tar --append leaves directories
        [header(b"old", kind=b"\0")],
        [header(b"large", size=b"\x80" + (8).to_bytes(11, "big")) + padded(b"content\n")],  # base 256
        [*reversed(chain(40)), GOOD],
    ],
)
def test_what_is_unusual_but_sound_is_accepted(tmp_path, members):
    path = tmp_path / "a.tar"
    path.write_bytes(archive(*members))
    found = inspect(path)
    (tmp_path / "out").mkdir()
    extract(path, tmp_path / "out")
    assert found.members == len(snapshot(tmp_path / "out"))


def test_the_top_directory_of_an_upstream_archive_can_be_stripped(tmp_path):
    path = tmp_path / "a.tar"
    path.write_bytes(archive(member("tool-1.0/", kind=DIR), member("tool-1.0/tool", b"x"), link("tool-1.0/t", "tool")))
    assert inspect(path, strip=1).members == 2
    (tmp_path / "out").mkdir()
    extract(path, tmp_path / "out", strip=1)
    assert described(tmp_path / "out") == {"tool": (stat.S_IFREG, False, b"x"), "t": "tool"}
