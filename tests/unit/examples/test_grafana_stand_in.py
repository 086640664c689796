# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The stand-in as a real process that reads what the role makes, judged by the role's own proof; and what it refuses, as Grafana does."""

from __future__ import annotations

import base64
import copy
import http.client
import json
import os
import signal
import socket
import sqlite3
import ssl
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import grafana as tool
import pytest

from ansible_collections.plano.delivery.plugins.module_utils.monitoring import grafana

FILES = Path(__file__).parents[3] / "roles" / "grafana" / "files"
OLD, NEW = tool.VERSIONS
PASSWORD = "the-admins-password"
BOARD = {
    "uid": "disks",
    "title": "Disks",
    "panels": [{"id": 1, "type": "stat", "title": "Up", "targets": [{"expr": "up"}]}],
}
TEAM = {"name": "b.json", "source": "b", "folder": "Team", "content": json.dumps({**BOARD, "uid": "b", "title": "B"})}


class Prometheus(BaseHTTPRequestHandler):
    """Answers the one question that a data source's health is."""

    status = 200

    def do_GET(self) -> None:
        pair = base64.b64encode(b"plano:monitoring").decode()
        good = self.headers.get("Authorization") == f"Basic {pair}" and self.path == "/api/v1/query?query=1%2B1"
        body = json.dumps({"data": {"result": [0, "2"]}}).encode()
        self.send_response(self.status if good else 401)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_arguments: Any) -> None:
        pass


@pytest.fixture
def prometheus():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Prometheus)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    Prometheus.status = 200
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


@pytest.fixture(scope="session")
def certificate(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tls")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1",
         "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1",
         "-keyout", folder / "server.key", "-out", folder / "server.crt"],
        check=True, capture_output=True,
    )  # fmt: skip
    return folder


class Host:
    """A host in a folder: artifacts, credentials, one release and its state; starts it as the unit of the role does."""

    def __init__(self, root: Path, certificate: Path, prometheus: str) -> None:
        self.root = root
        self.certificate = certificate
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.state, self.credentials, self.release = root / "state", root / "credentials", root / "release"
        for folder in (self.state, self.credentials):
            folder.mkdir()
        for name in ("server.crt", "server.key"):
            (self.credentials / name).write_bytes((certificate / name).read_bytes())
        (self.credentials / "monitoring_password").write_text("monitoring")
        self.description: dict[str, Any] = {
            "version": OLD,
            "port": self.port,
            "external_url": f"https://127.0.0.1:{self.port}",
            "admin_password": PASSWORD,
            "secret_key": "0123456789abcdef",
            "user": "plano",
            "prometheus_url": prometheus,
            "dashboards": [{"source": "a", "name": "disks.json", "content": json.dumps(BOARD)}, TEAM],
        }
        # A second is enough for a test.
        self.proof = root / "prove.py"
        self.proof.write_text((FILES / "prove.py").read_text().replace("PAUSE_SECONDS = 25", "PAUSE_SECONDS = 0"))
        assert "PAUSE_SECONDS = 0" in self.proof.read_text()
        self.process: subprocess.Popen[str] | None = None

    def write(self, **changed: Any) -> None:
        """Write the release as the engine would."""
        self.description.update(changed)
        made = grafana.plan(self.description)
        subprocess.run(["rm", "-rf", self.release], check=True)
        for item in made["files"]:
            path = self.release / item["dest"]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(item["content"])
        for name, value in made["secrets"].items():
            (self.credentials / name).write_text(value)
        home = self.home
        if not home.exists():
            for name, (content, program) in tool.stand_in(self.description["version"]).items():
                path = home / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
                path.chmod(0o755 if program else 0o644)

    @property
    def home(self) -> Path:
        return self.root / self.description["version"]

    @property
    def words(self) -> list[str]:
        return [f"--homepath={self.home}", f"--config={self.release}/config/grafana.ini"]

    @property
    def environment(self) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "GF_PATHS_PROVISIONING": f"{self.release}/config/provisioning",
        }

    def run(self, *argv: Any, text: str | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            list(map(str, argv)),
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
            input=text,
        )

    def prepare(self) -> subprocess.CompletedProcess[str]:
        """What the unit runs before the server."""
        start = [sys.executable, "-I", FILES / "start.py", self.description["version"], self.state]
        return self.run(*start, self.credentials / "admin_password", self.home / "bin" / "grafana", "cli", *self.words)

    def start(self, **changed: Any) -> str:
        """Start a release; return what it said when it did not come up, else nothing."""
        self.stop()
        self.write(**changed)
        prepared = self.prepare()
        return prepared.stdout + prepared.stderr if prepared.returncode else self.serve()

    def serve(self) -> str:
        """Start the server with what is there."""
        self.process = subprocess.Popen(
            [self.home / "bin" / "grafana", "server", *self.words],
            env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        assert self.process.stdout
        said = ""
        for line in self.process.stdout:
            said += line
            if "listens on port" in line:
                return ""
        return said

    def stop(self) -> str:
        if self.process is None:
            return ""
        self.process.send_signal(signal.SIGTERM)
        said, _nothing = self.process.communicate(timeout=20)
        assert self.process.returncode is not None
        self.process = None
        return said

    def prove(self, version: str = "", password: str = "") -> str:
        """Return what is wrong, nothing when all is proven."""
        secret = self.root / "password"
        secret.write_text(password or self.description["admin_password"])
        wanted = version or self.description["version"]
        url = f"https://127.0.0.1:{self.port}"
        expected = self.release / "config" / "expected.json"
        done = self.run(
            sys.executable, "-I", self.proof, url, self.certificate / "server.crt", secret, wanted, expected
        )
        assert (done.returncode == 0) == done.stdout.startswith(f"Grafana {wanted} has ")
        return done.stderr.strip()

    def ask(self, path: str, body: Any = None, method: str = "", password: str | None = PASSWORD) -> tuple[int, Any]:
        context = ssl.create_default_context(cafile=self.certificate / "server.crt")
        connection = http.client.HTTPSConnection("127.0.0.1", self.port, context=context, timeout=20)
        pair = base64.b64encode(f"admin:{password}".encode()).decode()
        headers = {"Authorization": f"Basic {pair}"} if password else {}
        text = None if body is None else json.dumps(body)
        connection.request(method or ("GET" if body is None else "POST"), path, text, headers)
        answer = connection.getresponse()
        said = answer.read().decode()
        connection.close()
        self.headers = answer.headers
        try:
            return answer.status, json.loads(said)
        except ValueError:
            return answer.status, said


@pytest.fixture
def host(tmp_path, certificate, prometheus, monkeypatch):
    found = Host(tmp_path, certificate, prometheus)
    monkeypatch.setattr(grafana, "CREDENTIALS", str(found.credentials))
    monkeypatch.setattr(grafana, "STATE", str(found.state))
    monkeypatch.setattr(grafana, "DASHBOARDS", str(found.release / "config" / "dashboards"))
    monkeypatch.setattr(grafana, "AUTHORITY", str(certificate / "server.crt"))
    yield found
    found.stop()


# -- the proof -----------------------------------------------------------------------------------------------------


def test_a_release_is_proven_and_every_difference_is_told(host, monkeypatch):
    assert host.start() == ""
    assert host.prove() == ""
    assert host.prove(version="11.6.1") == f"version {OLD} runs instead of 11.6.1"

    expected = host.release / "config" / "expected.json"
    sound = json.loads(expected.read_text())

    def told(change: Any) -> str:
        wanted = copy.deepcopy(sound)
        change(wanted)
        expected.write_text(json.dumps(wanted))
        return host.prove()

    assert told(lambda it: it["sources"][0].update(url="http://x")).startswith("data source prometheus: url is 'http")
    assert told(lambda it: it["sources"][0].update(uid="x", check=False)).splitlines() == [
        "data source x is missing",
        "data source prometheus is there, though no longer provisioned",
    ]
    assert told(lambda it: it["dashboards"][0].update(digest="x")) == (
        "dashboard disks shows other panels or queries than the released file"
    )
    assert told(lambda it: it["dashboards"][1].update(folder="Plano")) == (
        "dashboard b: folder is 'Team' instead of 'Plano'"
    )
    assert told(lambda it: it["dashboards"][1].update(title="C")) == "dashboard b: title is 'B' instead of 'C'"
    assert told(lambda it: it["dashboards"].pop()) == "dashboard b is there, though no longer provisioned"
    missing = {"uid": "gone", "title": "x", "folder": "x", "digest": "x"}
    assert told(lambda it: it["dashboards"].append(missing)) == "dashboard gone is missing (404)"
    # All at once.
    assert len(told(lambda it: it.update(sources=[], dashboards=[])).splitlines()) == 3

    expected.write_text(json.dumps(sound))
    monkeypatch.setattr(Prometheus, "status", 500)
    assert "data source prometheus at http://127.0.0.1" in host.prove()
    host.stop()
    assert "/api/health does not answer: [Errno 111] Connection refused" in host.prove()


def test_a_wrong_password_is_told_and_somebody_who_is_let_in_without_one(host):
    host.start()
    said = host.prove(password="another-password")
    assert said == 'admin does not get in with grafana_admin_password: {"message": "Unauthorized"}'
    host.stop()
    host.write()
    path = host.release / "config" / "grafana.ini"
    path.write_text(path.read_text().replace("[auth.anonymous]\nenabled = false", "[auth.anonymous]\nenabled = true"))
    assert host.serve() == ""
    assert host.prove() == "/api/datasources answers 200 to whom nobody knows, instead of 401"


# -- each start ----------------------------------------------------------------------------------------------------


def test_every_start_sets_the_password_of_its_release(host):
    host.start()
    assert host.start(admin_password="the-second-password") == ""
    assert host.prove() == ""
    assert host.ask("/api/user", password=PASSWORD)[0] == 401
    assert host.ask("/api/user", password="admin")[0] == 401
    assert host.start(admin_password=PASSWORD) == ""
    assert host.prove() == ""


def test_an_older_version_does_not_start_on_what_a_newer_one_used(host):
    assert host.start(version=NEW) == ""
    said = host.start(version=OLD)
    assert (
        f"grafana.db was used by Grafana {NEW} last, and {OLD} does not know what that made of it. Go back with a"
        in said
    )
    assert (host.state / "plano-version").read_text() == f"{NEW}\n"
    for path in host.state.iterdir():
        path.unlink()
    assert host.start(version=OLD) == ""


def test_a_start_fails_when_the_password_cannot_be_set(host):
    host.start()
    host.stop()
    with sqlite3.connect(host.state / "grafana.db") as database:
        database.execute("DELETE FROM user WHERE id = 1")
        database.execute("INSERT INTO user (id, login) VALUES (2, 'somebody')")
    assert "user not found" in host.start()


# -- the stand-in itself -------------------------------------------------------------------------------------------


def test_a_newer_version_converts_the_database_and_the_older_one_refuses_it(host):
    host.start()
    number = host.ask("/api/annotations", {"text": "deploy", "tags": ["deploy", "backend"], "time": 5})[1]["id"]
    assert host.start(version=NEW) == ""
    (found,) = host.ask("/api/annotations?tags=deploy")[1]
    assert (found["id"], found["text"], found["tags"]) == (number, "deploy", ["deploy", "backend"])
    host.stop()
    (host.state / "plano-version").unlink()
    said = host.start(version=OLD)
    assert f"grafana.db was converted by a newer version (step 2), {OLD} knows step 1 only" in said


@pytest.mark.parametrize("version", [OLD, NEW])
def test_annotations_are_added_changed_found_and_deleted(host, version):
    host.start(version=version)
    assert host.ask("/api/annotations", {"tags": ["x"]})[0] == 400
    status, answer = host.ask("/api/annotations", {"text": "begins", "tags": ["deploy"], "time": 1000, "timeEnd": 2000})
    assert (status, answer["message"]) == (200, "Annotation added")
    place = f"/api/annotations/{answer['id']}"
    change = {"text": "done", "timeEnd": 9000, "tags": ["deploy", "good"]}
    assert host.ask(place, change, "PATCH") == (200, {"message": "Annotation patched"})
    wanted = {"id": answer["id"], "time": 1000, "timeEnd": 9000, "text": "done", "tags": ["deploy", "good"]}
    assert host.ask("/api/annotations?tags=deploy&tags=good&from=8000&to=9000")[1] == [{**wanted, "dashboardUID": ""}]
    assert host.ask("/api/annotations?tags=bad")[1] == host.ask("/api/annotations?from=9001")[1] == []
    assert host.ask("/api/annotations/99", {"text": "x"}, "PATCH")[0] == 404
    assert host.ask(place, method="DELETE")[0] == 200
    assert host.ask("/api/annotations")[1] == []


def test_what_is_no_longer_provisioned_is_gone_and_what_people_made_stays(host):
    more = {"name": "Logs", "uid": "logs", "type": "loki", "url": "http://127.0.0.1:3100"}
    host.start(data_sources=[more])
    assert [source["uid"] for source in host.ask("/api/datasources")[1]] == ["logs", "prometheus"]
    assert host.ask("/api/dashboards/db", {"dashboard": {"uid": "hand", "title": "By hand"}})[0] == 200
    assert host.ask("/api/dashboards/db", {"dashboard": BOARD, "overwrite": True}) == (
        400,
        {"message": "Cannot save provisioned dashboard"},
    )
    renamed = {**host.description["dashboards"][0], "content": json.dumps({**BOARD, "uid": "new", "title": "New"})}
    host.start(data_sources=[], dashboards=[renamed])
    assert [source["uid"] for source in host.ask("/api/datasources")[1]] == ["prometheus"]
    assert {item["uid"] for item in host.ask("/api/search?type=dash-db")[1]} == {"hand", "new"}
    assert host.prove() == ""


def test_a_dashboard_whose_file_has_another_path_is_made_anew(host, monkeypatch):
    host.start()
    before = host.ask("/api/dashboards/uid/disks")[1]["dashboard"]["id"]
    changed = {**host.description["dashboards"][0], "content": json.dumps({**BOARD, "title": "Other"})}
    host.start(dashboards=[changed, TEAM])
    answer = host.ask("/api/dashboards/uid/disks")[1]
    assert (answer["dashboard"]["id"], answer["dashboard"]["version"]) == (before, 2)
    host.stop()
    (host.release / "config" / "dashboards").rename(host.root / "elsewhere")
    provider = host.release / "config" / "provisioning" / "dashboards" / "plano.yml"
    provider.write_text(
        provider.read_text().replace(str(host.release / "config" / "dashboards"), str(host.root / "elsewhere"))
    )
    host.serve()
    answer = host.ask("/api/dashboards/uid/disks")[1]
    assert answer["dashboard"]["id"] != before
    assert answer["dashboard"]["version"] == 1


def test_five_wrong_passwords_lock_the_name_also_for_the_right_one(host):
    host.start()
    for _attempt in range(5):
        assert host.ask("/login", {"user": "admin", "password": "admin"}, password=None)[0] == 401
    assert host.ask("/api/user")[0] == 401
    assert "too many consecutive incorrect login attempts" in host.stop()


def test_a_session_is_a_secure_cookie(host):
    host.start()
    assert host.ask("/login", {"user": "admin", "password": PASSWORD}, password=None)[0] == 200
    cookie = host.headers["Set-Cookie"]
    assert "; Secure" in cookie
    assert "HttpOnly" in cookie
    assert host.headers["Strict-Transport-Security"] == "max-age=86400"


def test_it_says_everywhere_that_it_is_not_grafana(host):
    host.start()
    health = host.ask("/api/health", password=None)[1]
    assert (health["version"], health["notice"]) == (OLD, "This is the stand-in of plano.delivery, not Grafana.")
    assert "This is not Grafana" in host.ask("/", password=None)[1]
    assert host.headers["X-Grafana-Stand-In"]
    assert host.run(host.home / "bin" / "grafana", "--version").stdout == f"grafana version {OLD} (stand-in)\n"


def test_metrics_need_their_own_password(host):
    host.start()
    assert host.ask("/metrics", password=None)[0] == 401
    assert host.ask("/metrics")[0] == 401
    context = ssl.create_default_context(cafile=host.certificate / "server.crt")
    connection = http.client.HTTPSConnection("127.0.0.1", host.port, context=context, timeout=20)
    pair = base64.b64encode(b"plano:monitoring").decode()
    connection.request("GET", "/metrics", headers={"Authorization": f"Basic {pair}"})
    assert f'version="{OLD}"' in connection.getresponse().read().decode()
    connection.close()


def test_data_sources_are_asked_with_their_password(host):
    host.start()
    assert host.ask("/api/datasources/uid/prometheus/health")[1]["status"] == "OK"
    status, answer = host.ask("/api/datasources/proxy/uid/prometheus/api/v1/query?query=1%2B1")
    assert (status, answer["data"]["result"][1]) == (200, "2")
    assert host.ask("/api/datasources/uid/none/health") == (404, {"message": "Data source not found"})
    shown = host.ask("/api/datasources/uid/prometheus")[1]
    assert shown["readOnly"] is True
    assert "secureJsonData" not in shown


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("datasources", lambda it: it["datasources"].append({"name": "x"}), "type missing in x"),
        ("datasources", lambda it: it["datasources"].append({**it["datasources"][0], "name": "x", "uid": "x"}), "Only one"),
        ("datasources", lambda it: it["datasources"][0].update(access="odd"), "invalid access odd"),
        ("datasources", lambda it: it["datasources"][0].update(url="$__file{/nowhere}"), "failed to expand $__file{/nowhere}"),
        ("dashboards", lambda it: it["providers"].append(it["providers"][0]), "two providers of the same name"),
        ("dashboards", lambda it: it["providers"][0].pop("options"), "needs name, type file and options.path"),
    ],
)  # fmt: skip
def test_it_does_not_start_with_provisioning_that_grafana_refuses(host, monkeypatch, name, change, said):
    write = host.write

    def spoiled(**changed: Any) -> None:
        write(**changed)
        path = host.release / "config" / "provisioning" / name / "plano.yml"
        content = json.loads("\n".join(line for line in path.read_text().splitlines() if not line.startswith("#")))
        change(content)
        path.write_text(json.dumps(content))

    monkeypatch.setattr(host, "write", spoiled)
    assert said in host.start()


def test_a_dashboard_that_it_cannot_read_is_skipped_and_only_the_proof_tells(host, monkeypatch):
    write = host.write

    def spoiled(**changed: Any) -> None:
        write(**changed)
        (host.release / "config" / "dashboards" / "plano" / "disks.json").write_text("{")

    monkeypatch.setattr(host, "write", spoiled)
    assert host.start() == ""
    assert host.prove() == "dashboard disks is missing (404)"


def test_a_clean_end_leaves_no_journal_and_answers_until_then(host):
    host.start()
    began = time.monotonic()
    host.stop()
    assert time.monotonic() - began < 15
    assert sorted(path.name for path in host.state.iterdir()) == ["grafana.db", "plano-version"]
