"""Where promtool is looked for."""

from __future__ import annotations

import os
import tarfile
from pathlib import Path

import promtool
import pytest
from promtool import NoPromtoolError, promtools, version


def archive(folder: Path, name: str, says: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    tool = folder / "promtool"
    tool.write_text(f"#!/bin/sh\necho {says}\n")
    with tarfile.open(folder / name, "w:gz") as file:
        file.add(tool, name.replace(".tar.gz", "/promtool"))
    tool.unlink()
    return folder / name


@pytest.fixture
def mirror(tmp_path, monkeypatch):
    monkeypatch.delenv("PLANO_PROMTOOL", raising=False)
    monkeypatch.setattr(promtool, "ROOT", tmp_path)
    monkeypatch.setattr(promtool, "ARTIFACTS", tmp_path / "artifacts")
    monkeypatch.setattr(promtool, "UNPACKED", tmp_path / "unpacked")
    return tmp_path / "artifacts"


def test_the_newest_of_the_mirror_comes_first_and_runs(mirror):
    archive(mirror, "prometheus-2.53.3.linux-amd64.tar.gz", "old")
    archive(mirror / "deeper", "prometheus-2.153.0.linux-amd64.tar.gz", "new")
    assert [promtool.run(found) for found in promtools()] == [(0, "new\n"), (0, "old\n")]


def test_an_archive_that_was_built_anew_is_unpacked_anew(mirror):
    archive(mirror, "prometheus-2.53.3.linux-amd64.tar.gz", "old")
    assert promtool.run(promtools()[0])[1] == "old\n"
    later = archive(mirror, "prometheus-2.53.3.linux-amd64.tar.gz", "new").stat().st_mtime + 10
    os.utime(mirror / "prometheus-2.53.3.linux-amd64.tar.gz", (later, later))
    assert promtool.run(promtools()[0])[1] == "new\n"


def test_named_ones_are_taken_as_they_are(mirror, monkeypatch):
    tool = mirror.parent / "mine"
    tool.touch()
    monkeypatch.setenv("PLANO_PROMTOOL", str(tool))
    assert promtools() == [tool]


def test_what_is_missing_says_what_to_do(mirror, monkeypatch):
    with pytest.raises(NoPromtoolError, match=r"make artifacts.*PLANO_PROMTOOL="):
        promtools()
    archive(mirror, "prometheus-1.0.tar.gz", "x")
    with tarfile.open(mirror / "prometheus-1.0.tar.gz", "w:gz"):
        pass
    with pytest.raises(NoPromtoolError, match="holds no promtool"):
        promtools()
    monkeypatch.setenv("PLANO_PROMTOOL", "/nonexistent/promtool")
    with pytest.raises(NoPromtoolError, match="/nonexistent/promtool, which is no file"):
        promtools()


def test_versions_are_numbers():
    names = [
        "prometheus-2.9.0.linux-amd64.tar.gz",
        "prometheus-2.53.3.tar.gz",
        "prometheus-3.5.0.linux-amd64.tar.gz",
        "x",
    ]
    assert [version(Path(name)) for name in names] == [(2, 9, 0), (2, 53, 3), (3, 5, 0), ()]
