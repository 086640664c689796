# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from pathlib import Path

from copying import place, take

from ansible_collections.plano.delivery.plugins.module_utils import _data_rules
from ansible_collections.plano.delivery.plugins.module_utils.data import checks
from ansible_collections.plano.delivery.plugins.module_utils.data.session import Session

RULES = [
    {"name": "same", "check": "checksum_unchanged", "table": "public.t", "against": "checkpoint"},
    {"name": "volume", "check": "row_count_change", "table": "public.t", "min": "0%", "max": "50%", "against": "checkpoint"},
]  # fmt: skip


def test_rules_compare_with_what_a_checkpoint_holds(session: Session, tmp_path: Path) -> None:
    session.execute("CREATE TABLE public.t (id int PRIMARY KEY, a text, n numeric, at timestamptz, e float8)")
    session.execute("INSERT INTO public.t SELECT n, 'é' || n, n / 7.0, now(), n / 3.0 FROM generate_series(1, 100) n")
    take(session, tmp_path, "before", ("public",))
    database = session.login.database
    options = {"checkpoint": "before", "checkpoint_folder": str(place(tmp_path, database).root), "login_db": database}
    known = _data_rules.known(options)

    def broken() -> list[str]:
        return [finding.rule.name for finding in checks.look(session, RULES, known).broken]

    assert broken() == []
    session.execute("UPDATE public.t SET a = 'x' WHERE id = 7")
    assert broken() == ["same"]
    session.execute("INSERT INTO public.t SELECT n FROM generate_series(101, 151) n")
    assert broken() == ["same", "volume"]
    assert _data_rules.known({"checkpoint": ""}) == {}
