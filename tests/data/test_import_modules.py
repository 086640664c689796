# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The modules as Ansible calls them."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any, Callable

import pytest
from imports import ANA, BEA, HEADER, RULES, RUN, Importer, clients
from server import PASSWORD

from ansible_collections.plano.delivery.plugins.module_utils.data.book import Book
from ansible_collections.plano.delivery.plugins.module_utils.data.session import Session
from ansible_collections.plano.delivery.plugins.modules import data_check, data_import

# Since ansible-core 2.17; Debian 12's is older.
patch_module_args = pytest.importorskip("ansible.module_utils.testing").patch_module_args

Call = Callable[..., dict[str, Any]]


@pytest.fixture
def call(importer: Importer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    monkeypatch.setattr(data_import, "Book", functools.partial(Book, root=importer.folder / "books"))

    def call(module: Any, check: bool = False, **options: Any) -> dict[str, Any]:
        login = {
            "login_db": importer.database, "login_host": "127.0.0.1", "login_port": importer.server.port, "login_user": "data",
            "login_password": PASSWORD, "session_role": "owner", "ssl_mode": "disable",
        }  # fmt: skip
        with patch_module_args(
            {**login, **options, "_ansible_check_mode": check, "_ansible_diff": True}
        ), pytest.raises(SystemExit):
            module.main()
        return json.loads(capsys.readouterr().out)

    return call


def test_import(call: Call, importer: Importer, session: Session, tmp_path: Path) -> None:
    path = tmp_path / "clients.csv"
    path.write_text(HEADER + ANA + BEA)
    rules = tmp_path / "rules.yml"
    rules.write_text(json.dumps({"rules": RULES}))
    options: dict[str, Any] = {
        "source": str(path), "target": "public.clients", "key": ["external_id"], "run": RUN, "set": {"run_id": "%(run)s"},
        "before": ["INSERT INTO public.imports (run_id, file, rows, inserted, updated) VALUES (%(run)s, %(file)s, 0, 0, 0)"],
        "rules_file": str(rules), "change": {"id": "c1", "actor": "ana", "reason": "monthly"},
    }  # fmt: skip
    planned = call(data_import, check=True, **options)
    assert (planned["changed"], planned["outcome"], planned["rows"]["inserted"]) == (True, "accepted", 2)
    assert clients(session) == []
    done = call(data_import, **options)
    assert (done["changed"], done["outcome"], done["diff"]["after"]) == (True, "accepted", "inserted: 2\n")
    assert session.rows("SELECT actor, reason, change FROM plano_delivery.run") == [("ana", "monthly", "c1")]
    again = call(data_import, **options)
    assert (again["changed"], again["outcome"], again["diff"]["after"]) == (False, "accepted", "")


def test_an_import_that_is_held_fails_the_task_unless_told(call: Call) -> None:
    options = {
        "content": HEADER + "c1,Ana,nobody,2026-01-01,\n", "target": "public.clients", "key": ["external_id"],
        "set": {"run_id": RUN}, "rules": RULES,
    }  # fmt: skip
    held = call(data_import, **options)
    assert (held["failed"], held["outcome"], held["changed"]) == (True, "held", False)
    assert held["msg"].startswith("The import is held: rule email_form")
    assert "nobody" not in json.dumps({**held, "invocation": None})
    assert call(data_import, **options, fail=False).get("failed", False) is False


def test_a_bad_file_fails_with_its_outcome(call: Call) -> None:
    failed = call(
        data_import, content=HEADER + "c1\n", target="public.clients", key=["external_id"], set={"run_id": RUN}
    )
    assert (failed["failed"], failed["outcome"]) == (True, "failed")
    assert failed["msg"] == "content:2: 1 value instead of 5"


def test_check(call: Call, importer: Importer, session: Session) -> None:
    importer(HEADER + ANA + BEA)
    rule = {"name": "ends", "check": "not_null", "table": "public.clients", "column": "valid_until"}
    found = call(data_check, rules=[rule], keys="nightly")
    assert (found["failed"], found["changed"], found["kept_keys"]) == (True, True, 1)
    assert found["msg"] == "rule ends (not_null of public.clients) is broken by 1 of 2 rows, 0 may"
    again = call(data_check, rules=[{**rule, "severity": "warn"}], keys="", fail=True)
    assert (again.get("failed", False), again["changed"], again["rules"][0]["passed"]) == (False, False, False)
    wrong = call(data_check, rules=[{**rule, "column": "nothing"}])
    assert "rule ends: columns nothing is no column of public.clients" in wrong["msg"]


def test_a_file_of_rules_that_is_none(call: Call, tmp_path: Path) -> None:
    path = tmp_path / "rules.yml"
    path.write_text("- name: a\n  - b: [")
    assert f"{path}:2: is not YAML" in call(data_check, rules_file=str(path))["msg"]
    path.write_text("just words")
    assert "holds no list of rules" in call(data_check, rules_file=str(path))["msg"]
