# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import multiprocessing
import os
import random
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from copying import SCHEMAS, WHO, book, content, place, put_back, take
from server import Server

from ansible_collections.plano.delivery.plugins.module_utils.data import (
    checkpoint,
    erasure,
    home,
    leftovers,
    manifest,
    restore,
    runs,
)
from ansible_collections.plano.delivery.plugins.module_utils.data.errors import DataError, ServerError
from ansible_collections.plano.delivery.plugins.module_utils.data.restore import Order
from ansible_collections.plano.delivery.plugins.module_utils.data.session import Session

# Of a restore, in their order; each is a moment to lose the connection or the process.
STEPS = (
    "prove",
    "scratch",
    "definitions",
    "renamed",
    "load",
    "rights",
    "analyze",
    "compare",
    "losses",
    "erase",
    "swap",
    "lock",
    "look",
    "rename",
    "commit",
    "prune",
)
# PLANO_KILLS=20 tries every one of them, and as many random moments.
KILLS = int(os.environ.get("PLANO_KILLS", "0"))
LOST = STEPS if KILLS else ("definitions", "load", "compare", "look", "commit", "prune")
KILLED = (
    (*STEPS, *[f"random {n}" for n in range(KILLS)]) if KILLS else ("load", "commit", "prune", "random 1", "random 2")
)


@pytest.fixture
def plain(session: Session) -> Session:
    """Two tables, one of which refers to the other."""
    session.execute("CREATE TABLE public.clients (id int PRIMARY KEY, name text)")
    session.execute(
        "CREATE TABLE public.orders (id serial PRIMARY KEY, client int REFERENCES public.clients, at int DEFAULT 1)"
    )
    session.execute("INSERT INTO public.clients SELECT n, 'client ' || n FROM generate_series(1, 100) n")
    session.execute("INSERT INTO public.orders (client) SELECT n FROM generate_series(1, 100) n")
    return session


def before(session: Session, folder: Path) -> None:
    take(session, folder, schemas=("public",))


def schemas(session: Session) -> list[str]:
    """All schemas but the system's and this collection's own."""
    return [
        r[0]
        for r in session.rows(
            "SELECT nspname FROM pg_namespace WHERE nspname !~ '^pg_|^information_schema$|^plano_delivery$' ORDER BY 1"
        )
    ]


def assert_clean(session: Session, server: Server, folder: Path) -> None:
    """Nothing is there that nobody asked for."""
    assert not [name for name in schemas(session) if "__new_" in name]
    assert server.sql("SELECT datname FROM pg_database WHERE datname LIKE 'plano_restore_%'") == ""
    assert [path.name for path in place(folder, session.login.database).folder.glob(".*")] == []
    assert session.rows("SELECT suffix FROM plano_delivery.restore WHERE state = 'loading'") == []
    assert session.rows("SELECT id FROM plano_delivery.run WHERE state = 'pending'") == []


def test_everything_is_as_it_was(odd: Session, server: Server, application: Session, tmp_path: Path) -> None:
    was = content(server, odd.login.database)
    take(odd, tmp_path)
    odd.execute("UPDATE public.clients SET name = 'wrong' WHERE id % 3 = 0")
    odd.execute("DELETE FROM public.orders WHERE client > 100")
    odd.execute("DROP VIEW public.named CASCADE")
    odd.execute("CREATE TABLE public.later (id int)")
    odd.execute("REVOKE ALL ON public.clients FROM app")
    odd.execute("SELECT setval('public.numbers', 5000)")
    told = put_back(odd, tmp_path)
    assert content(server, odd.login.database) == was
    assert application.value("SELECT count(*) FROM public.clients WHERE name = 'wrong'") == 0
    with pytest.raises(ServerError, match="permission denied for table empty"):
        application.value("SELECT count(*) FROM public.empty")
    assert [(loss["table"], loss["rows_lost"]) for loss in told["losses"]] == [("public.clients", 168)]
    assert_clean(odd, server, tmp_path)
    found = runs.find(odd, told["run"])
    assert (found.kind, found.state, found.details["kept"]) == ("restore", "confirmed", told["kept"])
    last = book(tmp_path, odd.login.database).entries()[-1]
    assert (last["operation"], last["state"], last["target"], last["kept"]) == (
        "restore",
        "confirmed",
        "before",
        told["kept"],
    )


def test_a_check_tells_and_touches_nothing(plain: Session, server: Server, tmp_path: Path) -> None:
    before(plain, tmp_path)
    plain.execute("INSERT INTO public.clients VALUES (101, 'later')")
    was, entries = content(server, plain.login.database), len(book(tmp_path, plain.login.database).entries())
    told = put_back(plain, tmp_path, check=True, allow_loss=False, confirm="")
    assert told["changed"] is True
    assert told["plan"]["losses"] == [
        {"table": "public.clients", "rows_now": 101, "rows_in_checkpoint": 100, "rows_lost": 1, "exact": False}
    ]
    assert [line.split(" ")[0] for line in told["plan"]["refused"]] == ["confirm", "at"]
    assert content(server, plain.login.database) == was
    assert len(book(tmp_path, plain.login.database).entries()) == entries
    assert schemas(plain) == ["public"]


def test_one_run_restores_once(plain: Session, tmp_path: Path) -> None:
    before(plain, tmp_path)
    assert put_back(plain, tmp_path, run="r1")["changed"] is True
    plain.execute("INSERT INTO public.clients VALUES (101, 'later')")
    assert put_back(plain, tmp_path, run="r1")["changed"] is False
    assert plain.value("SELECT count(*) FROM public.clients") == 101


def test_what_is_not_confirmed_or_not_there(plain: Session, tmp_path: Path) -> None:
    before(plain, tmp_path)
    with pytest.raises(DataError, match="confirm must repeat the checkpoint's name, before"):
        put_back(plain, tmp_path, confirm="yes")
    with pytest.raises(DataError, match=r"there is no checkpoint after of .* \(there: before\)"):
        put_back(plain, tmp_path, "after")
    assert schemas(plain) == ["public"]


def test_rows_that_would_be_lost_are_counted(plain: Session, server: Server, tmp_path: Path) -> None:
    before(plain, tmp_path)
    plain.execute("DELETE FROM public.orders WHERE id > 60")
    plain.execute("UPDATE public.orders SET at = 2 WHERE id <= 7")
    with pytest.raises(
        DataError, match=r"7 rows of public.orders are not in the checkpoint and would be lost \(now 60, then 100\)"
    ):
        put_back(plain, tmp_path, allow_loss=False)
    assert plain.value("SELECT count(*) FROM public.orders") == 60
    assert_clean(plain, server, tmp_path)
    plain.execute("UPDATE public.orders SET at = 1")
    assert put_back(plain, tmp_path, allow_loss=False)["losses"] == []  # rows come back, none goes
    assert plain.value("SELECT count(*) FROM public.orders") == 100


@pytest.mark.parametrize(
    "change", ["CREATE TABLE public.more AS SELECT 1 AS a", "ALTER TABLE public.clients ADD COLUMN mail text"]
)
def test_what_the_checkpoint_does_not_know_is_lost(plain: Session, tmp_path: Path, change: str) -> None:
    before(plain, tmp_path)
    plain.execute(change)
    with pytest.raises(
        DataError, match=r"(1 rows of public.more|100 rows of public.clients) are not in the checkpoint"
    ):
        put_back(plain, tmp_path, allow_loss=False)


@pytest.mark.parametrize(
    "statement",
    ["INSERT INTO public.clients VALUES (101, 'x'), (102, 'x')", "UPDATE public.clients SET name = 'x' WHERE id < 3"],
)
@pytest.mark.parametrize("began", ["long before", "meanwhile"])
def test_rows_written_while_it_loads_are_seen(
    plain: Session, server: Server, tmp_path: Path, statement: str, began: str
) -> None:
    before(plain, tmp_path)
    with server.session(plain.login.database, "app", "") as other:
        other.execute("BEGIN")
        if began == "long before":  # its transaction is older than the first look, but not seen by it
            other.execute(statement)

        def write(step: str) -> None:
            if step == "swap":
                if began == "meanwhile":
                    other.execute(statement)
                other.execute("COMMIT")

        with pytest.raises(
            DataError, match=r"2 rows of public.clients are not in the checkpoint .* They were written while"
        ):
            put_back(plain, tmp_path, allow_loss=False, at=write)
    assert plain.value("SELECT count(*) FROM public.clients WHERE name = 'x'") == 2
    assert_clean(plain, server, tmp_path)
    assert put_back(plain, tmp_path)["losses"][0]["rows_lost"] == 2


def test_who_waits_for_the_lock_writes_to_what_was_restored(plain: Session, server: Server, tmp_path: Path) -> None:
    before(plain, tmp_path)
    plain.execute("DELETE FROM public.orders")
    writers: list[threading.Thread] = []

    def write() -> None:
        with server.session(plain.login.database, "app", "") as other:
            other.execute("INSERT INTO public.orders (client) VALUES (5)")

    def begin(step: str) -> None:
        if step == "rename":
            writers.append(threading.Thread(target=write))
            writers[0].start()
            while server.sql("SELECT count(*) FROM pg_locks WHERE NOT granted") == "0":
                time.sleep(0.01)

    put_back(plain, tmp_path, at=begin)
    writers[0].join(10)
    assert plain.rows("SELECT max(id), count(*) FROM public.orders") == [(101, 101)]


def test_a_lock_that_is_not_given(plain: Session, server: Server, tmp_path: Path) -> None:
    before(plain, tmp_path)
    plain.execute("DELETE FROM public.orders WHERE id = 1")
    with server.session(plain.login.database, "app", "") as other, server.session(
        plain.login.database, lock_seconds=0.3
    ) as hasty:
        other.execute("BEGIN")
        other.execute("UPDATE public.clients SET name = name WHERE id = 1")
        with pytest.raises(DataError, match=r"The lock was not given within 0.3 s and nothing was changed"):
            put_back(hasty, tmp_path)
        assert_clean(hasty, server, tmp_path)
        other.execute("COMMIT")
    assert plain.value("SELECT count(*) FROM public.orders") == 99


def test_what_elsewhere_points_at_the_data_forbids_it(plain: Session, server: Server, tmp_path: Path) -> None:
    before(plain, tmp_path)
    plain.execute("CREATE SCHEMA elsewhere")
    assert put_back(plain, tmp_path, check=True)["plan"]["refused"] == []
    ties = {
        "CREATE VIEW elsewhere.v AS SELECT * FROM public.clients": r'rule "?_RETURN"? on elsewhere.v needs table public.clients',
        "CREATE TABLE elsewhere.t (c int REFERENCES public.clients)": "table constraint t_c_fkey on elsewhere.t needs table public.clients",
        "CREATE FUNCTION elsewhere.f(public.clients) RETURNS int LANGUAGE sql AS 'SELECT 1'": (
            r"function elsewhere.f\(public.clients\) needs type public.clients"
        ),
        "CREATE TABLE elsewhere.d (c int DEFAULT nextval('public.orders_id_seq'))": "default value for elsewhere.d.c needs sequence public.orders_id_seq",
        "CREATE PUBLICATION news FOR TABLE public.clients": "publication news of table public.clients",
        "CREATE TABLE public.names (c regclass)": "column public.names.c holds names of objects",
    }
    server.sql(f"GRANT CREATE ON DATABASE {plain.login.database} TO owner")
    for tie, words in ties.items():
        plain.execute(tie)
        with pytest.raises(DataError, match=words):
            put_back(plain, tmp_path)
    assert len(put_back(plain, tmp_path, check=True)["plan"]["refused"]) >= len(ties)
    assert not [name for name in schemas(plain) if "__" in name]


def test_a_tie_made_while_it_loads_forbids_it_too(plain: Session, server: Server, tmp_path: Path) -> None:
    before(plain, tmp_path)
    plain.execute("CREATE SCHEMA elsewhere")

    def tie(step: str) -> None:
        if step == "swap":
            with server.session(plain.login.database) as other:
                other.execute("CREATE VIEW elsewhere.v AS SELECT * FROM public.clients")

    with pytest.raises(DataError, match=r"elsewhere.v"):
        put_back(plain, tmp_path, at=tie)
    assert_clean(plain, server, tmp_path)


def test_a_restore_is_taken_back_and_that_too(plain: Session, server: Server, tmp_path: Path) -> None:
    before(plain, tmp_path)
    was = content(server, plain.login.database)
    plain.execute("INSERT INTO public.clients VALUES (101, 'later')")
    wrong = content(server, plain.login.database)
    put_back(plain, tmp_path)
    here, ledger = place(tmp_path, plain.login.database), book(tmp_path, plain.login.database)
    with pytest.raises(DataError, match="confirm must repeat"):
        restore.swapped_back(plain, here, Order("before"), ledger, WHO)
    assert restore.swapped_back(plain, here, Order("before", "before"), ledger, WHO)["changed"] is True
    assert content(server, plain.login.database) == wrong
    assert restore.swapped_back(plain, here, Order("before", "before", "again"), ledger, WHO)["changed"] is True
    assert content(server, plain.login.database) == was
    assert restore.swapped_back(plain, here, Order("before", "before", "again"), ledger, WHO)["changed"] is False
    plain.execute("UPDATE public.clients SET name = 'since' WHERE id = 1")
    with pytest.raises(DataError, match=r"rows of public.clients are written since the restore and would be lost"):
        restore.swapped_back(plain, here, Order("before", "before"), ledger, WHO)
    assert (
        restore.swapped_back(plain, here, Order("before", "before", allow_loss=True), ledger, WHO)["losses"][0]["table"]
        == "public.clients"
    )
    assert_clean(plain, server, tmp_path)


def test_replaced_schemas_are_kept_as_told(plain: Session, tmp_path: Path) -> None:
    before(plain, tmp_path)
    first = put_back(plain, tmp_path, keep=1)["kept"]
    second = put_back(plain, tmp_path, keep=1)
    assert second["pruned"] == first
    assert schemas(plain) == ["public", *second["kept"]]
    assert put_back(plain, tmp_path, keep=0)["kept"] == []
    assert schemas(plain) == ["public"]
    kept = put_back(plain, tmp_path, keep=1)["kept"]
    assert restore.cleaned(plain, 0, check=True) == {"changed": True, "removed": [f"schema {kept[0]}"]}
    assert restore.cleaned(plain, 0)["changed"] is True
    assert restore.cleaned(plain, 0)["changed"] is False
    assert schemas(plain) == ["public"]


def test_a_drill_proves_and_leaves_nothing(odd: Session, server: Server, tmp_path: Path) -> None:
    take(odd, tmp_path)
    here, ledger = place(tmp_path, odd.login.database), book(tmp_path, odd.login.database)
    assert restore.drilled(odd, here, Order("before"), ledger, WHO)["changed"] is False
    assert_clean(odd, server, tmp_path)
    assert (ledger.entries()[-1]["operation"], ledger.entries()[-1]["state"]) == ("drill", "confirmed")
    assert schemas(odd) == sorted(SCHEMAS)


@pytest.mark.parametrize(
    "part, words",
    [
        ("rows", r"public__new_\w+.clients has 100 rows instead of 101"),
        ("sums", "holds other values"),
        ("last", "sequence .*orders_id_seq stands at"),
        ("objects", "indexes instead of 99"),
    ],
)
def test_what_comes_back_is_compared_with_the_manifest(
    plain: Session, server: Server, tmp_path: Path, part: str, words: str
) -> None:
    before(plain, tmp_path)
    path = place(tmp_path, plain.login.database).of("before") / manifest.FILE
    told = json.loads(path.read_bytes())
    clients = next(table for table in told["tables"] if table["name"] == "clients")
    if part == "rows":
        clients["rows"] = 101
    elif part == "sums":
        clients["sums"][0] = "1"
    elif part == "last":
        told["sequences"][0]["last"] = 7
    else:
        told["objects"]["indexes"] = 99
    path.write_bytes(manifest.Manifest(**told).sealed(b"").encoded())
    with pytest.raises(DataError, match=rf"what was restored is not checkpoint before: .*{words}"):
        put_back(plain, tmp_path)
    assert_clean(plain, server, tmp_path)
    if part == "sums":
        with pytest.raises(DataError, match="what was restored is not checkpoint before"):
            restore.drilled(
                plain, place(tmp_path, plain.login.database), Order("before"), book(tmp_path, plain.login.database), WHO
            )
    assert_clean(plain, server, tmp_path)


def test_erased_rows_do_not_come_back(plain: Session, tmp_path: Path) -> None:
    before(plain, tmp_path)
    here = place(tmp_path, plain.login.database)
    erased = erasure.of(
        [
            {"table": "clients", "key": {"id": 7}},
            {"table": "public.orders", "key": {"client": "7"}},
            {"table": "gone", "key": {"x": 1}},
        ]
    )
    assert erasure.keep(plain, here.folder, erased) is True
    assert erasure.keep(plain, here.folder, erased) is False
    plain.execute("DELETE FROM public.orders WHERE client = 7")
    plain.execute("DELETE FROM public.clients WHERE id = 7")
    plain.execute("DROP SCHEMA plano_delivery CASCADE")  # the file beside the checkpoints remembers
    assert put_back(plain, tmp_path, allow_loss=False)["erased"] == {"public.clients": 1, "public.orders": 1}
    assert plain.rows("SELECT count(*), count(*) FILTER (WHERE id = 7) FROM public.clients") == [(99, 0)]
    assert (here.folder / erasure.FILE).stat().st_mode & 0o077 == 0
    assert (
        restore.swapped_back(plain, here, Order("before", "before"), book(tmp_path, plain.login.database), WHO)[
            "losses"
        ]
        == []
    )


def test_erased_rows_that_others_refer_to(plain: Session, server: Server, tmp_path: Path) -> None:
    before(plain, tmp_path)
    erasure.keep(
        plain, place(tmp_path, plain.login.database).folder, erasure.of([{"table": "clients", "key": {"id": 7}}])
    )
    with pytest.raises(DataError, match=r"are referred to by others: public.clients .*List those"):
        put_back(plain, tmp_path)
    assert_clean(plain, server, tmp_path)


def test_the_action_log_is_attached_in_the_same_transaction_or_told_of(
    plain: Session, server: Server, tmp_path: Path
) -> None:
    home.ensure(plain)
    plain.execute("CREATE FUNCTION plano_delivery.note() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'")
    plain.execute(
        "CREATE TRIGGER plano_note AFTER INSERT ON public.clients FOR EACH STATEMENT EXECUTE FUNCTION plano_delivery.note()"
    )
    before(plain, tmp_path)
    told = put_back(plain, tmp_path)
    assert told["log_detached"] == [f"plano_note on {told['kept'][0]}.clients"]
    assert (
        plain.value(
            "SELECT count(*) FROM pg_trigger WHERE tgname = 'plano_note' AND tgrelid = 'public.clients'::regclass"
        )
        == 0
    )

    def attach(inside: Session) -> None:
        inside.execute(
            "CREATE TRIGGER plano_note AFTER INSERT ON public.clients FOR EACH STATEMENT EXECUTE FUNCTION plano_delivery.note()"
        )

    def fail(_inside: Session) -> None:
        raise DataError("the log cannot be attached")

    plain.execute("DELETE FROM public.orders")
    with pytest.raises(DataError, match="cannot be attached"):
        put_back(plain, tmp_path, after_swap=fail)
    assert plain.value("SELECT count(*) FROM public.orders") == 0
    assert_clean(plain, server, tmp_path)
    assert put_back(plain, tmp_path, after_swap=attach)["log_detached"] == []
    assert (
        plain.value(
            "SELECT count(*) FROM pg_trigger WHERE tgname = 'plano_note' AND tgrelid = 'public.clients'::regclass"
        )
        == 1
    )


def test_a_child_table_whose_columns_would_move_is_refused(session: Session, server: Server, tmp_path: Path) -> None:
    session.execute("CREATE TABLE public.parent (a int)")
    session.execute("CREATE TABLE public.child (b int) INHERITS (public.parent)")
    session.execute("ALTER TABLE public.parent ADD COLUMN c int")
    session.execute("INSERT INTO public.child VALUES (1, 2, 3)")
    before(session, tmp_path)
    with pytest.raises(DataError, match=r"child: PostgreSQL's dump gives its columns another order"):
        put_back(session, tmp_path)
    assert_clean(session, server, tmp_path)
    restore.drilled(
        session, place(tmp_path, session.login.database), Order("before"), book(tmp_path, session.login.database), WHO
    )


def test_a_role_that_may_not_do_it_is_told_before(plain: Session, server: Server, tmp_path: Path) -> None:
    before(plain, tmp_path)
    server.sql("ALTER ROLE data NOCREATEDB")
    try:
        with pytest.raises(DataError, match=r"may not create databases: ALTER ROLE \.\.\. CREATEDB"):
            put_back(plain, tmp_path)
    finally:
        server.sql("ALTER ROLE data CREATEDB")
    server.sql("ALTER SCHEMA public OWNER TO super", plain.login.database)
    with pytest.raises(DataError, match="schema public belongs to super, whom the role owner is not"):
        put_back(plain, tmp_path)


@pytest.mark.parametrize("step", LOST)
def test_a_lost_connection_leaves_the_old_data_or_the_new(
    plain: Session, server: Server, tmp_path: Path, step: str
) -> None:
    before(plain, tmp_path)
    plain.execute("DELETE FROM public.orders")

    def lose(now: str) -> None:
        if now == step:
            server.sql("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = 'data'")

    with pytest.raises(DataError):
        put_back(plain, tmp_path, run="r1", at=lose)
    with server.session(plain.login.database) as again:
        assert again.value("SELECT count(*) FROM public.orders") == (100 if step == "prune" else 0)
        put_back(again, tmp_path, run="r1" if step == "prune" else "r2")
        assert again.value("SELECT count(*) FROM public.orders") == 100
        restore.cleaned(again, 0)
        assert_clean(again, server, tmp_path)


def restore_and_die(server: Server, database: str, folder: Path, step: str) -> None:
    def die(now: str) -> None:
        if now == step:
            os.kill(os.getpid(), signal.SIGKILL)

    with server.session(database) as session:
        put_back(session, folder, at=die)
    os._exit(0)


def start(*arguments: Any) -> Any:
    process = multiprocessing.get_context("fork").Process(target=restore_and_die, args=arguments, daemon=True)
    process.start()
    return process


@pytest.mark.parametrize("moment", KILLED)
def test_a_killed_restore_leaves_the_old_data_or_the_new(
    plain: Session, server: Server, tmp_path: Path, moment: str
) -> None:
    before(plain, tmp_path)
    plain.execute("DELETE FROM public.orders")
    database = plain.login.database
    process = start(server, database, tmp_path, moment)
    if moment.startswith("random"):
        time.sleep(random.uniform(0.05, 1.0))
        process.kill()
    process.join(30)
    rows = plain.value("SELECT count(*) FROM public.orders")
    assert rows in (0, 100)
    if moment in STEPS:
        assert process.exitcode == -signal.SIGKILL
        assert rows == (100 if moment == "prune" else 0)
    # The next run of the other module clears up as well.
    checkpoint.present(
        plain, place(tmp_path, database), checkpoint.Order("after", ("public",)), book(tmp_path, database), WHO
    )
    if rows == 0:
        put_back(plain, tmp_path)
    assert_clean(plain, server, tmp_path)
    assert plain.value("SELECT count(*) FROM public.orders") == 100
    restore.cleaned(plain, 0)
    assert schemas(plain) == ["public"]
    ended = {(entry["operation"], entry["release"]): entry["state"] for entry in book(tmp_path, database).entries()}
    assert "begun" not in ended.values()
    if rows == 100:
        assert "confirmed" in [state for (operation, _run), state in ended.items() if operation == "restore"]


def test_what_the_server_is_still_creating_for_a_killed_restore_is_found_by_its_name(
    plain: Session, server: Server, tmp_path: Path
) -> None:
    before(plain, tmp_path)
    database = plain.login.database
    looks = "SELECT application_name FROM pg_stat_activity WHERE query LIKE 'CREATE DATABASE%plano_restore_%' AND wait_event_type = 'Lock'"
    with server.session(database, "super", "") as other, other.transaction():
        other.execute("LOCK TABLE pg_database IN SHARE MODE")
        process = start(server, database, tmp_path, "")
        deadline = time.monotonic() + 20
        while not server.sql(looks) and time.monotonic() < deadline:
            time.sleep(0.05)
        # Its client is gone, and it goes on: nothing but its name tells whose it is.
        process.kill()
        process.join(30)
        suffix = server.sql("SELECT suffix FROM plano_delivery.restore WHERE state = 'loading'", database)
        assert server.sql(looks) == leftovers.application(suffix)
    put_back(plain, tmp_path)
    assert_clean(plain, server, tmp_path)
