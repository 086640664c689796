"""Bring the schema to the newest revision of this release: one at a time, all or nothing, never backwards."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import psycopg
import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from psycopg import sql

from plano_sample.settings import MigrateSettings

# "plano" as a number: every release, on any host, waits for the same lock.
ADVISORY_LOCK = 0x706C616E6F


@dataclass(frozen=True)
class Outcome:
    """What a run of the migrations did, or with *check* would do."""

    changed: bool
    before: str | None
    after: str | None
    message: str


def migrate(settings: MigrateSettings, *, check: bool = False) -> Outcome:
    """Run the missing revisions in one transaction under an advisory lock."""
    database = settings.database
    # A creator keeps the password out of every URL and thus out of every message.
    engine = sa.create_engine(
        "postgresql+psycopg://",
        creator=lambda: psycopg.connect(database.url, **database.options()),
        poolclass=sa.NullPool,
    )
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")).replace("%", "%%"))
    script = ScriptDirectory.from_config(config)
    head = script.get_current_head()
    known = {revision.revision for revision in script.walk_revisions()}

    with engine.connect() as connection:
        if settings.owner:
            # What a migration creates belongs to the owner of the database, not to the login that ran it.
            connection.exec_driver_sql(sql.SQL("SET ROLE {}").format(sql.Identifier(settings.owner)).as_string(None))
        if not check:
            connection.exec_driver_sql("SET lock_timeout = '60s'")
            connection.exec_driver_sql(f"SELECT pg_advisory_lock({ADVISORY_LOCK})")
            # From here on a busy table stops the migration, instead of the migration stopping the requests behind it.
            connection.exec_driver_sql("SET lock_timeout = '5s'")
        before = MigrationContext.configure(connection).get_current_revision()
        connection.commit()

        if before == head:
            return Outcome(False, before, before, f"the schema is at {head} already")
        if before is not None and before not in known:
            return Outcome(
                False, before, before, f"the schema {before} is newer than this release ({head}); nothing to do"
            )
        if check:
            return Outcome(True, before, head, f"the schema would go from {before or 'nothing'} to {head}")
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        connection.commit()
        return Outcome(True, before, head, f"the schema went from {before or 'nothing'} to {head}")
