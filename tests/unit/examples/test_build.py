"""The builder of the sample backend: one source, several versions, the same bytes every time, nothing built twice."""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
import zipfile

import pytest


@pytest.fixture
def prepared(build, tmp_path, monkeypatch):
    """The builder with one small locked wheel, so that nothing is fetched."""
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    (wheels / "thing-1.0-py3-none-any.whl").write_bytes(b"a wheel")
    lock = tmp_path / "requirements.txt"
    lock.write_text(f"thing==1.0 \\\n    --hash=sha256:{hashlib.sha256(b'a wheel').hexdigest()}\n")
    monkeypatch.setattr(build, "LOCK", lock)
    monkeypatch.setattr(build, "fetch_wheels", lambda *_arguments: wheels)
    return build


def opened(path):
    with tarfile.open(path) as archive:
        return {member.name: archive.extractfile(member).read() for member in archive}


def package(build, version):
    wanted = next(one for one in build.VERSIONS if one.version == version)
    _name, content = build.wheel(wanted)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.testzip() is None
        return {name: archive.read(name).decode() for name in archive.namelist()}


def test_the_versions_differ_only_in_their_settings_and_migrations(build):
    old, new, broken, crash = (package(build, one.version) for one in build.VERSIONS)
    migration = "plano_sample/migrations/versions/0002_segments.py"
    assert migration in new
    assert migration not in old

    def code(files):
        return {name: text for name, text in files.items() if ".dist-info/" not in name and name != migration}

    for other in (old, broken, crash):
        different = {name for name in code(new) if code(new)[name] != code(other)[name]}
        assert different == {"plano_sample/_release.py"}
    settings = [files["plano_sample/_release.py"] for files in (old, new, broken, crash)]
    assert ['SCHEMA: Final[str] = "0001"' in text for text in settings] == [True, False, False, False]
    assert ['FAULT: Final[str] = ""' in text for text in settings] == [True, True, False, False]
    assert 'VERSION: Final[str] = "1.2.0-broken"' in broken["plano_sample/_release.py"]


def test_the_record_of_a_wheel_names_every_file_and_its_hash(build):
    files = package(build, "1.2.0-broken")
    record = files["plano_sample-1.2.0+broken.dist-info/RECORD"].splitlines()
    assert [line.split(",")[0] for line in record] == list(files)
    assert not [name for name in files if "__pycache__" in name]


def test_an_archive_holds_manifest_requirements_and_wheels(prepared, tmp_path):
    prepared.build(tmp_path / "out", "x86_64")
    files = opened(tmp_path / "out" / "backend" / "backend-1.1.0.tar.gz")
    assert json.loads(files["plano.json"]) == {
        "component": "backend",
        "version": "1.1.0",
        "schema": {"revision": "0002", "runs_on": ["0002"], "keeps": ["0001"]},
    }
    digest = hashlib.sha256(files["wheels/plano_sample-1.1.0-py3-none-any.whl"]).hexdigest()
    requirements = files["requirements.txt"].decode().splitlines()
    assert requirements[-1] == f"plano-sample==1.1.0 --hash=sha256:{digest}"
    assert {line.split()[0] for line in requirements} == {"thing==1.0", "plano-sample==1.1.0"}
    assert list(files) == sorted(files)


def test_the_same_input_gives_the_same_bytes(prepared, tmp_path):
    prepared.build(tmp_path / "one", "x86_64")
    prepared.build(tmp_path / "two", "x86_64")
    for path in sorted((tmp_path / "one" / "backend").glob("*.tar.gz")):
        assert path.read_bytes() == (tmp_path / "two" / "backend" / path.name).read_bytes()


def test_members_belong_to_nobody_and_have_no_time(prepared, tmp_path):
    prepared.build(tmp_path, "x86_64")
    with tarfile.open(tmp_path / "backend" / "backend-1.0.0.tar.gz") as archive:
        assert {(one.uid, one.gid, one.uname, one.mtime, one.mode, one.isreg()) for one in archive} == {
            (0, 0, "", 0, 0o644, True)
        }


def test_the_index_and_the_checksums_tell_the_digest_of_the_file(prepared, tmp_path):
    prepared.build(tmp_path, "x86_64")
    entries = json.loads((tmp_path / "backend" / "index.json").read_text())
    assert [entry["version"] for entry in entries] == [version.version for version in prepared.VERSIONS]
    for entry in entries:
        path = tmp_path / "backend" / entry["file"]
        assert path.name == f"backend-{entry['version']}.tar.gz"
        assert entry["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
        assert path.with_name(path.name + ".sha256").read_text() == f"{entry['sha256']}  {path.name}\n"


def test_nothing_is_built_twice_and_a_damaged_archive_is_built_again(prepared, tmp_path):
    assert prepared.build(tmp_path, "x86_64") is True
    times = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}
    assert prepared.build(tmp_path, "x86_64") is False
    assert {path: path.stat().st_mtime_ns for path in times} == times

    damaged = tmp_path / "backend" / "backend-1.1.0.tar.gz"
    sound = damaged.read_bytes()
    os.truncate(damaged, len(sound) // 2)
    assert prepared.build(tmp_path, "x86_64") is True
    assert damaged.read_bytes() == sound
    assert prepared.build(tmp_path, "aarch64") is True
    (tmp_path / "backend" / "index.json").write_text("{")
    assert prepared.build(tmp_path, "aarch64") is True


def test_a_wheel_that_is_not_locked_is_refused(prepared, tmp_path):
    (tmp_path / "wheels" / "thing-1.0-py3-none-any.whl").write_bytes(b"another wheel")
    with pytest.raises(prepared.BuildError, match="does not match the lock"):
        prepared.build(tmp_path / "out", "x86_64")
    assert not list((tmp_path / "out").rglob("*.tar.gz"))


@pytest.mark.parametrize("line", ["thing>=1.0 --hash=sha256:00", "thing==1.0", "thing"])
def test_a_loose_lock_is_refused(build, line):
    with pytest.raises(build.BuildError, match="needs an exact version and hashes"):
        build.read_lock(line + "\n")


def test_the_lock_covers_both_debian_releases_and_machines(build):
    locked = {one.name: one for one in build.read_lock(build.LOCK.read_text())}
    # Compiled packages: two Pythons on two machines; portable ones have a single wheel.
    assert {len(one.hashes) for one in locked.values()} == {1, 4}
    assert len(locked["pydantic-core"].hashes) == len(locked["psycopg-binary"].hashes) == 4
    wanted = [line.split("==")[0].split("[")[0] for line in build.INPUT.read_text().splitlines()]
    assert set(wanted) <= set(locked)
