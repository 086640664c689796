# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import hashlib
import io
import tarfile

import pytest

from ansible_collections.plano.delivery.plugins.module_utils import _release
from ansible_collections.plano.delivery.plugins.module_utils.engine import bundle, change
from ansible_collections.plano.delivery.plugins.module_utils.engine.change import Component, Refused
from ansible_collections.plano.delivery.plugins.module_utils.engine.release import Layout


def params(request, **changed):
    """What the module hands over: the request, and what it fills in."""
    return {"change": {"id": "c-1", "actor": "ana"}, "allow_rejected": False, "keep": 5, **request, **changed}


@pytest.fixture
def present(spawning, site):
    """Release a version of the component "app", which runs in slots."""

    def run(version, check_mode=False, **changed):
        return _release.present(
            params(site.request(version), **{"change": {"id": f"c-{version}"}} | changed), check_mode
        )

    return run


@pytest.fixture
def files(spawning):
    """Release a version of the component "conf", which is files only."""

    def run(version, check_mode=False, **changed):
        request = {
            "component": "conf",
            "version": version,
            "files": [{"dest": "conf", "content": f"version {version}\n"}],
            "activation": {"strategy": "none"},
        }
        return _release.present(params(request, **{"change": {"id": f"c-{version}"}} | changed), check_mode)

    return run


def rolled_back(check_mode=False, **changed):
    return _release.rolled_back(params({"change": {"id": "back"}}, **changed), check_mode)


def serving(component):
    past = Component(Layout(component)).ledger().history
    return past.versions[past.current]


# -- present -----------------------------------------------------------------------------------------


def test_a_release_is_put_there_with_the_engine_and_then_nothing_changes(present, site, host):
    result = present("1")
    assert (result["changed"], result["status"], result["version"], result["previous"]) == (
        True,
        "confirmed",
        "1",
        None,
    )
    assert {"stage", "start", "switch"} <= set(result["phases"])
    assert (site.layout.opt / "bin/plano").read_bytes() == bundle.zipapp()
    calls = len(host.calls)
    again = present("1")
    assert (again["changed"], again["status"], again["diff"]) == (False, "unchanged", [])
    assert [call for call in host.calls[calls:] if call[:2] != ["systemctl", "show"]] == []
    assert site.served() == "1"


def test_check_mode_says_what_would_change_and_touches_nothing(present, site, host):
    result = present("1", check_mode=True)
    assert (result["changed"], result["status"]) == (True, "planned")
    assert (host.calls, site.layout.opt.exists(), site.layout.var.exists()) == ([], False, False)
    present("1")
    assert present("1", check_mode=True)["changed"] is False
    assert present("2", check_mode=True)["status"] == "planned"
    assert site.served() == "1"


def test_an_engine_of_another_version_is_replaced_although_the_release_stays(present, site):
    present("1")
    (site.layout.opt / "bin/plano").write_bytes(b"older")
    result = present("1")
    assert (result["changed"], result["status"]) == (True, "unchanged")
    assert (site.layout.opt / "bin/plano").read_bytes() == bundle.zipapp()


def test_the_difference_shows_the_release_and_each_file_before_and_after(files):
    first = files("1")
    change_of_release, change_of_file = files("2", check_mode=True)["diff"]
    assert change_of_release["before"] == f"{first['release']}\n"
    assert change_of_release["after"].startswith("2-")
    assert change_of_file == {
        "before_header": "conf:conf",
        "after_header": "conf:conf",
        "before": "version 1\n",
        "after": "version 2\n",
    }
    moved = files("2", check_mode=True, files=[{"dest": "other"}, {"dest": "conf", "content": "version 1\n"}])["diff"]
    assert [item["before_header"] for item in moved] == ["conf current release"]
    assert first["diff"][0]["before"] == "none\n"


def test_the_difference_shows_no_secret(files):
    files("1")
    assert "hunter2" not in str(files("1", check_mode=True, secrets={"password": "hunter2"}))


def test_a_release_that_fails_says_so_and_what_serves(present, site):
    present("1")
    site.broken["2"] = "silent"
    result = present("2")
    assert (result["status"], result["version"]) == ("failed", "2")
    assert result["message"].endswith("goes on serving.")
    assert site.served() == "1"


def test_a_rejected_release_is_refused_unless_it_is_allowed(present, site):
    present("1")
    present("2")
    rolled_back(component="app")
    with pytest.raises(Refused, match="was rejected by change back"):
        present("2")
    assert present("2", allow_rejected=True)["status"] == "confirmed"
    assert site.served() == "2"


def test_only_so_many_releases_are_kept_as_are_asked_for(files):
    for version in ("1", "2", "3"):
        files(version, keep=2)
    assert [name[0] for name in Component(Layout("conf")).releases.names()] == ["2", "3"]


def test_an_artifact_that_only_the_controller_has_is_asked_for_and_then_taken(files, tmp_path):
    path = tmp_path / "app.tar"
    with tarfile.open(path, "w") as out:
        info = tarfile.TarInfo("app")
        info.size = 5
        out.addfile(info, io.BytesIO(b"print"))
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    artifact = {"version": "1", "sha256": sha256, "sources": ["file:///on/the/controller.tar"], "local": True}
    asked = files("1", artifact=artifact)
    assert (asked["needs_artifact"], asked["changed"]) == (True, False)
    assert Component(Layout("conf")).releases.names() == []
    taken = files("1", artifact={**artifact, "uploaded": str(path)})
    assert (taken["status"], taken["changed"]) == ("confirmed", True)
    assert {"fetch", "verify", "unpack"} <= set(taken["phases"])
    assert files("1", artifact=artifact)["status"] == "unchanged"


def test_a_release_that_serves_already_by_the_time_it_is_launched_is_no_change(files, monkeypatch):
    files("1")
    real = change.plan
    monkeypatch.setattr(change, "plan", lambda *args: change.Plan(**{**vars(real(*args)), "changed": True}))
    assert files("1")["changed"] is False


# -- waiting for the controller ----------------------------------------------------------------------


def test_a_controller_that_comes_back_confirms_the_change_that_waits_for_it(files):
    waiting = files("1", confirm_within=60)
    assert waiting["status"] == "waiting"
    result = _release.confirm({"component": "conf", "confirm": waiting["attempt"]})
    assert (result["status"], result["changed"], serving("conf")) == ("confirmed", True, "1")
    assert not Layout("conf").confirm(waiting["attempt"]).exists()


def test_a_controller_that_comes_back_too_late_learns_that_the_change_was_reverted(files, spawning):
    files("1")
    waiting = files("2", confirm_within=3)
    spawning.join()
    result = _release.confirm({"component": "conf", "confirm": waiting["attempt"]})
    assert result["status"] == "reverted"
    assert "the controller did not come back over a new connection within 3 s" in result["message"]
    assert serving("conf") == "1"


# -- going back --------------------------------------------------------------------------------------


def test_a_component_goes_back_to_the_release_before(present, site):
    present("1")
    present("2")
    result = rolled_back(component="app")
    assert (result["changed"], result["status"]) == (True, "confirmed")
    assert (result["version"], result["previous_version"]) == ("1", "2")
    assert site.served() == "1"
    again = rolled_back(component="app", to="1")
    assert (again["changed"], again["status"]) == (False, "unchanged")


def test_check_mode_says_where_a_rollback_would_go(present, site, host):
    present("1")
    present("2")
    calls = len(host.calls)
    result = rolled_back(component="app", check_mode=True)
    assert (result["changed"], result["status"], result["version"]) == (True, "planned", "1")
    assert (host.calls[calls:], site.served()) == ([], "2")


def test_everything_that_a_change_did_is_taken_back(present, files, site):
    for version in ("1", "2"):
        present(version, change={"id": f"run-{version}"})
        files(version, change={"id": f"run-{version}"})
    result = rolled_back(revert_change="run-2")
    assert (result["changed"], result["status"]) == (True, "confirmed")
    assert sorted(item["component"] for item in result["rolled_back"]) == ["app", "conf"]
    assert (site.served(), serving("conf")) == ("1", "1")


def test_of_a_change_one_component_alone_can_be_taken_back(present, files, site):
    for version in ("1", "2"):
        present(version, change={"id": f"run-{version}"})
        files(version, change={"id": f"run-{version}"})
    rolled_back(revert_change="run-2", component="conf")
    assert (site.served(), serving("conf")) == ("2", "1")


def test_a_change_that_did_nothing_here_has_nothing_to_take_back(files):
    files("1")
    result = rolled_back(revert_change="unknown")
    assert (result["changed"], result["status"], result["rolled_back"]) == (False, "unchanged", [])


def test_a_rollback_that_fails_in_one_of_many_is_the_outcome(present, files, site):
    for version in ("1", "2"):
        present(version, change={"id": f"run-{version}"})
        files(version, change={"id": f"run-{version}"})
    site.host.stop("app@green.service")
    site.broken["1"] = "silent"
    result = rolled_back(revert_change="run-2")
    assert (result["status"], result["component"]) == ("failed", "app")
    assert (site.served(), serving("conf")) == ("2", "1")


# -- info --------------------------------------------------------------------------------------------


def test_all_components_of_a_host_are_reported_or_those_that_are_named(present, files):
    present("1")
    files("2")
    assert [(item["component"], item["version"]) for item in _release.info([])] == [("app", "1"), ("conf", "2")]
    assert [item["component"] for item in _release.info(["conf"])] == ["conf"]
    assert _release.info(["other"])[0]["state"] == "absent"


def test_what_each_component_warns_of_is_told_together():
    going = [
        {"status": "confirmed", "changed": True, "warnings": ["backend: requests ended with slot blue"]},
        {"status": "confirmed", "changed": True},
        {"status": "unchanged", "changed": False, "warnings": ["haproxy: tidying up met a full disk"]},
    ]
    told = ["backend: requests ended with slot blue", "haproxy: tidying up met a full disk"]
    assert _release._summary(going)["warnings"] == told
