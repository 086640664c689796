# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Health: ask the running process, the way a user reaches it. No evidence is failure."""

from __future__ import annotations

import base64
import json
import re
import socket
import ssl
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, Callable, Sequence

from .systemd import Host

PROBE_SECONDS = 5.0
COMMAND_SECONDS = 30.0
POLL_SECONDS = 0.1
BODY_LIMIT = 1 << 20


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect is an answer to judge, not one to follow."""

    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        return None


_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirect)


def _opener_of(check: dict[str, Any]) -> urllib.request.OpenerDirector:
    """Return what opens the URL of *check*: over TLS it believes the certificates in the file ``ca`` alone, where there is one."""
    if not check.get("ca"):
        return _opener
    handler = urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=check["ca"]))
    return urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirect, handler)


def _headers_of(check: dict[str, Any]) -> dict[str, str]:
    headers = {"User-Agent": "plano-engine", **(check.get("headers") or {})}
    if check.get("user"):
        password = Path(check["password_file"]).read_text(encoding="utf-8").rstrip("\n")
        headers["Authorization"] = "Basic " + base64.b64encode(f"{check['user']}:{password}".encode()).decode()
    return headers


def _get(check: dict[str, Any]) -> tuple[int, bytes]:
    request = urllib.request.Request(check["url"], headers=_headers_of(check))
    try:
        with _opener_of(check).open(request, timeout=PROBE_SECONDS) as answer:
            return answer.status, answer.read(BODY_LIMIT)
    except urllib.error.HTTPError as exc:
        with exc:
            return exc.code, exc.read(BODY_LIMIT)


def check_http(check: dict[str, Any]) -> str | None:
    """GET ``url``; the status must be ``status``, the JSON body must hold every pair of ``expect``, any body a match of ``match``.

    ``ca`` is a file of the only certificates believed, ``user`` and ``password_file`` (a path, for example below @SECRETS@) are
    sent as HTTP basic authentication.
    """
    url, wanted = check["url"], int(check.get("status") or 200)
    try:
        status, body = _get(check)
    except (OSError, ValueError) as exc:
        return f"{url} does not answer ({getattr(exc, 'reason', exc)})"
    if status != wanted:
        return f"{url} answered {status} instead of {wanted}: {body[:200].decode(errors='replace').strip()}"
    pattern = check.get("match")
    if pattern and not re.search(pattern, body.decode(errors="replace"), re.MULTILINE):
        return f"{url} answered nothing that matches {pattern!r}"
    expect = check.get("expect") or {}
    if not expect:
        return None
    try:
        found = json.loads(body)
    except ValueError:
        return f"{url} did not answer JSON, so its version is not proven"
    if not isinstance(found, dict):
        return f"{url} did not answer a JSON object, so its version is not proven"
    wrong = [
        f"{key} is {found.get(key)!r} instead of {value!r}"
        for key, value in sorted(expect.items())
        if found.get(key) != value
    ]
    return f"{url}: {', '.join(wrong)}" if wrong else None


def check_tcp(check: dict[str, Any]) -> str | None:
    address = (str(check.get("host") or "127.0.0.1"), int(check["port"]))
    try:
        with socket.create_connection(address, timeout=PROBE_SECONDS):
            return None
    except OSError as exc:
        return f"{address[0]}:{address[1]} refuses connections ({exc})"


def check_command(host: Host, check: dict[str, Any]) -> str | None:
    """Run ``argv`` for at most ``timeout`` seconds; it must succeed and its output must match the regular expression ``stdout``."""
    done = host.run(check["argv"], timeout=float(check.get("timeout") or COMMAND_SECONDS))
    shown = " ".join(check["argv"])
    if done.code != 0:
        return f"'{shown}' failed: {done.why}"
    pattern = check.get("stdout")
    if pattern and not re.search(pattern, done.stdout):
        return f"'{shown}' answered {done.stdout.strip()[:200]!r}, which does not match {pattern!r}"
    return None


def fault(host: Host, checks: Sequence[dict[str, Any]]) -> str | None:
    """Return what the first failing check says, or None when all hold."""
    for check in checks:
        kind = check["type"]
        if kind == "http":
            found = check_http(check)
        elif kind == "tcp":
            found = check_tcp(check)
        else:
            found = check_command(host, check)
        if found:
            return found
    return None


def wait(
    host: Host,
    checks: Sequence[dict[str, Any]],
    seconds: float,
    dead: Callable[[], str | None] = lambda: None,
) -> str | None:
    """Poll until all *checks* hold, *seconds* pass, or *dead* says that waiting is in vain.

    Returns None on success, else the last fault.
    """
    deadline = time.monotonic() + seconds
    while True:
        found = fault(host, checks)
        if found is None:
            return None
        gone = dead()
        if gone:
            return gone
        if time.monotonic() >= deadline:
            return f"not healthy within {seconds:g} s: {found}"
        time.sleep(POLL_SECONDS)


def soak(host: Host, checks: Sequence[dict[str, Any]], seconds: float, dead: Callable[[], str | None]) -> str | None:
    """Insist that all *checks* go on holding for *seconds*. Returns None or the fault."""
    deadline = time.monotonic() + seconds
    while True:
        found = dead() or fault(host, checks)
        if found:
            # A process that ends is heard of first by a connection that breaks, and a moment later by systemd, which knows why.
            time.sleep(POLL_SECONDS)
            return f"healthy at first, then: {dead() or found}"
        left = deadline - time.monotonic()
        if left <= 0:
            return None
        time.sleep(min(left, 0.25))
