"""What the prometheus role makes, judged by the real Prometheus and promtool of every version in the mirror."""

from __future__ import annotations

import base64
import contextlib
import http.server
import json
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from alertmanagers import certificates, free_port, until
from prometheuses import PASSWORD, USER, Running, Staged, artifacts, run
from rule_files import RULES

from ansible_collections.plano.delivery.plugins.module_utils.monitoring.prometheus import faults, plan

VERSIONS = artifacts()
OLD, NEW = "2.42.0", "2.53.3"
OWN = "groups: [{name: own, rules: [{record: 'own:one', expr: vector(1)}, {record: 'own:two', expr: vector(2)}]}]\n"
SHIPPED = {path.name: path.read_text(encoding="utf-8") for path in RULES.glob("*.yml")}


def described(folder: Path, tls: Path, port: int, **changed: Any) -> dict[str, Any]:
    """Return the description of a Prometheus that watches itself."""
    description = {
        "environment": "test",
        "settings": {
            "scrape_interval": "1s",
            "evaluation_interval": "1s",
            "retention_time": "1d",
            "retention_size": "512MB",
        },
        "builtin": 1,
        "jobs": [{"builtin": True, "job": "prometheus", "hosts": ["here"], "port": port}],
        "addresses": {"here": "127.0.0.1"},
        "modules": {"http_2xx": {}},
        "blackbox": "127.0.0.1:9",
        "rules": {**SHIPPED, "own.yml": OWN},
        "authorities": (tls / "ca.crt").read_text(encoding="utf-8"),
        "user": USER,
        "password_file": str(folder / "password"),
        "credentials": str(folder / "secrets"),
        **changed,
    }
    assert faults(description) == []
    return description


def own_job(port: int, **more: Any) -> dict[str, Any]:
    return {"job": "own", "hosts": ["here"], "port": port, "scheme": "http", **more}


@pytest.fixture(scope="module")
def tls(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("tls")
    certificates(folder)
    return folder


@pytest.fixture(params=[OLD, NEW])
def artifact(request) -> Path:
    return VERSIONS[request.param]


class Started:
    """One that runs, and whose description can be changed."""

    def __init__(self, folder: Path, artifact: Path, tls: Path, **changed: Any) -> None:
        self.folder, self.tls, self.port = folder, tls, free_port()
        self.staged = Staged(folder, self.planned(**changed))
        self.running = Running(self.staged, artifact, tls, self.port)

    def planned(self, **changed: Any) -> dict[str, Any]:
        own = changed.pop("jobs", [])
        description = described(self.folder, self.tls, self.port, **changed)
        return plan({**description, "jobs": [*description["jobs"], *own]})

    def change(self, **changed: Any) -> None:
        """Run another configuration, of which the one before has seen something."""
        until(lambda: self.running.query("up offset 2s"), "targets were asked")
        self.staged.lay(self.planned(**changed))
        self.running.reload()


@pytest.fixture
def start(tmp_path, artifact, tls) -> Iterator[Any]:
    with contextlib.ExitStack() as stack:

        def begin(**changed: Any) -> Started:
            found = Started(tmp_path, artifact, tls, **changed)
            stack.callback(found.running.stop)
            return found

        yield begin


@contextlib.contextmanager
def target(port: int, heard: list[tuple[str, str]] | None = None) -> Iterator[None]:
    """Something on loopback that has metrics, takes what is written to it, and keeps who asked for what."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if heard is not None:
                heard.append((self.path, self.headers.get("Authorization", "")))
            self.send_response(200)
            self.send_header("Content-Type", "text/plain")
            self.end_headers()
            self.wfile.write(b"own_metric 1\n")

        do_POST = do_GET  # noqa: N815

        def log_message(self, *_words: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)


# -- promtool ------------------------------------------------------------------------------------------------------

LARGE: dict[str, Any] = {
    "external_labels": {"region": "eu-west-1"},
    "jobs": [
        {"job": "node", "component": "host", "hosts": ["a", "b"], "port": 9100, "honor_labels": True},
        {
            "job": "cloudwatch",
            "hosts": ["a"],
            "scheme": "http",
            "scrape_interval": "60s",
            "scrape_timeout": "50s",
            "regions": {"eu-west-1": 1},
        },
        {
            "job": "own",
            "hosts": ["a"],
            "port": "9",
            "path": "/m",
            "params": {"a": ["b"]},
            "labels": {"tier": "gold"},
            "versions": {"a": "1.0"},
        },
        {"job": "nobody", "hosts": [], "port": 1},
    ],
    "builtin": 0,
    "addresses": {"a": "192.0.2.1", "b": "2001:db8::1"},
    "probes": [{"probe": "shop", "module": "http_2xx", "host": "shop", "url": "https://shop.example/?a=b"}],
    "constants": [
        {"record": "plano_limit", "value": -0.5, "labels": {"a": "b"}},
        {"record": "plano_limit", "value": 1e-7},
    ],
    "alertmanagers": ["127.0.0.1:9093", "[::1]:9093"],
    "remote_write": [
        {
            "name": "far",
            "url": "https://metrics.example/a?b=c",
            "user": "u",
            "password": "p",
            "settings": {"queue_config": {"max_shards": 5}},
        },
        {"name": "near", "url": "http://192.0.2.9:9090"},
    ],
}


def test_the_mirror_has_the_versions_that_must_work():
    assert {OLD, NEW} <= set(VERSIONS)


@pytest.mark.parametrize("changed", [{}, LARGE, {"probes": [], "rules": {}}], ids=["small", "large", "least"])
def test_promtool_takes_what_the_role_makes(tmp_path, artifact, tls, changed):
    assert Staged(tmp_path, plan(described(tmp_path, tls, 9090, **changed))).validate(artifact) == []


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"rules": {"own.yml": OWN.replace("vector(1)", "vector(1")}}, "own.yml"),
        (
            {"jobs": [own_job(9, scrape_interval="10s", scrape_timeout="11s")]},
            "scrape timeout greater than scrape interval",
        ),
        ({"remote_write": [{"name": "far", "url": "http://a", "settings": {"queue": {}}}]}, "field queue not found"),
    ],
)
def test_what_only_promtool_knows_is_refused_before_the_switch(tmp_path, artifact, tls, changed, said):
    description = described(tmp_path, tls, 9090, builtin=0, **changed)
    (refused,) = Staged(tmp_path, plan(description)).validate(artifact)
    assert said in refused


# -- the proof -----------------------------------------------------------------------------------------------------


def test_what_runs_is_proven_and_so_is_each_change(start):
    started = start()
    started.running.proven()
    with target(port := free_port()):
        started.staged.lay(started.planned(jobs=[own_job(port)], constants=[{"record": "plano_limit", "value": 5}]))
        code, said = started.running.prove()
        assert code == 1
        assert "is not loaded" in said
        started.running.reload()
        started.running.proven()
        until(
            lambda: [found["value"][1] for found in started.running.query("plano_limit")] == ["5"],
            "the constant is there",
        )
        until(lambda: started.running.query('own_metric{component="own"}'), "the target was asked")
    # A target that went away is not missed by the configuration that does not have it.
    started.change()
    started.running.proven()
    until(lambda: not started.running.query("plano_limit"), "the constant is gone")
    digest = json.loads((started.staged.config / "expected.json").read_text(encoding="utf-8"))["digest"]
    until(lambda: started.running.query(f'plano:configuration:info{{digest="{digest}"}}'), "the digest is there")


def test_another_version_is_not_proven(start):
    started = start()
    code, said = started.running.prove(version="9.9.9")
    assert code == 1
    assert said.startswith(f"version {started.running.artifact.name}")
    assert said.endswith(" runs instead of 9.9.9\n")


def test_a_configuration_that_was_refused_is_not_proven(start):
    started = start()
    started.running.proven()
    configuration = started.staged.config / "prometheus.yml"
    configuration.write_text(configuration.read_text(encoding="utf-8") + "nonsense: 1\n", encoding="utf-8")
    started.running.reload()
    code, said = started.running.prove()
    assert (code, said) == (1, "the last reload of the configuration failed; the journal of its unit says why\n")
    started.change()
    started.running.proven()


def test_rules_that_were_not_shipped_and_rules_that_are_not_loaded_are_told(start):
    started = start()
    started.running.proven()
    rules = started.staged.config / "rules"
    (rules / "own.yml").rename(rules / "other.yml")
    started.running.reload()
    code, said = started.running.prove()
    assert (code, said.splitlines()) == (
        1,
        ["2 rules of other.yml are loaded, 0 were shipped", "0 rules of own.yml are loaded, 2 were shipped"],
    )


def test_a_new_target_must_answer(start):
    started = start()
    started.running.proven()
    port = free_port()
    started.change(jobs=[own_job(port)])
    refused = f"target own 127.0.0.1:{port} does not answer: "
    until(lambda: refused in started.running.prove()[1], "it was asked", 30)
    # Whoever looks without changing anything is told of Prometheus, not of those it asks.
    assert started.running.prove(targets=False) == (0, "proven\n")
    # Nor does it help to try it again, once what was seen of it is older than an interval and a timeout.
    started.change()
    started.running.proven()
    until(lambda: not started.running.query('last_over_time(up{job="own"}[4s])'), "nobody asks it any more")
    started.change(jobs=[own_job(port)])
    until(lambda: refused in started.running.prove()[1], "it was asked again", 30)
    with target(port):
        started.running.proven()


def test_a_target_that_was_down_before_is_not_this_changes_fault(start):
    port = free_port()
    started = start(jobs=[own_job(port)])
    # The first start of all waits for nobody.
    assert started.running.prove() == (0, "proven\n")
    until(lambda: [found["value"][1] for found in started.running.query('up{job="own"}')] == ["0"], "it is down")
    started.change(jobs=[own_job(port)], constants=[{"record": "plano_limit", "value": 5}])
    started.running.proven()


def test_a_target_with_other_labels_that_answered_before_is_proven_all_the_time(start):
    port = free_port()
    with target(port):
        # Asked seldom enough to be seen before it is asked under its new labels.
        started = start(jobs=[{**own_job(port), "scrape_interval": "6s", "scrape_timeout": "3s"}])
        until(lambda: started.running.query('up{job="own"} offset 2s == 1'), "it answers", 60)
        changed = {**own_job(port), "scrape_interval": "6s", "scrape_timeout": "3s", "labels": {"tier": "gold"}}
        started.change(jobs=[changed])
        said, end = {started.running.prove()}, time.monotonic() + 60
        while not started.running.query('up{job="own",tier="gold"} == 1'):
            assert time.monotonic() < end, said
            said.add(started.running.prove())
        said.add(started.running.prove())
        # Prometheus asks itself once a second, and on a busy machine may miss its own answer: that is not this target's.
        assert (0, "proven\n") in said
        assert [words for _code, words in said if "own 127.0.0.1" in words] == []


def test_nobody_is_proven_by_what_does_not_answer(start, tmp_path):
    started = start()
    running = started.running
    (tmp_path / "wrong").write_text("wrong", encoding="utf-8")
    code, said = running.prove(password_file=tmp_path / "wrong")
    assert (code, said) == (1, f"{running.url} does not answer as Prometheus: HTTP Error 401: Unauthorized\n")
    other = tmp_path / "other"
    certificates(other)
    code, said = running.prove(authority=other / "ca.crt")
    assert code == 1
    assert "certificate verify failed" in said
    code, said = running.prove(url=f"https://127.0.0.1:{free_port()}")
    assert code == 1
    assert "Connection refused" in said
    code, said = running.prove(password_file=tmp_path / "nowhere")
    assert code == 1
    assert "No such file" in said


@pytest.mark.parametrize("answer", [b"garbage\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", b""])
def test_something_else_on_the_port_is_told_in_one_line(tmp_path, tls, answer):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tls / "server.crt", tls / "server.key")

    class Server(http.server.ThreadingHTTPServer):
        def finish_request(self, request, client_address) -> None:
            with contextlib.suppress(OSError), context.wrap_socket(request, server_side=True) as channel:
                channel.recv(65536)
                channel.sendall(answer)

    (tmp_path / "password").write_text(PASSWORD, encoding="utf-8")
    (tmp_path / "expected.json").write_text(
        json.dumps({"digest": "0" * 64, "rules": {}, "targets": []}), encoding="utf-8"
    )
    with Server(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        code, said = run(
            "prove.py",
            f"--url=https://127.0.0.1:{server.server_port}",
            f"--authority={tls / 'ca.crt'}",
            f"--user={USER}",
            f"--password-file={tmp_path / 'password'}",
            f"--expected={tmp_path / 'expected.json'}",
            f"--version={NEW}",
        )
        server.shutdown()
        thread.join(10)
    assert code == 1
    assert "does not answer as Prometheus" in said
    assert said.count("\n") == 1


# -- writers -------------------------------------------------------------------------------------------------------


def test_a_writer_logs_in_with_the_password_from_its_file(start):
    heard: list[tuple[str, str]] = []
    with target(port := free_port(), heard):
        writer = {"name": "far", "url": f"http://127.0.0.1:{port}/push", "user": "u", "password": "S3CRET"}
        started = start(remote_write=[writer])
        login = "Basic " + base64.b64encode(b"u:S3CRET").decode()
        until(lambda: ("/push", login) in heard, f"samples were sent; {started.running.log}", 30)
        assert "S3CRET" not in (started.staged.config / "prometheus.yml").read_text(encoding="utf-8")
        started.running.stop()


def test_a_writer_that_is_away_does_not_keep_it_from_stopping(start):
    started = start(remote_write=[{"name": "far", "url": f"http://127.0.0.1:{free_port()}/push"}])
    until(lambda: started.running.query("prometheus_remote_storage_samples_pending > 0"), "samples wait")
    began = time.monotonic()
    started.running.stop()
    # Its own time for the rest of the samples would be a minute.
    assert time.monotonic() - began < 40
    assert started.running.process.returncode == 0


# -- the data ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("writer", "version", "good"),
    [
        (None, "2.42.0", True),
        (None, "3.5.0", True),
        ("2.53.3", "2.42.0", True),
        ("2.42.0", "2.53.3", True),
        ("2.53.3", "2.53.3", True),
        ("2.53.3+ds1", "2.55.0", True),
        ("2.55.1", "3.5.0", True),
        ("3.5.0", "2.55.0", True),
        ("3.0.0", "3.5.0", True),
        ("3.5.0", "2.54.1", False),
        ("3.0.0", "2.42.0", False),
        ("2.54.1", "3.0.0", False),
        ("2.53.3", "3.5.0", False),
    ],
)
def test_data_is_used_only_by_versions_between_which_one_can_go_back(tmp_path, writer, version, good):
    if writer:
        (tmp_path / "plano-version").write_text(f"{writer}\n", encoding="utf-8")
    code, said = run("data.py", tmp_path, version)
    assert code == (0 if good else 1), said
    if good:
        assert said == ""
    else:
        assert f"was written by Prometheus {writer}, and {version} is to use it" in said
        assert "Go by way of 2.55" in said


def test_an_older_version_really_reads_what_a_newer_one_wrote_where_it_may(tmp_path, tls):
    started = Started(tmp_path, VERSIONS[NEW], tls)
    try:
        until(lambda: started.running.query("prometheus_build_info"), "there are samples", 30)
        (written,) = started.running.query("prometheus_build_info")
    finally:
        started.running.stop()
    assert written["metric"]["version"].split("+")[0] == NEW
    older = Running(started.staged, VERSIONS[OLD], tls, started.port)
    try:
        versions = {
            found["metric"]["version"].split("+")[0]
            for found in older.query("last_over_time(prometheus_build_info[5m])")
        }
        assert NEW in versions
        older.proven()
    finally:
        older.stop()
