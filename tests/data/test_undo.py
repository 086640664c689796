# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from logbook import WHO, content, log_tables, plan_undo, undo_run, write

from ansible_collections.plano.delivery.plugins.module_utils.data import runs, undo
from ansible_collections.plano.delivery.plugins.module_utils.data.errors import DataError, ServerError
from ansible_collections.plano.delivery.plugins.module_utils.data.session import Session

SHOP = """
CREATE TABLE public.client (id int PRIMARY KEY, email text UNIQUE, boss int REFERENCES public.client);
CREATE TABLE public.orders (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, client int NOT NULL REFERENCES public.client, cents int,
    double_cents int GENERATED ALWAYS AS (cents * 2) STORED);
CREATE TABLE public.line (orders bigint REFERENCES public.orders ON DELETE CASCADE, nr int, what text, PRIMARY KEY (orders, nr));
INSERT INTO public.client VALUES (1, 'a@x', NULL), (2, 'b@x', 1), (3, 'c@x', 1);
INSERT INTO public.orders (client, cents) VALUES (1, 100), (2, 200);
INSERT INTO public.line VALUES (1, 1, 'pen'), (1, 2, 'ink'), (2, 1, 'cup');
"""
ALL = ("client", "orders", "line")


@pytest.fixture
def shop(session: Session) -> Session:
    session.execute(SHOP)
    log_tables(session, *ALL)
    return session


def state(session: Session) -> dict[str, list[str]]:
    return {name: content(session, name) for name in ALL}


def test_a_run_goes_back_in_every_table_and_what_others_did_stays(shop: Session, application: Session) -> None:
    write(application, "r0", "INSERT INTO public.client VALUES (8, 'h@x', NULL)")
    before = state(shop)
    write(
        application,
        "r1",
        "INSERT INTO public.client VALUES (4, 'd@x', 2)",
        "INSERT INTO public.orders (client, cents) VALUES (4, 7)",
        "INSERT INTO public.line SELECT max(id), 1, 'new' FROM public.orders",
        "UPDATE public.orders SET cents = cents + 1",
        "DELETE FROM public.orders WHERE id = 1",
        "DELETE FROM public.client WHERE id = 3",
    )
    write(application, "r2", "INSERT INTO public.client VALUES (9, 'i@x', 8)")
    after = state(shop)
    plan = plan_undo(shop, "r1")
    assert state(shop) == after
    outcome = undo_run(shop, "r1")
    counted = {t.table.name: (t.insert, t.update, t.delete, t.skipped) for t in outcome.tables}
    assert counted == {"client": (1, 0, 1, 0), "orders": (1, 1, 1, 0), "line": (2, 0, 1, 0)}
    assert plan.tables == outcome.tables
    assert state(shop) == {**before, "client": sorted([*before["client"], "(9,i@x,8)"])}
    assert runs.find(shop, "r1").state == runs.REVERTED
    found = runs.find(shop, outcome.run_id)
    assert (outcome.run_id, found.kind, found.state, found.reverts, found.actor) == (
        "undo-r1-1",
        "undo",
        "confirmed",
        "r1",
        "ana",
    )


def test_an_undo_can_be_undone_and_that_again(shop: Session, application: Session) -> None:
    before = state(shop)
    write(application, "r1", "UPDATE public.orders SET cents = 0", "DELETE FROM public.line WHERE nr = 2")
    after = state(shop)
    assert undo_run(shop, "r1").rows == 3
    assert state(shop) == before
    assert not undo_run(shop, "r1").changed
    assert undo_run(shop, "undo-r1-1").rows == 3
    assert state(shop) == after
    # The run's rows are in force again, so that undoing it has a meaning again.
    again = undo_run(shop, "r1")
    assert (again.changed, again.reverts) == (True, "run undo-undo-r1-1-1")
    assert state(shop) == before
    assert undo_run(shop, "r1").why.startswith("run r1 is undone already")


def test_a_row_changed_later_is_refused_with_who_did_it(shop: Session, application: Session) -> None:
    write(application, "r1", "UPDATE public.orders SET cents = cents + 1")
    write(application, "r2", "UPDATE public.orders SET cents = 5 WHERE id = 1")
    after = state(shop)
    with pytest.raises(
        undo.ConflictError, match=r"run r1: 1 row\(s\) cannot go back \(public\.orders: was changed later\)"
    ) as caught:
        undo_run(shop, "r1")
    (conflict,) = caught.value.details["conflicts"]
    assert (conflict["table"], conflict["key"], conflict["reason"]) == (
        "public.orders",
        {"id": "1"},
        "was changed later",
    )
    assert (conflict["by"]["run"], conflict["by"]["role"]) == ("r2", "app")
    assert state(shop) == after
    assert runs.find(shop, "r1").state == runs.CONFIRMED
    assert runs.find(shop, "undo-r1-1").state == runs.FAILED
    assert runs.find(shop, "undo-r1-1").details["reason"].startswith("run r1: 1 row(s)")
    outcome = undo_run(shop, "r1", skip=True)
    assert (outcome.run_id, outcome.rows, outcome.conflict_rows) == ("undo-r1-1", 1, 1)
    assert content(shop, "orders") == ["(1,1,5,10)", "(2,2,200,400)"]


def test_rows_removed_or_written_again_later_are_refused(shop: Session, application: Session) -> None:
    write(
        application,
        "r1",
        "INSERT INTO public.client VALUES (4, 'd@x', NULL)",
        "DELETE FROM public.line WHERE orders = 2",
    )
    write(application, "r2", "DELETE FROM public.client WHERE id = 4", "INSERT INTO public.line VALUES (2, 1, 'mug')")
    with pytest.raises(undo.ConflictError) as caught:
        undo_run(shop, "r1")
    assert {(c["table"], c["reason"], c["by"]["run"]) for c in caught.value.details["conflicts"]} == {
        ("public.client", "was removed later", "r2"),
        ("public.line", "a row with this key has been written since", "r2"),
    }


@pytest.mark.parametrize("action", ["NO ACTION", "CASCADE", "SET NULL"])
def test_rows_of_others_that_refer_to_what_goes_are_never_silently_changed(
    session: Session, application: Session, action: str
) -> None:
    session.execute(
        "CREATE TABLE public.client (id int PRIMARY KEY); "
        f"CREATE TABLE public.note (id int PRIMARY KEY, client int REFERENCES public.client ON DELETE {action})"
    )
    log_tables(session, "client")
    write(application, "r1", "INSERT INTO public.client VALUES (1), (2)")
    application.execute("INSERT INTO public.note VALUES (1, 1)")
    with pytest.raises(undo.ConflictError, match=r"rows of public\.note that stay refer to it"):
        undo_run(session, "r1")
    outcome = undo_run(session, "r1", skip=True)
    assert (outcome.rows, outcome.conflict_rows) == (1, 1)
    assert (content(session, "client"), content(session, "note")) == (["(1)"], ["(1,1)"])


def test_what_stays_keeps_what_it_refers_to(shop: Session, application: Session) -> None:
    write(
        application,
        "r1",
        "INSERT INTO public.client VALUES (4, 'd@x', NULL), (5, 'e@x', 4), (6, 'f@x', NULL)",
        "INSERT INTO public.orders (client, cents) VALUES (5, 7)",
    )
    application.execute("UPDATE public.orders SET cents = 8 WHERE client = 5")
    outcome = undo_run(shop, "r1", skip=True)
    assert (outcome.rows, outcome.conflict_rows) == (1, 3)
    assert [row for row in content(shop, "client") if row[1] in "456"] == ["(4,d@x,)", "(5,e@x,4)"]


def test_a_row_whose_parent_is_gone_stays_away(shop: Session, application: Session) -> None:
    write(application, "r1", "DELETE FROM public.line", "DELETE FROM public.orders WHERE client = 2")
    write(application, "r2", "DELETE FROM public.client WHERE id = 2")
    with pytest.raises(undo.ConflictError, match=r"its row in public\.client is gone"):
        undo_run(shop, "r1")
    outcome = undo_run(shop, "r1", skip=True)
    assert (outcome.rows, outcome.conflict_rows) == (2, 2)
    assert content(shop, "line") == ["(1,1,pen)", "(1,2,ink)"]


def test_a_unique_value_that_another_row_has_now(shop: Session, application: Session) -> None:
    write(
        application,
        "r1",
        "DELETE FROM public.client WHERE id = 3",
        "UPDATE public.client SET email = 'B@x' WHERE id = 2",
    )
    write(application, "r2", "INSERT INTO public.client VALUES (7, 'c@x', NULL), (8, 'b@x', NULL)")
    with pytest.raises(undo.ConflictError, match="another row has its value of email now") as caught:
        undo_run(shop, "r1")
    assert caught.value.details["conflict_rows"] == 2


def test_unique_values_and_keys_that_the_run_has_passed_around(shop: Session, application: Session) -> None:
    before = state(shop)
    write(
        application,
        "r1",
        "UPDATE public.client SET email = id::text",
        "UPDATE public.client SET email = CASE id WHEN 1 THEN 'b@x' WHEN 2 THEN 'c@x' ELSE 'a@x' END",
        "UPDATE public.client SET boss = NULL WHERE id = 3",
        "UPDATE public.client SET id = 30 WHERE id = 3",
        "INSERT INTO public.client VALUES (3, 'new', 30)",
    )
    undo_run(shop, "r1")
    assert state(shop) == before


def test_a_row_that_a_trigger_writes_again(session: Session, application: Session) -> None:
    session.execute(
        "CREATE TABLE public.t (id int PRIMARY KEY, a int, b int);"
        "CREATE FUNCTION public.again() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        "  UPDATE public.t SET b = coalesce(b, 0) + 1 WHERE id = NEW.id; RETURN NULL; END $$;"
        "CREATE TRIGGER again AFTER INSERT OR UPDATE OF a ON public.t FOR EACH ROW EXECUTE FUNCTION public.again();"
        "INSERT INTO public.t VALUES (1, 1)"
    )
    log_tables(session, "t")
    before = content(session, "t")
    write(
        application,
        "r1",
        "INSERT INTO public.t VALUES (2, 1)",
        "UPDATE public.t SET a = 5",
        "UPDATE public.t SET a = 6 WHERE id = 1",
    )
    after = content(session, "t")
    assert after == ["(1,6,3)", "(2,5,2)"]
    outcome = undo_run(session, "r1")
    assert content(session, "t") == before
    assert outcome.silenced == ["again on public.t"]
    undo_run(session, outcome.run_id)
    assert content(session, "t") == after
    application.execute("UPDATE public.t SET a = 7 WHERE id = 2")
    assert content(session, "t")[1] == "(2,7,3)"  # the trigger is at work again


def test_others_between_two_actions_of_the_run(session: Session, application: Session) -> None:
    session.execute(
        "CREATE TABLE public.t (id int PRIMARY KEY, a int); INSERT INTO public.t VALUES (1, 0), (2, 0), (3, 0)"
    )
    log_tables(session, "t")
    write(application, "r1", "UPDATE public.t SET a = 1")
    write(application, "r2", "UPDATE public.t SET a = 2 WHERE id < 3")
    write(application, "r1", "UPDATE public.t SET a = 0 WHERE id = 1", "UPDATE public.t SET a = 3 WHERE id > 1")
    write(application, "r3", "UPDATE public.t SET a = 1 WHERE id = 1")
    with pytest.raises(undo.ConflictError, match="others have changed it between two actions of the run") as caught:
        undo_run(session, "r1")
    assert [c["key"]["id"] for c in caught.value.details["conflicts"]] == ["1", "2"]
    undo_run(session, "r1", skip=True)
    assert content(session, "t") == ["(1,1)", "(2,3)", "(3,0)"]


def test_a_cycle_of_foreign_keys_and_one_that_is_deferred(session: Session, application: Session) -> None:
    session.execute(
        "CREATE TABLE public.a (id int PRIMARY KEY, b int NOT NULL);"
        "CREATE TABLE public.b (id int PRIMARY KEY, a int NOT NULL REFERENCES public.a);"
        "ALTER TABLE public.a ADD FOREIGN KEY (b) REFERENCES public.b DEFERRABLE INITIALLY DEFERRED;"
        "BEGIN; INSERT INTO public.a VALUES (1, 1); INSERT INTO public.b VALUES (1, 1); COMMIT"
    )
    log_tables(session, "a", "b")
    write(
        application,
        "r1",
        "DELETE FROM public.b",
        "DELETE FROM public.a",
        "INSERT INTO public.a VALUES (2, 2)",
        "INSERT INTO public.b VALUES (2, 2)",
    )
    undo_run(session, "r1")
    assert (content(session, "a"), content(session, "b")) == (["(1,1)"], ["(1,1)"])


def test_keys_that_follow_by_cascade(session: Session, application: Session) -> None:
    session.execute(
        "CREATE TABLE public.a (id int PRIMARY KEY);"
        "CREATE TABLE public.b (id int PRIMARY KEY, a int REFERENCES public.a ON UPDATE CASCADE ON DELETE SET NULL);"
        "INSERT INTO public.a VALUES (1), (2), (3); INSERT INTO public.b VALUES (1, 1), (2, 2), (3, 3)"
    )
    log_tables(session, "a", "b")
    before = content(session, "b")
    write(application, "r1", "UPDATE public.a SET id = id + 10 WHERE id < 3", "DELETE FROM public.a WHERE id = 3")
    assert content(session, "b") == ["(1,11)", "(2,12)", "(3,)"]
    after = content(session, "b")
    outcome = undo_run(session, "r1")
    assert content(session, "b") == before
    assert content(session, "a") == ["(1)", "(2)", "(3)"]
    undo_run(session, outcome.run_id)
    assert content(session, "b") == after
    undo_run(session, "r1")
    write(application, "r2", "UPDATE public.a SET id = 20 WHERE id = 1")
    application.execute("INSERT INTO public.b VALUES (4, 20)")
    with pytest.raises(undo.ConflictError, match=r"rows of public\.b that stay refer to it"):
        undo_run(session, "r2")


def test_every_type_goes_back_exactly(session: Session, application: Session) -> None:
    session.execute(
        "CREATE TYPE public.mood AS ENUM ('sad', 'glad'); CREATE DOMAIN public.cents AS numeric(9, 2); CREATE TYPE public.pair AS (a int, b text);"
        "CREATE TABLE public.t (id public.mood PRIMARY KEY, a json, b point, c float8, d numeric, e char(5), f varchar(3), g public.cents,"
        ' h public.mood[], i public.pair, j bytea, k timestamptz, l interval, m bit(3), n xml, "o""p" text, "Q %I" int[])'
    )
    log_tables(session, "t")
    row = (
        "('sad', '{\"a\":  1}', '(1,2)', 'NaN', 1.500, 'ab', 'xyz', 1.25, '{sad,glad}', ROW(1, 'x,\"y'), '\\x00ff', '2026-01-01 12:00+03',"
        " '1 mon 2 days', B'101', '<a/>', NULL, '{1,NULL}')"
    )
    application.execute(f"INSERT INTO public.t VALUES {row}")
    before = content(session, "t")
    write(
        application,
        "r1",
        "UPDATE public.t SET c = '-0', d = 1.5, a = '{\"a\":1}', e = NULL, g = 0, i = NULL, \"o\"\"p\" = ''",
    )
    write(application, "r2", "DELETE FROM public.t")
    undo_run(session, "r2")
    undo_run(session, "r1")
    assert content(session, "t") == before


def test_partitions_composite_keys_bulk_copy_merge_and_on_conflict(session: Session, application: Session) -> None:
    session.execute(
        "CREATE TABLE public.t (day date, nr int, what text, PRIMARY KEY (day, nr)) PARTITION BY RANGE (day);"
        "CREATE TABLE public.t_old (what text, gone int, nr int NOT NULL, day date NOT NULL); ALTER TABLE public.t_old DROP COLUMN gone;"
        "ALTER TABLE public.t ATTACH PARTITION public.t_old FOR VALUES FROM (MINVALUE) TO ('2026-01-01');"
        "CREATE TABLE public.t_new PARTITION OF public.t DEFAULT;"
        "GRANT ALL ON public.t_old TO app;"
        "INSERT INTO public.t VALUES ('2025-01-01', 1, 'a'), ('2025-01-01', 2, 'b'), ('2026-05-05', 1, 'c')"
    )
    log_tables(session, "t")
    before = content(session, "t")
    with application.transaction():
        runs.mark_session(application, "r1")
        with application.connection.cursor().copy("COPY public.t FROM STDIN") as copy:
            copy.write("".join(f"2025-02-{1 + n % 28:02}\t{n}\tx\n" for n in range(1000, 1500)))
        application.execute("UPDATE public.t SET day = '2026-07-07' WHERE nr = 2")
        application.execute("UPDATE public.t_old SET what = 'direct' WHERE nr = 1")
        application.execute(
            "INSERT INTO public.t VALUES ('2026-05-05', 1, 'new'), ('2026-05-05', 9, 'new')"
            " ON CONFLICT (day, nr) DO UPDATE SET what = EXCLUDED.what || '!'"
        )
        application.execute(
            "MERGE INTO public.t USING (VALUES ('2025-01-01'::date, 1), ('2027-01-01', 5)) v (day, nr) ON t.day = v.day AND t.nr = v.nr"
            " WHEN MATCHED THEN DELETE WHEN NOT MATCHED THEN INSERT VALUES (v.day, v.nr, 'merged')"
        )
        application.execute(
            "WITH gone AS (DELETE FROM public.t WHERE nr BETWEEN 1100 AND 1110 RETURNING nr)"
            " UPDATE public.t SET what = 'seen' WHERE nr IN (SELECT nr + 100 FROM gone)"
        )
    after = content(session, "t")
    outcome = undo_run(session, "r1")
    assert content(session, "t") == before
    undo_run(session, outcome.run_id)
    assert content(session, "t") == after


def test_a_truncated_table_comes_back(session: Session) -> None:
    session.execute(SHOP)
    log_tables(session, *ALL)
    before = state(session)
    write(session, "r1", "TRUNCATE public.line, public.orders")
    assert content(session, "line") == []
    undo_run(session, "r1")
    assert state(session) == before


def test_back_to_a_mark_and_forth_again(shop: Session, application: Session) -> None:
    from ansible_collections.plano.delivery.plugins.module_utils.data import log

    write(application, "r0", "UPDATE public.orders SET cents = 1 WHERE id = 1")
    assert log.set_mark(shop, "friday", WHO)
    assert not log.set_mark(shop, "friday", WHO)
    before = state(shop)
    home_run = runs.begin(shop, "r1", runs.DISTRIBUTION, "orders", WHO)
    runs.finish(shop, home_run.id, runs.CONFIRMED)
    write(application, "r1", "UPDATE public.orders SET cents = 2")
    application.execute("DELETE FROM public.line")
    write(application, "r2", "UPDATE public.orders SET cents = 3", "INSERT INTO public.client VALUES (4, 'd@x', 1)")
    after = state(shop)
    outcome = undo_run(shop, mark="friday")
    assert (outcome.rows, outcome.run_id, outcome.runs) == (6, "undo-friday-1", ["r1"])
    assert state(shop) == before
    assert runs.find(shop, "r1").state == runs.REVERTED
    assert undo_run(shop, mark="friday").why == "nothing was written after mark friday, but its undo"
    undo_run(shop, "undo-friday-1")
    assert state(shop) == after
    assert undo_run(shop, mark="friday").run_id == "undo-friday-2"
    assert state(shop) == before


def test_a_mark_within_a_run_or_before_a_pending_one_is_refused(shop: Session, application: Session) -> None:
    from ansible_collections.plano.delivery.plugins.module_utils.data import log

    write(application, "r1", "UPDATE public.orders SET cents = 1 WHERE id = 1")
    log.set_mark(shop, "middle", WHO)
    write(application, "r1", "UPDATE public.orders SET cents = 1 WHERE id = 2")
    with pytest.raises(DataError, match=r"mark middle stands in the middle of run\(s\) r1"):
        undo_run(shop, mark="middle")
    log.set_mark(shop, "later", WHO)
    runs.begin(shop, "r2", runs.DISTRIBUTION, "orders", WHO)
    write(application, "r2", "UPDATE public.orders SET cents = 5")
    with pytest.raises(DataError, match=r"run\(s\) r2 are pending after mark later"):
        undo_run(shop, mark="later")
    with pytest.raises(DataError, match=r"there is no mark other in .*; the last ones are: later, middle"):
        undo_run(shop, mark="other")


@pytest.mark.parametrize(
    ("ddl", "reason"),
    [
        ("DROP COLUMN what", r"has lost its column what since"),
        ("RENAME COLUMN what TO thing", r"column what of public\.line is called thing now"),
        ("ALTER COLUMN nr TYPE bigint", r"column nr of public\.line was integer and is bigint now"),
        ("DROP CONSTRAINT line_pkey", r"primary key"),
    ],
)
def test_a_column_that_is_another_one_now_is_refused(
    shop: Session, application: Session, ddl: str, reason: str
) -> None:
    write(application, "r1", "UPDATE public.line SET what = 'x'")
    shop.execute(f"ALTER TABLE public.line {ddl}")
    with pytest.raises(DataError, match=reason):
        undo_run(shop, "r1")
    assert runs.find(shop, "r1").state == runs.CONFIRMED


def test_columns_that_were_added_keep_what_they_hold(shop: Session, application: Session) -> None:
    write(
        application,
        "r1",
        "UPDATE public.line SET what = 'x' WHERE orders = 1",
        "DELETE FROM public.line WHERE orders = 2",
    )
    shop.execute("ALTER TABLE public.line ADD COLUMN note text DEFAULT 'none'")
    log_tables(shop, "line")
    application.execute("UPDATE public.line SET note = 'mine' WHERE nr = 2")
    undo_run(shop, "r1")
    assert content(shop, "line") == ["(1,1,pen,none)", "(1,2,ink,mine)", "(2,1,cup,none)"]


def test_a_migration_neither_stops_the_log_nor_is_stopped_by_it(shop: Session, application: Session) -> None:
    shop.execute(
        "ALTER TABLE public.line ADD COLUMN note text DEFAULT 'none', ALTER COLUMN nr TYPE bigint, DROP COLUMN what"
    )
    before = content(shop, "line")
    write(
        application,
        "r1",
        "UPDATE public.line SET note = 'x' WHERE nr = 1",
        "DELETE FROM public.line WHERE nr = 2",
        "INSERT INTO public.line VALUES (2, 7, 'y')",
    )
    after = content(shop, "line")
    assert shop.value("SELECT count(*) FROM plano_delivery.log_other") == 6
    outcome = undo_run(shop, "r1")
    assert content(shop, "line") == before
    undo_run(shop, outcome.run_id)
    assert content(shop, "line") == after
    log_tables(shop, "line")
    undo_run(shop, "r1")
    assert content(shop, "line") == before
    assert shop.value("SELECT count(*) FROM plano_delivery.log_other") == 18


def test_one_run_of_before_and_after_a_migration_is_refused(shop: Session, application: Session) -> None:
    write(application, "r1", "UPDATE public.line SET what = 'x'")
    shop.execute("ALTER TABLE public.line ADD COLUMN note text")
    write(application, "r1", "UPDATE public.line SET note = 'x'")
    with pytest.raises(DataError, match="was given other columns while these actions were at work"):
        undo_run(shop, "r1")


def test_runs_that_cannot_be_undone(shop: Session, application: Session) -> None:
    with pytest.raises(DataError, match=r"run nobody is not in the log of .*: no change of a row carries its id"):
        undo_run(shop, "nobody")
    runs.begin(shop, "r1", runs.DISTRIBUTION, "orders", WHO)
    with pytest.raises(DataError, match="run r1 is pending"):
        undo_run(shop, "r1")
    write(application, "r2", "UPDATE public.line SET what = 'x'")
    shop.execute("ALTER TABLE public.line RENAME TO lines")
    with pytest.raises(DataError, match=r"public\.line is gone or has another name since"):
        undo_run(shop, "r2")


def test_a_renamed_table_is_undone_when_it_is_logged_by_its_new_name(shop: Session, application: Session) -> None:
    before = content(shop, "line")
    write(application, "r2", "UPDATE public.line SET what = 'x'")
    shop.execute("ALTER TABLE public.line RENAME TO lines")
    log_tables(shop, "lines")
    undo_run(shop, "r2")
    assert content(shop, "lines") == before


def test_a_rule_that_came_later_refuses_the_whole_undo(shop: Session, application: Session) -> None:
    write(application, "r1", "UPDATE public.orders SET cents = 500")
    shop.execute("ALTER TABLE public.orders ADD CHECK (cents > 150)")
    after = state(shop)
    with pytest.raises(ServerError, match="violates check constraint") as caught:
        undo_run(shop, "r1")
    assert caught.value.state == "23514"
    assert state(shop) == after
    assert runs.find(shop, "r1").state == runs.CONFIRMED


def test_the_rows_of_a_plan_are_shown_only_when_asked_for(shop: Session, application: Session) -> None:
    write(
        application, "r1", "UPDATE public.line SET what = 'x' WHERE nr = 2", "DELETE FROM public.line WHERE orders = 2"
    )
    assert plan_undo(shop, "r1").shown == []
    assert plan_undo(shop, "r1", shown_rows=9).shown == [
        {
            "table": "public.line",
            "before": {"orders": "1", "nr": "2", "what": "x"},
            "after": {"orders": "1", "nr": "2", "what": "ink"},
        },
        {"table": "public.line", "before": None, "after": {"orders": "2", "nr": "1", "what": "cup"}},
    ]
