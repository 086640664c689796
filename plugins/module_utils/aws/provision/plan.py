# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From what an environment is to be to what has to be done for it: observe, plan, apply, by tags alone.

Nothing is remembered between runs. What carries the environment's tags is ours, wherever a run was cut: the next one
finds it by them, and brings it to what is wanted or removes it. What does not carry them is never touched.
"""

from __future__ import annotations

import functools
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any, Callable, Iterable, Mapping, Sequence

from ...engine.errors import EngineError, InputError
from ..tags import ENVIRONMENT, MANAGED, ROLE
from .refusals import is_gone, is_held


@dataclass(frozen=True)
class Ref:
    """The id of the item of that key, known once it is made."""

    key: str


@dataclass(frozen=True)
class Later:
    """What stands for that id in a plan."""

    name: str

    def __str__(self) -> str:
        return f"({self.name}, not made yet)"


@dataclass(frozen=True)
class Item:
    """One thing that shall be. *wanted* says what it shall have, what else it has is left alone."""

    kind: str
    key: str
    name: str
    role: str
    wanted: Mapping[str, Any] = field(default_factory=dict)
    summary: str = ""
    # What it is made with and nothing compares, secrets among it: never shown.
    making: Mapping[str, Any] = field(default_factory=dict, repr=False)
    # Another role makes it; it is only referred to.
    existing: bool = False


@dataclass
class Found:
    """One thing that is: its id, what it has of what can be wanted, and what later runs and people want to know of it."""

    id: str
    name: str
    tags: Mapping[str, str]
    has: Mapping[str, Any] = field(default_factory=dict)
    tells: Mapping[str, Any] = field(default_factory=dict)
    # Empty once it is ready; otherwise what it is doing, such as "creating".
    busy: str = ""
    # Why it may not be removed, and what to do about it.
    kept: str = ""


@dataclass
class Cloud:
    """An account, seen from one region, for one environment."""

    clients: Callable[[str, str], Any]
    region: str
    environment: str
    prefix: str
    tags: Mapping[str, str] = field(default_factory=dict)

    def client(self, service: str, region: str = "") -> Any:
        return self.clients(service, region or self.region)

    def tags_of(self, item: Item) -> dict[str, str]:
        return {
            **self.tags,
            "Name": item.name,
            ENVIRONMENT: self.environment,
            ROLE: item.role,
            MANAGED: "true",
        }

    def owns(self, tags: Mapping[str, str]) -> bool:
        return tags.get(ENVIRONMENT) == self.environment and tags.get(MANAGED) == "true"


class Kind(ABC):
    """What one kind of thing needs: how to see those there are, make, change, tag and remove one."""

    title = ""
    # Names are unique in the account (or, for buckets, the world), so another's may be in the way.
    unique = True
    # What AWS cannot change, and what to do instead.
    fixed: Mapping[str, str] = {}
    # What comes next cannot be made before this is ready.
    needed_at_once = False

    def missing(self, item: Item, seen: Sequence[Found]) -> list[str]:
        """Say why an item that is not there must not be made, given all of its kind that are *seen*."""
        return []

    @abstractmethod
    def observe(self, cloud: Cloud) -> list[Found]: ...

    @abstractmethod
    def make(self, cloud: Cloud, item: Item, wanted: Mapping[str, Any], tags: Mapping[str, str]) -> Found:
        """Make it with its tags, in one call where AWS can; what it then still lacks is a change."""

    def change(self, cloud: Cloud, item: Item, found: Found, wanted: Mapping[str, Any], names: Sequence[str]) -> None:
        """Bring what is not in *fixed* to what is wanted; a kind of which nothing can be changed is never asked to."""
        raise NotImplementedError(f"{self.title} {item.name}: {', '.join(names)}")

    @abstractmethod
    def tag(self, cloud: Cloud, found: Found, tags: Mapping[str, str]) -> None: ...

    @abstractmethod
    def remove(self, cloud: Cloud, found: Found) -> None: ...

    def same(self, name: str, wanted: Any, has: Any) -> bool:  # a kind may know better for one name
        return covers(wanted, has)

    def told(self, name: str, value: Any) -> Any:
        """Return what a plan says of it; a kind may have fewer words for one name."""
        return value


@dataclass(frozen=True)
class Step:
    """One line of the plan."""

    sign: str
    kind: str
    name: str
    details: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.sign} {self.kind} {self.name}" + (f": {'; '.join(self.details)}" if self.details else "")


@dataclass
class Outcome:
    steps: list[Step] = field(default_factory=list)
    # Ours by their tags, but nothing that is described.
    strangers: list[Step] = field(default_factory=list)
    found: dict[str, Found] = field(default_factory=dict)

    @property
    def changed(self) -> bool:
        return bool(self.steps)


@dataclass(frozen=True)
class Patience:
    """How long to wait for what AWS makes slowly, and how often to look, at first after a second, and to say so."""

    seconds: float = 3600
    look: float = 10
    say: float = 30
    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep


def covers(wanted: Any, has: Any) -> bool:
    """Say whether *has* is all that is *wanted*; what else a mapping has is no matter."""
    if isinstance(wanted, Mapping):
        return isinstance(has, Mapping) and all(covers(value, has.get(key)) for key, value in wanted.items())
    if isinstance(wanted, (list, tuple)) and isinstance(has, (list, tuple)):
        return len(wanted) == len(has) and all(map(covers, wanted, has))
    return bool(wanted == has)


def resolve(value: Any, ids: Mapping[str, Any]) -> Any:
    """Put ids in place of references."""
    if isinstance(value, Ref):
        return ids[value.key]
    if isinstance(value, Mapping):
        return {key: resolve(item, ids) for key, item in value.items()}
    if isinstance(value, frozenset):
        return frozenset(resolve(item, ids) for item in value)
    if isinstance(value, tuple):
        return tuple(resolve(item, ids) for item in value)
    if isinstance(value, list):
        return [resolve(item, ids) for item in value]
    return value


def shown(value: Any) -> str:
    if isinstance(value, frozenset):
        return "[" + ", ".join(sorted(map(shown, value))) + "]"
    if isinstance(value, tuple):
        return " from ".join(map(shown, value))
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {shown(item)}" for key, item in value.items()) + "}"
    return "nothing" if value in (None, "") else str(value)


def difference(name: str, wanted: Any, has: Any) -> str:
    """Tell a change as an operator reads it; of long sets and mappings only what differs."""
    if isinstance(wanted, frozenset) and isinstance(has, frozenset):
        parts = [f"+{shown(item)}" for item in sorted(wanted - has, key=shown)]
        parts += [f"-{shown(item)}" for item in sorted(has - wanted, key=shown)]
        return f"{name} {' '.join(parts)}"
    if isinstance(wanted, Mapping) and isinstance(has, Mapping):
        parts = [
            difference(str(key), item, has.get(key)) for key, item in wanted.items() if not covers(item, has.get(key))
        ]
        return f"{name} " + ", ".join(parts)
    return f"{name} {shown(has)} -> {shown(wanted)}"


class Provisioner:
    def __init__(
        self,
        cloud: Cloud,
        kinds: Mapping[str, Kind],
        say: Callable[[str], object] = str,
        patience: Patience | None = None,
    ) -> None:
        self.cloud = cloud
        self.kinds = kinds
        self.say = say
        self.patience = patience or Patience()

    def plan(self, items: Sequence[Item]) -> Outcome:
        """Say what would be done, or refuse all that cannot be done; nothing is changed."""
        return self._walk(items, apply=False)

    def apply(self, items: Sequence[Item]) -> Outcome:
        """Do it: first the whole plan, so that what cannot be done is refused before anything is made."""
        planned = self.plan(items)
        if not planned.changed and not any(thing.busy for thing in planned.found.values()):
            return planned
        outcome = self._walk(items, apply=True)
        outcome.strangers = planned.strangers
        self._wait(items, outcome)
        return outcome

    def removal(self, kinds: Iterable[str]) -> tuple[list[tuple[str, Found]], Outcome]:
        """Return all that carries the environment's tags, in the order in which it can be removed."""
        found = [(kind, thing) for kind in kinds for thing in self._ours(kind)]
        kept = [f"{self.kinds[kind].title} {thing.name}: {thing.kept}" for kind, thing in found if thing.kept]
        if kept:
            raise InputError(kept)
        return found, Outcome([Step("-", self.kinds[kind].title, thing.name, (thing.id,)) for kind, thing in found])

    def remove(self, kinds: Sequence[str]) -> Outcome:
        _found, outcome = self.removal(kinds)
        said: set[tuple[str, str]] = set()

        def left(kind: str) -> list[str]:
            """Take every step that can be taken now; what AWS still holds, or is still removing, comes next time."""
            before = self._ours(kind)
            while before:
                for thing in before:
                    if (kind, thing.id) not in said:
                        said.add((kind, thing.id))
                        self.say(f"- {self.kinds[kind].title} {thing.name} ({thing.id})")
                    if not thing.busy:
                        self._remove(kind, thing)
                after = self._ours(kind)
                if len(after) == len(before):
                    break
                before = after
            return [f"{self.kinds[kind].title} {thing.name} {thing.busy or 'is being removed'}" for thing in before]

        # What it was made of cannot be removed before it is gone.
        for kind in kinds:
            self._poll(f"{self.kinds[kind].title}s", functools.partial(left, kind))
        return outcome

    def _remove(self, kind: str, thing: Found) -> None:
        try:
            self.kinds[kind].remove(self.cloud, thing)
        except Exception as exc:  # botocore's, which modules may not import without need; any other is raised again
            if not is_gone(exc) and not is_held(exc):
                raise

    # -- one walk over the items, with or without effects ----------------------------------------------------------

    def _walk(self, items: Sequence[Item], apply: bool) -> Outcome:
        outcome = Outcome()
        ids: dict[str, Any] = {}
        faults: list[str] = []
        seen: dict[str, list[Found]] = {}
        for item in items:
            kind = self.kinds[item.kind]
            if item.kind not in seen:
                seen[item.kind] = kind.observe(self.cloud)
            ours = [thing for thing in seen[item.kind] if thing.name == item.name and self._is_ours(kind, item, thing)]
            found = ours[0] if ours else None
            if len(ours) > 1:
                faults.append(
                    f"{kind.title} {item.name}: there are {len(ours)} with the tags of this environment "
                    f"({', '.join(thing.id for thing in ours)}); remove all but the one to keep"
                )
            elif not ours and kind.unique and any(thing.name == item.name for thing in seen[item.kind]):
                faults.append(taken(kind.title, item.name, self.cloud.environment))
            if found is None:
                faults += kind.missing(item, seen[item.kind])
            if item.existing:
                if found is None and apply:
                    raise EngineError(f"{kind.title} {item.name} does not exist; run the role aws first")
                ids[item.key] = found.id if found else Later(f"{kind.title} {item.name}")
                continue
            wanted = resolve(item.wanted, ids)
            if found is None:
                summary = (item.summary,) if item.summary else ()
                outcome.steps.append(Step("+", kind.title, item.name, summary))
                if not apply:
                    ids[item.key] = Later(f"{kind.title} {item.name}")
                    continue
                self.say(str(outcome.steps[-1]))
                found = kind.make(self.cloud, item, wanted, self.cloud.tags_of(item))
                self._change(kind, item, found, wanted)
            else:
                step, wrong = self._compared(kind, item, found, wanted)
                faults += wrong
                if step and not wrong:
                    outcome.steps.append(step)
                    if apply:
                        self.say(str(step))
                        self._change(kind, item, found, wanted)
            ids[item.key] = found.id
            outcome.found[item.key] = found
            if apply and kind.needed_at_once:
                self._poll(f"{kind.title} {item.name}", functools.partial(self._busy, item))
        if faults:
            raise InputError(faults)
        described = {(item.kind, item.name) for item in items}
        for name, things in seen.items():
            for thing in things:
                if self.cloud.owns(thing.tags) and (name, thing.name) not in described:
                    outcome.strangers.append(Step("?", self.kinds[name].title, thing.name, (thing.id,)))
        return outcome

    def _is_ours(self, kind: Kind, item: Item, thing: Found) -> bool:
        # A run that was cut between making it and tagging it leaves it bare; kinds that need two calls say when that is sure.
        return self.cloud.owns(thing.tags) or (kind.unique and not item.existing and bool(thing.has.get("unclaimed")))

    def _compared(
        self, kind: Kind, item: Item, found: Found, wanted: Mapping[str, Any]
    ) -> tuple[Step | None, list[str]]:
        names = self._differing(kind, found, wanted)
        told = {
            name: difference(name, kind.told(name, wanted[name]), kind.told(name, found.has.get(name)))
            for name in names
        }
        wrong = [f"{kind.title} {item.name}: {told[name]}: {kind.fixed[name]}" for name in names if name in kind.fixed]
        details = list(told.values())
        tags = self.cloud.tags_of(item)
        if not covers(tags, found.tags):
            details.append(difference("tags", tags, found.tags))
        return (Step("~", kind.title, item.name, tuple(details)) if details else None), wrong

    def _differing(self, kind: Kind, found: Found, wanted: Mapping[str, Any]) -> list[str]:
        return [name for name, value in wanted.items() if not kind.same(name, value, found.has.get(name))]

    def _change(self, kind: Kind, item: Item, found: Found, wanted: Mapping[str, Any]) -> None:
        tags = self.cloud.tags_of(item)
        if not covers(tags, found.tags):
            kind.tag(self.cloud, found, tags)
        names = self._differing(kind, found, wanted)
        if names:
            kind.change(self.cloud, item, found, wanted, names)

    # -- waiting ---------------------------------------------------------------------------------------------------

    def _wait(self, items: Sequence[Item], outcome: Outcome) -> None:
        """Wait until all is ready, and take up what only then is known, such as a database's address."""
        mine = [item for item in items if not item.existing]
        names = {(item.kind, item.name): item.key for item in mine}

        def busy() -> list[str]:
            seen = [(kind, thing) for kind in {item.kind for item in mine} for thing in self._ours(kind)]
            ours = [(kind, thing) for kind, thing in seen if (kind, thing.name) in names]
            outcome.found.update({names[kind, thing.name]: thing for kind, thing in ours})
            return [f"{self.kinds[kind].title} {thing.name} {thing.busy}" for kind, thing in ours if thing.busy]

        self._poll("the environment", busy)

    def _busy(self, item: Item) -> list[str]:
        title = self.kinds[item.kind].title
        return [f"{title} {one.name} {one.busy}" for one in self._ours(item.kind) if one.busy and one.name == item.name]

    def _ours(self, kind: str) -> list[Found]:
        return [thing for thing in self.kinds[kind].observe(self.cloud) if self.cloud.owns(thing.tags)]

    def _poll(self, what: str, look: Callable[[], list[str]]) -> None:
        began = self.patience.now()
        said = None
        pause = min(1, self.patience.look)
        while True:
            left = look()
            if not left:
                return
            now = began if said is None else self.patience.now()
            if now - began > self.patience.seconds:
                raise EngineError(
                    f"{what}: after {now - began:.0f} s still {'; '.join(left)}. Look at it in AWS's console; the next run goes on from here"
                )
            if said is None or now - said >= self.patience.say:
                self.say(f"  waiting, {now - began:.0f} s: {'; '.join(left)}")
                said = now
            self.patience.sleep(pause)
            pause = min(pause * 2, self.patience.look)


def taken(title: str, name: str, environment: str) -> str:
    return (
        f"{title} {name}: the name is taken by one that does not carry the tags {ENVIRONMENT}={environment} and {MANAGED}=true. "
        "Choose another name, or give it these tags if it is to be this environment's"
    )
