# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from ansible_collections.plano.delivery.plugins.module_utils.engine import health

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


@pytest.mark.parametrize(
    ("check", "fault"),
    [
        ({"url": "/health"}, None),
        ({"url": "/version", "expect": {"version": "1.0.0"}}, None),
        ({"url": "/version", "expect": {"version": "1.1.0"}}, "version is '1.0.0' instead of '1.1.0'"),
        ({"url": "/version", "expect": {"digest": "x"}}, "digest is None instead of 'x'"),
        ({"url": "/health", "expect": {"version": "1"}}, "did not answer JSON, so its version is not proven"),
        ({"url": "/list", "expect": {"version": "1"}}, "did not answer a JSON object"),
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


def test_waiting_ends_with_the_last_fault_or_when_the_unit_is_dead(host):
    checks = [{"type": "command", "argv": ["ask"], "stdout": "yes"}]
    assert health.wait(host, checks, 0.2).startswith("not healthy within 0.2 s: 'ask' answered")
    assert health.wait(host, checks, 60, dead=lambda: "the unit failed") == "the unit failed"


def test_a_process_that_dies_while_soaking_is_found(host):
    checks = [{"type": "command", "argv": ["ask"]}]
    assert health.soak(host, checks, 0.3, lambda: None) is None
    states = iter([None, "it exited"])
    assert health.soak(host, checks, 60, lambda: next(states)) == "healthy at first, then: it exited"
