# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from ansible_collections.plano.delivery.plugins.filter.status_table import status_table

BACKEND = {
    "component": "backend",
    "version": "1.1.0",
    "since": "2026-01-02T03:04:05.678Z",
    "state": "confirmed",
    "standby": "1.0.0",
    "drift": [],
}


def test_every_host_has_a_line_whatever_it_answered():
    results = [{"components": [BACKEND]}, {"components": []}, {"unreachable": True, "msg": "Failed:\ntimed out"}, {}]
    assert status_table(results, ["a", "b", "c", "d"]).splitlines() == [
        "COMPONENT  HOST  VERSION  SINCE                STATE      STANDBY  DRIFT",
        "-          b     -        -                    absent     -        none",
        "-          c     -        -                    no answer  -        timed out",
        "-          d     -        -                    no answer  -        unknown",
        "backend    a     1.1.0    2026-01-02 03:04:05  confirmed  1.0.0    none",
    ]
