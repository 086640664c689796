"""What the tests of all scenarios ask the hosts with: over the network, as a user or the backend would."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
import pytest
from testinfra.host import Host

SECRETS = Path(__file__).resolve().parent.parent / ".cache" / "secrets"
CA = "/etc/ssl/plano-postgresql/ca.crt"


class Answer(NamedTuple):
    """An HTTP answer."""

    status: int
    text: str

    @property
    def json(self) -> Any:
        return json.loads(self.text)


@pytest.fixture
def address(host: Host) -> str:
    """The address the controller reaches the host at."""
    return str(host.ansible.get_variables()["ansible_host"])


@pytest.fixture
def http(address: str) -> Callable[..., Answer]:
    """Ask the host's public port."""

    def ask(path: str, data: bytes | None = None, content_type: str = "application/json") -> Answer:
        request = urllib.request.Request(f"http://{address}:8080{path}", data, {"Content-Type": content_type})
        try:
            with urllib.request.urlopen(request, timeout=10) as response:
                return Answer(response.status, response.read().decode())
        except urllib.error.HTTPError as error:
            return Answer(error.code, error.read().decode())

    return ask


@pytest.fixture
def sql(host: Host, address: str, tmp_path: Path) -> Callable[..., list[tuple[Any, ...]]]:
    """Run a statement on the host's server, over the network and TLS, as one of the inventory's users."""
    authority = tmp_path / "ca.crt"
    authority.write_text(host.file(CA).content_string)

    def run(user: str, secret: str, statement: str, **options: Any) -> list[tuple[Any, ...]]:
        settings = {
            "dbname": "backend",
            "sslmode": "verify-full",
            "sslrootcert": str(authority),
            "connect_timeout": 10,
            "password": (SECRETS / secret).read_text().split()[0],
        }
        with psycopg.connect(host=address, user=user, **{**settings, **options}) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    return run
