# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What holds of every ledger, every history and every request, not only of the ones that somebody thought of.

The same examples every time. Histories are judged by a model of their own, which remembers ranks instead of a stack.
"""

from __future__ import annotations

import copy
import json
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from ansible_collections.plano.delivery.plugins.module_utils.engine.change import (
    KEEP_FAILED,
    Refused,
    releases_to_prune,
    target_of_rollback,
)
from ansible_collections.plano.delivery.plugins.module_utils.engine.ledger import (
    GENESIS,
    Ledger,
    LedgerError,
    encode,
    fold,
    parse,
    seal,
)
from ansible_collections.plano.delivery.plugins.module_utils.engine.release import describe

PATH = Path("/var/lib/plano/backend/ledger.jsonl")
CHANGE = {"id": "c1", "actor": "ana", "reason": "because"}


def often(examples: int) -> settings:
    # Shared machines are slow at times: what takes long is seen in the suite's own durations.
    return settings(
        max_examples=examples,
        derandomize=True,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow],
        database=None,
    )


# -- the ledger as bytes -----------------------------------------------------------------------------

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner, max_size=2),
    max_leaves=3,
)
BODIES = st.fixed_dictionaries(
    {
        "state": st.sampled_from(["staged", "switched", "confirmed"]),
        "release": st.text(max_size=6),
        "time": st.just("t"),
    },
    optional={"reason": st.text(max_size=12), "phases": VALUES, "change": VALUES},
)


@dataclass(frozen=True)
class Written:
    """A ledger as it was written: its lines, and the head after each of them."""

    entries: list[dict[str, Any]]
    lines: list[bytes]
    heads: list[bytes | None]

    @property
    def data(self) -> bytes:
        return b"".join(self.lines)


@st.composite
def ledgers(draw: st.DrawFn, least: int = 2) -> Written:
    entries: list[dict[str, Any]] = []
    for body in draw(st.lists(BODIES, min_size=least, max_size=5)):
        entries.append(seal(body, len(entries) + 1, entries[-1]["hash"] if entries else GENESIS))
    heads = [None, *(encode({"seq": entry["seq"], "hash": entry["hash"]}) + b"\n" for entry in entries)]
    return Written(entries, [encode(entry) + b"\n" for entry in entries], heads)


def residues(written: Written) -> dict[tuple[bytes, bytes | None], list[dict[str, Any]]]:
    """Return every pair of files that a crash during an append can leave, with the entries that count then.

    An append writes its line, in any number of parts, and then the head.
    """
    left: dict[tuple[bytes, bytes | None], list[dict[str, Any]]] = {}
    before = b""
    for number, line in enumerate(written.lines):
        for length in range(len(line)):
            left[before + line[:length], written.heads[number]] = written.entries[:number]
        before += line
        left[before, written.heads[number]] = written.entries[: number + 1]
        left[before, written.heads[number + 1]] = written.entries[: number + 1]
    return left


@often(60)
@given(ledgers())
def test_what_was_sealed_is_parsed_back_whole(written):
    assert parse(PATH, written.data, written.heads[-1]) == (written.entries, len(written.data))


@often(40)
@given(ledgers(), st.integers(0, 10_000))
def test_a_ledger_cut_anywhere_is_refused_unless_a_crash_leaves_just_that(written, somewhere):
    left = residues(written)
    ends = [len(b"".join(written.lines[:number])) for number in range(len(written.lines) + 1)]
    places = {end + step for end in ends for step in (-1, 0, 1)} | {somewhere % len(written.data)}
    for head in written.heads:
        for cut in places & set(range(len(written.data) + 1)):
            expected = left.get((written.data[:cut], head))
            if expected is None:
                with pytest.raises(LedgerError, match="plano recover backend --rebuild"):
                    parse(PATH, written.data[:cut], head)
            else:
                assert parse(PATH, written.data[:cut], head) == (expected, ends[len(expected)])


@often(200)
@given(ledgers(), st.integers(0, 10_000), st.integers(0, 255))
def test_any_other_value_of_any_byte_is_refused(written, place, value):
    whole = written.data + (written.heads[-1] or b"")
    place %= len(whole)
    # Besides any value: the ones that leave JSON the same, another case of a \u escape and a space more.
    before, old, after = whole[:place], whole[place : place + 1], whole[place + 1 :]
    for new in (bytes([value]), old.swapcase(), b" " + old, b"", old + old):
        if new != old:
            changed, length = before + new + after, len(written.data) + (len(new) - 1) * (place < len(written.data))
            with pytest.raises(LedgerError):
                parse(PATH, changed[:length], changed[length:])


@often(150)
@given(ledgers(), st.data())
def test_a_changed_byte_behind_a_crash_never_makes_another_entry_count(written, data):
    place = data.draw(st.integers(0, len(written.data) - 1))
    value = data.draw(st.integers(0, 255).filter(lambda value: value != written.data[place]))
    changed = written.data[:place] + bytes([value]) + written.data[place + 1 :]
    try:
        entries, good = parse(PATH, changed, written.heads[-2])
    except LedgerError:
        return
    # The one thing that may happen: the line that no head names yet is taken for one that was cut short.
    assert entries == written.entries[:-1]
    assert changed[:good] == b"".join(written.lines[:-1])


@often(200)
@given(ledgers(), st.data())
def test_lines_in_another_order_twice_or_missing_are_refused(written, data):
    numbers = list(range(len(written.lines)))
    chosen = data.draw(st.permutations(numbers) | st.lists(st.sampled_from(numbers), max_size=6))
    assume(chosen != numbers)
    with pytest.raises(LedgerError):
        parse(PATH, b"".join(written.lines[number] for number in chosen), written.heads[-1])


@often(60)
@given(ledgers(), ledgers())
def test_lines_of_another_ledger_are_refused(mine, other):
    for number, (line, strange) in enumerate(zip(mine.lines, other.lines)):
        assume(line != strange)
        exchanged = [*mine.lines[:number], strange, *mine.lines[number + 1 :]]
        for lines in (exchanged, mine.lines + other.lines, other.lines):
            with pytest.raises(LedgerError):
                parse(PATH, b"".join(lines), mine.heads[-1])


@often(60)
@given(st.lists(st.tuples(st.sampled_from("abc"), st.floats(0, 1), st.booleans()), min_size=1, max_size=5))
def test_appending_goes_on_behind_every_crash(steps):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "backend" / "ledger.jsonl"
        expected: list[str] = []
        for release, share, crashes in steps:
            ledger = Ledger(path)
            assert [entry["release"] for entry in ledger.entries] == expected
            # As whoever takes the lock does.
            ledger.mend()
            before = path.read_bytes() if path.exists() else b""
            head = ledger.head_path.read_bytes() if ledger.head_path.exists() else None
            ledger.append("staged", release, change=CHANGE)
            line = path.read_bytes()[len(before) :]
            kept = line[: round(share * len(line))] if crashes else line
            if crashes:
                path.write_bytes(before + kept)
                ledger.head_path.unlink() if head is None else ledger.head_path.write_bytes(head)
            if kept == line:
                expected.append(release)
        assert [entry["release"] for entry in Ledger(path).entries] == expected


# -- histories ---------------------------------------------------------------------------------------


@dataclass
class Model:
    """What a reader of the ledger would say, from ranks: the later confirmed by a deploy, the higher.

    A rollback takes the ranks above its target away; rejected and pruned releases have none.
    """

    entries: list[dict[str, Any]] = field(default_factory=list)
    rank: dict[str, int] = field(default_factory=dict)
    current: str | None = None
    rejected: set[str] = field(default_factory=set)
    ever_confirmed: set[str] = field(default_factory=set)
    known: set[str] = field(default_factory=set)
    attempt: dict[str, Any] | None = None
    switched: dict[str, Any] | None = None

    @property
    def previous(self) -> str | None:
        below = [name for name in self.rank if name != self.current]
        return max(below, key=self.rank.__getitem__, default=None)

    def write(self, state: str, release: str, **detail: Any) -> dict[str, Any]:
        number = len(self.entries) + 1
        body = {
            "time": f"{number:04}",
            "state": state,
            "release": release,
            "version": f"v{release[1]}",
            "change": CHANGE,
        }
        entry = seal({**body, **detail}, number, self.entries[-1]["hash"] if self.entries else GENESIS)
        self.entries.append(entry)
        self.known.add(release)
        return entry

    def finish_interrupted(self) -> None:
        if self.attempt:
            self.write(
                "reverted" if self.switched else "failed", self.attempt["release"], attempt=self.attempt["attempt"]
            )
            self.attempt = self.switched = None

    def change(self, release: str, ending: str, kind: str) -> None:
        """Deploy or roll back to *release*; the *ending* says how far the engine gets."""
        self.finish_interrupted()
        detail = {"attempt": f"a{len(self.entries)}", "kind": kind}
        self.attempt = self.write("staged", release, **detail)
        if ending == "cut before switch":
            return
        if ending != "failed":
            self.switched = self.write("switched", release, **detail)
        if ending == "cut after switch":
            return
        self.attempt = self.switched = None
        if ending != "confirmed":
            self.write(ending, release, **detail)
            return
        left = self.current
        self.write("confirmed", release, **detail, **({"previous": left} if left else {}))
        if kind == "rollback" and release in self.rank:
            self.rank = {name: rank for name, rank in self.rank.items() if rank <= self.rank[release]}
        else:
            self.rank[release] = len(self.entries)
        self.current = release
        self.rejected.discard(release)
        self.ever_confirmed.add(release)
        if kind == "rollback" and left and left != release:
            self.write("rejected", left)
            self.rejected.add(left)
            self.rank.pop(left, None)

    def prune(self, release: str) -> None:
        self.finish_interrupted()
        if release in self.known - {self.current, self.previous}:
            self.write("pruned", release)
            for place in (self.known, self.ever_confirmed):
                place.discard(release)
            self.rank.pop(release, None)

    def step(self, what: str, number: int, ending: str) -> None:
        known, confirmed = sorted(self.known), sorted(self.ever_confirmed)
        if what == "prune" and known:
            self.prune(known[number % len(known)])
        elif what == "rollback" and confirmed:
            self.change(confirmed[number % len(confirmed)], ending, "rollback")
        else:
            self.change(RELEASES[number % len(RELEASES)], ending, "deploy")


# Two releases of each version: the same artifact with another configuration.
RELEASES = ["r1a", "r1b", "r2a", "r2b", "r3a", "r3b", "r4a", "r4b"]
ENDINGS = [*["confirmed"] * 6, "failed", "reverted", "cut before switch", "cut after switch"]
WHATS = ["deploy", "deploy", "deploy", "rollback", "rollback", "prune"]
STEPS = st.lists(
    st.tuples(st.sampled_from(WHATS), st.integers(0, 55), st.sampled_from(ENDINGS)), min_size=8, max_size=24
)


# Removed from the disk by somebody else.
MISSING = st.sets(st.sampled_from(RELEASES), max_size=2)


@st.composite
def histories(draw: st.DrawFn) -> Model:
    model = Model()
    for step in draw(STEPS):
        model.step(*step)
    return model


@often(150)
@given(STEPS)
def test_the_fold_of_every_legal_history_says_what_a_reader_would(steps):
    model = Model()
    for step in steps:
        model.step(*step)
        past = fold(model.entries)
        assert past.current == model.current
        assert past.previous == model.previous
        assert set(past.rejected) == model.rejected
        assert past.pending == model.switched
        assert past.begun == model.attempt
        assert set(past.stack) == set(model.rank)
        assert set(past.states) == model.known


@often(150)
@given(histories())
def test_current_and_previous_are_always_to_be_trusted(model):
    """At every moment, between any two entries, which is where a crash leaves the ledger."""
    confirmed: list[str] = []
    open_switch = None
    for number, entry in enumerate(model.entries, start=1):
        if entry["state"] == "confirmed":
            confirmed.append(entry["release"])
        if entry["state"] == "switched":
            open_switch = entry
        elif entry["state"] in ("confirmed", "reverted"):
            open_switch = None
        past = fold(model.entries[:number])
        assert past.current == (confirmed[-1] if confirmed else None)
        assert past.pending == open_switch
        assert past.previous is None or past.previous in confirmed
        assert past.previous not in past.rejected
        assert past.previous is None or past.previous != past.current
        assert past.current not in past.rejected
        assert len(set(past.stack)) == len(past.stack)
        assert past.stack[-1:] == confirmed[-1:]
        for state in ("staged", "failed", "rejected", "pruned"):
            assert fold([*model.entries[:number], {**entry, "state": state, "release": "r9z"}]).pending == open_switch


@often(150)
@given(histories(), MISSING, st.integers(0, 4))
def test_pruning_spares_what_is_needed_keeps_what_was_asked_and_is_done_at_once(model, missing, keep):
    on_disk = (model.known | {"stray"}) - missing
    past = fold(model.entries)
    safe = {past.current, past.previous, (past.pending or {}).get("release")}
    gone = releases_to_prune(past, sorted(on_disk), keep)
    assert len(set(gone)) == len(gone)
    assert set(gone) <= on_disk & model.known
    assert not safe & set(gone)
    ranked = sorted(set(model.rank) & on_disk, key=model.rank.__getitem__)
    newest = set(ranked[-max(1, keep) :])
    assert not newest & set(gone)
    assert set(ranked) - set(gone) <= newest | safe
    others = (model.known & on_disk) - set(ranked)
    assert len(others - set(gone) - safe) <= KEEP_FAILED
    assert len(others & set(gone)) <= max(0, len(others) - KEEP_FAILED)
    for release in gone:
        model.write("pruned", release)
    after = fold(model.entries)
    assert (after.current, after.previous, after.pending) == (past.current, past.previous, past.pending)
    assert releases_to_prune(after, sorted(on_disk - set(gone)), keep) == []


def target(model: Model, on_disk: set[str], to: str | None, allow_rejected: bool) -> str:
    component = SimpleNamespace(
        name="backend",
        ledger=lambda: SimpleNamespace(history=fold(model.entries)),
        releases=SimpleNamespace(has=on_disk.__contains__),
    )
    return target_of_rollback(component, to, allow_rejected)


@often(200)
@given(
    histories(),
    MISSING,
    st.integers(0, 55),
    st.booleans(),
)
def test_a_rollback_goes_only_where_somebody_was_before(model, missing, number, allow_rejected):
    on_disk = model.known - missing
    named = [None, "v1", "v2", "v3", "v4", "r9", *sorted(model.known), *sorted(model.rejected) * 2]
    to = named[number % len(named)]
    meant = {name for name in model.known & on_disk if to in (name, f"v{name[1]}")}
    # Another attempt at a release, still open, hides for that time that the release was confirmed before.
    hidden = {model.attempt["release"]} if model.attempt else set()
    standing = (meant & set(model.rank)) - hidden
    try:
        chosen = target(model, on_disk, to, allow_rejected)
    except Refused as exc:
        if to is None:
            assert model.previous is None or model.previous not in on_disk
        else:
            assert model.current is None or not standing
        assert "candidates: " in str(exc) or "nothing to roll back" in str(exc)
        return
    assert chosen in on_disk & model.ever_confirmed
    assert chosen not in model.rejected or (allow_rejected and to is not None)
    if to is None:
        assert chosen == model.previous
    else:
        assert chosen in meant
        # The version that somebody names is its last release that still stands, if one does.
        assert not standing or chosen in hidden | {max(standing, key=model.rank.__getitem__)}


# -- releases ----------------------------------------------------------------------------------------

WORDS = st.text("abcdefghijklmnopqrstuvwxyz", min_size=1, max_size=6)
DIGESTS = st.text("0123456789abcdef", min_size=64, max_size=64)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


@st.composite
def requests(draw: st.DrawFn) -> dict[str, Any]:
    names = draw(st.lists(WORDS, min_size=1, max_size=3, unique=True))
    files = [
        {"dest": f"config/{name}", "content": draw(TEXTS), "mode": draw(st.sampled_from(["0644", "0600"]))}
        for name in names
    ]
    check = {
        "type": "http",
        "url": "http://127.0.0.1/" + draw(WORDS),
        "within": draw(st.integers(1, 60)),
        "status": None,
    }
    return {
        "component": draw(WORDS),
        "artifact": {
            "version": draw(st.from_regex(r"[0-9]\.[0-9]\.[0-9]", fullmatch=True)),
            "sha256": draw(DIGESTS),
            "sources": ["file:///a.tar.gz"],
            "build": draw(st.sampled_from(["none", "python"])),
            "strip": draw(st.integers(0, 3)),
            "format": "tar",
        },
        "files": files,
        "links": {"/etc/" + draw(WORDS): files[0]["dest"]},
        "secrets": {},
        "validate": draw(st.lists(st.lists(WORDS, min_size=1, max_size=2), max_size=2)),
        "migrate": draw(st.none() | st.fixed_dictionaries({"argv": st.lists(WORDS, min_size=1, max_size=2)})),
        "activation": {"strategy": "restart", "unit": draw(WORDS) + ".service", "commands": None},
        "health": [check, {"type": "tcp", "port": draw(st.integers(1, 65535))}],
        "confirm_within": draw(st.integers(0, 60)),
    }


def shuffled(value: Any, draw: Any) -> Any:
    """Return *value* with the keys of every mapping in another order."""
    if isinstance(value, dict):
        return {key: shuffled(value[key], draw) for key in draw(st.permutations(list(value)))}
    if isinstance(value, list):
        return [shuffled(item, draw) for item in value]
    return value


@often(60)
@given(requests(), st.data())
def test_the_same_request_is_the_same_release_in_whatever_order_it_is_written(request, data):
    other = shuffled(request, data.draw)
    other["files"] = data.draw(st.permutations(other["files"]))
    before = copy.deepcopy(request)
    assert describe(request) == describe(other)
    assert request == before
    # What is written to disk and read again is the same release too.
    assert describe(json.loads(json.dumps(request))) == describe(request)


def put(request: dict[str, Any], *place: Any, value: Any) -> None:
    *path, last = place
    for key in path:
        request = request[key]
    request[last] = value


# Each is a field of a request and another value for it, made from the one that is there.
OTHER = {
    "component": (("component",), lambda old: old + "x"),
    "version": (("artifact", "version"), lambda old: old + ".1"),
    "digest": (
        ("artifact", "sha256"),
        lambda old: old[::-1][:8].translate(str.maketrans("0123456789abcdef", "123456789abcdef0")) + old[8:],
    ),
    "build": (("artifact", "build"), lambda old: {"none": "python", "python": "none"}[old]),
    "format": (("artifact", "format"), lambda _old: "file"),
    "strip": (("artifact", "strip"), lambda old: old + 1),
    "no artifact": (("artifact",), lambda _old: None),
    "content of a file": (("files", 0, "content"), lambda old: old + " "),
    "mode of a file": (("files", 0, "mode"), lambda _old: "0640"),
    "another file": (("files",), lambda old: [*old, {"dest": "other", "content": ""}]),
    "another link": (("links",), lambda old: {**old, "/other": next(iter(old.values()))}),
    "validation": (("validate",), lambda old: [*old, ["true"]]),
    "migration": (("migrate",), lambda old: {"argv": [*(old or {"argv": []})["argv"], "x"]}),
    "unit": (("activation", "unit"), lambda old: "x" + old),
    "commands": (("activation", "commands"), lambda _old: [["true"]]),
    "strategy": (("activation", "strategy"), lambda _old: "reload"),
    "url": (("health", 0, "url"), lambda old: old + "x"),
    "limit": (("health", 0, "within"), lambda old: old + 1),
    "status": (("health", 0, "status"), lambda _old: 204),
    "order of checks": (("health",), lambda old: old[::-1]),
    "confirmation": (("confirm_within",), lambda old: old + 1),
}


@pytest.mark.parametrize("name", OTHER)
@often(12)
@given(request=requests())
def test_any_other_value_of_any_field_is_another_release(name, request):
    place, another = OTHER[name]
    changed = copy.deepcopy(request)
    old: Any = request
    for key in place:
        old = old[key]
    put(changed, *place, value=another(copy.deepcopy(old)))
    assert describe(changed)["id"] != describe(request)["id"]


@often(8)
@given(requests(), st.dictionaries(WORDS, st.text("☃❄☼☾", min_size=6, max_size=12), min_size=1, max_size=3), st.data())
def test_secrets_make_a_release_but_are_never_told(request, secrets, data):
    described = describe({**request, "secrets": secrets})
    told = json.dumps(described, ensure_ascii=False) + json.dumps(described)
    for value in secrets.values():
        assert value not in told
        assert json.dumps(value)[1:-1] not in told
    assert describe({**request, "secrets": dict(reversed(secrets.items()))})["id"] == described["id"]
    name = data.draw(st.sampled_from(sorted(secrets)))
    assert describe({**request, "secrets": {**secrets, name: secrets[name] + "☃"}})["id"] != described["id"]
