# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import hashlib
import io
import tarfile
from pathlib import Path

import pytest

from ansible_collections.plano.delivery.plugins.module_utils.engine import fs
from ansible_collections.plano.delivery.plugins.module_utils.engine.errors import EngineError
from ansible_collections.plano.delivery.plugins.module_utils.engine.store import Store
from ansible_collections.plano.delivery.plugins.module_utils.engine.systemd import Done


@pytest.fixture
def store(tmp_path, host):
    return Store(tmp_path / "store", host)


@pytest.fixture
def artifact(tmp_path):
    path = tmp_path / "app.tar.gz"
    with tarfile.open(path, "w:gz") as out:
        info = tarfile.TarInfo("app.py")
        info.size = 5
        out.addfile(info, io.BytesIO(b"print"))
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    return {"version": "1.0.0", "sha256": sha256, "sources": [path.as_uri()]}


def litter(store):
    return [path.name for path in store.root.iterdir() if path.name != "sha256"]


def test_an_artifact_is_there_whole_and_any_change_to_it_is_seen(store, artifact):
    assert set(store.add(artifact)) == {"fetch", "verify", "unpack", "seal"}
    assert store.verify(artifact["sha256"]) == []
    assert store.add(artifact)["seal"] >= 0  # a second run that lost the race finds the same
    (store.path(artifact["sha256"]) / "files/app.py").write_text("tampered")
    assert store.verify(artifact["sha256"]) == ["files/app.py was changed"]
    assert litter(store) == []


def test_other_bytes_than_pinned_are_refused_and_nothing_stays(store, artifact):
    with pytest.raises(EngineError, match=rf"sha256 is {artifact['sha256']} \(\d+ bytes\), expected 0{{64}}"):
        store.add({**artifact, "sha256": "0" * 64})
    assert store.digests() == []
    assert litter(store) == []


def test_the_next_source_is_tried_and_all_faults_are_told(store, artifact):
    store.add({**artifact, "sources": ["file:///nowhere.tar.gz", *artifact["sources"]]})
    with pytest.raises(EngineError, match=r"one\.tar\.gz: .*; file:///two\.tar\.gz: "):
        store.add({**artifact, "sources": ["file:///one.tar.gz", "file:///two.tar.gz?signature=secret"]})


def test_no_message_tells_a_signed_urls_signature(store, artifact):
    with pytest.raises(EngineError) as caught:
        store.add({**artifact, "sources": ["file:///gone.tar.gz?X-Amz-Signature=secret"]})
    assert "secret" not in str(caught.value)


def test_a_full_disk_is_told_with_what_is_needed(store, artifact, monkeypatch):
    monkeypatch.setattr(fs, "free_bytes", lambda _path: 1000000)
    with pytest.raises(EngineError, match=r"no space to fetch the artifact: .* has 1 MB free, 67 MB are needed"):
        store.add(artifact)
    assert litter(store) == []


def test_what_lies_where_an_artifact_goes_without_being_one_is_replaced(store, artifact):
    stray = store.path(artifact["sha256"]) / "venv" / "lib" / "__pycache__"
    stray.mkdir(parents=True)
    (stray / "x.pyc").write_bytes(b"")
    store.add(artifact)
    assert store.verify(artifact["sha256"]) == []


def test_byte_code_is_made_aside_and_moved_to_its_place_whole(store, artifact, host, monkeypatch):
    store.add(artifact)
    venv = store.path(artifact["sha256"]) / "venv"
    (venv / "lib").mkdir(parents=True)

    def compile_all(argv, timeout=0, env=None):
        assert argv[-1] == str(venv / "lib")
        aside = Path(f"{env['PYTHONPYCACHEPREFIX']}{venv}") / "lib"
        aside.mkdir(parents=True)
        (aside / "app.cpython-311.pyc").write_bytes(b"code")
        return Done(argv, 0, "", "")

    monkeypatch.setattr(host, "run", compile_all)
    store.compile_python(artifact["sha256"])
    assert (venv / "lib/__pycache__/app.cpython-311.pyc").read_bytes() == b"code"
    assert sorted(path.name for path in venv.iterdir()) == ["compiled", "lib"]
    assert store.verify(artifact["sha256"]) == []
    monkeypatch.setattr(host, "run", None)
    store.compile_python(artifact["sha256"])  # done once is done


def test_byte_code_that_cannot_be_made_is_not_called_made(store, artifact, host):
    store.add(artifact)
    venv = store.path(artifact["sha256"]) / "venv"
    (venv / "lib").mkdir(parents=True)
    host.refuses("nice", "killed")
    store.compile_python(artifact["sha256"])
    assert sorted(path.name for path in venv.iterdir()) == ["lib"]


def test_a_single_file_is_kept_as_it_is_under_its_own_name(store, tmp_path):
    path = tmp_path / "exporter"
    path.write_bytes(b"\x7fELF")
    sha256 = hashlib.sha256(b"\x7fELF").hexdigest()
    store.add({"version": "1", "sha256": sha256, "sources": [path.as_uri()], "format": "file"})
    assert [item.name for item in (store.path(sha256) / "files").iterdir()] == ["exporter"]
    assert (store.verify(sha256), store.manifest(sha256)) == ([], {})


def test_an_artifact_that_is_not_there_has_a_fault_and_no_manifest(store):
    assert store.verify("0" * 64) == [f"artifact {'0' * 64} is not in the store"]
    assert store.manifest("0" * 64) == {}
    assert store.digests() == []


def test_a_manifest_that_is_no_object_is_none(store, artifact):
    store.add(artifact)
    (store.path(artifact["sha256"]) / "files/plano.json").write_text("[]")
    assert store.manifest(artifact["sha256"]) == {}


@pytest.mark.parametrize("other", [True, False])
def test_a_folder_in_the_way_is_an_artifact_or_told(store, artifact, monkeypatch, other):
    """Another run stores the same artifact in the very moment before the rename."""
    final = store.path(artifact["sha256"])

    def meanwhile(_path):
        (final / "files").mkdir(parents=True)
        if other:
            (final / "entry.json").write_text("{}")

    monkeypatch.setattr(fs, "sync_file_system", meanwhile)
    monkeypatch.setattr(fs, "remove_tree", lambda _path: None)
    if other:
        store.add(artifact)
    else:
        with pytest.raises(
            EngineError, match=r"cannot store artifact 1\.0\.0 under .*not empty.* run the same command"
        ):
            store.add(artifact)
    assert litter(store) == []
    assert store.has(artifact["sha256"]) is other
