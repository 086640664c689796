# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Imports into the tables of the sample backend, as its operators run them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from server import Server

from ansible_collections.plano.delivery.plugins.module_utils.data import load, runs
from ansible_collections.plano.delivery.plugins.module_utils.data.book import Book
from ansible_collections.plano.delivery.plugins.module_utils.data.names import Table
from ansible_collections.plano.delivery.plugins.module_utils.data.session import Session
from ansible_collections.plano.delivery.plugins.module_utils.data.source import Source

WHO = runs.Stamp("ana", "monthly", "c1", "1.0.0")
RUN = "00000000-0000-0000-0000-000000000001"
# The sample backend's first revision (examples/backend/src/plano_sample/migrations), as far as an import meets it.
TABLES = """
CREATE TABLE public.imports (run_id uuid PRIMARY KEY, file text NOT NULL, rows integer NOT NULL, inserted integer NOT NULL,
    updated integer NOT NULL, created_at timestamptz NOT NULL DEFAULT now());
CREATE TABLE public.clients (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, external_id text NOT NULL UNIQUE, name text NOT NULL,
    email text NOT NULL, valid_from date NOT NULL, valid_until date, run_id uuid NOT NULL REFERENCES public.imports (run_id),
    CONSTRAINT clients_valid_period CHECK (valid_until >= valid_from));
CREATE INDEX ON public.clients (run_id);
"""
HEADER = "external_id,name,email,valid_from,valid_until\n"
ANA = "c1,Ana,ana@example.org,2026-01-01,\n"
BEA = 'c2,"Bea ""B"" Lima",bea@example.org,2026-01-01,2026-12-31\n'
RULES = [
    {"name": "email_form", "check": "matches", "column": "email", "pattern": r"^[^@\s]+@[^@\s]+\.[^@\s]+$"},
    {
        "name": "period", "check": "valid_period", "from": "valid_from", "to": "valid_until", "key": "external_id", "bounds": "[]",
    },
    {"name": "volume", "check": "row_count_change", "min": "-10%", "max": "900%", "severity": "warn"},
]  # fmt: skip


class Importer:
    """Imports into the sample backend's clients, as a playbook would."""

    def __init__(self, server: Server, database: str, folder: Path) -> None:
        self.server, self.database, self.folder = server, database, folder
        self.book = Book(database, folder / "books")

    def job(self, text: str | bytes, name: str = "clients.csv", **more: Any) -> load.Job:
        path = self.folder / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        given: dict[str, Any] = {
            "run": RUN,
            "key": ["external_id"],
            "constants": {"run_id": "%(run)s"},
            "before": [
                "INSERT INTO public.imports (run_id, file, rows, inserted, updated) VALUES (%(run)s, %(file)s, 0, 0, 0)"
            ],
            "after": [
                "UPDATE public.imports SET rows = %(read)s, inserted = %(inserted)s, updated = %(updated)s WHERE run_id = %(run)s"
            ],
            "rules": RULES,
            **more,
        }
        return load.Job(Source(str(path), path), given.pop("target", Table("public", "clients")), **given)

    def __call__(self, text: str | bytes, check: bool = False, undo: Any = None, **more: Any) -> load.Result:
        lock = more.pop("lock_seconds", 10.0)
        login = self.server.login(self.database, lock_seconds=lock)
        return load.import_file(login, self.job(text, **more), WHO, self.book, undo, check)

    def states(self) -> list[str]:
        return [f"{entry['release'][-1]} {entry['state']}" for entry in self.book.entries()]


def clients(session: Session) -> list[tuple[Any, ...]]:
    return session.rows(
        "SELECT external_id, name, email, valid_from::text, valid_until::text, right(run_id::text, 1) FROM public.clients ORDER BY 1"
    )


def of(run: int) -> str:
    return RUN[:-1] + str(run)


OLD = ("c1", "Ana", "ana@example.org", "2026-01-01", None, "1")


def leftovers(session: Session) -> list[str]:
    return [
        name
        for (name,) in session.rows(
            "SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
            " WHERE n.nspname = 'plano_delivery' AND c.relname LIKE 'staging%%'".replace("%%", "%")
        )
    ]
