"""The local environment, deployed once for all tests of this folder and removed after them."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from local_environment import INVENTORY, Environment


@pytest.fixture(scope="session")
def environment() -> Iterator[Environment]:
    found = Environment()
    pins = INVENTORY / "group_vars" / "all" / "pins.yml"
    pins.unlink(missing_ok=True)
    assert found.shell("make down").code == 0
    begin = time.monotonic()
    done = found.shell("make deploy")
    assert done.code == 0
    print(f"deployed in {time.monotonic() - begin:.0f} s")
    yield found
    found.shell("make down")
