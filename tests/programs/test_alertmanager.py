"""What the alertmanager role makes, judged by the real Alertmanager and amtool of every version in the mirror."""

from __future__ import annotations

import base64
import contextlib
import http.server
import json
import re
import signal
import socketserver
import ssl
import threading
import time
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
import yaml
from alertmanagers import Running, Staged, artifacts, certificates, defaults, free_port, prove, until
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from rule_files import ROOT, rules

from ansible_collections.plano.delivery.plugins.module_utils.monitoring.alarms import alarm
from ansible_collections.plano.delivery.plugins.module_utils.monitoring.alertmanager import faults, plan
from ansible_collections.plano.delivery.plugins.module_utils.monitoring.matchers import matcher, quoted
from ansible_collections.plano.delivery.plugins.module_utils.monitoring.silences import silence

VERSIONS = artifacts()
ALERTS = {rule.name: rule for rule in rules() if rule.alert}

MAIL = {"to": "ops@example.com", "from": "Plano <alerts@example.com>", "smarthost": "smtp.example.com:587"}
SMALL = {"receivers": [{"name": "ops", "email": [MAIL]}], "default_receiver": "ops"}
LARGE = {
    "receivers": [
        {
            "name": "ops",
            "email": [{**MAIL, "username": "ops", "password": "p", "headers": {"Subject": "no", "No": "1"}}],
        },
        {
            "name": "pager",
            "slack": [
                {"url": "https://hooks.slack.com/services/T/B/X", "channel": "#ops", "text": '{{ "a\u2028b" }}\n: #'}
            ],
            "webhook": [{"url": "https://pager.example.com/hook?a=1", "token": "t", "max_alerts": 5}],
        },
        {"name": "both", "email": [MAIL, {**MAIL, "require_tls": False}], "slack": [{"url": "http://[::1]:80/x"}]},
        {"name": "alive", "webhook": [{"url": "https://alive.example.com/ping"}]},
    ],
    "default_receiver": "ops",
    "watchdog_receiver": "alive",
    "group_by": ["..."],
    "routes": [
        {
            "matchers": ['severity="page"', "environment=prod"],
            "receiver": "pager",
            "continue": True,
            "group_by": ["host"],
        },
        {
            "matchers": [r'host=~"web-[0-9]{1,3}\.example|db\\d"', 'severity!~"info|"'],
            "receiver": "both",
            "mute_times": ["night"],
            "routes": [
                {"matchers": ["severity=ticket"], "repeat_interval": "1d12h", "active_times": ["work"]},
                {"matchers": ['team=""', 'alertname!="A \\"quoted\\\\ one"'], "receiver": "nobody"},
            ],
        },
    ],
    "inhibitions": [{"source": ["a=b"], "target": ['a=~"c|d"'], "equal": ["environment"]}],
    "mute_times": [
        {
            "name": "night",
            "intervals": [
                {"times": [{"start_time": "22:00", "end_time": "24:00"}], "weekdays": ["monday:friday", "Saturday"]},
                {"days_of_month": ["1:5", "-3:-1", 7], "months": ["january:march", "12"], "years": [2026, "2027:2030"]},
            ],
        },
        {"name": "work", "intervals": [{"weekdays": ["sunday"], "location": "America/Sao_Paulo"}]},
    ],
    "templates": [{"name": "plano.tmpl", "content": '{{ define "plano.title" }}é{{ .Status }}{{ end }}\n'}],
    "route_tests": [
        {"labels": {"severity": "page", "environment": "prod", "host": "db1"}, "receivers": ["pager", "nobody"]},
        {"labels": {"severity": "ticket", "host": "web-1.example"}, "receivers": ["both"]},
        {"labels": {"alertname": 'A "quoted\\ one', "host": "db1", "severity": "x"}, "receivers": ["both"]},
    ],
}
DEFAULT = {**defaults(), **SMALL}


def documented() -> dict[str, Any]:
    """Return the example of docs/alertmanager.md, with something for each secret."""
    text = (ROOT / "docs" / "alertmanager.md").read_text(encoding="utf-8")
    example = re.sub(
        r"\{\{ vault_\w+ \}\}", "https://example.com/secret", re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)[0]
    )
    found = {name.removeprefix("alertmanager_"): value for name, value in yaml.safe_load(example).items()}
    del found["version"]
    return {**defaults(), **found}


DESCRIPTIONS = {"small": SMALL, "large": LARGE, "default": DEFAULT, "documented": documented()}


def test_the_mirror_has_the_versions_that_must_work():
    assert {"0.25.0", "0.28.1"} <= set(VERSIONS)


@pytest.fixture(params=sorted(VERSIONS))
def number(request) -> str:
    return str(request.param)


def staged(folder: Path, number: str, description: dict[str, Any]) -> Staged:
    return Staged(folder, plan({"version": number, **description}), VERSIONS[number])


# -- amtool --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", DESCRIPTIONS)
def test_the_configuration_and_all_tests_of_its_routes_are_accepted(tmp_path, number, name):
    if name == "documented" and number == "0.25.0":
        assert ["webhook[0].secret" in fault for fault in faults({"version": number, **documented()})] == [True]
        return
    found = staged(tmp_path, number, DESCRIPTIONS[name])
    assert found.validate() == []
    assert not Path("/run/credentials/plano-alertmanager.service").exists()


def test_a_test_that_does_not_hold_is_refused_by_amtool(tmp_path, number):
    found = staged(tmp_path, number, LARGE)
    right = "--verify.receivers=pager,nobody"
    assert sum(right in argv for argv in found.plan["validate"]) >= 1
    found.plan["validate"] = [
        [word.replace(right, "--verify.receivers=nobody,pager") for word in argv] for argv in found.plan["validate"]
    ]
    assert any("did not match" in said for said in found.validate())


def test_a_template_that_is_none_is_refused_by_amtool(tmp_path, number):
    broken = staged(tmp_path, number, {**SMALL, "templates": [{"name": "a.tmpl", "content": "{{ if }}"}]})
    assert "a.tmpl" in "".join(broken.validate())


def sound(**parts: Any) -> bool:
    """Say whether nothing is wrong with this part of a description, whatever else it has."""
    return faults({"version": "0.28.1", **SMALL, **parts}) == []


LABELS = st.sampled_from(["severity", "host", "environment", "team_2"])
VALUES = st.one_of(st.sampled_from(["page", "ticket", "db1"]), st.text(st.characters(codec="utf-8"), max_size=6))
# Whatever may be taken for a regular expression, good ones and bad ones.
PIECES = [
    *("a", "page", "é", ".", "-", "]", "}", "^", "$", "[a-c]", "[^x]", r"[\d-]", r"\d", r"\.", r"\b"),
    *("(", ")", "(?:", "(?i)", "|", "*", "+", "?", "{2}", "{1,}"),
]
REGEXES = st.one_of(
    st.sampled_from(["page|ticket", "web.+", "(?i)PAGE", "(a|b){2,3}"]),
    st.lists(st.sampled_from(PIECES), max_size=8).map("".join),
)
MATCHERS = st.one_of(
    st.builds("{}{}{}".format, LABELS, st.sampled_from(["=", "!="]), VALUES.map(quoted)),
    st.builds("{} {} {}".format, LABELS, st.sampled_from(["=~", "!~"]), REGEXES.map(quoted)),
).filter(lambda text: sound(inhibitions=[{"source": [text], "target": [text], "equal": ["host"]}]))
NAMES = st.sampled_from(["ops", "pager", "nobody"])
TEXTS = st.text(st.characters(codec="utf-8"), max_size=20)


def routes(inner: Any) -> Any:
    keys = {
        "receiver": NAMES,
        "group_by": st.lists(LABELS, unique=True, min_size=1),
        "group_wait": st.sampled_from(["0s", "1h30m"]),
        "group_interval": st.sampled_from(["10s", "5m"]),
        "repeat_interval": st.sampled_from(["4h", "1d"]),
        "continue": st.booleans(),
        "mute_times": st.lists(st.just("t"), max_size=1),
        "routes": inner,
    }
    matchers = st.lists(MATCHERS, min_size=1, max_size=2)
    return st.lists(st.fixed_dictionaries({"matchers": matchers}, optional=keys), max_size=3)


RANGES = st.one_of(st.integers(-32, 32).map(str), st.builds("{}:{}".format, st.integers(-32, 32), st.integers(-32, 32)))
HOURS = st.sampled_from(["00:00", "07:59", "8:00", "22:00", "23:60", "24:00"])
INTERVALS = st.fixed_dictionaries(
    {},
    optional={
        "times": st.lists(st.builds(lambda a, b: {"start_time": a, "end_time": b}, HOURS, HOURS), max_size=1),
        "days_of_month": st.lists(RANGES, max_size=2),
        "months": st.lists(RANGES, max_size=1),
        "weekdays": st.lists(st.sampled_from(["monday", "Sunday:friday", "friday:monday"]), max_size=1),
        "years": st.lists(st.sampled_from([2026, "2026:2030", "2030:2026"]), max_size=1),
        "location": st.just("UTC"),
    },
).filter(lambda interval: sound(mute_times=[{"name": "t", "intervals": [interval]}]))
WAYS = {
    "email": st.fixed_dictionaries(
        {
            "to": st.just("a@example.com, B <b@example.com>"),
            "from": st.just("b@example.com"),
            "smarthost": st.sampled_from(["h:25", "[::1]:465", "h"]),
        },
        optional={
            "require_tls": st.booleans(),
            "headers": st.dictionaries(st.sampled_from(["Subject", "subject", "no", "X-A"]), TEXTS),
            "text": TEXTS,
        },
    ),
    "slack": st.fixed_dictionaries(
        {"url": st.sampled_from(["https://example.com/a%2Fb?c=d", "http://example.com:1/'()*", "https://h/%zz"])},
        optional={"channel": TEXTS, "title": TEXTS, "text": TEXTS},
    ),
    "webhook": st.fixed_dictionaries(
        {"url": st.sampled_from(["https://example.com", "https://a_b.example.com/@x", "https://u:p@h/", "ftp://h/"])},
        optional={"token": TEXTS, "max_alerts": st.integers(-1, 9), "send_resolved": st.booleans()},
    ),
}
KINDS = st.sampled_from(sorted(WAYS)).flatmap(lambda kind: WAYS[kind].map(lambda way: {kind: [way]}))
RECEIVERS = KINDS.filter(lambda ways: sound(receivers=[{"name": "ops", **ways}]))
RULES = st.builds(
    lambda source, target: {"source": source, "target": target, "equal": ["environment"]},
    st.lists(MATCHERS, min_size=1, max_size=2),
    st.lists(MATCHERS, min_size=1, max_size=2),
)
DRAWN = st.fixed_dictionaries(
    {
        "receivers": st.tuples(RECEIVERS, RECEIVERS).map(
            lambda two: [{"name": "ops", **two[0]}, {"name": "pager", **two[1]}]
        ),
        "default_receiver": st.sampled_from(["ops", "nobody"]),
        "watchdog_receiver": st.sampled_from(["", "pager", "ops"]),
        # The last two make sure that everybody hears of something.
        "routes": st.recursive(routes(st.just([])), routes, max_leaves=3).map(
            lambda drawn: [*drawn, *({"receiver": name, "matchers": [f"last={name}"]} for name in ("ops", "pager"))]
        ),
        "mute_times": st.lists(INTERVALS, min_size=1, max_size=2).map(
            lambda found: [{"name": "t", "intervals": found}]
        ),
        "inhibitions": st.lists(RULES, max_size=2),
    }
)


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.filter_too_much],
)
@given(description=DRAWN)
def test_what_has_no_faults_is_accepted(tmp_path, number, description):
    """And whatever is made of the routes here, amtool makes of them too."""
    assume(faults({"version": number, **description}) == [])
    found = staged(tmp_path, number, description)
    assert found.validate() == []


# -- a running one -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tls(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("tls")
    certificates(folder)
    return folder


@pytest.fixture
def run(tmp_path, number, tls):
    """Start a real Alertmanager with a description."""
    started = []

    def start(description: dict[str, Any]) -> Running:
        found = staged(tmp_path / "release", number, description)
        found.with_secrets()
        started.append(Running(found, tls))
        return started[-1]

    yield start
    for each in started:
        each.stop()


def test_the_proof_holds_only_for_what_really_runs(run, number, tls, tmp_path):
    running = run(LARGE)
    configuration = running.staged.configuration
    good = (0, f"Alertmanager {running.ask('/api/v2/status')['versionInfo']['version']} runs {configuration}\n")
    assert running.prove() == good

    (tmp_path / "wrong").write_text("wrong")
    certificates(tmp_path / "other")
    for changed, said in {
        ("version", "0.2"): "instead of 0.2",
        ("version", "9.9.9"): "runs instead of 9.9.9",
        ("password_file", str(tmp_path / "wrong")): "/-/ready answers 401 instead of 200",
        ("password_file", str(tmp_path / "none")): "No such file",
        ("ca", str(tmp_path / "other" / "ca.crt")): "certificate verify failed",
        ("configuration", str(tls / "ca.crt")): "it runs another configuration than",
        ("url", f"https://127.0.0.1:{free_port()}"): "Connection refused",
    }.items():
        code, words = running.prove(**dict([changed]))
        assert (code, said in words) == (1, True), words

    # What was not taken up yet is not proven; after a reload it is, and a template counts too.
    changed = {**LARGE, "templates": [{"name": "plano.tmpl", "content": '{{ define "plano.title" }}other{{ end }}'}]}
    running.staged.lay(plan({"version": number, **changed}))
    running.staged.with_secrets()
    assert running.prove() == (1, f"it runs another configuration than {configuration}\n")
    running.process.send_signal(signal.SIGHUP)
    until(lambda: running.prove() == good, "the reload is proven")

    configuration.write_text("route: {}\n")
    running.process.send_signal(signal.SIGHUP)
    until(lambda: "runs the configuration before" in running.prove()[1], "the refusal is told")


class Dripping(socketserver.BaseRequestHandler):
    """Begins an answer and then says a letter now and then, so that no single wait is a long one."""

    def handle(self) -> None:
        with self.server.context.wrap_socket(self.request, server_side=True) as link:
            link.recv(4096)
            link.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n")
            with contextlib.suppress(OSError):
                for _second in range(20):
                    link.sendall(b"x")
                    time.sleep(1)


def test_the_proof_does_not_wait_for_ever(tls, serve, tmp_path):
    server = serve(Dripping)
    server.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.context.load_cert_chain(tls / "server.crt", tls / "server.key")
    (tmp_path / "password").write_text("x")
    began = time.monotonic()
    code, words = prove(
        url=f"https://127.0.0.1:{server.server_address[1]}",
        ca=tls / "ca.crt",
        user="u",
        password_file=tmp_path / "password",
        version="1",
        configuration=tmp_path / "password",
    )
    assert (code, "/-/ready does not answer: no whole answer within 5 s" in words) == (1, True), words
    assert 4 < time.monotonic() - began < 15  # it would drip for 20 s


class Hooks(http.server.BaseHTTPRequestHandler):
    """Keeps what it was sent: path, authorization, body."""

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.heard.append((self.path, self.headers.get("Authorization"), body))
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *_words: object) -> None:
        pass


class Mails(socketserver.StreamRequestHandler):
    """Just enough SMTP for a login and a mail."""

    def handle(self) -> None:
        self.say("220 ready")
        for raw in self.rfile:
            line = raw.decode().strip()
            if line.startswith("EHLO"):
                self.say("250-here\r\n250 AUTH PLAIN")
            elif line.startswith("AUTH PLAIN "):
                self.server.heard.append(("login", base64.b64decode(line.split()[2]).decode(), None))
                self.say("235 good")
            elif line == "DATA":
                self.say("354 go on")
                text = b"".join(iter(self.rfile.readline, b".\r\n")).decode()
                self.server.heard.append(("mail", re.findall("^Subject: (.*)\r", text, re.MULTILINE)[0], None))
                self.say("250 taken")
            else:
                self.say("250 good")

    def say(self, words: str) -> None:
        self.wfile.write(f"{words}\r\n".encode())


@pytest.fixture
def serve():
    """Start a server that keeps what it hears."""
    started = []

    def start(handler: type) -> Any:
        server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), handler)
        server.daemon_threads = True
        server.block_on_close = False
        server.heard = []
        threading.Thread(target=server.serve_forever, daemon=True).start()
        started.append(server)
        return server

    yield start
    for server in started:
        server.shutdown()
        server.server_close()


def test_secrets_come_from_files_and_everybody_hears_of_it(run, number, serve):
    hooks, mails = serve(Hooks), serve(Mails)
    url = f"http://127.0.0.1:{hooks.server_address[1]}"
    mail = {
        **MAIL,
        "smarthost": f"127.0.0.1:{mails.server_address[1]}",
        "username": "u",
        "password": "p w",
        "require_tls": False,
    }
    secret = {"secret": True} if number != "0.25.0" else {}
    everybody = {
        "name": "all",
        "email": [{**mail, "headers": {"Subject": "{{ .CommonLabels.alertname }}"}}],
        "slack": [{"url": f"{url}/slack/SECRET", "channel": "#ops", "title": '{{ template "plano.title" . }}'}],
        "webhook": [{"url": f"{url}/hook/SECRET", "token": "TOKEN", **secret}],
    }
    description = {
        "receivers": [everybody, {"name": "alive", "webhook": [{"url": f"{url}/alive"}]}],
        "default_receiver": "all",
        "watchdog_receiver": "alive",
        "group_wait": "0s",
        "templates": [{"name": "plano.tmpl", "content": '{{ define "plano.title" }}T {{ .Status }}{{ end }}'}],
    }
    running = run(description)
    said = running.staged.configuration.read_text()
    assert "TOKEN" not in said
    assert ("p w" in said, "slack/SECRET" in said, "hook/SECRET" in said) == (False, False, not secret)
    running.fire({"alertname": "HostDown", "severity": "page"}, {"alertname": "Watchdog"})
    until(lambda: len(hooks.heard) >= 3 and len(mails.heard) >= 2, f"all were told; {running.log.read_text()}")
    heard = {path: (authorization, body) for path, authorization, body in hooks.heard}
    assert set(heard) == {"/slack/SECRET", "/hook/SECRET", "/alive"}
    assert heard["/slack/SECRET"][1]["attachments"][0]["title"] == "T firing"
    assert heard["/hook/SECRET"][0] == "Bearer TOKEN"
    assert heard["/alive"][1]["commonLabels"] == {"alertname": "Watchdog"}
    assert mails.heard == [("login", "\0u\0p w", None), ("mail", "HostDown", None)]


def test_a_silence_is_for_the_touched_hosts_and_never_for_the_deploy(run):
    running = run(SMALL)
    dev = {"environment": "dev"}
    touched = [
        {"alertname": "HostMemoryLow", "host": "app-1", **dev},
        {"alertname": "TargetDown", "host": "app-2.example", **dev},
    ]
    others = [
        {"alertname": "DeployStuck", "host": "app-1", **dev},
        {"alertname": "HostMemoryLow", "host": "app-11", **dev},
        {"alertname": "HostMemoryLow", "host": "app-2xexample", **dev},
        {"alertname": "HostMemoryLow", "host": "app-1", "environment": "prod"},
        {"alertname": "BackendErrors", **dev},
    ]
    now = datetime.now(timezone.utc)
    body = silence("dev", ["app-2.example", "app-1"], 5, "20261126T184400Z-1", "kernel", now)
    assert running.ask("/api/v2/silences", body)["silenceID"]
    running.fire(*touched, *others)
    until(lambda: len(running.silent("silencedBy")) == len(touched), "the touched hosts are silent")
    assert sorted(map(pairs, running.silent("silencedBy"))) == sorted(map(pairs, touched))
    assert len(running.ask("/api/v2/alerts")) == len(touched) + len(others)


def pairs(labels: dict[str, str]) -> list[tuple[str, str]]:
    return sorted(labels.items())


def test_an_alarm_is_one_with_what_prometheus_finds_later(run):
    running = run(SMALL)
    labels = {"database": "db1", "datname": "shop", "target": "public.clients"}
    now = datetime.now(timezone.utc)
    body = alarm("ImportReverted", "prod", labels, "dates: 3 rows", 10, now)
    running.ask("/api/v2/alerts", body)
    until(lambda: running.ask("/api/v2/alerts"), "the alarm is there")
    running.fire({"alertname": "ImportReverted", "severity": "page", "environment": "prod", **labels})
    running.fire({"alertname": "ImportReverted", "severity": "page", "environment": "dev", **labels})
    until(lambda: len(running.ask("/api/v2/alerts")) == 2, "the other environment's is another one")
    (found,) = (each for each in running.ask("/api/v2/alerts") if each["labels"]["environment"] == "prod")
    # The rule's rest, and the rest of the alarm's time, whichever is longer: until somebody says that it is over.
    assert found["startsAt"][:19] == body[0]["startsAt"][:19]
    running.ask("/api/v2/alerts", [{"labels": found["labels"], "endsAt": body[0]["startsAt"]}])
    until(lambda: len(running.ask("/api/v2/alerts")) == 1, "Prometheus has ended it")


def test_the_default_inhibitions_silence_what_is_told_already_and_nothing_else(run):
    running = run(DEFAULT)
    db = {"environment": "dev", "host": "db"}
    causes = [
        {"alertname": "HostDown", "severity": "page", **db},
        {"alertname": "DatabaseDiskFull", "severity": "page", "environment": "dev", "database": "db"},
        {
            "alertname": "BackendDown",
            "severity": "page",
            "environment": "dev",
            "host": "app",
            "instance": "https://app",
        },
    ]
    inhibited = [
        {"alertname": "HostUnitFailed", "severity": "ticket", "name": "x.service", **db},
        {"alertname": "DatabaseDiskLow", "severity": "ticket", "environment": "dev", "database": "db"},
        {"alertname": "BackendErrors", "severity": "page", "environment": "dev"},
    ]
    told = [
        {"alertname": "DeployStuck", "severity": "ticket", **db},
        {"alertname": "HostUnitFailed", "severity": "ticket", **db, "host": "app"},
        {"alertname": "HostUnitFailed", "severity": "ticket", **db, "environment": "prod"},
        {"alertname": "DatabaseDiskLow", "severity": "ticket", "environment": "dev", "database": "other"},
        {"alertname": "Watchdog", "severity": "info", "environment": "dev"},
    ]
    running.fire(*causes, *inhibited, *told)
    until(lambda: len(running.silent("inhibitedBy")) == len(inhibited), str(running.silent("inhibitedBy")))
    assert sorted(map(pairs, running.silent("inhibitedBy"))) == sorted(map(pairs, inhibited))


# -- the role's defaults -------------------------------------------------------------------------------------------


def _alerts(texts: list[str]) -> set[str]:
    """Return the alerts of this collection that fit the matchers of alertname."""
    found = [matcher(text) for text in texts]
    assert all(each.name == "alertname" for each in found)
    return {name for name in ALERTS if all(each.holds({"alertname": name}) for each in found)}


@pytest.mark.parametrize("rule", DEFAULT["inhibitions"], ids=lambda rule: rule["source"][0])
def test_an_inhibition_is_about_alerts_that_there_are(rule):
    sources, targets = _alerts(rule["source"]), _alerts(rule["target"])
    assert len(sources) == 1
    assert all(ALERTS[name].labels["severity"] == "page" for name in sources), "a page must not fall silent for less"
    assert not targets & sources
    assert not [name for name in targets if name.startswith("Deploy")]
    for text in rule["target"]:
        if matcher(text).operator in ("=", "=~"):
            assert set(matcher(text).value.split("|")) <= {*ALERTS, "Database.*"}
    assert "environment" in rule["equal"]


def test_every_alert_of_the_collection_goes_where_its_severity_says():
    tests = [
        {"labels": {"alertname": name, **rule.labels}, "receivers": [_expected(rule)]} for name, rule in ALERTS.items()
    ]
    pages = {"receivers": [*SMALL["receivers"], {"name": "alive", "webhook": [{"url": "https://example.com"}]}]}
    description = {**DEFAULT, **pages, "watchdog_receiver": "alive", "route_tests": tests}
    assert faults({"version": "0.28.1", **description}) == []


def _expected(rule: Any) -> str:
    if rule.name == "Watchdog":
        return "alive"
    return "nobody" if rule.labels["severity"] == "info" else "ops"
