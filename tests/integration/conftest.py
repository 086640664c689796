"""The local environment, deployed once for all tests of this folder and removed after them (PLANO_KEEP_HOSTS=1 uses and keeps the one
that is there)."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

import pytest
from local_environment import INVENTORY, Environment


@pytest.fixture(scope="session")
def environment() -> Iterator[Environment]:
    found = Environment()
    pins = INVENTORY / "group_vars" / "all" / "pins.yml"
    pins.unlink(missing_ok=True)
    keep = os.environ.get("PLANO_KEEP_HOSTS") == "1"
    assert keep or found.shell("make down").code == 0
    begin = time.monotonic()
    done = found.shell("make deploy")
    assert done.code == 0
    print(f"deployed in {time.monotonic() - begin:.0f} s")
    yield found
    if not keep:
        found.shell("make down")
