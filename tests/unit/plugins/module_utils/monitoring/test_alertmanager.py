# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import copy
from typing import Any

import pytest
import yaml

from ansible_collections.plano.delivery.plugins.module_utils.engine.errors import InputError
from ansible_collections.plano.delivery.plugins.module_utils.engine.release import request_faults
from ansible_collections.plano.delivery.plugins.module_utils.monitoring.alertmanager import faults, plan, seconds

MAIL = {"to": "ops@example.com", "from": "alerts@example.com", "smarthost": "smtp.example.com:587"}
PAGE = 'severity="page"'
SOUND: dict[str, Any] = {
    "version": "0.28.1",
    "receivers": [
        {"name": "ops", "email": [MAIL]},
        {"name": "pager", "slack": [{"url": "https://hooks.slack.com/S3CRET"}]},
    ],
    "default_receiver": "ops",
    "routes": [{"matchers": [PAGE], "receiver": "pager", "group_wait": "5s"}],
}


def changed(path: str, value: Any) -> dict[str, Any]:
    """Return the sound description with another value at a place such as receivers.0.email.0.to."""
    found = copy.deepcopy(SOUND)
    place: Any = found
    *steps, last = [int(step) if step.isdigit() else step for step in path.split(".")]
    for step in steps:
        place = place[step]
    place[last] = value
    return found


def test_a_sound_description_has_no_faults():
    assert faults(SOUND) == []


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("version", "latest", "version: it must be a version such as 0.28.1, is 'latest'"),
        ("version", "0.24.0", "version: 0.24.0 cannot read all secrets from files; 0.25.0 is the oldest that can"),
        ("port", 0, "port: it must be a port from 1 to 65535, is 0"),
        ("external_url", "mon:9093", "external_url: it must be a URL such as"),
        ("retention", "5 days", "retention: it must be a duration"),
        ("group_wate", "5s", "description: unknown key 'group_wate'; did you mean group_wait?"),
        ("receivers", {}, "receivers: it must be a list of mappings"),
        ("receivers.0", "S3CRET", "receivers[0]: it must be a mapping"),
        ("receivers.1.slack", {"url": "S3CRET"}, "receivers[1].slack: it must be a list of mappings"),
        ("receivers.0.name", "o,ps", "receivers[0].name: it must be letters, digits and . _ -"),
        ("receivers.0.name", "nobody", "receivers[0].name: nobody is there already"),
        ("receivers.0.name", "pager", "receivers: 'pager' is there twice"),
        ("receivers.0.emial", [], "receivers[0]: unknown key 'emial'; did you mean email?"),
        ("receivers.0.email", [], "receivers[0]: it tells nobody: give it one of email, slack, webhook"),
        ("receivers.0.email", {}, "receivers[0].email: it must be a list of mappings"),
        ("receivers.0.email.0", {}, "receivers[0].email[0].smarthost: it is missing"),
        ("receivers.0.email.0.to", "ops", "receivers[0].email[0].to: it must be one address or several"),
        ("receivers.0.email.0.from", "a@b, c@d", "receivers[0].email[0].from: it must be an address such as"),
        ("receivers.0.email.0.smarthost", "smtp", "receivers[0].email[0].smarthost: it must be host:port"),
        ("receivers.0.email.0.smarthost", "smtp:99999", "receivers[0].email[0].smarthost: it must be host:port"),
        ("receivers.0.email.0.require_tls", "no", "receivers[0].email[0].require_tls: it must be true or false"),
        ("receivers.0.email.0.password", "S3CRET", "receivers[0].email[0]: username and password go together"),
        ("receivers.0.email.0.password", "S3CRET ", "receivers[0].email[0].password: it must be a text of one line"),
        ("receivers.0.email.0.headers", {"A": "1", "a": "2"}, "receivers[0].email[0].headers: it must be a mapping"),
        ("receivers.1.slack.0.url", "hooks/S3CRET", "receivers[1].slack[0].url: it must be a URL"),
        ("receivers.1.slack.0.text", "  ", "receivers[1].slack[0].text: it must be a text that is not empty"),
        ("receivers.1.webhook", [{"url": "https://u:S3CRET@h/"}], "receivers[1].webhook[0].url: it must be a URL"),
        ("receivers.1.webhook", [{"url": "https://h", "max_alerts": -1}], "webhook[0].max_alerts: it must be a whole"),
        ("default_receiver", None, "default_receiver: it is missing"),
        ("default_receiver", "opps", "there is no receiver 'opps' among alertmanager_receivers; did you mean ops?"),
        ("watchdog_receiver", "dog", "watchdog_receiver: there is no receiver 'dog'"),
        ("group_by", "host", "group_by: it must be a list of labels, is 'host'"),
        ("group_by", ["...", "host"], "group_by: '...' means all labels, so it must stand alone"),
        ("group_by", ["host", "host"], "group_by: 'host' is there twice"),
        ("group_by", ["ho-st"], "group_by: it must be the name of a label, is 'ho-st'"),
        ("group_interval", "0s", "group_interval: it must be a duration"),
        ("repeat_interval", 60, "repeat_interval: it must be a duration"),
        ("repeat_interval", "1m", "repeat_interval: 1m is shorter than the group_interval 5m"),
        ("repeat_interval", "1w", "repeat_interval: 1w is longer than alertmanager_retention 120h"),
        ("routes.0.receiver", "pagr", "routes[0].receiver: there is no receiver 'pagr'"),
        ("routes.0.matcher", [PAGE], "routes[0]: unknown key 'matcher'; did you mean matchers?"),
        ("routes.0.matchers", PAGE, "routes[0].matchers: it must be a list of matchers"),
        ("routes.0.matchers", ["page"], "routes[0].matchers[0]: 'page': a matcher is a label, one of"),
        ("routes.0.matchers", ['host=~"(?<=a)b"'], "its regular expression may have"),
        ("routes.0.matchers", [1], "routes[0].matchers[0]: it must be a text, is 1"),
        ("routes.0.group_by", [], "routes[0].group_by: an empty list means one thing before Alertmanager 0.31"),
        ("routes.0.group_wait", "5", "routes[0].group_wait: it must be a duration"),
        ("routes.0.repeat_interval", "30s", "routes[0].repeat_interval: 30s is shorter than the group_interval 5m"),
        ("routes.0.continue", "yes", "routes[0].continue: it must be true or false, is 'yes'"),
        ("routes.0.mute_times", ["night"], "routes[0].mute_times: there is no 'night' among alertmanager_mute_times"),
        ("routes.0.active_times", "night", "routes[0].active_times: it must be a list of names"),
        ("routes.0.routes", [{"receiver": "x"}], "routes[0].routes[0].receiver: there is no receiver 'x'"),
        ("routes.0.routes", [{"matchers": ['severity="info"']}], "routes[0].routes[0]: no alert gets here, severity"),
        ("inhibitions", [{}], "inhibitions[0].source: it must be a list of matchers"),
        ("inhibitions", [{"source": [PAGE], "target": [PAGE]}], "inhibitions[0].equal: it must name the labels"),
        ("inhibitions", [{"source": [PAGE], "target": [PAGE], "equal": ["a b"]}], "inhibitions[0].equal: it must be"),
        ("mute_times", [{"name": "a"}], "mute_times[0].intervals: it must be a list of intervals, is None"),
        ("templates", [{"name": "a.txt", "content": "x"}], "templates[0].name: it must be the name of a file that"),
        ("templates", [{"name": "a.tmpl", "content": ""}], "templates[0].content: it must be a text"),
        ("route_tests", [{"labels": {"a": 1}, "receivers": ["ops"]}], "route_tests[0].labels.a: it must be a text"),
        ("route_tests", [{"labels": [], "receivers": ["ops"]}], "route_tests[0].labels: it must be a mapping"),
        ("route_tests", [{"labels": {}, "receivers": []}], "route_tests[0].receivers: it must be a list"),
        ("route_tests", [{"labels": {}, "receivers": ["me"]}], "route_tests[0].receivers: there is no receiver 'me'"),
        ("route_tests", [{"labels": {}, "receivers": ["pager"]}], "route_tests[0]: it goes to ops instead of pager"),
    ],
)
def test_a_fault_says_where_it_is_and_what_must_be(path, value, said):
    found = faults(changed(path, value))
    assert any(said in fault for fault in found), found
    assert all(fault.startswith(("alertmanager_", "description: unknown key")) for fault in found)
    assert "S3CRET" not in str(found)


@pytest.mark.parametrize(
    ("interval", "said"),
    [
        ({}, "it names no time"),
        ({"weekday": ["monday"], "months": ["may"]}, "unknown key 'weekday'"),
        ({"weekdays": ["friday:monday"]}, "weekdays: 'friday:monday' is none; it must be such as"),
        ({"weekdays": "monday"}, "weekdays: it must be a list"),
        ({"days_of_month": ["0"]}, "days_of_month: '0' is none"),
        ({"days_of_month": ["-3:3"]}, "days_of_month: '-3:3' is none"),
        ({"days_of_month": ["28:-1"]}, "days_of_month: '28:-1' is none"),
        ({"months": ["13"]}, "months: '13' is none"),
        ({"years": ["2030:2026"]}, "years: '2030:2026' is none"),
        ({"months": [1], "location": "here or there"}, "location: it must be a time zone"),
        ({"times": [{"start_time": 480, "end_time": "09:00"}]}, "must be texts in quotes"),
        ({"times": [{"start_time": "8:00", "end_time": "09:00"}]}, "must be texts in quotes"),
        ({"times": [{"start_time": "22:00", "end_time": "06:00"}]}, "what goes over midnight is two intervals"),
    ],
)
def test_a_faulty_interval_is_told(interval, said):
    found = faults({**SOUND, "mute_times": [{"name": "t", "intervals": [interval]}]})
    assert len(found) == 1
    assert "alertmanager_mute_times[0].intervals[0]" in found[0]
    assert said in found[0]


def test_all_faults_are_told_at_once():
    bad = changed("routes.0.receiver", "x") | {"port": "x", "templates": "x", "route_tests": "x", "inhibitions": "x"}
    assert len(faults(bad)) == 5


def test_a_password_goes_over_tls_or_nowhere():
    login = {**MAIL, "username": "u", "password": "p", "require_tls": False}
    found = faults(changed("receivers.0.email", [login]))
    assert found == [
        "alertmanager_receivers[0].email[0].require_tls: a password is not sent without TLS; leave it true, or take "
        "username and password away"
    ]
    assert faults(changed("receivers.0.email", [{**login, "smarthost": "localhost:25"}])) == []


@pytest.mark.parametrize(
    ("version", "known"), [("0.25.0", False), ("0.27.0", False), ("0.28.0", True), ("0.28.1+ds", True)]
)
def test_a_secret_url_needs_a_version_that_can_keep_it(version, known):
    hook = {"url": "https://example.com/S3CRET", "secret": True}
    found = faults(changed("receivers.1.webhook", [hook]) | {"version": version})
    assert (found == []) is known
    assert known or "ask for alertmanager_version 0.28.0 or newer, or put what is secret into token" in found[0]


# -- routes --------------------------------------------------------------------------------------------------------


def test_a_route_behind_one_that_takes_all_of_its_alerts_is_a_fault():
    first = {"matchers": [PAGE], "receiver": "pager"}
    later = {"matchers": ["environment=prod", "severity=page"], "receiver": "ops"}
    found = faults({**SOUND, "routes": [first, later]})
    assert [fault.partition(":")[0] for fault in found] == ["alertmanager_routes[1]"]
    assert "alertmanager_routes[0] takes all of them" in found[0]
    assert faults({**SOUND, "routes": [{**first, "continue": True}, later]}) == []
    assert faults({**SOUND, "routes": [later, first]}) == []


def test_a_route_for_the_watchdog_is_told_of_its_own_input():
    found = faults({**SOUND, "routes": [*SOUND["routes"], {"matchers": ["alertname=Watchdog"]}]})
    assert len(found) == 1
    assert "name its receiver as alertmanager_watchdog_receiver" in found[0]


def test_a_receiver_that_never_hears_of_anything_is_a_fault():
    assert faults({**SOUND, "routes": []}) == [
        "alertmanager_receivers: no route leads to 'pager', so it never hears of anything; name it in a route, or take it away"
    ]
    everything = {"receiver": "pager"}
    found = faults({**SOUND, "routes": [*SOUND["routes"], everything]})
    assert len(found) == 1
    assert (
        "alertmanager_default_receiver: 'ops' never hears of anything, alertmanager_routes[1] has no matchers"
        in found[0]
    )
    # Its receiver is only what those within it have from it.
    nested = {"matchers": [PAGE], "receiver": "pager", "routes": [{"receiver": "ops"}]}
    assert "no route leads to 'pager'" in faults({**SOUND, "routes": [nested]})[0]


def ways_of(description: dict[str, Any]) -> dict[str, list[str]]:
    return {
        ",".join(f"{name}={value}" for name, value in test["labels"].items()): test["receivers"]
        for test in plan(description)["tests"]
    }


def test_the_tests_follow_from_the_routes():
    assert ways_of(SOUND) == {
        "": ["ops"],
        "severity=page": ["pager"],
        "severity=ticket": ["ops"],
        "severity=info": ["ops"],
        "alertname=Watchdog,severity=info": ["nobody"],
        "alertname=Watchdog": ["nobody"],
    }


def test_every_route_has_an_example_where_one_can_be_made():
    routes = [
        {"matchers": ['host=~"(db|web).*"', 'environment!="dev"'], "receiver": "pager", "continue": True},
        {"matchers": ['host=~"[a-z]x"'], "receiver": "nobody"},
        {"matchers": ["team=db"], "routes": [{"matchers": ['severity=~"page|ticket"'], "receiver": "pager"}]},
    ]
    found = ways_of({**SOUND, "routes": routes})
    assert found["host=db"] == ["pager"]
    assert found["team=db"] == ["ops"]
    assert found["team=db,severity=page"] == ["pager"]
    assert not [labels for labels in found if "x" in labels]


def test_written_tests_come_first_and_each_alert_once():
    written = {"labels": {"severity": "page"}, "receivers": ["pager"]}
    found = plan({**SOUND, "route_tests": [written]})
    assert found["tests"][0] == written
    assert found["tests"].count(written) == 1
    assert len(found["validate"]) == 1 + len(found["tests"])
    assert found["validate"][1] == [
        *("@ARTIFACT@/files/amtool", "config", "routes", "test", "--config.file=@RELEASE@/config/alertmanager.yml"),
        *("--verify.receivers=pager", PAGE),
    ]


# -- the plan ------------------------------------------------------------------------------------------------------


def configuration(description: dict[str, Any]) -> dict[str, Any]:
    return yaml.safe_load(plan(description)["configuration"])


def test_secrets_are_files_and_never_in_the_configuration():
    ways = {
        "email": [MAIL, {**MAIL, "username": "u", "password": "S3CRET1"}],
        "slack": [{"url": "https://example.com/S3CRET2"}],
        "webhook": [
            {"url": "https://example.com/S3CRET3", "secret": True, "token": "S3CRET4"},
            {"url": "https://open"},
        ],
    }
    found = plan({**SOUND, "receivers": [{"name": "ops", **ways}], "routes": []})
    assert found["secrets"] == {
        "password-ops-1": "S3CRET1",
        "slack-ops-0": "https://example.com/S3CRET2",
        "webhook-ops-0": "https://example.com/S3CRET3",
        "token-ops-0": "S3CRET4",
    }
    assert "S3CRET" not in str({key: value for key, value in found.items() if key != "secrets"})
    folder = "/run/credentials/plano-alertmanager.service"
    ops = yaml.safe_load(found["configuration"])["receivers"][1]
    assert ops["email_configs"][1]["auth_password_file"] == f"{folder}/password-ops-1"
    assert ops["slack_configs"][0]["api_url_file"] == f"{folder}/slack-ops-0"
    assert ops["webhook_configs"] == [
        {
            "url_file": f"{folder}/webhook-ops-0",
            "http_config": {"authorization": {"credentials_file": f"{folder}/token-ops-0"}},
            "send_resolved": True,
        },
        {"url": "https://open", "send_resolved": True},
    ]


def test_the_engine_takes_the_longest_names_of_secrets():
    name = "n" * 40
    ways = {"email": [{**MAIL, "username": "u", "password": "p"}], "webhook": [{"url": "https://h", "token": "t"}]}
    found = plan({**SOUND, "receivers": [{"name": name, **ways}], "default_receiver": name, "routes": []})
    told = request_faults({"component": "alertmanager", "secrets": found["secrets"], "files": found["files"]})
    assert len(found["secrets"]) == 2
    assert [fault for fault in told if fault.startswith(("secrets", "files"))] == []


def test_everybody_hears_of_the_end_but_the_watchdog():
    hook = [{"url": "https://example.com"}]
    receivers = [
        {"name": "ops", "webhook": hook},
        {"name": "dog", "webhook": hook, "email": [{**MAIL, "send_resolved": True}]},
    ]
    found = configuration({**SOUND, "receivers": receivers, "routes": [], "watchdog_receiver": "dog"})
    nobody, ops, dog = found["receivers"]
    assert nobody == {"name": "nobody"}
    assert ops["webhook_configs"][0]["send_resolved"] is True
    assert dog["webhook_configs"][0]["send_resolved"] is False
    assert dog["email_configs"][0]["send_resolved"] is True
    assert found["route"]["routes"][0] == {
        "receiver": "dog",
        "matchers": ['alertname="Watchdog"'],
        "group_by": ["environment"],
        "group_wait": "0s",
        "group_interval": "1m",
        "repeat_interval": "5m",
    }


def test_the_text_is_stable_says_who_writes_it_and_changes_with_a_template():
    template = {"name": "a.tmpl", "content": "one"}
    first = plan({**SOUND, "templates": [template]})
    assert first["configuration"].startswith("# Written by the role plano.delivery.alertmanager")
    assert first == plan(copy.deepcopy({**SOUND, "templates": [template]}))
    assert first["files"][1] == {"dest": "config/templates/a.tmpl", "content": "one"}
    second = plan({**SOUND, "templates": [{**template, "content": "two"}]})
    assert second["configuration"] != first["configuration"]
    assert yaml.safe_load(second["configuration"]) == yaml.safe_load(first["configuration"])


def test_a_route_keeps_all_that_was_said():
    times = {"group_wait": "0s", "group_interval": "1m", "repeat_interval": "2h"}
    route = {
        "receiver": "pager",
        "matchers": ["severity=page", r'host=~"a\.b"'],
        "group_by": ["host"],
        **times,
        "continue": True,
        "mute_times": ["t"],
        "active_times": ["t"],
        "routes": [{}],
    }
    night = {"name": "t", "intervals": [{"weekdays": ["monday:friday"], "years": [2026], "location": "UTC"}]}
    found = configuration({**SOUND, "routes": [route, *SOUND["routes"]], "mute_times": [night]})
    assert found["route"]["routes"][1] == {
        "receiver": "pager",
        "matchers": ['severity="page"', 'host=~"a\\\\.b"'],
        "group_by": ["host"],
        **times,
        "continue": True,
        "mute_time_intervals": ["t"],
        "active_time_intervals": ["t"],
        "routes": [{"continue": False}],
    }
    assert found["time_intervals"] == [
        {"name": "t", "time_intervals": [{"weekdays": ["monday:friday"], "years": ["2026"], "location": "UTC"}]}
    ]


def test_a_description_with_faults_is_no_plan():
    with pytest.raises(InputError) as refused:
        plan(changed("port", 0) | {"group_by": "x"})
    assert len(refused.value.faults) == 2


@pytest.mark.parametrize(
    ("text", "is_seconds"),
    [
        ("0s", 0),
        ("1h30m", 5400),
        ("2w1d", 15 * 86400),
        ("", -1),
        ("1.5h", -1),
        ("90", -1),
        ("30m1h", -1),
        ("400d", -1),
        (5, -1),
    ],
)
def test_durations(text, is_seconds):
    assert seconds(text) == is_seconds


def test_the_retention_is_what_the_command_line_takes():
    assert plan({**SOUND, "retention": "10d"})["retention"] == "864000s"
