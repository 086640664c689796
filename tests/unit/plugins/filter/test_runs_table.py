# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from ansible_collections.plano.delivery.plugins.filter.runs_table import runs_table

RUN = {
    "id": "r1",
    "kind": "import",
    "state": "confirmed",
    "began": "2026-07-01T08:00:03Z",
    "target": "public.clients",
    "actor": "ana",
    "reason": "",
}


def test_runs_of_all_hosts_stand_in_one_table() -> None:
    results = [
        {"runs": [{**RUN, "details": {"rows": {"read": 9, "inserted": 3, "updated": 1, "unchanged": 5}}}]},
        {"runs": []},
        {"msg": "no answer"},
        {
            "runs": [
                {**RUN, "id": "u1", "kind": "undo", "reason": "wrong", "details": {"rows": 7}},
                {**RUN, "details": {}},
            ]
        },
    ]
    lines = [line.split("  ") for line in runs_table(results, ["a", "b", "c", "d"]).splitlines()]
    words = [[word.strip() for word in line if word] for line in lines]
    assert words[0] == ["HOST", "RUN", "KIND", "STATE", "BEGAN", "TARGET", "ROWS", "ACTOR", "REASON"]
    assert words[1] == ["a", "r1", "import", "confirmed", "2026-07-01 08:00:03", "public.clients", "4", "ana", "-"]
    assert (words[2][1], words[2][6], words[2][8]) == ("u1", "7", "wrong")
    assert words[3][6] == "-"


def test_no_run_is_said_in_words() -> None:
    assert runs_table([{"runs": []}], ["a"]) == "No run has touched the data yet."
