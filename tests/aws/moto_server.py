# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""AWS, as moto plays it on this machine: the stand-in of these tests, for nothing here may reach the real one."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

REGION = "sa-east-1"


@dataclass
class Moto:
    """A running server. Every client finds it by its environment."""

    url: str

    @property
    def environment(self) -> dict[str, str]:
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": "AKIATESTTESTTESTTEST",
            "AWS_SECRET_ACCESS_KEY": "test-secret",
            "AWS_DEFAULT_REGION": REGION,
            "AWS_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def reset(self) -> None:
        """Forget everything that was made."""
        self._post("/moto-api/reset", b"")

    def enforce_policies(self, after: int = 0) -> None:
        """Judge every call by its caller's IAM policies, after that many more which are free."""
        self._post("/moto-api/reset-auth", str(after).encode())

    @contextmanager
    def calls(self) -> Iterator[list[str]]:
        """Note the calls that are made within, each by its name, such as secretsmanager.GetSecretValue; known when it ends."""
        found: list[str] = []
        self._post("/moto-api/recorder/reset-recording", b"")
        self._post("/moto-api/recorder/start-recording", b"")
        yield found
        self._post("/moto-api/recorder/stop-recording", b"")
        with urllib.request.urlopen(self.url + "/moto-api/recorder/download-recording", timeout=60) as answer:
            for line in answer.read().decode().splitlines():
                call = json.loads(line)
                found.append(call["headers"].get("X-Amz-Target", f"{call['method']} {call['url']}"))

    def _post(self, path: str, body: bytes) -> None:
        with urllib.request.urlopen(
            urllib.request.Request(self.url + path, body, {"Content-Type": "text/plain"}, method="POST"), timeout=60
        ) as answer:
            assert answer.status == 200


@contextmanager
def running(folder: Path, address: str = "127.0.0.1") -> Iterator[Moto]:
    """Start a server on a free port of *address*; it ends with the block."""
    with socket.socket() as probe:
        probe.bind((address, 0))
        port = int(probe.getsockname()[1])
    # AWS's own settings of whoever runs this must not reach it.
    clean = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    clean["MOTO_RECORDER_FILEPATH"] = str(folder / "recording")
    program = Path(__file__).with_name("moto_with_shims.py")
    with (folder / "moto.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, program, "--host", address, "--port", str(port)], stdout=log, stderr=log, env=clean
        )
    try:
        end = time.monotonic() + 60
        while True:
            assert process.poll() is None, (folder / "moto.log").read_text()
            try:
                urllib.request.urlopen(f"http://{address}:{port}/moto-api/data.json", timeout=5).close()
                break
            except OSError:
                assert time.monotonic() < end, (folder / "moto.log").read_text()
                time.sleep(0.2)
        yield Moto(f"http://{address}:{port}")
    finally:
        process.terminate()
        process.wait(20)
