# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import base64
import socket
import ssl
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from ansible_collections.plano.delivery.plugins.module_utils.engine import health, systemd

ANSWERS = {
    "/health": (200, b"ok"),
    "/version": (200, b'{"version": "1.0.0", "release": "r1"}'),
    "/list": (200, b"[]"),
    "/broken": (500, b"the database is away"),
    "/moved": (302, b""),
}


@pytest.fixture
def base():
    class Answer(BaseHTTPRequestHandler):
        def do_GET(self):
            status, body = ANSWERS[self.path]
            self.send_response(status)
            if status == 302:
                self.send_header("Location", "/health")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def secure(tmp_path_factory):
    """A server that speaks TLS alone, with a certificate of its own, and answers nobody without the password."""
    folder = tmp_path_factory.mktemp("tls")
    made = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
        "-days",
        "1",
    ]
    made += ["-keyout", folder / "key", "-out", folder / "certificate", "-subj", "/CN=test"]
    subprocess.run([*made, "-addext", "subjectAltName=IP:127.0.0.1"], check=True, capture_output=True)
    (folder / "password").write_text("let me in\n")
    (folder / "wrong").write_text("me too\n")

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self):
            known = self.headers["Authorization"] == "Basic " + base64.b64encode(b"probe:let me in").decode()
            self.send_response(200 if known else 401)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "certificate", folder / "key")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield f"https://127.0.0.1:{server.server_port}/", folder
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    ("more", "fault"),
    [
        ({"ca": "certificate", "user": "probe", "password_file": "password"}, None),
        ({"ca": "certificate", "user": "probe", "password_file": "wrong"}, "answered 401 instead of 200"),
        ({"ca": "certificate"}, "answered 401 instead of 200"),
        ({"user": "probe", "password_file": "password"}, "does not answer ([SSL: CERTIFICATE_VERIFY_FAILED]"),
        ({"ca": "certificate", "user": "probe", "password_file": "none"}, "does not answer ([Errno 2] No such file"),
        ({"ca": "none"}, "does not answer ([Errno 2] No such file"),
    ],
)
def test_a_service_behind_tls_and_a_password_proves_itself_too(host, secure, more, fault):
    url, folder = secure
    check = {name: value if name == "user" else str(folder / value) for name, value in more.items()}
    found = health.fault(host, [{"type": "http", "url": url, **check}])
    assert found is None if fault is None else fault in found


@pytest.mark.parametrize(
    ("check", "fault"),
    [
        ({"url": "/health"}, None),
        ({"url": "/version", "expect": {"version": "1.0.0"}}, None),
        ({"url": "/version", "expect": {"version": "1.1.0"}}, "version is '1.0.0' instead of '1.1.0'"),
        ({"url": "/version", "expect": {"digest": "x"}}, "digest is None instead of 'x'"),
        ({"url": "/health", "expect": {"version": "1"}}, "did not answer JSON, so its version is not proven"),
        ({"url": "/list", "expect": {"version": "1"}}, "did not answer a JSON object"),
        ({"url": "/version", "match": '^."version": "1[.]0'}, None),
        ({"url": "/version", "match": "2[.]0"}, "answered nothing that matches '2[.]0'"),
        ({"url": "/broken"}, "answered 500 instead of 200: the database is away"),
        ({"url": "/moved"}, "answered 302 instead of 200"),
        ({"url": "/moved", "status": 302}, None),
    ],
)
def test_the_answer_must_be_the_expected_one(host, base, check, fault):
    found = health.fault(host, [{"type": "http", **check, "url": base + check["url"]}])
    assert found is None if fault is None else fault in found


def test_a_closed_port_is_a_fault(host):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    assert "refuses connections" in health.fault(host, [{"type": "tcp", "port": port}])
    assert "does not answer" in health.fault(host, [{"type": "http", "url": f"http://127.0.0.1:{port}/"}])


def test_an_open_port_is_none(host, base):
    assert health.fault(host, [{"type": "tcp", "host": "127.0.0.1", "port": base.rpartition(":")[2]}]) is None


def test_a_command_must_succeed_and_say_what_is_expected(host):
    assert health.fault(host, [{"type": "command", "argv": ["ask"]}]) is None
    assert "does not match 'yes'" in health.fault(host, [{"type": "command", "argv": ["ask"], "stdout": "yes"}])
    host.refuses("ask", "no such table")
    assert health.fault(host, [{"type": "command", "argv": ["ask"]}]) == "'ask' failed: no such table"


def test_a_command_has_30_seconds_or_as_many_as_the_check_says():
    assert health.COMMAND_SECONDS == 30
    slow = {"type": "command", "argv": ["sleep", "60"], "timeout": 0.2}
    assert "did not end within" in health.fault(systemd.Host(), [slow])


def test_waiting_ends_with_the_last_fault_or_when_the_unit_is_dead(host):
    checks = [{"type": "command", "argv": ["ask"], "stdout": "yes"}]
    assert health.wait(host, checks, 0.2).startswith("not healthy within 0.2 s: 'ask' answered")
    assert health.wait(host, checks, 60, dead=lambda: "the unit failed") == "the unit failed"


def test_a_process_that_dies_while_soaking_is_found(host):
    checks = [{"type": "command", "argv": ["ask"]}]
    assert health.soak(host, checks, 0.3, lambda: None) is None
    states = iter([None, "it exited", "it exited"])
    assert health.soak(host, checks, 60, lambda: next(states)) == "healthy at first, then: it exited"
    # The connection breaks before systemd knows.
    host.refuses("ask", "connection reset")
    states = iter([None, "it exited"])
    assert health.soak(host, checks, 60, lambda: next(states)) == "healthy at first, then: it exited"
    assert health.soak(host, checks, 60, lambda: None) == "healthy at first, then: 'ask' failed: connection reset"
