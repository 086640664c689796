# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from pathlib import Path

from copying import put_back, take
from logbook import content, images, log_tables, undo_run, write

from ansible_collections.plano.delivery.plugins.module_utils.data import log
from ansible_collections.plano.delivery.plugins.module_utils.data.session import Session


def test_tables_that_come_back_are_logged_from_their_first_row_on(session: Session, tmp_path: Path) -> None:
    session.execute("CREATE TABLE public.t (id int PRIMARY KEY, a text)")
    log_tables(session, "t")
    write(session, "r1", "INSERT INTO public.t VALUES (1, 'kept')")
    take(session, tmp_path, schemas=("public",))
    write(session, "r2", "INSERT INTO public.t VALUES (2, 'lost')")
    told = put_back(session, tmp_path, after_swap=log.set_up_again)
    assert (told["changed"], content(session, "t")) == (True, ["(1,kept)"])
    write(session, "r3", "UPDATE public.t SET a = 'wrong' WHERE id = 1")
    assert [row[0] for row in images(session, "t")] == ["r1", "r2", "r3", "r3"]
    undo_run(session, "r3")
    undo_run(session, "r1")
    assert content(session, "t") == []
