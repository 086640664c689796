# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from collections.abc import Iterator

import pytest
from server import newest_binaries, running
from stand_in import Rds


@pytest.fixture(scope="session")
def rds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rds]:
    binaries = newest_binaries()
    assert binaries is not None
    with running(binaries) as server:
        yield Rds(server, tmp_path_factory.mktemp("controller"))
