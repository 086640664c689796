"""python -m plano_sample serve | migrate [--check] | check"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from importlib import import_module

from plano_sample._release import VERSION
from plano_sample.settings import SettingsError, migrate_settings, serve_settings


def main() -> int:
    """Run one command; what it needs comes from the environment (see the README)."""
    parser = argparse.ArgumentParser(prog="plano_sample", description="Sample backend of plano.delivery.")
    parser.add_argument("--version", action="version", version=VERSION)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("serve", help="answer requests on 127.0.0.1:PORT")
    migrations = commands.add_parser("migrate", help="bring the schema to the newest revision of this release")
    migrations.add_argument("--check", action="store_true", help="only tell what would be done")
    commands.add_parser("check", help="load everything this release needs and say so; needs no settings")
    arguments = parser.parse_args()
    try:
        if arguments.command == "serve":
            return _serve()
        return _check() if arguments.command == "check" else _migrate(check=arguments.check)
    except SettingsError as error:
        print(f"plano_sample: {error}", file=sys.stderr)
        return 2


def _serve() -> int:
    # Imported here: serving needs no Alembic, migrating no web framework, and both start faster so.
    from plano_sample.server import serve

    serve(serve_settings())
    return 0


def _migrate(*, check: bool) -> int:
    settings = migrate_settings()
    from sqlalchemy.exc import DBAPIError

    from plano_sample.migrate import migrate

    try:
        outcome = migrate(settings, check=check)
    except DBAPIError as error:
        print(f"plano_sample: the migration failed, nothing was changed: {str(error.orig).strip()}", file=sys.stderr)
        return 1
    print(json.dumps(asdict(outcome)))
    return 0


def _check() -> int:
    # Proves a new virtual environment before anything depends on it, and leaves its byte code behind: whoever runs
    # this may write there, the service later may not, and starts twice as fast with it.
    for module in ("server", "migrate"):
        import_module(f"plano_sample.{module}")
    print(f"plano_sample {VERSION} can be loaded")
    return 0


if __name__ == "__main__":
    sys.exit(main())
