# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import errno
import json
import os
import threading
import time
from pathlib import Path

import pytest

from ansible_collections.plano.delivery.plugins.module_utils.engine import fs
from ansible_collections.plano.delivery.plugins.module_utils.engine.errors import EngineError
from ansible_collections.plano.delivery.plugins.module_utils.engine.ledger import Ledger, LedgerError, fold

CHANGE = {"id": "c1", "actor": "ana", "reason": "because"}


def written(tmp_path: Path, *states: tuple[str, str]) -> Ledger:
    ledger = Ledger(tmp_path / "backend" / "ledger.jsonl")
    for state, release in states:
        ledger.append(state, release, version=release.upper(), change=CHANGE)
    return ledger


def history(*steps: tuple[str, str] | tuple[str, str, str]):
    return fold(
        [
            {
                "state": step[0],
                "release": step[1],
                "version": step[1],
                "time": str(number),
                "seq": number,
                "change": CHANGE,
            }
            | ({"kind": step[2]} if len(step) > 2 else {})
            for number, step in enumerate(steps, start=1)
        ]
    )


def test_what_was_appended_is_read_back_in_order(tmp_path):
    written(tmp_path, ("staged", "r1"), ("switched", "r1"), ("confirmed", "r1"))
    again = Ledger(tmp_path / "backend" / "ledger.jsonl")
    assert [(entry["seq"], entry["state"]) for entry in again.entries] == [
        (1, "staged"),
        (2, "switched"),
        (3, "confirmed"),
    ]
    assert again.history.current == "r1"


@pytest.mark.parametrize("name", ["ledger.jsonl", "ledger.head"])
def test_every_single_byte_change_is_detected(tmp_path, name):
    written(tmp_path, ("staged", "r1"), ("switched", "r1"), ("confirmed", "r1"))
    path = tmp_path / "backend" / name
    sound = path.read_bytes()
    for place in range(len(sound)):
        path.write_bytes(sound[:place] + bytes([sound[place] ^ 0x01]) + sound[place + 1 :])
        with pytest.raises(LedgerError, match="plano recover backend --rebuild"):
            Ledger(tmp_path / "backend" / "ledger.jsonl")
    path.write_bytes(sound)
    assert len(Ledger(tmp_path / "backend" / "ledger.jsonl").entries) == 3


def test_a_shortened_a_removed_and_a_headless_ledger_are_detected(tmp_path):
    ledger = written(tmp_path, ("staged", "r1"), ("confirmed", "r1"), ("staged", "r2"))
    sound = ledger.path.read_bytes()
    lines = sound.splitlines(keepends=True)
    ledger.path.write_bytes(lines[0])
    with pytest.raises(LedgerError, match="does not name its last entry"):
        Ledger(ledger.path)
    ledger.path.unlink()
    with pytest.raises(LedgerError, match="the file is gone"):
        Ledger(ledger.path)
    ledger.path.write_bytes(sound)
    ledger.head_path.unlink()
    with pytest.raises(LedgerError, match="head file is missing"):
        Ledger(ledger.path)


def test_an_append_that_a_crash_cut_short_never_happened(tmp_path):
    ledger = written(tmp_path, ("staged", "r1"), ("confirmed", "r1"))
    head = ledger.head_path.read_bytes()
    whole = ledger.path.read_bytes()
    ledger.append("staged", "r2", version="2", change=CHANGE)
    line = ledger.path.read_bytes()[len(whole) :]
    for length in range(len(line)):
        ledger.path.write_bytes(whole + line[:length])
        ledger.head_path.write_bytes(head)
        again = Ledger(ledger.path)
        assert [entry["release"] for entry in again.entries] == ["r1", "r1"]
        again.append("failed", "r3", version="3", change=CHANGE)
        assert [entry["release"] for entry in Ledger(ledger.path).entries] == ["r1", "r1", "r3"]


def test_a_crash_between_the_entry_and_the_head_keeps_the_entry(tmp_path):
    ledger = written(tmp_path, ("staged", "r1"))
    head = ledger.head_path.read_bytes()
    ledger.append("confirmed", "r1", version="1", change=CHANGE)
    ledger.head_path.write_bytes(head)
    assert Ledger(ledger.path).history.current == "r1"


def test_a_line_that_was_rewritten_with_its_own_hash_breaks_the_chain(tmp_path):
    ledger = written(tmp_path, ("confirmed", "r1"), ("confirmed", "r2"))
    lines = ledger.path.read_bytes().splitlines()
    other = written(tmp_path / "other", ("confirmed", "r9"))
    lines[0] = other.path.read_bytes().splitlines()[0]
    ledger.path.write_bytes(b"\n".join(lines) + b"\n")
    assert json.loads(lines[0])["release"] == "r9"
    with pytest.raises(LedgerError, match="line 2"):
        Ledger(ledger.path)


def test_previous_is_the_last_confirmed_before_current_whatever_failed_between():
    past = history(
        ("confirmed", "r1"),
        ("staged", "r2"),
        ("failed", "r2"),
        ("switched", "r3"),
        ("reverted", "r3"),
        ("confirmed", "r4"),
    )
    assert (past.current, past.previous) == ("r4", "r1")


def test_a_rollback_cuts_the_stack_so_the_next_one_goes_further_back():
    past = history(
        ("confirmed", "r1"),
        ("confirmed", "r2"),
        ("confirmed", "r3"),
        ("confirmed", "r2", "rollback"),
        ("rejected", "r3"),
    )
    assert (past.current, past.previous, list(past.rejected)) == ("r2", "r1", ["r3"])


def test_confirming_a_rejected_release_lifts_the_rejection():
    past = history(
        ("confirmed", "r1"),
        ("confirmed", "r2"),
        ("confirmed", "r1", "rollback"),
        ("rejected", "r2"),
        ("confirmed", "r2"),
    )
    assert past.rejected == {}
    assert (past.current, past.previous) == ("r2", "r1")


def test_a_switch_is_pending_until_it_is_confirmed_or_reverted():
    assert history(("confirmed", "r1"), ("switched", "r2")).pending["release"] == "r2"
    assert history(("confirmed", "r1"), ("switched", "r2"), ("reverted", "r2")).pending is None
    assert history(("confirmed", "r1"), ("switched", "r2"), ("confirmed", "r2")).pending is None


def test_a_failed_retry_of_a_confirmed_release_leaves_it_a_target():
    past = history(("confirmed", "r1"), ("confirmed", "r2"), ("staged", "r1"), ("failed", "r1"))
    assert past.states["r1"] == "confirmed"


def test_a_pruned_release_is_no_longer_known():
    past = history(("confirmed", "r1"), ("confirmed", "r2"), ("pruned", "r1"))
    assert (past.previous, "r1" in past.states) == (None, False)


def test_an_entry_the_disk_takes_in_parts_is_whole(tmp_path, monkeypatch):
    ledger = written(tmp_path, ("staged", "r1"))
    real = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda fd, data, offset: real(fd, bytes(data)[:7], offset))
    ledger.append("switched", "r1")
    assert [entry["state"] for entry in Ledger(ledger.path).entries] == ["staged", "switched"]


@pytest.mark.parametrize("part", ["line", "head"])
def test_an_entry_the_disk_refuses_was_never_written(tmp_path, monkeypatch, part):
    ledger = written(tmp_path, ("staged", "r1"))
    before = (ledger.path.read_bytes(), ledger.head_path.read_bytes())
    real = os.pwrite

    def full(fd, data, offset):
        if offset > ledger._good:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(fd, bytes(data)[:7], offset)

    def refuse(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    if part == "line":
        monkeypatch.setattr(os, "pwrite", full)
    else:
        monkeypatch.setattr(fs, "write_atomic", refuse)
    with pytest.raises(EngineError, match=r"cannot write 'switched' of r1 to ledger .*\(\d+ bytes are free there\)"):
        ledger.append("switched", "r1")
    monkeypatch.undo()
    assert (ledger.path.read_bytes(), ledger.head_path.read_bytes()) == before
    ledger.append("failed", "r1")
    assert [entry["state"] for entry in Ledger(ledger.path).entries] == ["staged", "failed"]


def test_it_can_be_read_while_another_process_appends(tmp_path):
    ledger = written(tmp_path, ("staged", "r1"))
    stop = threading.Event()

    def write():
        # A memory file system would take entries faster than any reader can look; a disk never does.
        while not stop.wait(0.002):
            ledger.append("staged", "r1")

    writer = threading.Thread(target=write)
    writer.start()
    lengths = []
    end = time.monotonic() + 60
    try:
        # As often as it takes for both to have had their turn, however busy the machine is.
        while len(lengths) < 150 or (len(set(lengths)) < 10 and time.monotonic() < end):
            lengths.append(len(Ledger(ledger.path).entries))
    finally:
        stop.set()
        writer.join()
    assert lengths == sorted(lengths)
    assert lengths[-1] > lengths[0]


@pytest.mark.parametrize("cut", ["within the line", "before the head"])
def test_what_a_crash_cut_short_is_mended(tmp_path, cut):
    ledger = written(tmp_path, ("staged", "r1"))
    before = (ledger.path.read_bytes(), ledger.head_path.read_bytes())
    ledger.append("switched", "r1")
    after = (ledger.path.read_bytes(), ledger.head_path.read_bytes())
    ledger.head_path.write_bytes(before[1])
    if cut == "within the line":
        ledger.path.write_bytes(after[0][:-9])
    Ledger(ledger.path).mend()
    assert (ledger.path.read_bytes(), ledger.head_path.read_bytes()) == (before if cut == "within the line" else after)
