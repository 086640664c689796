# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import gzip
import io
import os
import tarfile
from pathlib import Path

import pytest

from ansible_collections.plano.delivery.plugins.module_utils.engine import archive
from ansible_collections.plano.delivery.plugins.module_utils.engine.archive import ArchiveError, extract, inspect


def member(name: str, content: bytes = b"", **fields: object) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for key, value in fields.items():
        setattr(info, key, value)
    return info, content


def tar(path: Path, *members: tuple[tarfile.TarInfo, bytes], mode: str = "w:gz") -> Path:
    with tarfile.open(path, mode, format=tarfile.PAX_FORMAT) as out:
        for info, content in members:
            out.addfile(info, io.BytesIO(content))
    return path


GOOD = member("app/main.py", b"print()\n")
HOSTILE = {
    "climbing name": ([member("../x")], "climbs out"),
    "climbing inside": ([member("a/../../x")], "climbs out"),
    "absolute name": ([member("/etc/x")], "absolute path"),
    "absolute link": ([member("l", type=tarfile.SYMTYPE, linkname="/etc/passwd")], "points out"),
    "climbing link": ([member("a/l", type=tarfile.SYMTYPE, linkname="../../etc")], "points out"),
    "link through a link": (
        [member("d/up", type=tarfile.SYMTYPE, linkname=".."), member("l", type=tarfile.SYMTYPE, linkname="d/up/../x")],
        "points out",
    ),
    "link in circles": (
        [member("a", type=tarfile.SYMTYPE, linkname="b"), member("b", type=tarfile.SYMTYPE, linkname="a")],
        "in circles",
    ),
    "file below a link": ([member("l", type=tarfile.SYMTYPE, linkname="d"), member("l/x")], "which is no directory"),
    "file below a file": ([member("f"), member("f/x")], "which is no directory"),
    "hard link": ([GOOD, member("h", type=tarfile.LNKTYPE, linkname="app/main.py")], "hard link"),
    "hard link to a deeper link (CVE-2026-11940)": (
        [
            member("a/b/l", type=tarfile.SYMTYPE, linkname="../../in"),
            member("h", type=tarfile.LNKTYPE, linkname="a/b/l"),
        ],
        "hard link",
    ),
    "FIFO": ([member("p", type=tarfile.FIFOTYPE)], "special file"),
    "character device": ([member("c", type=tarfile.CHRTYPE)], "special file"),
    "block device": ([member("b", type=tarfile.BLKTYPE)], "special file"),
    "setuid": ([member("s", mode=0o4755)], "setuid or setgid"),
    "setgid": ([member("s", mode=0o2755)], "setuid or setgid"),
    "name twice": ([GOOD, GOOD], "occurs twice"),
    "name twice in other words": ([member("a/b"), member("./a//b")], "occurs twice"),
    "file and directory of one name": ([member("a"), member("a", type=tarfile.DIRTYPE)], "occurs twice"),
    "no name": ([member("./")], "occurs twice"),
    "endless name": ([member("n" * 2000)], "too long"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_archive_is_refused_before_anything_is_written(tmp_path, name):
    members, message = HOSTILE[name]
    with pytest.raises(ArchiveError, match=message):
        inspect(tar(tmp_path / "a.tar.gz", *members))


@pytest.mark.parametrize("quarter", [1, 2, 3])
@pytest.mark.parametrize("mode", ["w:", "w:gz", "w:xz", "w:bz2"])
def test_a_truncated_archive_is_refused(tmp_path, mode, quarter):
    whole = tar(
        tmp_path / "a.tar", *[member(f"f{number}", os.urandom(3000)) for number in range(8)], mode=mode
    ).read_bytes()
    cut = tmp_path / "cut.tar"
    cut.write_bytes(whole[: len(whole) * quarter // 4])
    with pytest.raises(ArchiveError, match=r"truncated|damaged"):
        inspect(cut)


def test_an_archive_cut_exactly_between_two_members_is_refused(tmp_path):
    whole = tar(tmp_path / "a.tar", member("a", b"x" * 512), member("b", b"y" * 512), mode="w:").read_bytes()
    (tmp_path / "cut.tar").write_bytes(whole[:1024])
    with pytest.raises(ArchiveError, match="truncated"):
        inspect(tmp_path / "cut.tar")


def test_two_archives_in_one_file_are_refused(tmp_path):
    one = tar(tmp_path / "a.tar.gz", GOOD).read_bytes()
    other = tar(tmp_path / "b.tar.gz", member("../x")).read_bytes()
    (tmp_path / "both.tar.gz").write_bytes(one + other)
    with pytest.raises(ArchiveError, match="two archives in one"):
        inspect(tmp_path / "both.tar.gz")


def test_what_is_no_tar_archive_is_refused(tmp_path):
    for content in (b"", b"hello", gzip.compress(b"hello" * 1000)):
        (tmp_path / "a.tar.gz").write_bytes(content)
        with pytest.raises(ArchiveError, match=r"a\.tar\.gz"):
            inspect(tmp_path / "a.tar.gz")


def test_a_bomb_is_refused_by_what_its_headers_promise(tmp_path, monkeypatch):
    monkeypatch.setattr(archive, "MAX_BYTES", 1 << 20)
    with pytest.raises(ArchiveError, match="over the limit"):
        inspect(tar(tmp_path / "a.tar.gz", member("zeros", bytes(2 << 20))))
    monkeypatch.setattr(archive, "MAX_MEMBERS", 10)
    with pytest.raises(ArchiveError, match="over the limit"):
        inspect(tar(tmp_path / "b.tar.gz", *[member(str(number)) for number in range(11)]))


def test_an_honest_archive_is_unpacked_whole(tmp_path):
    path = tar(
        tmp_path / "a.tar.xz",
        member("./", type=tarfile.DIRTYPE),
        member("./bin", type=tarfile.DIRTYPE),
        member("./bin/run", b"#!/bin/sh\n", mode=0o775),
        member("lib/real", b"data", mode=0o600),
        member("lib/alias", type=tarfile.SYMTYPE, linkname="real"),
        member("bin/lib", type=tarfile.SYMTYPE, linkname="../lib"),
        mode="w:xz",
    )
    found = inspect(path)
    assert (found.members, found.size) == (6, 14)
    out = tmp_path / "out"
    out.mkdir()
    extract(path, out)
    assert (out / "bin/lib/alias").read_bytes() == b"data"
    assert [(out / name).stat().st_mode & 0o777 for name in ("bin/run", "lib/real")] == [0o755, 0o644]


def test_the_top_directory_of_an_upstream_archive_can_be_stripped(tmp_path):
    path = tar(tmp_path / "a.tar.gz", member("tool-1.0", type=tarfile.DIRTYPE), member("tool-1.0/tool", b"x"))
    inspect(path)
    (tmp_path / "out").mkdir()
    extract(path, tmp_path / "out", strip=1)
    assert [item.name for item in (tmp_path / "out").iterdir()] == ["tool"]
