# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os

import pytest

from ansible_collections.plano.delivery.plugins.module_utils.engine import fs
from ansible_collections.plano.delivery.plugins.module_utils.engine.errors import EngineError, InputError
from ansible_collections.plano.delivery.plugins.module_utils.engine.release import (
    Layout,
    Releases,
    describe,
    expand,
    request_faults,
    secrets_id,
    tokens,
)

SHA = "ab" * 32


def request(**changed: object) -> dict:
    return {
        "component": "backend",
        "artifact": {"version": "1.0.0", "sha256": SHA, "sources": ["file:///x.tar.gz"]},
        "files": [{"dest": "config/app.yml", "content": "a: 1\n"}],
        "activation": {"strategy": "restart", "unit": "x.service"},
        "health": [{"type": "tcp", "port": 80}],
    } | changed


def artifact(**changed: object) -> dict:
    return request()["artifact"] | changed


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"component": "Back end"}, "must be a lower-case name"),
        ({"artifact": artifact(sha256=None)}, "sha256 is missing; it is mandatory"),
        ({"artifact": artifact(sha256="abc")}, "malformed: 64 lower-case hexadecimal digits are needed, this has 3"),
        ({"artifact": artifact(sha256=SHA.upper())}, "malformed"),
        ({"artifact": artifact(version="latest")}, "version 'latest' moves; pin an exact version"),
        ({"artifact": artifact(version="../1")}, "is not a version"),
        ({"artifact": artifact(strip=-1)}, "strip '-1' must say how many leading directories to drop, 0 to 99"),
        ({"artifact": artifact(strip="one")}, "strip 'one' must say"),
        ({"artifact": artifact(sources=[])}, "sources is empty"),
        ({"artifact": artifact(sources=["ftp://x/y"])}, "is no file:, http:, https: or s3: URL"),
        ({"files": [{"dest": "../x"}]}, "must be a path inside the release"),
        ({"files": [{"dest": "release.json"}]}, "must be a path inside the release"),
        ({"files": [{"dest": "a", "mode": "rw"}]}, "must be a quoted octal"),
        ({"links": {"etc/x": "config/app.yml"}}, "must be an absolute path"),
        ({"links": {"/etc/x": "config/other"}}, "is not among the files"),
        ({"secrets": {"a/b": "x"}}, "secrets: name 'a/b'"),
        ({"activation": {}}, "must be one of bluegreen, restart, reload, none"),
        ({"activation": {"strategy": "restart"}}, "needs unit or commands"),
        (
            {"activation": {"strategy": "restart", "unit": "x", "unit_file": "y"}},
            "unit_file 'y' is not among the files",
        ),
        ({"activation": {"strategy": "bluegreen"}}, "strategy bluegreen needs proxy"),
        (
            {"activation": {"strategy": "bluegreen"}, "health": [{"type": "tcp", "port": 1}]},
            "strategy bluegreen needs a check of type http, which is asked through the proxy too",
        ),
        ({"health": []}, "no evidence is failure"),
        ({"health": [{"type": "ping"}]}, "must be http, tcp or command"),
        ({"health": [{"type": "tcp", "port": 1, "only": "deploy"}]}, "health: only 'deploy' must be change"),
        ({"health": [{"type": "tcp", "port": 1, "only": "change"}]}, "every check is for changes only"),
        ({"health": [{"type": "http"}]}, "a check of type http needs url"),
        (
            {"health": [{"type": "http", "url": "http://127.0.0.1/", "match": "("}]},
            "match '(' is not a regular expression: missing )",
        ),
        (
            {"health": [{"type": "command", "argv": ["ask"], "timeout": "long"}]},
            "health: timeout 'long' is not a number of seconds",
        ),
        (
            {"health": [{"type": "http", "url": "https://127.0.0.1/", "user": "probe"}]},
            "the check of https://127.0.0.1/ needs user and password_file, or neither",
        ),
        (
            {"activation": {"strategy": "restart", "unit": "a.service", "state_files": ["a.db"]}},
            "state_files 'a.db' must be an absolute path",
        ),
        (
            {"activation": {"strategy": "reload", "unit": "a.service", "state_files": ["/a.db"]}},
            "state_files are kept by strategy restart only",
        ),
    ],
)
def test_each_wrong_input_is_named(changed, message):
    assert any(message in fault for fault in request_faults(request(**changed)))


def test_all_faults_are_listed_at_once():
    with pytest.raises(InputError) as caught:
        describe(request(artifact=artifact(sha256="", version="latest"), health=[], activation={"strategy": "x"}))
    assert len(caught.value.faults) == 4


def test_a_sound_request_has_no_faults():
    assert request_faults(request()) == []


def test_the_id_names_version_artifact_and_configuration():
    one = describe(request())
    assert one["id"].startswith("1.0.0-abababab-")
    assert describe(request())["id"] == one["id"]
    assert describe(request(files=[{"dest": "config/app.yml", "content": "a: 2\n"}]))["id"] != one["id"]
    assert describe(request(secrets={"password": "x"}))["id"] != one["id"]
    assert describe(request(artifact=artifact(sha256="cd" * 32)))["id"] != one["id"]


def test_where_the_artifact_comes_from_is_not_part_of_the_release():
    assert describe(request(artifact=artifact(sources=["https://x/y"]))) == describe(request())


def test_secrets_are_named_without_being_told():
    assert secrets_id("backend", {}) == ""
    assert secrets_id("backend", {"a": "x"}) != secrets_id("backend", {"a": "y"})
    assert "hunter2" not in str(describe(request(secrets={"password": "hunter2"})))


def test_a_release_is_written_whole_and_any_change_to_it_is_seen(tmp_path):
    releases = Releases(Layout("backend", tmp_path / "opt", tmp_path / "var", tmp_path / "run"))
    release = describe(request(secrets={"password": "hunter2"}))
    assert releases.add(release, {"config/app.yml": "a: 1\n"}) is True
    assert releases.add(release, {"config/app.yml": "a: 1\n"}) is False
    releases.add_secrets(release, {"password": "hunter2"})
    assert releases.verify(release["id"]) == []
    assert releases.description(release["id"]) == release
    path = releases.path(release["id"]) / "config/app.yml"
    path.chmod(0o600)
    assert releases.verify(release["id"]) == ["config/app.yml was changed"]
    assert releases.add(release, {"config/app.yml": "a: 1\n"}) is True
    assert releases.verify(release["id"]) == []
    for item in releases.layout.home.rglob("*"):
        assert not item.is_file() or b"hunter2" not in item.read_bytes()
    secret = releases.layout.secrets / release["secrets"] / "password"
    assert (secret.read_text(), secret.stat().st_mode & 0o777, secret.parent.stat().st_mode & 0o777) == (
        "hunter2",
        0o400,
        0o700,
    )


def test_tokens_stand_for_the_releases_own_paths_and_strangers_stay():
    words = tokens(
        Layout("backend"),
        describe(request(activation={"strategy": "restart", "unit": "u", "ports": {"blue": 81}})),
        "blue",
    )
    text = expand(["@ARTIFACT@/run", {"x": "@BASE@/health @OTHER@ user@host"}], words)
    assert text == [f"/opt/plano/store/sha256/{SHA}/run", {"x": "http://127.0.0.1:81/health @OTHER@ user@host"}]


@pytest.fixture
def releases(tmp_path):
    return Releases(Layout("backend", tmp_path / "opt", tmp_path / "var", tmp_path / "run"))


FILES = {"config/app.yml": "a: 1\n"}


def test_a_release_that_is_not_there_has_no_content_and_a_fault(releases):
    assert releases.content("1-gone") == {}
    assert releases.verify("1-gone") == ["release 1-gone is not on this host"]
    assert (releases.names(), releases.has("1-gone")) == ([], False)


def test_the_content_of_a_release_is_what_is_left_of_it(releases):
    files = [{"dest": name, "content": name} for name in ("a", "b")]
    release = describe(request(files=files, activation={"strategy": "none"}))
    releases.add(release, {"a": "a", "b": "b"})
    assert releases.content(release["id"]) == {"a": "a", "b": "b"}
    (releases.path(release["id"]) / "a").unlink()
    assert releases.content(release["id"]) == {"b": "b"}


@pytest.mark.parametrize("sound", [True, False])
def test_a_release_that_another_run_wrote_meanwhile_stays_if_it_is_sound(releases, monkeypatch, sound):
    release = describe(request())
    final = releases.path(release["id"])
    other = Releases(releases.layout)

    def meanwhile(_path):
        monkeypatch.undo()
        other.add(release, FILES)
        if not sound:
            (final / "config/app.yml").write_text("tampered")

    monkeypatch.setattr(fs, "sync_file_system", meanwhile)
    before = releases.add(release, FILES) and final.stat().st_ino
    assert releases.verify(release["id"]) == []
    assert releases.names() == [release["id"]]
    assert final.stat().st_ino == before
    assert [path.name for path in releases.layout.releases.iterdir()] == [release["id"]]


def refuse_rename(*_):
    raise OSError(28, "No space left on device")


def test_a_release_that_the_disk_refuses_leaves_nothing(releases, monkeypatch):
    monkeypatch.setattr(os, "rename", refuse_rename)
    with pytest.raises(
        EngineError,
        match=r"cannot write release 1\.0\.0-.*No space left on device .*bytes are free there.* run the same",
    ):
        releases.add(describe(request()), FILES)
    assert list(releases.layout.releases.iterdir()) == []


def test_secrets_that_the_disk_refuses_leave_nothing_and_are_not_told(releases, monkeypatch):
    monkeypatch.setattr(os, "rename", refuse_rename)
    with pytest.raises(EngineError, match=r"cannot keep the secrets of 1\.0\.0-.*No space left on device") as caught:
        releases.add_secrets(describe(request(secrets={"password": "hunter2"})), {"password": "hunter2"})
    assert "hunter2" not in str(caught.value)
    assert list(releases.layout.secrets.iterdir()) == []


def test_secrets_that_another_run_wrote_meanwhile_are_the_same(releases, monkeypatch):
    release = describe(request(secrets={"password": "hunter2"}))
    real = os.rename

    def meanwhile(source, target):
        real(source, target)
        raise OSError(39, "Directory not empty")

    monkeypatch.setattr(os, "rename", meanwhile)
    releases.add_secrets(release, {"password": "hunter2"})
    assert [path.name for path in releases.layout.secrets.iterdir()] == [release["secrets"]]


def test_a_release_without_secrets_keeps_none(releases):
    releases.add_secrets(describe(request()), {})
    assert not releases.layout.secrets.exists()


def test_what_is_no_text_is_not_expanded():
    assert expand({"seconds": 5, "on": True}, {"ID": "x"}) == {"seconds": 5, "on": True}
