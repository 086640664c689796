# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the check of all inputs finds in those of the backend."""

from __future__ import annotations

import pytest

BACKEND = {
    "backend_version": "1.0.0",
    "backend_artifacts": [{"version": "1.0.0", "sha256": "0" * 64, "sources": ["https://example.com/a.tar.gz"]}],
    "backend_command": ["@ARTIFACT@/serve"],
    "backend_health_path": "/health",
    "backend_version_path": "/version",
}
GROUP = {"backend_target_group": "backend"}


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({}, None),
        ({**GROUP, "backend_target_id": "i-0123456789abcdef0"}, None),
        (GROUP, "app: backend: backend_target_group needs backend_target_id"),
        ({**GROUP, "backend_target_id": "{{ instance_id }}"}, "backend_target_id: 'instance_id' is undefined"),
        ({"backend_target_drain_seconds": "a while"}, "backend_target_drain_seconds"),
    ],
)
def test_a_host_of_a_target_group_has_a_name_in_it(collection, more, words):
    check = {"plano.delivery.preflight": {"roles": {"all": ["backend"]}}, "run_once": True}
    play = {"hosts": "all", "gather_facts": False, "tasks": [check]}
    code, said = collection.run([play], {"hosts": {"app": {**BACKEND, **more}}})
    assert (code == 0) is (words is None), said
    assert (words or "") in " ".join(said.split())
