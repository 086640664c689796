"""Grafana's place in the catalog: the stand-in, or the real one where it is named."""

from __future__ import annotations

import gzip
import io
import json
import os
import stat
import subprocess
import sys
import tarfile
from pathlib import Path

import grafana
import pytest

from ansible_collections.plano.delivery.plugins.module_utils.engine import archive
from ansible_collections.plano.delivery.plugins.module_utils.engine.release import version_fault

LAYOUT = {"bin/grafana": b"\x7fELF", "conf/defaults.ini": b"", "public/index.html": b""}


def make_real(path: Path, version: str = "12.1.0", files: dict[str, bytes] | None = None, said: bool = True) -> Path:
    """An archive as Grafana offers it."""
    members = {**(LAYOUT if files is None else files), **({"VERSION": version.encode()} if said else {})}
    with gzip.open(path, "wb") as packed, tarfile.open(fileobj=packed, mode="w") as out:
        for name, content in members.items():
            member = tarfile.TarInfo(f"grafana-{version}/{name}")
            member.size, member.mode = len(content), 0o755 if name.startswith("bin/") else 0o644
            out.addfile(member, io.BytesIO(content))
    return path


def index(output: Path) -> list[dict[str, object]]:
    return list(json.loads((output / "grafana" / "index.json").read_text()))


def test_the_stand_in_comes_in_two_versions_that_nobody_takes_for_the_real_one(tmp_path):
    assert "(a stand-in; PLANO_GRAFANA_ARTIFACT=" in grafana.build(tmp_path, [])
    entries = index(tmp_path)
    assert [entry["version"] for entry in entries] == list(grafana.VERSIONS)
    for entry in entries:
        assert str(entry["version"]).endswith("+standin")
        assert version_fault(entry["version"]) is None
        path = tmp_path / "grafana" / str(entry["file"])
        assert grafana.digest_of(path) == entry["sha256"]
        place = tmp_path / str(entry["version"])
        place.mkdir()
        assert archive.inspect(path, strip=1).members >= 5
        archive.extract(path, place, strip=1)
        program = place / "bin" / "grafana"
        assert stat.S_IMODE(program.stat().st_mode) == 0o755
        done = subprocess.run([sys.executable, program, "--version"], capture_output=True, text=True, check=True)
        assert done.stdout == f"grafana version {entry['version']} (stand-in)\n"


def test_the_same_files_give_the_same_bytes_and_nothing_is_written_twice(tmp_path):
    grafana.build(tmp_path, [])
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "grafana").iterdir()}
    assert "unchanged" in grafana.build(tmp_path, [])
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "grafana").iterdir()} == before


def test_the_real_one_takes_the_stand_ins_place_and_gives_it_back(tmp_path):
    newer = make_real(tmp_path / "grafana_12.10.0_123_linux_amd64.tar.gz", "12.10.0")
    older = make_real(tmp_path / "grafana-12.9.1.linux-amd64.tar.gz", "12.9.1", said=False)
    grafana.build(tmp_path / "out", [])
    assert grafana.build(tmp_path / "out", [newer, older]) == "grafana: 12.9.1 and 12.10.0, written (Grafana itself)"
    assert [(entry["version"], entry["file"], entry["strip"]) for entry in index(tmp_path / "out")] == [
        ("12.9.1", older.name, 1),
        ("12.10.0", newer.name, 1),
    ]
    names = {path.name for path in (tmp_path / "out" / "grafana").iterdir()}
    assert names == {"index.json", newer.name, older.name}
    assert "unchanged" in grafana.build(tmp_path / "out", [newer, older])
    grafana.build(tmp_path / "out", [])
    assert [entry["version"] for entry in index(tmp_path / "out")] == list(grafana.VERSIONS)


@pytest.mark.parametrize(
    ("name", "files", "said"),
    [
        (
            "grafana-12.1.0.tar.gz",
            {"bin/grafana": b""},
            "is no release of Grafana: it lacks conf/defaults.ini, public/",
        ),
        ("grafana-12.1.0.tar.gz", {"public/x": b"", "conf/defaults.ini": b""}, "it lacks bin/grafana"),
        ("latest.tar.gz", LAYOUT, "does not say its version, neither in a file VERSION nor in its name"),
    ],
)
def test_what_is_no_release_of_grafana_is_refused(tmp_path, name, files, said):
    path = make_real(tmp_path / name, files=files, said=False)
    with pytest.raises(grafana.ArtifactError) as refused:
        grafana.build(tmp_path / "out", [path])
    assert said in str(refused.value)


def test_the_command_tells_what_it_cannot_read(tmp_path):
    (tmp_path / "page.html").write_text("not found")
    argv = [sys.executable, grafana.__file__, "--output", str(tmp_path / "out")]
    for path in (tmp_path / "page.html", tmp_path / "none"):
        done = subprocess.run(
            argv, env={**os.environ, grafana.NAMED: str(path)}, capture_output=True, text=True, check=False
        )
        assert done.returncode == 1
        assert f"grafana.py: {path} cannot be read: " in done.stderr
        assert not (tmp_path / "out" / "grafana" / "index.json").exists()
