# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What playbooks give the modules that work on data is enough for them: nothing beyond it is asked for."""

from __future__ import annotations

import pytest
from ansible.module_utils.testing import patch_module_args

from ansible_collections.plano.delivery.plugins.module_utils import _data
from ansible_collections.plano.delivery.plugins.modules import data_checkpoint, data_restore


@pytest.mark.parametrize(
    ("module", "given"),
    [
        (data_checkpoint, {"name": "before-c1"}),
        (data_restore, {"checkpoint": "before-c1", "confirm": "before-c1"}),
        (data_restore, {"checkpoint": "before-c1", "state": "drilled"}),
    ],
)
def test_a_name_is_enough(module, given, monkeypatch):
    seen = []
    monkeypatch.setattr(_data, "run", lambda asked, _work: seen.append(asked.params))
    with patch_module_args({"login_db": "shop", **given}):
        module.main()
    assert {name: seen[0][name] for name in given} == given
