"""The fleet, brought to its first release once for all tests of this folder."""

from __future__ import annotations

import pytest
from fleet import PATIENCE, Fleet


@pytest.fixture(scope="session")
def fleet() -> Fleet:
    found = Fleet()
    found.pins.unlink(missing_ok=True)
    found.create()
    done = found.play("deploy", asked=[], backend_version="1.0.0", release_allow_rejected=True, **PATIENCE)
    assert done.code == 0, done.output
    return found
