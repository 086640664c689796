# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Measure checkpoints and restores beside plain pg_dump -Fd -jN and pg_restore -jN of the same tables; the checksums are shown apart.

    PYTHONPATH=.cache/collections:tests/data python tests/bench/data_checkpoint.py --rows 200000 2000000

Times are told, never asserted; what is restored is compared by the restore itself. Each figure is the median of the rounds, the ratio that
of the medians; plain and ours take turns.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import statistics
import subprocess
import tempfile
import time
from collections import defaultdict
from pathlib import Path

from server import Server, newest_binaries, running

from ansible_collections.plano.delivery.plugins.module_utils.data import checkpoint, fingerprint, restore
from ansible_collections.plano.delivery.plugins.module_utils.data.book import Book
from ansible_collections.plano.delivery.plugins.module_utils.data.checkpoint import Order, Place
from ansible_collections.plano.delivery.plugins.module_utils.data.runs import Stamp

WHO = Stamp("bench")
# Two tables of a shop: clients, and twice as many orders in all; primary keys, a foreign key and an index as such tables have.
TABLES = """
CREATE TABLE public.clients (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text NOT NULL, mail text, born date, balance numeric(12, 2),
    at timestamptz);
INSERT INTO public.clients (name, mail, born, balance, at)
    SELECT 'Client number ' || n, md5(n::text) || '@example.org', '1950-01-01'::date + n % 20000, n / 7.0, '2026-01-01'::timestamptz + n * interval '1 second'
    FROM generate_series(1, {half}) n;
CREATE TABLE public.orders (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, client bigint REFERENCES public.clients, total numeric(10, 2), note text);
INSERT INTO public.orders (client, total, note) SELECT 1 + n % {half}, n / 3.0, md5((n * 7)::text) FROM generate_series(1, {half}) n;
CREATE INDEX ON public.orders (client);
VACUUM ANALYZE public.clients, public.orders;
"""


def timed(program: Path, *arguments: str, environment: dict[str, str]) -> float:
    began = time.monotonic()
    subprocess.run([program, *arguments], env={**os.environ, **environment}, check=True)
    return time.monotonic() - began


def measure(server: Server, rows: int, rounds: int, jobs: int, folder: Path) -> list[str]:
    name = server.database()
    for statement in TABLES.format(half=rows // 2).split(";\n"):
        if statement.strip():
            server.sql("SET ROLE owner; " + statement if "VACUUM" not in statement else statement, name)
    login = server.login(name)
    found: dict[str, list[float]] = defaultdict(list)
    place, book = Place(folder / "checkpoints", name, jobs=jobs), Book(name, folder / "books")
    for turn in range(rounds):
        plain = folder / f"plain-{name}"
        found["pg_dump"].append(
            timed(
                server.binaries / "pg_dump",
                "-Fd",
                f"-j{jobs}",
                "--role=owner",
                "-n",
                "public",
                "-f",
                str(plain),
                environment=login.environment(),
            )
        )
        with server.session(name) as session:
            shapes = fingerprint.shapes(session, ["public"])
            began = time.monotonic()
            fingerprint.contents(login, shapes, jobs)
            found["sums"].append(time.monotonic() - began)
            began = time.monotonic()
            told = checkpoint.present(session, place, Order(f"c{turn}"), book, WHO)
            found["checkpoint"].append(time.monotonic() - began)
            found["files"].append(told["seconds"]["files"])
        empty = server.database()
        server.sql("DROP SCHEMA public", empty)
        found["pg_restore"].append(
            timed(
                server.binaries / "pg_restore",
                f"-j{jobs}",
                "--role=owner",
                "-d",
                empty,
                str(plain),
                environment=server.login(empty).environment(),
            )
        )
        server.sql(f"DROP DATABASE {empty}")
        with server.session(name) as session:
            began = time.monotonic()
            told = restore.restored(session, place, restore.Order(f"c{turn}", f"c{turn}", keep=0), book, WHO)
            found["restore"].append(time.monotonic() - began)
            for part, seconds in told["seconds"].items():
                found[part].append(seconds)
            found["look"].append(found["restore"][-1] - sum(told["seconds"].values()))
            server.sql("VACUUM ANALYZE public.clients, public.orders", name)
        shutil.rmtree(plain)
        checkpoint.remove(server.session(name), place, f"c{turn}")
    server.sql(f"DROP DATABASE {name}")
    seconds = {part: statistics.median(times) for part, times in found.items()}
    without = seconds["checkpoint"] - seconds["sums"]
    # What compares (the live tables before, the loaded ones after) and proves files is the checksums' share.
    apart = seconds["compare"] + seconds["look"] + seconds["files"]
    return [
        f"| checkpoint of {rows:,} rows | {seconds['pg_dump']:.2f} s | {seconds['checkpoint']:.2f} s | {seconds['sums']:.2f} s |"
        f" {without / seconds['pg_dump']:.2f} | {seconds['checkpoint'] / seconds['pg_dump']:.2f} |",
        f"| restore of {rows:,} rows | {seconds['pg_restore']:.2f} s | {seconds['restore']:.2f} s | {apart:.2f} s |"
        f" {(seconds['restore'] - apart) / seconds['pg_restore']:.2f} | {seconds['restore'] / seconds['pg_restore']:.2f} |",
        "",
        "of the restore: "
        + ", ".join(
            f"{part} {seconds[part]:.2f} s"
            for part in ("look", "files", "rename", "load", "analyze", "compare", "losses", "swap")
        ),
        "",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[200_000, 2_000_000])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--binaries", type=Path, default=newest_binaries(), help="bin folder of the server")
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="plano-bench-"))
    try:
        with running(
            given.binaries, "-c fsync=off -c shared_buffers=512MB -c max_wal_size=8GB -c maintenance_work_mem=256MB"
        ) as server:
            version = server.sql("SHOW server_version")
            print(
                f"PostgreSQL {version}, {os.cpu_count()} cores, {platform.machine()}, {given.jobs} jobs, median of {given.rounds} rounds\n"
            )
            print("| | plain | ours | of it checksums | ratio without them | ratio in all |\n|---|---|---|---|---|---|")
            for rows in given.rows:
                print("\n".join(measure(server, rows, given.rounds, given.jobs, folder)), flush=True)
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
