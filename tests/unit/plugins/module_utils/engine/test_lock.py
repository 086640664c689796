# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest

from ansible_collections.plano.delivery.plugins.module_utils.engine.lock import Busy, Lock, nobody_stages, staging


@pytest.fixture
def path(tmp_path):
    return tmp_path / "app" / "lock"


def test_one_holder_at_a_time_and_the_record_goes_with_it(path):
    with Lock(path, "app") as first:
        first.acquire({"change": "c-1", "release": "r1", "since": "now"})
        with pytest.raises(Busy, match=r"app is being changed by change c-1 \(release r1, pid \d+, since now\)"):
            Lock(path, "app").acquire({"change": "c-2"})
    with Lock(path, "app") as second:
        second.acquire({"change": "c-2"})
        assert second.taken_over is None
    assert path.read_text() == ""


def test_a_holder_is_waited_for(path, hurried):
    with Lock(path, "app") as first:
        first.acquire({"change": "c-1"})
        with pytest.raises(Busy):
            Lock(path, "app").acquire({"change": "c-2"}, wait=10)
    assert hurried.skipped > 5  # the rest passed by itself


@pytest.mark.parametrize("record", ["{", "[]", "\xff"])
def test_a_holder_without_a_readable_record_is_unknown(path, record):
    with Lock(path, "app") as first:
        first.acquire({"change": "c-1"})
        path.write_bytes(record.encode("latin-1"))
        with pytest.raises(Busy, match=r"changed by change unknown \(release unknown, pid unknown, since unknown\)"):
            Lock(path, "app").acquire({"change": "c-2"})


def test_a_lock_that_was_never_taken_is_released_without_a_trace(path):
    Lock(path, "app").release()
    assert not path.exists()


def test_many_may_stage_at_once_and_only_the_first_cleans_up(path):
    cleaned = []
    first, second = (staging(path, lambda name=name: cleaned.append(name)) for name in ("first", "second"))
    with first, second, nobody_stages(path) as alone:
        assert alone is False
    assert cleaned == ["first"]
    with nobody_stages(path) as alone:
        assert alone is True
