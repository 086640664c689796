# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from logbook import log_tables, undo_run, write

from ansible_collections.plano.delivery.plugins.module_utils.data.session import Session

WHOM = "SELECT DISTINCT image ->> 'mail' FROM plano_delivery.touched(%s, 'public.t') AS t (image) ORDER BY 1"


def test_whom_a_run_concerns_is_known_when_its_rows_are_gone(session: Session) -> None:
    session.execute("CREATE TABLE public.t (id int PRIMARY KEY, mail text)")
    session.execute("INSERT INTO public.t VALUES (1, 'old@example.org'), (2, 'other@example.org')")
    log_tables(session, "t")
    write(
        session, "r1", "INSERT INTO public.t VALUES (3, 'new@example.org')", "DELETE FROM public.t WHERE mail ~ 'old'"
    )
    write(session, "r2", "UPDATE public.t SET mail = 'r2@example.org' WHERE id = 2")
    undo_run(session, "r1")
    session.execute("ALTER TABLE public.t ADD COLUMN more int DEFAULT 7")
    write(session, "r4", "INSERT INTO public.t VALUES (4, 'later@example.org')")
    assert session.rows(WHOM, ["r1"]) == [("new@example.org",), ("old@example.org",)]
    assert session.rows(WHOM, ["r4"]) == [("later@example.org",)]
    assert session.rows(WHOM, ["r2"]) == [("other@example.org",), ("r2@example.org",)]
    assert session.rows(WHOM, ["r3"]) == []
