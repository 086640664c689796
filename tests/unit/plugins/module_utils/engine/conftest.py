# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from pathlib import Path
from typing import Callable, Sequence

import pytest

from ansible_collections.plano.delivery.plugins.module_utils.engine.systemd import Done, Host


class FakeHost(Host):
    """A host without systemd: commands are recorded and answered from a table, units are flags."""

    def __init__(self, unit_dir: Path) -> None:
        unit_dir.mkdir(parents=True, exist_ok=True)
        super().__init__(unit_dir)
        self.calls: list[list[str]] = []
        self.answers: dict[str, Callable[[], Done]] = {}

    def run(self, argv: Sequence[str], timeout: float = 0, env: object = None, stdin: bytes = b"") -> Done:
        self.calls.append(list(argv))
        for start, answer in self.answers.items():
            if " ".join(argv).startswith(start):
                return answer()
        if argv[:2] == ["systemctl", "show"]:
            return Done(argv, 0, "ActiveState=active\nNRestarts=0\nMainPID=7\n", "")
        return Done(argv, 0, "", "")

    def refuses(self, start: str, words: str) -> None:
        self.answers[start] = lambda: Done([start], 1, "", words)

    def ran(self, start: str) -> int:
        return sum(" ".join(call).startswith(start) for call in self.calls)


@pytest.fixture
def host(tmp_path: Path) -> FakeHost:
    return FakeHost(tmp_path / "units")
