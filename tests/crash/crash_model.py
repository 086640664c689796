"""A file system as a power failure may leave it: what was synced is there, anything else may be, in any combination.

The rules, and where they come from (man pages of Linux man-pages 6; "ALICE" is Pillai et al., "All File Systems Are Not
Created Equal", OSDI'14):

- Content, size and mode of a file are durable only behind an fsync of that file; the name is not (fsync(2)).
- A name is durable only behind an fsync of its directory, a rename behind one of the directory it goes to (fsync(2)).
- syncfs makes everything on its file system durable (sync(2)). Each directory at the top is a file system of its own.
- Unsynced effects persist in any combination, also those on one directory: no order is assumed (ALICE).
- One rename, link, unlink or mkdir is there or not, never half, even between directories, and a symlink comes with its
  target: journalling file systems (ext4, XFS, btrfs) give that.
- Of a write, nothing, the first half, all, or only the new size with zeros may persist (ALICE).
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

ROOT = 0
VOLATILE = "run"  # a tmpfs on real hosts: a restart empties it


@dataclass(frozen=True)
class Node:
    """One inode: of a file its content, of a link its target, of a directory its names."""

    kind: str
    mode: int
    data: bytes = b""
    names: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Write:
    """*data* at *offset* of the file *home*; *zeros* when only the size reached the disk."""

    home: int
    offset: int
    data: bytes
    zeros: bool = False


@dataclass(frozen=True)
class Resize:
    home: int
    size: int


@dataclass(frozen=True)
class Chmod:
    home: int
    mode: int


@dataclass(frozen=True)
class Names:
    """Directory entries set (or removed: None) in one step, durable with the directory *home*."""

    home: int
    changes: tuple[tuple[int, str, int | None], ...]


Effect = Write | Resize | Chmod | Names
Nodes = dict[int, Node]


@dataclass(frozen=True)
class Step:
    """One system call: its effect, or what it made durable (an inode, or a whole file system by name)."""

    call: str
    effect: Effect | None = None
    synced: int | None = None
    synced_volume: str | None = None


@dataclass(frozen=True)
class Recording:
    """What an operation did: the inodes there were (or came to be), and its steps from the first to the last."""

    nodes: Nodes
    volumes: Mapping[int, str]
    steps: Sequence[Step]


@dataclass(frozen=True)
class Crash:
    """A state to find after a crash behind *done* steps; *power* says whether the machine went down with the process."""

    done: int
    power: bool
    nodes: Nodes


def apply(nodes: Nodes, effect: Effect) -> None:
    """Let *effect* happen to *nodes*."""
    if isinstance(effect, Names):
        for folder, name, inode in effect.changes:
            names = dict(nodes[folder].names)
            if inode is None:
                names.pop(name, None)
            else:
                names[name] = inode
            nodes[folder] = replace(nodes[folder], names=names)
        return
    node = nodes[effect.home]
    if isinstance(effect, Chmod):
        nodes[effect.home] = replace(node, mode=effect.mode)
    elif isinstance(effect, Resize):
        nodes[effect.home] = replace(node, data=node.data[: effect.size].ljust(effect.size, b"\0"))
    elif effect.zeros:
        nodes[effect.home] = replace(node, data=node.data.ljust(effect.offset + len(effect.data), b"\0"))
    else:
        body = node.data.ljust(effect.offset, b"\0")
        rest = body[effect.offset + len(effect.data) :]
        nodes[effect.home] = replace(node, data=body[: effect.offset] + effect.data + rest)


def outcomes(effect: Effect) -> tuple[Effect | None, ...]:
    """Return how *effect* may have persisted: not at all, wholly, or in part."""
    if isinstance(effect, Write) and effect.data:
        torn = replace(effect, data=effect.data[: len(effect.data) // 2])
        return (None, effect, torn, replace(effect, zeros=True))
    return (None, effect)


def choices(
    pending: Sequence[Effect], exhaustive: int, sample: int, chance: random.Random
) -> Iterator[tuple[Effect | None, ...]]:
    """Yield combinations of what may have persisted of *pending*.

    All of them when there are at most *exhaustive*; else all and none, each single loss, each single survival, and so
    many drawn by *chance*.
    """
    options = [outcomes(effect) for effect in pending]
    if math.prod(len(option) for option in options) <= exhaustive:
        yield from itertools.product(*options)
        return
    whole: tuple[Effect | None, ...] = tuple(pending)
    nothing: tuple[Effect | None, ...] = (None,) * len(pending)
    for start in (whole, nothing):
        yield start
        for index, option in enumerate(options):
            for outcome in option:
                if outcome != start[index]:
                    yield (*start[:index], outcome, *start[index + 1 :])
    for _drawn in range(sample):
        yield tuple(chance.choice(option) for option in options)


def pending_after(recording: Recording, done: int) -> list[int]:
    """Return which of the first *done* steps had an effect that nothing made durable yet."""
    pending: list[int] = []
    for index, step in enumerate(recording.steps[:done]):
        if step.effect is not None:
            pending.append(index)
        pending = [at for at in pending if not _durable(recording, recording.steps[at].effect, step)]
    return pending


def _durable(recording: Recording, effect: Effect | None, by: Step) -> bool:
    assert effect is not None
    return effect.home == by.synced or (
        by.synced_volume is not None and recording.volumes[effect.home] == by.synced_volume
    )


def crashes(recording: Recording, exhaustive: int, sample: int, start: int = 0, seed: int = 3) -> Iterator[Crash]:
    """Yield every distinct state that a crash behind step *start* or later may leave, within the bounds of choices()."""
    chance = random.Random(seed)
    seen: set[tuple[bool, int, tuple[object, ...]]] = set()
    for done in range(start, len(recording.steps) + 1):
        for crash in _crashes_after(recording, done, exhaustive, sample, chance):
            # A state that is right while the operation runs may be wrong once it was reported done.
            key = (crash.power, done == len(recording.steps), tuple(tree(crash.nodes)))
            if key not in seen:
                seen.add(key)
                yield crash


def _crashes_after(
    recording: Recording, done: int, exhaustive: int, sample: int, chance: random.Random
) -> Iterator[Crash]:
    steps = recording.steps[:done]
    yield Crash(done, False, replay(recording.nodes, (step.effect for step in steps)))
    pending = [at for at in pending_after(recording, done) if recording.volumes[_effect(steps[at]).home] != VOLATILE]
    settled = [step.effect for step in steps]
    first = min(pending, default=len(steps))
    before = replay(recording.nodes, settled[:first])
    for choice in choices([_effect(steps[at]) for at in pending], exhaustive, sample, chance):
        persisted = list(settled)
        for at, outcome in zip(pending, choice):
            persisted[at] = outcome
        nodes = replay(before, persisted[first:])
        for name, inode in nodes[ROOT].names.items():
            if name == VOLATILE:
                nodes[inode] = replace(nodes[inode], names={})
        yield Crash(done, True, nodes)


def _effect(step: Step) -> Effect:
    assert step.effect is not None
    return step.effect


def replay(nodes: Nodes, effects: Iterable[Effect | None]) -> Nodes:
    """Return *nodes* after those *effects* that persisted, in the order in which they happened."""
    found = dict(nodes)
    for effect in effects:
        if effect is not None:
            apply(found, effect)
    return found


def tree(nodes: Nodes, inode: int = ROOT, path: str = "") -> Iterator[tuple[str, str, int, bytes]]:
    """Yield path, kind, mode and content of everything that has a name below *inode*."""
    node = nodes[inode]
    yield path, node.kind, node.mode, node.data
    for name in sorted(node.names):
        yield from tree(nodes, node.names[name], f"{path}/{name}")


def syncs(recording: Recording) -> list[int]:
    """Return which steps ask for durability."""
    return [at for at, step in enumerate(recording.steps) if step.effect is None]


def without(recording: Recording, gone: Iterable[int]) -> Recording:
    """Return what would have been recorded had the operation left out those syncs."""
    left = set(gone)
    return replace(recording, steps=[step for at, step in enumerate(recording.steps) if at not in left])


def order_faults(recording: Recording) -> list[str]:
    """Say where the operation relied on an order that it had not asked for.

    What gets its final name must be durable to its last byte before, and that name must be durable before anything
    else is changed, and before the end. Nobody relies on hidden names, locks, byte code, or what a restart empties.
    """
    faults = []
    nodes = dict(recording.nodes)
    final: list[tuple[Step, Names]] = []  # changes of final names that are not durable yet
    for at, step in enumerate(recording.steps):
        final = [(each, names) for each, names in final if not _durable(recording, names, step)]
        effect = step.effect
        if effect is None:
            continue
        if _final(recording, nodes, effect):
            faults += [
                f"{step.call}: came before the fsync of the directory of: {each.call}"
                for each, names in final
                if effect.home not in {inode for _folder, _name, inode in names.changes}
            ]
            if isinstance(effect, Names):
                unsynced = [recording.steps[other] for other in pending_after(recording, at)]
                moved = effect.changes[-1][2] if len(effect.changes) > 1 else None
                below = set() if moved is None else _inodes(nodes, moved)
                faults += [
                    f"{step.call}: not durable before: {each.call}" for each in unsynced if _effect(each).home in below
                ]
                final.append((step, effect))
        apply(nodes, effect)
    return faults + [f"the end came before the fsync of the directory of: {each.call}" for each, _names in final]


def _inodes(nodes: Nodes, inode: int) -> set[int]:
    return {inode}.union(*(_inodes(nodes, child) for child in nodes[inode].names.values()))


UNTRUSTED = frozenset({"lock", "__pycache__", "compiled"})


def _final(recording: Recording, nodes: Nodes, effect: Effect) -> bool:
    """Say whether *effect* touches something by a name that somebody relies on."""
    if recording.volumes[effect.home] == VOLATILE:
        return False
    if isinstance(effect, Names):
        paths = [(path_of(nodes, folder), name) for folder, name, _inode in effect.changes]
        names = [f"{folder}/{name}" for folder, name in paths if folder is not None]
    else:
        names = [path_of(nodes, effect.home) or ""]
    parts = [name.strip("/").split("/") for name in names]
    return any(
        part[0] and not UNTRUSTED.intersection(part) and not any(each.startswith(".") for each in part)
        for part in parts
    )


def path_of(nodes: Nodes, inode: int) -> str | None:
    """Return a path that names *inode*, or None."""
    if inode == ROOT:
        return ""
    for folder, node in nodes.items():
        for name, child in node.names.items():
            if child == inode:
                above = path_of(nodes, folder)
                if above is not None:
                    return f"{above}/{name}"
    return None
