# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Measure a guarded import beside the least that any import does: a bare COPY of the same file into an equal table.

    make bench-data-import ARGS="--rows 200000,1000000 --rounds 3 --binaries /usr/lib/postgresql/15/bin"

The table is the sample backend's clients without the foreign key; ten rules are judged. Each round copies and imports into an empty
table of a fresh database of a server of its own, in turn; medians. The bare COPY gets the same bytes in blocks of the same size, one
transaction, with its header skipped by the server, and no ANALYZE.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "data"))

from server import Server, newest_binaries, running

from ansible_collections.plano.delivery.plugins.module_utils.data import load, runs
from ansible_collections.plano.delivery.plugins.module_utils.data.book import Book
from ansible_collections.plano.delivery.plugins.module_utils.data.names import Table
from ansible_collections.plano.delivery.plugins.module_utils.data.source import BLOCK, Source

TABLE = """
CREATE TABLE public.clients (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, external_id text NOT NULL UNIQUE, name text NOT NULL,
    email text NOT NULL, segment text, balance numeric(12,2), valid_from date NOT NULL, valid_until date,
    CONSTRAINT clients_valid_period CHECK (valid_until >= valid_from))
"""
COLUMNS = "external_id, name, email, segment, balance, valid_from, valid_until"
RULES: list[dict[str, Any]] = [
    {"name": "present", "check": "not_null", "columns": ["external_id", "name", "email"]},
    {"name": "once", "check": "unique", "column": "external_id"},
    {"name": "id_form", "check": "matches", "column": "external_id", "pattern": "^c[0-9]+$"},
    {"name": "email_form", "check": "matches", "column": "email", "pattern": "^[^@]+@[^@]+$"},
    {"name": "segments", "check": "accepted_values", "column": "segment", "values": ["gold", "silver", "basic"]},
    {"name": "balance", "check": "range", "column": "balance", "min": -1000000, "max": 1000000},
    {"name": "begun", "check": "range", "column": "valid_from", "max": "2030-01-01"},
    {"name": "period", "check": "valid_period", "from": "valid_from", "to": "valid_until", "bounds": "[]"},
    {"name": "enough", "check": "row_count", "min": 1000},
    {"name": "fresh", "check": "freshness", "column": "valid_from", "max_age": "520w"},
]


def write(path: Path, rows: int) -> None:
    """Write *rows* clients; every tenth name is in quotes."""
    chance = random.Random(1)
    with path.open("w") as out:
        out.write(COLUMNS.replace(" ", "") + "\n")
        for number in range(rows):
            name = f'"Silva, {number}"' if number % 10 == 0 else f"Client {number}"
            segment = chance.choice(("gold", "silver", "basic"))
            out.write(
                f"c{number},{name},c{number}@example.org,{segment},{chance.randrange(10**7) / 100},2026-{number % 12 + 1:02}-01,2027-12-31\n"
            )


def bare(server: Server, path: Path) -> float:
    """Return the seconds of a bare COPY."""
    with server.session(server.database()) as session:
        session.execute(TABLE)
        began = time.monotonic()
        with path.open("rb", buffering=0) as stream, session.connection.cursor() as cursor, cursor.copy(
            f"COPY public.clients ({COLUMNS}) FROM STDIN (FORMAT csv, HEADER)"
        ) as copy:
            while block := stream.read(BLOCK):
                copy.write(block)
        return time.monotonic() - began


def guarded(server: Server, path: Path) -> tuple[float, dict[str, float]]:
    """Return the seconds of a guarded import, and those of its phases."""
    name = server.database()
    with server.session(name) as session:
        session.execute(TABLE)
    job = load.Job(Source("clients.csv", path), Table("public", "clients"), run="r1", key=["external_id"], rules=RULES)
    with tempfile.TemporaryDirectory() as folder:
        began = time.monotonic()
        result = load.import_file(server.login(name), job, runs.Stamp("bench"), Book(name, Path(folder)))
        seconds = time.monotonic() - began
    assert result.outcome == load.ACCEPTED, result.reason
    return seconds, result.seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", default="200000,1000000")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--binaries", type=Path, default=newest_binaries())
    chosen = parser.parse_args()
    assert chosen.binaries is not None, "no PostgreSQL server in /usr/lib/postgresql"
    print("| rows | bare COPY | guarded import, 10 rules | factor | " + " | ".join(PHASES) + " |")
    print("|---:" * (4 + len(PHASES)) + "|")
    with tempfile.TemporaryDirectory() as folder, running(chosen.binaries, "-c fsync=on") as server:
        for rows in map(int, chosen.rows.split(",")):
            path = Path(folder) / f"{rows}.csv"
            write(path, rows)
            bares, guardeds, phases = [], [], []
            for _round in range(chosen.rounds):
                bares.append(bare(server, path))
                seconds, found = guarded(server, path)
                guardeds.append(seconds)
                phases.append(found)
                for name in server.made[-2:]:
                    server.sql(f"DROP DATABASE {name}")
            least, most = statistics.median(bares), statistics.median(guardeds)
            parts = [statistics.median(found.get(phase, 0.0) for found in phases) for phase in PHASES]
            print(
                f"| {rows} | {least:.2f} s | {most:.2f} s | {most / least:.2f} | "
                + " | ".join(f"{part:.2f}" for part in parts)
                + " |",
                flush=True,
            )


PHASES = ("read", "stage", "rules", "publish", "live rules", "analyze")

if __name__ == "__main__":
    main()
