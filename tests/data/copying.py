# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A database with everything that a copy can get wrong, and how tests make checkpoints of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from server import Server

from ansible_collections.plano.delivery.plugins.module_utils.data import checkpoint, restore
from ansible_collections.plano.delivery.plugins.module_utils.data.book import Book
from ansible_collections.plano.delivery.plugins.module_utils.data.checkpoint import Order, Place
from ansible_collections.plano.delivery.plugins.module_utils.data.runs import Stamp
from ansible_collections.plano.delivery.plugins.module_utils.data.seal import Seal
from ansible_collections.plano.delivery.plugins.module_utils.data.session import Session

WHO = Stamp("ana", "monthly", "c1", "1.4.0")
SCHEMAS = ("public", 'Odd "s')
# One of each kind: identity, serial, generated, domain, enum, array, json, ranges, odd numbers, partitions, composite and quoted keys, views
# on views, a materialized view, functions with their rights, triggers, policies, rules, column rights, an empty and a column-less table.
ODD = """
CREATE SCHEMA "Odd ""s";
CREATE TYPE public.mood AS ENUM ('sad', 'it''s ok');
CREATE DOMAIN public.email AS text CHECK (VALUE ~ '@');
CREATE TYPE "Odd ""s".pair AS (a int, b text);
CREATE TABLE public.clients (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text NOT NULL, mail public.email, mood public.mood DEFAULT 'sad',
    upper_name text GENERATED ALWAYS AS (upper(name)) STORED, "Odd "" col" int[], born date CHECK (born > '1800-01-01'), dropped int);
ALTER TABLE public.clients DROP COLUMN dropped;
COMMENT ON TABLE public.clients IS 'who pays';
CREATE INDEX clients_lower ON public.clients (lower(name)) WHERE born IS NOT NULL;
CREATE TABLE public.orders (
    client bigint REFERENCES public.clients, number int, at timestamptz DEFAULT now(), during tstzrange, total numeric, rate double precision,
    small real, doc jsonb, raw bytea, price money, wait interval, pair "Odd ""s".pair, PRIMARY KEY (client, number));
CREATE TABLE public.events (id int, at date NOT NULL, what text, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
CREATE TABLE public.events_2025 PARTITION OF public.events FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
CREATE TABLE "Odd ""s"."events 2026" PARTITION OF public.events FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
CREATE TABLE "Odd ""s"."Table; with
line" ("key 1" int, "key'2" text, v text, PRIMARY KEY ("key 1", "key'2"));
CREATE TABLE public.empty (id serial PRIMARY KEY, t text);
CREATE TABLE public.nothing ();
CREATE UNLOGGED TABLE public.quick (id int);
CREATE SEQUENCE public.numbers START 1000 INCREMENT 5;
CREATE VIEW public.named AS SELECT id, name FROM public.clients WHERE name <> '';
CREATE VIEW "Odd ""s".again AS SELECT * FROM public.named;
CREATE MATERIALIZED VIEW public.totals AS SELECT client, sum(total) AS total FROM public.orders GROUP BY client;
CREATE UNIQUE INDEX ON public.totals (client);
CREATE FUNCTION public.shout(what text) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT upper($1)';
CREATE FUNCTION public.touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
GRANT EXECUTE ON FUNCTION public.shout(text) TO PUBLIC;
CREATE TRIGGER touch BEFORE UPDATE ON public.clients FOR EACH ROW EXECUTE FUNCTION public.touch();
CREATE RULE quiet AS ON DELETE TO public.empty DO INSTEAD NOTHING;
CREATE STATISTICS public.together ON client, number FROM public.orders;
ALTER TABLE public.empty ENABLE ROW LEVEL SECURITY;
CREATE POLICY mine ON public.empty FOR SELECT TO app USING (t = current_user);
REVOKE ALL ON public.empty FROM app;
GRANT SELECT (id) ON public.clients TO app;
ALTER DEFAULT PRIVILEGES FOR ROLE owner IN SCHEMA "Odd ""s" GRANT SELECT ON TABLES TO app;
GRANT USAGE ON SCHEMA "Odd ""s" TO app;
INSERT INTO public.clients (name, mail, mood, "Odd "" col", born)
    SELECT 'client ' || n, n || '@x', CASE WHEN n % 2 = 0 THEN 'it''s ok' ELSE 'sad' END::public.mood, ARRAY[n, NULL], '1990-01-01'::date + n
    FROM generate_series(1, 500) n;
INSERT INTO public.clients (name) VALUES (''), (E'tab\\t back\\\\slash \\n line \\\\.'), ('é 漢 🎉'), (' \\N ');
INSERT INTO public.orders SELECT id, 1, '2026-01-01'::timestamptz + id * interval '1 hour', tstzrange('2026-01-01', NULL), 1.10, 0.1, 1e-10,
    '{"a": [1, null, "x"]}', '\\x00ff0a5c', 12.5, '1 mon -2 days', ROW(1, 'a,b')::"Odd ""s".pair FROM public.clients;
INSERT INTO public.orders (client, number, total, rate, small, at) VALUES
    (1, 2, 'NaN', 'NaN', '-Infinity', 'infinity'), (1, 3, 'Infinity', '-0', '3.4e38', '-infinity'), (1, 4, 1e-100, 1e308, NULL, '0044-03-15 BC');
INSERT INTO public.events SELECT n, '2025-06-01'::date + n, 'e' FROM generate_series(1, 400) n;
INSERT INTO "Odd ""s"."Table; with
line" SELECT n, 'k' || n, NULL FROM generate_series(1, 10) n;
INSERT INTO public.quick VALUES (1), (1), (NULL);
SELECT nextval('public.numbers'), nextval('public.numbers');
REFRESH MATERIALIZED VIEW public.totals;
CREATE TABLE public.alembic_version (version_num varchar(32) PRIMARY KEY);
INSERT INTO public.alembic_version VALUES ('rev7');
"""


def fill(session: Session) -> None:
    """Make the odd database."""
    session.connection.execute(ODD.replace("\\\\", "\\").replace("%", "%"))


def book(folder: Path, database: str) -> Book:
    return Book(database, folder / "data")


def place(folder: Path, database: str, **more: Any) -> Place:
    return Place(folder / "checkpoints", database, **{"jobs": 2, **more})


def take(
    session: Session,
    folder: Path,
    name: str = "before",
    schemas: tuple[str, ...] = SCHEMAS,
    seal: Seal | None = None,
    **more: Any,
) -> dict[str, Any]:
    """Make a checkpoint."""
    database = session.login.database
    return checkpoint.present(
        session, place(folder, database, seal=seal or Seal()), Order(name, schemas, **more), book(folder, database), WHO
    )


def content(server: Server, database: str) -> str:
    """Return all rows and definitions as PostgreSQL's own dump shows them to a superuser, without what differs from run to run."""
    text = server.run(
        "pg_dump",
        "-h",
        str(server.folder),
        "-p",
        str(server.port),
        "-U",
        "super",
        "-d",
        database,
        "--exclude-schema=plano_delivery",
        "--exclude-schema=*__before_*",
    )
    return "\n".join(line for line in text.splitlines() if not line.startswith(("\\restrict", "\\unrestrict")))


def put_back(session: Session, folder: Path, name: str = "before", **more: Any) -> dict[str, Any]:
    """Restore a checkpoint as an operator would who has read the plan."""
    database = session.login.database
    key = {word: more.pop(word) for word in ("after_swap", "at", "check") if word in more}
    seal = more.pop("seal", Seal())
    order = restore.Order(name, **{"confirm": name, "allow_loss": True, **more})
    return restore.restored(session, place(folder, database, seal=seal), order, book(folder, database), WHO, **key)
