# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A way to moto on which AWS refuses what a test wants it to, in the words that AWS documents and moto never says."""

from __future__ import annotations

import http.client
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

STATUS = {"ExpiredToken": 400, "ExpiredTokenException": 400, "AccessDenied": 403, "SlowDown": 503}
# Query and EC2 say Error in different places; a reader of either finds it here.
XML = (
    "<Response><Errors><Error><Code>{code}</Code><Message>{said}</Message></Error></Errors>"
    "<Error><Code>{code}</Code><Message>{said}</Message></Error></Response>"
)
S3 = "<Error><Code>{code}</Code><Message>{said}</Message></Error>"


class Refusals:
    """What is refused: an operation, such as RunInstances or `GET` of S3, with a code, so many times."""

    def __init__(self) -> None:
        self.wanted: dict[str, tuple[str, int]] = {}
        self.asked: list[str] = []

    def refuse(self, operation: str, code: str, times: int = 10**6) -> None:
        self.wanted[operation] = (code, times)

    def verdict(self, operation: str) -> str:
        self.asked.append(operation)
        code, times = self.wanted.get(operation, ("", 0))
        if times <= 0:
            return ""
        self.wanted[operation] = (code, times - 1)
        return code


def operation_of(method: str, headers: http.client.HTTPMessage, body: bytes) -> str:
    """Return the operation's name; of a protocol without one, such as S3's, the method."""
    target = headers.get("X-Amz-Target", "")
    action = re.search(rb"(?:^|&)Action=(\w+)", body)
    return target.rsplit(".", 1)[-1] or (action.group(1).decode() if action else method)


@contextmanager
def way_to(moto: str) -> Iterator[tuple[str, Refusals]]:
    """Give the address of a way to *moto*, and what is refused on it."""
    refusals, there = Refusals(), urlsplit(moto)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            operation = operation_of(self.command, self.headers, body)
            code = refusals.verdict(operation)
            if code:
                is_json = "X-Amz-Target" in self.headers
                form = S3 if operation == self.command else XML
                text = (
                    json.dumps({"__type": code, "message": "So it is"})
                    if is_json
                    else form.format(code=code, said="So it is")
                )
                self.send(STATUS.get(code, 400), {}, text.encode())
                return
            onward = http.client.HTTPConnection(str(there.hostname), there.port, timeout=60)
            onward.request(self.command, self.path, body, dict(self.headers))
            found = onward.getresponse()
            content = found.read()
            kept = {
                name: value
                for name, value in found.getheaders()
                if name.lower().startswith(("x-amz", "content-type", "etag"))
            }
            self.send(found.status, kept, content)
            onward.close()

        def send(self, status: int, headers: dict[str, str], content: bytes) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = answer  # noqa: N815

        def log_message(self, *_words: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", refusals
    finally:
        server.shutdown()
        server.server_close()
