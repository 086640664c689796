# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import ctypes
import os
import re
from pathlib import Path

import pytest

from ansible_collections.plano.delivery.plugins.module_utils.engine import fs


def test_a_failed_write_leaves_the_old_content_and_no_litter(tmp_path, monkeypatch):
    path = tmp_path / "f"
    fs.write_atomic(path, b"old")

    def refuse(*_args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(OSError, match="No space left"):
        fs.write_atomic(path, b"new")
    assert path.read_bytes() == b"old"
    assert [item.name for item in tmp_path.iterdir()] == ["f"]


def test_the_file_is_durable_before_its_name_and_the_name_after_it(tmp_path, monkeypatch):
    calls = []
    for name in ("fsync", "replace"):
        real = getattr(os, name)
        monkeypatch.setattr(os, name, lambda *args, real=real, name=name: (calls.append(name), real(*args))[1])
    fs.write_atomic(tmp_path / "f", b"x")
    assert calls == ["fsync", "replace", "fsync"]


def test_a_link_is_replaced_in_one_step(tmp_path):
    fs.symlink_atomic("one", tmp_path / "current")
    fs.symlink_atomic("two", tmp_path / "current")
    assert os.readlink(tmp_path / "current") == "two"
    assert [item.name for item in tmp_path.iterdir()] == ["current"]


def test_the_manifest_sees_content_mode_links_and_strangers(tmp_path):
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "f").write_text("x")
    (tmp_path / "l").symlink_to("d/f")
    (tmp_path / "m").write_text("m")
    before = fs.tree_manifest(tmp_path)
    assert sorted(before) == ["d/f", "l", "m"]
    (tmp_path / "d" / "f").write_text("y")
    (tmp_path / "m").unlink()
    (tmp_path / "new").write_text("")
    assert fs.manifest_faults(before, fs.tree_manifest(tmp_path)) == [
        "m is missing",
        "new is not part of it",
        "d/f was changed",
    ]
    (tmp_path / "l").unlink()
    (tmp_path / "l").symlink_to("elsewhere")
    assert "l was changed" in fs.manifest_faults(before, fs.tree_manifest(tmp_path))


def test_a_directory_has_the_mode_that_was_asked_for_from_its_first_moment(tmp_path):
    before = os.umask(0o077)
    try:
        fs.make_dir(tmp_path / "open" / "private", 0o700)
        assert os.umask(0o077) == 0o077
    finally:
        os.umask(before)
    assert [(tmp_path / name).stat().st_mode & 0o777 for name in ("open", "open/private")] == [0o755, 0o700]


def test_a_file_is_written_only_when_it_differs_and_its_name_is_made_durable_either_way(tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr(fs, "fsync_dir", synced.append)
    path = tmp_path / "f"
    assert fs.write_if_changed(path, b"x", 0o600) is True
    inode = path.stat().st_ino
    assert fs.write_if_changed(path, b"x") is False
    assert (path.stat().st_ino, path.stat().st_mode & 0o777, synced) == (inode, 0o600, [tmp_path, tmp_path])
    assert fs.write_if_changed(path, b"y") is True


def test_what_is_gone_already_is_no_fault(tmp_path):
    fs.unlink_durable(tmp_path / "gone")
    fs.unlink_durable(tmp_path / "nowhere" / "gone")
    fs.remove_tree(tmp_path / "gone")
    fs.remove_tree(tmp_path / "nowhere" / "gone")
    assert list(tmp_path.iterdir()) == []


def test_a_link_that_cannot_be_made_leaves_the_old_one_and_no_litter(tmp_path, monkeypatch):
    fs.symlink_atomic("one", tmp_path / "current")

    def refuse(*_args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(OSError, match="No space left"):
        fs.symlink_atomic("two", tmp_path / "current")
    assert [(item.name, os.readlink(item)) for item in tmp_path.iterdir()] == [("current", "one")]


def test_folders_are_made_with_their_parents_by_whoever_comes_first(tmp_path, monkeypatch):
    fs.make_dir(tmp_path / "a" / "b", 0o700)
    assert (tmp_path / "a" / "b").stat().st_mode & 0o777 == 0o700
    real = Path.mkdir

    def late(path: Path, _mode: int) -> None:
        real(path, mode=0o750)
        raise FileExistsError(path)

    monkeypatch.setattr(Path, "mkdir", late)
    fs.make_dir(tmp_path / "c", 0o700)
    assert (tmp_path / "c").stat().st_mode & 0o777 == 0o750


def test_a_file_system_that_cannot_be_flushed_is_told(tmp_path, monkeypatch):
    fs.sync_file_system(tmp_path)

    class Broken:
        @staticmethod
        def syncfs(_fd: int) -> int:
            ctypes.set_errno(5)
            return -1

    monkeypatch.setattr(ctypes, "CDLL", lambda *_args, **_options: Broken)
    with pytest.raises(OSError, match="Input/output error"):
        fs.sync_file_system(tmp_path)


def test_only_what_is_hidden_is_litter(tmp_path):
    (tmp_path / ".staging" / "deep").mkdir(parents=True)
    (tmp_path / ".file.tmp").write_text("")
    (tmp_path / "kept").mkdir()
    (tmp_path / ".link").symlink_to("kept")
    fs.remove_litter(tmp_path)
    fs.remove_litter(tmp_path / "nowhere")
    assert [item.name for item in tmp_path.iterdir()] == ["kept"]


def test_the_space_for_a_folder_that_is_not_there_yet_is_that_of_its_parents(tmp_path):
    assert fs.free_bytes(tmp_path / "not" / "yet") == pytest.approx(fs.free_bytes(tmp_path), rel=0.2)


def test_only_a_full_disk_is_told_with_what_is_free(tmp_path):
    assert re.fullmatch(
        r"No space left on device \(\d+ bytes are free there\)",
        fs.reason(OSError(28, "No space left on device"), tmp_path),
    )
    assert fs.reason(OSError(13, "Permission denied"), tmp_path) == "Permission denied"
    assert fs.reason(OSError("odd"), tmp_path) == "odd"


def test_byte_code_is_looked_at_except_in_a_virtual_environment(tmp_path):
    for folder in ("files/__pycache__", "venv/lib/__pycache__"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "app.pyc").write_text("code")
    assert list(fs.tree_manifest(tmp_path)) == ["files/__pycache__/app.pyc"]
