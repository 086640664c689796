# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from ansible_collections.plano.delivery.plugins.module_utils.engine.systemd import Done


def test_an_unchanged_unit_is_not_written_again(host):
    assert host.write_unit("app.service", "[Unit]\n") is True
    assert host.write_unit("app.service", "[Unit]\n") is False
    assert host.ran("systemctl daemon-reload") == 1


def test_a_unit_whose_reload_was_cut_off_is_reloaded(host):
    host.write_unit("app.service", "[Unit]\n")
    host.answers["systemctl show"] = lambda: Done([], 0, "NeedDaemonReload=yes\n", "")
    assert host.write_unit("app.service", "[Unit]\n") is False
    assert host.ran("systemctl daemon-reload") == 2
