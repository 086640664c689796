"""Settings from the environment; whatever is missing or wrong is told at once."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict

from plano_sample._release import VERSION


class SettingsError(ValueError):
    """The environment does not hold what the command needs."""


@dataclass(frozen=True)
class Database:
    """Where the database is. The password comes from a file and is shown nowhere."""

    url: str
    password: str | None

    def __repr__(self) -> str:
        return "Database(...)"

    def options(self) -> dict[str, Any]:
        """Connection parameters beside the URL; they notice a vanished server within seconds, not hours."""
        options: dict[str, Any] = {
            "application_name": f"plano_sample {VERSION}",
            "connect_timeout": 3,
            "keepalives_idle": 10,
            "keepalives_interval": 5,
            "keepalives_count": 3,
            "tcp_user_timeout": 20_000,
        }
        if self.password is not None:
            options["password"] = self.password
        return options


@dataclass(frozen=True)
class ServeSettings:
    """What `serve` needs."""

    port: int
    database: Database
    release: str
    artifact_sha256: str


@dataclass(frozen=True)
class MigrateSettings:
    """What `migrate` needs."""

    database: Database
    owner: str | None


def serve_settings(environment: Mapping[str, str] | None = None) -> ServeSettings:
    """Read PORT, DATABASE_URL, PLANO_RELEASE, PLANO_ARTIFACT_SHA256 and the credential database_password."""
    environment = os.environ if environment is None else environment
    faults: list[str] = []
    port = environment.get("PORT", "")
    if not (port.isascii() and port.isdigit() and 1 <= int(port) <= 65535):
        faults.append(f"PORT must be a number from 1 to 65535, not {port!r}")
    database = _database(environment, "database_password", faults)
    if faults:
        raise SettingsError("; ".join(faults))
    return ServeSettings(
        port=int(port),
        database=database,
        release=environment.get("PLANO_RELEASE", ""),
        artifact_sha256=environment.get("PLANO_ARTIFACT_SHA256", ""),
    )


def migrate_settings(environment: Mapping[str, str] | None = None) -> MigrateSettings:
    """Read DATABASE_URL, DATABASE_OWNER and the credential migrator_password."""
    environment = os.environ if environment is None else environment
    faults: list[str] = []
    database = _database(environment, "migrator_password", faults)
    if faults:
        raise SettingsError("; ".join(faults))
    return MigrateSettings(database=database, owner=environment.get("DATABASE_OWNER") or None)


def _database(environment: Mapping[str, str], credential: str, faults: list[str]) -> Database:
    url = environment.get("DATABASE_URL", "")
    if not url.startswith(("postgresql://", "postgres://")):
        faults.append("DATABASE_URL must be postgresql://USER@HOST:PORT/DATABASE")
    else:
        try:
            conninfo_to_dict(url)
        except psycopg.ProgrammingError:
            # libpq's own words repeat the URL, which may hold a password.
            faults.append("DATABASE_URL cannot be read")
    return Database(url, _credential(environment, credential, faults))


def _credential(environment: Mapping[str, str], name: str, faults: list[str]) -> str | None:
    """The content of a systemd credential; without one, libpq's own ways apply (.pgpass, peer)."""
    directory = environment.get("CREDENTIALS_DIRECTORY")
    if not directory:
        return None
    path = Path(directory, name)
    try:
        return path.read_text(encoding="utf-8").rstrip("\r\n")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        faults.append(f"the credential {path} cannot be read: {error}")
        return None
