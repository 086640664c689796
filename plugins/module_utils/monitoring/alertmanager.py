# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From one description of who hears of what: Alertmanager's configuration, its secrets, and tests of its routes.

No secret is part of the configuration. Each is a file that systemd hands to the process, and the configuration names the file.

Routes are followed here as Alertmanager follows them, so that a route which no alert reaches, a receiver that is never told and a
test that fails are found before any host is touched. The tests are then asked of the real one before every switch.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Any, Callable, Iterable, Iterator, Mapping, NamedTuple, Sequence

from ..aws.cloudwatch_rules import nearest, repeated, shown, unknown
from ..engine.errors import InputError
from .matchers import CONTROL, LABEL, Matcher, MatcherError, matcher, quoted
from .yaml_text import yaml_text

CREDENTIALS = "/run/credentials/plano-alertmanager.service"
CONFIGURATION = "config/alertmanager.yml"
HEADER = "# Written by the role plano.delivery.alertmanager from the inventory: what is changed here is gone with the next release.\n"

# The receiver that always exists and tells nobody.
NOBODY = "nobody"
WATCHDOG = "Watchdog"

# The oldest version that reads all secrets but one from files; the tests run it. Upstream's changelog has when each came:
# Slack's URL 0.22, passwords of SMTP 0.25, URLs of webhooks 0.26. But until 0.28 an error in the answer to a URL from a file ends
# the whole process (its pull request 3800).
OLDEST = (0, 25, 0)
SECRET_WEBHOOKS = (0, 28, 0)

# What holds where nothing is said: Alertmanager's own values. The role's defaults say more.
DEFAULTS: Mapping[str, Any] = {
    "version": None,
    "port": 9093,
    "external_url": "",
    "retention": "120h",
    "receivers": [],
    "default_receiver": None,
    "watchdog_receiver": "",
    "group_by": [],
    "group_wait": "30s",
    "group_interval": "5m",
    "repeat_interval": "4h",
    "routes": [],
    "inhibitions": [],
    "mute_times": [],
    "templates": [],
    "route_tests": [],
}
TIMES = ("group_wait", "group_interval", "repeat_interval")

# Something outside waits for it, so it is told often, and whatever else fires.
WATCHDOG_TIMES = {"group_wait": "0s", "group_interval": "1m", "repeat_interval": "5m"}


# -- what a value may be -------------------------------------------------------------------------------------------


class Kind(NamedTuple):
    """A sort of value: how a message calls it, and how it is known."""

    words: str
    holds: Callable[[Any], bool]


def _of(pattern: str) -> Callable[[Any], bool]:
    known = re.compile(pattern)
    return lambda value: isinstance(value, str) and known.fullmatch(value) is not None


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and value.strip() != "" and not re.search("[\x00\ud800-\udfff]", value)


def _is_line(value: Any) -> bool:
    return _is_text(value) and not CONTROL.search(value)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_headers(value: Any) -> bool:
    if not isinstance(value, Mapping) or not all(map(_of("[A-Za-z][A-Za-z0-9-]*"), value)):
        return False
    return all(map(_is_line, value.values())) and len({name.lower() for name in value}) == len(value)


_DURATION = re.compile("".join(f"(?:([0-9]{{1,9}}){unit})?" for unit in "wdhms"))
_UNITS = (7 * 86400, 86400, 3600, 60, 1)
LONGEST = 366 * 86400


def seconds(value: Any) -> int:
    """Return the seconds of a duration, -1 if it is none."""
    found = _DURATION.fullmatch(value) if isinstance(value, str) and value else None
    total = sum(int(number or 0) * unit for number, unit in zip(found.groups(), _UNITS)) if found else -1
    return total if total <= LONGEST else -1


_ADDRESS = r"(?:[^\s<>@,\";:]+(?: [^\s<>@,\";:]+)* )?(?:<{0}>)|{0}".format(
    r"[A-Za-z0-9.!#$%&'*+/=?^_`|~-]+@[A-Za-z0-9._-]+"
)
_HOST = r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])"
_CHARACTER = r"[A-Za-z0-9._~!$&'()*+,;=:@/-]|%[0-9A-Fa-f]{2}"

TEXT = Kind("a text that is not empty", _is_text)
LINE = Kind("a text of one line that is not empty", _is_line)
SECRET = Kind("a text of one line without blanks around it", lambda value: _is_line(value) and value == value.strip())
FLAG = Kind("true or false", lambda value: isinstance(value, bool))
COUNT = Kind("a whole number, 0 or more", _is_count)
NAME = Kind(
    "letters, digits and . _ - and 40 of them at most (amtool separates names by commas, secrets are files of that name)",
    _of(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,39}"),
)
LABEL_NAME = Kind("the name of a label", lambda value: isinstance(value, str) and LABEL.fullmatch(value) is not None)
LABEL_VALUE = Kind("a text of one line", lambda value: isinstance(value, str) and not CONTROL.search(value))
ADDRESS = Kind("an address such as ops@example.com or Ops <ops@example.com>", _of(_ADDRESS))
ADDRESSES = Kind("one address or several separated by commas", _of(rf"(?:{_ADDRESS})(?:, ?(?:{_ADDRESS}))*"))
HEADERS = Kind("a mapping of names of headers, each once, to texts of one line", _is_headers)
SMARTHOST = Kind(
    "host:port such as smtp.example.com:587",
    lambda value: _of(rf"{_HOST}:[0-9]{{1,5}}")(value) and 0 < int(value.rpartition(":")[2]) < 65536,
)
URL = Kind(
    "a URL such as https://example.com/path, without a user or password in it",
    _of(rf"https?://{_HOST}(?::[0-9]{{1,5}})?(?:/(?:{_CHARACTER})*)?(?:\?(?:{_CHARACTER}|\?)*)?"),
)
PORT = Kind("a port from 1 to 65535", lambda value: _is_count(value) and 0 < value < 65536)
WAIT = Kind("a duration such as 0s, 30s, 5m or 4h, a year at most", lambda value: seconds(value) >= 0)
INTERVAL = Kind("a duration such as 30s, 5m or 4h, a year at most", lambda value: seconds(value) > 0)
TEMPLATE = Kind("the name of a file that ends in .tmpl", _of(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,60}\.tmpl"))
LOCATION = Kind("a time zone such as UTC or America/Sao_Paulo", _of(r"[A-Z][A-Za-z0-9_+-]*(?:/[A-Za-z0-9_+-]+){0,2}"))

RECEIVERS: Mapping[str, Mapping[str, Kind]] = {
    "email": {
        "to": ADDRESSES,
        "from": ADDRESS,
        "smarthost": SMARTHOST,
        "username": LINE,
        "password": SECRET,
        "require_tls": FLAG,
        "hello": LINE,
        "headers": HEADERS,
        "html": TEXT,
        "text": TEXT,
        "send_resolved": FLAG,
    },
    "slack": {
        "url": URL,
        "channel": LINE,
        "username": LINE,
        "color": LINE,
        "title": TEXT,
        "title_link": TEXT,
        "pretext": TEXT,
        "text": TEXT,
        "footer": TEXT,
        "fallback": TEXT,
        "icon_emoji": LINE,
        "icon_url": LINE,
        "send_resolved": FLAG,
    },
    "webhook": {"url": URL, "secret": FLAG, "token": SECRET, "max_alerts": COUNT, "send_resolved": FLAG},
}
NEEDED: Mapping[str, Sequence[str]] = {"email": ("to", "from", "smarthost"), "slack": ("url",), "webhook": ("url",)}
# Values that no message may show.
SECRETS = ("password", "token", "url")

ROUTE_KEYS = ("receiver", "matchers", "group_by", *TIMES, "continue", "mute_times", "active_times", "routes")
_ROUTE_NAMES = {"mute_times": "mute_time_intervals", "active_times": "active_time_intervals"}
INTERVAL_KEYS = ("times", "weekdays", "days_of_month", "months", "years", "location")
WEEKDAYS = ("sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday")
MONTHS = (
    *("january", "february", "march", "april", "may", "june"),
    *("july", "august", "september", "october", "november", "december"),
)


# -- faults --------------------------------------------------------------------------------------------------------


def faults(description: Mapping[str, Any]) -> list[str]:
    """Return everything that is wrong, each with where it is and what it must be; nothing when a plan can be made of it."""
    given = {**DEFAULTS, **description}
    found = [f"description: {fault}" for fault in unknown(given, tuple(DEFAULTS))]
    found += [f"alertmanager_{fault}" for fault in _setting_faults(given)]
    found += [f"alertmanager_{fault}" for fault in _receivers_faults(given)]
    routing = [f"alertmanager_{fault}" for fault in _routing_faults(given)]
    found += routing
    found += [f"alertmanager_{fault}" for fault in _inhibition_faults(given["inhibitions"])]
    found += [f"alertmanager_{fault}" for fault in _mute_time_faults(given["mute_times"])]
    found += [f"alertmanager_{fault}" for fault in _template_faults(given["templates"])]
    tests = [f"alertmanager_{fault}" for fault in _test_faults(given)]
    found += tests
    if not routing:
        # Only a sound tree can be followed.
        tree = _tree(given)
        found += [f"alertmanager_{fault}" for fault in _reach_faults(tree, _names(given))]
        found += [f"alertmanager_{fault}" for fault in _time_faults(tree, given["retention"])]
        found += [] if tests else [f"alertmanager_{fault}" for fault in _failing_tests(tree, given["route_tests"])]
    return found


def _must(where: str, value: Any, kind: Kind, secret: bool = False) -> Iterator[str]:
    if not kind.holds(value):
        yield f"{where}: it must be {kind.words}" + ("" if secret else f", is {shown(value)}")


def _items(where: str, value: Any) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Return the mappings in a list with where each is; what is none is told by _shape_faults()."""
    if isinstance(value, (list, tuple)):
        for number, item in enumerate(value):
            if isinstance(item, Mapping):
                yield f"{where}[{number}]", {key: each for key, each in item.items() if each is not None}


def _shape_faults(where: str, value: Any) -> Iterator[str]:
    """Find what has another shape; it is not shown, because it may be a receiver with its secrets."""
    if not isinstance(value, (list, tuple)):
        yield f"{where}: it must be a list of mappings"
        return
    for number, item in enumerate(value):
        if not isinstance(item, Mapping):
            yield f"{where}[{number}]: it must be a mapping"


def _twice(where: str, value: Any) -> Iterator[str]:
    names = [str(item["name"]) for _place, item in _items(where, value) if "name" in item]
    yield from (f"{where}: {shown(name)} is there twice" for name in dict.fromkeys(repeated(names)))


def _setting_faults(given: Mapping[str, Any]) -> Iterator[str]:
    version = _version(given["version"])
    if version is None:
        yield f"version: it must be a version such as 0.28.1, is {shown(given['version'])}"
    elif version < OLDEST:
        yield (
            f"version: {given['version']} cannot read all secrets from files; {'.'.join(map(str, OLDEST))} is the oldest that can: "
            "ask for that or a newer one"
        )
    yield from _must("port", given["port"], PORT)
    if given["external_url"]:
        yield from _must("external_url", given["external_url"], URL)
    yield from _must("retention", given["retention"], INTERVAL)


def _version(value: Any) -> tuple[int, ...] | None:
    found = re.match(r"([0-9]+)\.([0-9]+)\.([0-9]+)", value) if isinstance(value, str) else None
    return tuple(map(int, found.groups())) if found else None


def _receivers_faults(given: Mapping[str, Any]) -> Iterator[str]:
    where = "receivers"
    yield from _shape_faults(where, given["receivers"])
    for place, item in _items(where, given["receivers"]):
        yield from (f"{place}: {fault}" for fault in unknown(item, ("name", *RECEIVERS)))
        yield from _must(f"{place}.name", item.get("name"), NAME)
        if item.get("name") == NOBODY:
            yield f"{place}.name: {NOBODY} is there already, it is who hears of nothing; take another name"
        if not any(item.get(kind) for kind in RECEIVERS):
            yield f"{place}: it tells nobody: give it one of {', '.join(RECEIVERS)}, or route to {NOBODY}"
        for kind in RECEIVERS:
            yield from _shape_faults(f"{place}.{kind}", item.get(kind, ()))
            for inner, way in _items(f"{place}.{kind}", item.get(kind, ())):
                yield from _way_faults(inner, kind, way, given["version"])
    yield from _twice("receivers", given["receivers"])


def _way_faults(where: str, kind: str, way: Mapping[str, Any], version: Any) -> Iterator[str]:
    kinds = RECEIVERS[kind]
    yield from (f"{where}: {fault}" for fault in unknown(way, tuple(kinds)))
    yield from (f"{where}.{name}: it is missing" for name in NEEDED[kind] if name not in way)
    for name, value in way.items():
        if name in kinds:
            yield from _must(f"{where}.{name}", value, kinds[name], secret=name in SECRETS)
    if kind == "email":
        if ("username" in way) != ("password" in way):
            yield f"{where}: username and password go together, one is missing"
        local = str(way.get("smarthost")).rpartition(":")[0] in ("localhost", "127.0.0.1", "[::1]")
        if "password" in way and way.get("require_tls") is False and not local:
            yield f"{where}.require_tls: a password is not sent without TLS; leave it true, or take username and password away"
    if kind == "webhook" and way.get("secret") is True:
        known = _version(version)
        if known is not None and known < SECRET_WEBHOOKS:
            yield (
                f"{where}.secret: Alertmanager {version} cannot keep a URL out of its configuration (before 0.26.0), or ends when the "
                "receiver answers with an error (before 0.28.0); ask for alertmanager_version 0.28.0 or newer, or put what is secret into token, "
                "which is sent as a bearer token"
            )


def _names(given: Mapping[str, Any]) -> list[str]:
    """Return the receivers that the description has, without the one that is always there."""
    items = _items("receivers", given["receivers"])
    return [str(item["name"]) for _place, item in items if item.get("name")]


def _receiver_fault(where: str, name: Any, names: Sequence[str]) -> Iterator[str]:
    if name not in (*names, NOBODY):
        yield f"{where}: there is no receiver {shown(name)} among alertmanager_receivers{nearest(name, (*names, NOBODY))}"


def _routing_faults(given: Mapping[str, Any]) -> Iterator[str]:
    names = _names(given)
    if given["default_receiver"]:
        yield from _receiver_fault("default_receiver", given["default_receiver"], names)
    else:
        yield "default_receiver: it is missing; name who hears of what no route takes"
    if given["watchdog_receiver"]:
        yield from _receiver_fault("watchdog_receiver", given["watchdog_receiver"], names)
    yield from _group_by_faults("group_by", given["group_by"])
    for name in TIMES:
        yield from _must(name, given[name], WAIT if name == "group_wait" else INTERVAL)
    times = [item.get("name") for _place, item in _items("mute_times", given["mute_times"])]
    yield from _routes_faults("routes", given["routes"], names, times)


def _group_by_faults(where: str, value: Any) -> Iterator[str]:
    if not isinstance(value, (list, tuple)):
        yield f"{where}: it must be a list of labels, is {shown(value)}"
        return
    if "..." in value and len(value) > 1:
        yield f"{where}: '...' means all labels, so it must stand alone"
    for name in value:
        if name != "...":
            yield from _must(where, name, LABEL_NAME)
    yield from (f"{where}: {shown(name)} is there twice" for name in repeated(value))


def _routes_faults(where: str, value: Any, names: Sequence[str], times: Sequence[Any]) -> Iterator[str]:
    yield from _shape_faults(where, value)
    for place, route in _items(where, value):
        yield from (f"{place}: {fault}" for fault in unknown(route, ROUTE_KEYS))
        if "receiver" in route:
            yield from _receiver_fault(f"{place}.receiver", route["receiver"], names)
        yield from _matchers_faults(f"{place}.matchers", route.get("matchers", ()))
        if "group_by" in route:
            yield from _group_by_faults(f"{place}.group_by", route["group_by"])
            if isinstance(route["group_by"], (list, tuple)) and not route["group_by"]:
                yield f"{place}.group_by: an empty list means one thing before Alertmanager 0.31 and another since; leave it out"
        for name in TIMES:
            if name in route:
                yield from _must(f"{place}.{name}", route[name], WAIT if name == "group_wait" else INTERVAL)
        if "continue" in route:
            yield from _must(f"{place}.continue", route["continue"], FLAG)
        for key in ("mute_times", "active_times"):
            if not isinstance(route.get(key, ()), (list, tuple)):
                yield f"{place}.{key}: it must be a list of names of alertmanager_mute_times, is {shown(route[key])}"
                continue
            for name in route.get(key, ()):
                if name not in times:
                    yield f"{place}.{key}: there is no {shown(name)} among alertmanager_mute_times{nearest(name, map(str, times))}"
        yield from _routes_faults(f"{place}.routes", route.get("routes", ()), names, times)


def _matchers_faults(where: str, value: Any, some: bool = False) -> Iterator[str]:
    if not isinstance(value, (list, tuple)) or (some and not value):
        yield f'{where}: it must be a list of matchers such as severity="page", is {shown(value)}'
        return
    for number, text in enumerate(value):
        if not isinstance(text, str):
            yield f"{where}[{number}]: it must be a text, is {shown(text)}"
            continue
        try:
            matcher(text)
        except MatcherError as exc:
            yield f"{where}[{number}]: {shown(text)}: {exc}"


def _inhibition_faults(value: Any) -> Iterator[str]:
    yield from _shape_faults("inhibitions", value)
    for place, rule in _items("inhibitions", value):
        yield from (f"{place}: {fault}" for fault in unknown(rule, ("source", "target", "equal")))
        yield from _matchers_faults(f"{place}.source", rule.get("source"), some=True)
        yield from _matchers_faults(f"{place}.target", rule.get("target"), some=True)
        equal = rule.get("equal")
        if not equal:
            yield f"{place}.equal: it must name the labels that both alerts share, such as environment; without any, all others fall silent"
        elif not isinstance(equal, (list, tuple)):
            yield f"{place}.equal: it must be a list of labels, is {shown(equal)}"
        else:
            for name in equal:
                yield from _must(f"{place}.equal", name, LABEL_NAME)


def _mute_time_faults(value: Any) -> Iterator[str]:
    yield from _shape_faults("mute_times", value)
    for place, item in _items("mute_times", value):
        yield from (f"{place}: {fault}" for fault in unknown(item, ("name", "intervals")))
        yield from _must(f"{place}.name", item.get("name"), NAME)
        if not item.get("intervals"):
            yield f"{place}.intervals: it must be a list of intervals, is {shown(item.get('intervals'))}"
            continue
        yield from _shape_faults(f"{place}.intervals", item["intervals"])
        for inner, interval in _items(f"{place}.intervals", item["intervals"]):
            yield from _interval_faults(inner, interval)
    yield from _twice("mute_times", value)


def _interval_faults(where: str, interval: Mapping[str, Any]) -> Iterator[str]:
    yield from (f"{where}: {fault}" for fault in unknown(interval, INTERVAL_KEYS))
    if not any(interval.get(key) for key in INTERVAL_KEYS if key != "location"):
        yield f"{where}: it names no time, so it would last for ever"
    if "location" in interval:
        yield from _must(f"{where}.location", interval["location"], LOCATION)
    yield from _shape_faults(f"{where}.times", interval.get("times", ()))
    for place, times in _items(f"{where}.times", interval.get("times", ())):
        yield from (f"{place}: {fault}" for fault in unknown(times, ("start_time", "end_time")))
        start, end = (_minutes(times.get(key)) for key in ("start_time", "end_time"))
        if start is None or end is None:
            yield f'{place}: start_time and end_time must be texts in quotes such as "08:00" and "24:00", are {shown(dict(times))}'
        elif start >= end:
            yield f"{place}: it must end after it starts; what goes over midnight is two intervals, one until 24:00, one from 00:00"
    for key, member in _MEMBERS.items():
        values = interval.get(key, ())
        if not isinstance(values, (list, tuple)):
            yield f"{where}.{key}: it must be a list, is {shown(values)}"
            continue
        for value in values:
            if not _is_range(value, member, key):
                yield f"{where}.{key}: {shown(value)} is none; {_EXAMPLES[key]}"


def _minutes(value: Any) -> int | None:
    found = re.fullmatch(r"(?:[01][0-9]|2[0-3]):[0-5][0-9]|24:00", value) if isinstance(value, str) else None
    if not found:
        return None
    return int(value[:2]) * 60 + int(value[3:])


def _weekday(text: str) -> int | None:
    return WEEKDAYS.index(text) if text in WEEKDAYS else None


def _month(text: str) -> int | None:
    if text in MONTHS:
        return MONTHS.index(text) + 1
    return int(text) if re.fullmatch(r"[1-9]|1[0-2]", text) else None


def _day(text: str) -> int | None:
    return int(text) if re.fullmatch(r"-?([1-9]|[12][0-9]|3[01])", text) else None


def _year(text: str) -> int | None:
    return int(text) if re.fullmatch(r"[1-9][0-9]{3}", text) else None


_MEMBERS: Mapping[str, Callable[[str], int | None]] = {
    "weekdays": _weekday,
    "days_of_month": _day,
    "months": _month,
    "years": _year,
}
_EXAMPLES = {
    "weekdays": "it must be such as saturday or monday:friday, and a week begins with sunday",
    "days_of_month": "it must be such as 1, 1:7 or -3:-1, counted from the end",
    "months": "it must be such as december, 12 or january:march",
    "years": "it must be such as 2026 or 2026:2028",
}


def _is_range(value: Any, member: Callable[[str], int | None], key: str) -> bool:
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        return False
    ends = [member(part) for part in str(value).lower().split(":")]
    if None in ends or len(ends) > 2:
        return False
    first, last = ends[0] or 0, ends[-1] or 0
    if key == "days_of_month":
        if first < 0 < last:
            return False
        # As Alertmanager has it: in the shortest month the end must not come before the start.
        first, last = (28 + day if day < 0 else day for day in (first, last))
    return first <= last


def _template_faults(value: Any) -> Iterator[str]:
    yield from _shape_faults("templates", value)
    for place, item in _items("templates", value):
        yield from (f"{place}: {fault}" for fault in unknown(item, ("name", "content")))
        yield from _must(f"{place}.name", item.get("name"), TEMPLATE)
        if not _is_text(item.get("content")):
            yield f"{place}.content: it must be a text that is not empty"
    yield from _twice("templates", value)


def _test_faults(given: Mapping[str, Any]) -> Iterator[str]:
    yield from _shape_faults("route_tests", given["route_tests"])
    names = _names(given)
    for place, test in _items("route_tests", given["route_tests"]):
        yield from (f"{place}: {fault}" for fault in unknown(test, ("labels", "receivers")))
        labels = test.get("labels")
        if not isinstance(labels, Mapping):
            yield f"{place}.labels: it must be a mapping of labels to texts, is {shown(labels)}"
        else:
            for name, value in labels.items():
                yield from _must(f"{place}.labels", name, LABEL_NAME)
                yield from _must(f"{place}.labels.{name}", value, LABEL_VALUE)
        receivers = test.get("receivers")
        if not isinstance(receivers, (list, tuple)) or not receivers:
            yield f"{place}.receivers: it must be a list of receivers in the order of the routes, is {shown(receivers)}"
        else:
            for name in receivers:
                yield from _receiver_fault(f"{place}.receivers", name, names)


# -- where alerts go -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Node:
    """A route with all that it has from those above it."""

    where: str
    receiver: str
    matchers: tuple[Matcher, ...]
    goes_on: bool
    times: Mapping[str, str]
    own_times: Sequence[str]
    nodes: tuple[Node, ...]

    def receivers(self, labels: Mapping[str, str]) -> list[str]:
        """Return who hears of an alert, in order; nobody at all where it does not belong here."""
        if not all(each.holds(labels) for each in self.matchers):
            return []
        found: list[str] = []
        for node in self.nodes:
            told = node.receivers(labels)
            found += told
            if told and not node.goes_on:
                break
        return found or [self.receiver]

    def walk(self, above: tuple[Matcher, ...] = ()) -> Iterator[tuple[Node, tuple[Matcher, ...]]]:
        """Return this and every route below, each with the matchers of all that lead to it."""
        path = (*above, *self.matchers)
        yield self, path
        for node in self.nodes:
            yield from node.walk(path)


def _tree(given: Mapping[str, Any]) -> Node:
    times = {name: given[name] for name in TIMES}
    watchdog = Node(
        where="watchdog_receiver",
        receiver=given["watchdog_receiver"] or NOBODY,
        matchers=(Matcher("alertname", "=", WATCHDOG),),
        goes_on=False,
        times=WATCHDOG_TIMES,
        own_times=TIMES,
        nodes=(),
    )
    below = _nodes("routes", given["routes"], given["default_receiver"], times)
    return Node("default_receiver", given["default_receiver"], (), False, times, TIMES, (watchdog, *below))


def _nodes(where: str, routes: Any, receiver: str, times: Mapping[str, str]) -> tuple[Node, ...]:
    found = []
    for place, route in _items(where, routes):
        mine = route.get("receiver", receiver)
        own = [name for name in TIMES if name in route]
        all_times = {**times, **{name: route[name] for name in own}}
        below = _nodes(f"{place}.routes", route.get("routes", ()), mine, all_times)
        matchers = tuple(map(matcher, route.get("matchers", ())))
        found.append(Node(place, mine, matchers, route.get("continue", False), all_times, own, below))
    return tuple(found)


def _reach_faults(tree: Node, names: Sequence[str]) -> Iterator[str]:
    told = {NOBODY}
    for node, path in tree.walk():
        wanted: dict[str, set[str]] = {}
        for each in path:
            if each.operator == "=":
                wanted.setdefault(each.name, set()).add(each.value)
        for label in sorted(name for name, values in wanted.items() if len(values) > 1):
            yield f"{node.where}: no alert gets here, {label} would have to be {' and '.join(sorted(wanted[label]))} at once"
        all_taken = next((each for each in node.nodes if not each.matchers), None)
        if all_taken is None:
            told.add(node.receiver)
        for number, later in enumerate(node.nodes):
            before = node.nodes[:number]
            first = next(
                (each for each in before if not each.goes_on and set(each.matchers) <= set(later.matchers)), None
            )
            if first is not None and first.where == "watchdog_receiver":
                yield (
                    f"{later.where}: no alert gets here, the {WATCHDOG} has a route of its own before all others; name its receiver as "
                    "alertmanager_watchdog_receiver"
                )
            elif first is not None:
                yield (
                    f"{later.where}: no alert gets here, alertmanager_{first.where} takes all of them; put it before that one, or let that one "
                    "go on with continue: true"
                )
    taker = next((node.where for node in tree.nodes if not node.matchers), None)
    for name in names:
        if name not in told and name == tree.receiver and taker:
            yield (
                f"default_receiver: {shown(name)} never hears of anything, alertmanager_{taker} has no matchers and takes all that "
                "is left; give it some, or make its receiver the default one"
            )
        elif name not in told:
            yield f"receivers: no route leads to {shown(name)}, so it never hears of anything; name it in a route, or take it away"


def _time_faults(tree: Node, retention: Any) -> Iterator[str]:
    for node, _path in tree.walk():
        if node.where == "watchdog_receiver" or not node.own_times:
            continue
        where = "repeat_interval" if node is tree else f"{node.where}.repeat_interval"
        repeat, group = (seconds(node.times[name]) for name in ("repeat_interval", "group_interval"))
        if repeat < group:
            yield (
                f"{where}: {node.times['repeat_interval']} is shorter than the group_interval {node.times['group_interval']}, which is how "
                "often Alertmanager looks; make it as long or longer"
            )
        if "repeat_interval" in node.own_times and repeat > seconds(retention) > 0:
            yield (
                f"{where}: {node.times['repeat_interval']} is longer than alertmanager_retention {retention}: what was told is forgotten before, "
                "and told again; keep it as long"
            )


def _failing_tests(tree: Node, route_tests: Any) -> Iterator[str]:
    for place, test in _items("route_tests", route_tests):
        found = tree.receivers(test["labels"])
        if found != list(test["receivers"]):
            yield f"{place}: it goes to {', '.join(found)} instead of {', '.join(test['receivers'])}"


def _examples(tree: Node) -> Iterator[dict[str, str]]:
    """Return labels of alerts whose way is worth a test: one that nobody thought of, one of each severity, one for each route."""
    yield {}
    yield from ({"severity": severity} for severity in ("page", "ticket", "info"))
    yield {"alertname": WATCHDOG, "severity": "info"}
    for _node, path in tree.walk():
        labels = {each.name: _example(each) for each in path if each.operator in ("=", "=~")}
        if all(each.holds(labels) for each in path):
            yield {name: value for name, value in labels.items() if value}


def _example(wanted: Matcher) -> str:
    """Return a value that may match; whether it does is for the caller to see."""
    return wanted.value if wanted.operator == "=" else re.split(r"[|()]", wanted.value.strip("("))[0]


# -- the plan ------------------------------------------------------------------------------------------------------


def plan(description: Mapping[str, Any]) -> dict[str, Any]:
    """Make the configuration, its secrets and tests. Raises InputError with every fault of the description."""
    found = faults(description)
    if found:
        raise InputError(found)
    given = {**DEFAULTS, **description}
    tests = _tests(given)
    templates = [
        {"dest": f"config/templates/{item['name']}", "content": item["content"]}
        for _place, item in _items("templates", given["templates"])
    ]
    configuration = _configuration(given)
    return {
        "configuration": configuration,
        "files": [{"dest": CONFIGURATION, "content": configuration}, *templates],
        "secrets": dict(_secrets(given)),
        "tests": tests,
        "validate": [
            ["@ARTIFACT@/files/amtool", "check-config", f"@RELEASE@/{CONFIGURATION}"],
            *(_test_command(test) for test in tests),
        ],
        "retention": f"{seconds(given['retention'])}s",
    }


def _tests(given: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the tests that were written and those that follow from the routes, each alert once."""
    tree = _tree(given)
    written = [dict(test["labels"]) for _place, test in _items("route_tests", given["route_tests"])]
    tests: list[dict[str, Any]] = []
    for labels in (*written, *_examples(tree)):
        test = {"labels": labels, "receivers": tree.receivers(labels)}
        if test not in tests:
            tests.append(test)
    return tests


def _test_command(test: Mapping[str, Any]) -> list[str]:
    return [
        *("@ARTIFACT@/files/amtool", "config", "routes", "test", f"--config.file=@RELEASE@/{CONFIGURATION}"),
        f"--verify.receivers={','.join(test['receivers'])}",
        *(f"{name}={quoted(value)}" for name, value in test["labels"].items()),
    ]


def _configuration(given: Mapping[str, Any]) -> str:
    templates = [item for _place, item in _items("templates", given["templates"])]
    # Alertmanager says which configuration it runs by a digest of this text alone; with these lines it tells of the templates too.
    digests = [f"# {item['name']} {hashlib.sha256(item['content'].encode()).hexdigest()}\n" for item in templates]
    watchdog = {
        "receiver": given["watchdog_receiver"] or NOBODY,
        "matchers": [str(Matcher("alertname", "=", WATCHDOG))],
        "group_by": ["environment"],
        **WATCHDOG_TIMES,
    }
    root = {"receiver": given["default_receiver"], "group_by": list(given["group_by"])}
    found = {
        "route": {**root, **{name: given[name] for name in TIMES}, "routes": [watchdog, *_routes(given["routes"])]},
        "inhibit_rules": [_inhibition(rule) for _place, rule in _items("", given["inhibitions"])],
        "time_intervals": [_mute_time(item) for _place, item in _items("", given["mute_times"])],
        "templates": [f"templates/{item['name']}" for item in templates],
        "receivers": [{"name": NOBODY}, *_receivers(given)],
    }
    return HEADER + "".join(digests) + yaml_text({name: value for name, value in found.items() if value})


def _routes(routes: Any) -> list[dict[str, Any]]:
    found = []
    for _place, route in _items("", routes):
        mine = {
            **route,
            "matchers": _matchers(route.get("matchers", ())),
            "routes": _routes(route.get("routes", ())),
        }
        told = {_ROUTE_NAMES.get(key, key): mine[key] for key in ROUTE_KEYS if mine.get(key)}
        # One that says nothing takes whatever is left, and YAML has no empty item.
        found.append(told or {"continue": False})
    return found


def _matchers(texts: Iterable[str]) -> list[str]:
    return [str(matcher(text)) for text in texts]


def _inhibition(rule: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "source_matchers": _matchers(rule["source"]),
        "target_matchers": _matchers(rule["target"]),
        "equal": list(rule["equal"]),
    }


def _mute_time(item: Mapping[str, Any]) -> dict[str, Any]:
    intervals = []
    for _place, interval in _items("", item["intervals"]):
        found: dict[str, Any] = {}
        if interval.get("times"):
            found["times"] = [dict(times) for times in interval["times"]]
        for key in _MEMBERS:
            if interval.get(key):
                found[key] = list(map(str, interval[key]))
        if "location" in interval:
            found["location"] = interval["location"]
        intervals.append(found)
    return {"name": item["name"], "time_intervals": intervals}


def _ways(given: Mapping[str, Any]) -> Iterator[tuple[str, str, str, dict[str, Any]]]:
    """Return each way to tell a receiver: the receiver, the kind of way, its tag in the names of secrets, and what was said of it."""
    for _place, item in _items("", given["receivers"]):
        for kind in RECEIVERS:
            for number, (_inner, way) in enumerate(_items("", item.get(kind, ()))):
                yield item["name"], kind, f"{item['name']}-{number}", dict(way)


def _secrets(given: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for _name, kind, tag, way in _ways(given):
        if kind == "email" and "password" in way:
            yield f"password-{tag}", way["password"]
        if kind == "slack":
            yield f"slack-{tag}", way["url"]
        if kind == "webhook" and way.get("secret"):
            yield f"webhook-{tag}", way["url"]
        if kind == "webhook" and "token" in way:
            yield f"token-{tag}", way["token"]


def _receivers(given: Mapping[str, Any]) -> list[dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {name: {"name": name} for name in _names(given)}
    for name, kind, tag, way in _ways(given):
        # The last thing a watchdog's receiver would be told is that all is well, when just that has ended.
        way.setdefault("send_resolved", name != given["watchdog_receiver"])
        found[name].setdefault(f"{kind}_configs", []).append(_RENDER[kind](way, tag))
    return list(found.values())


def _email(way: dict[str, Any], tag: str) -> dict[str, Any]:
    names = {"username": "auth_username", "password": "auth_password_file"}
    way = {**way, "password": f"{CREDENTIALS}/password-{tag}"} if "password" in way else way
    way = {"require_tls": True, **way}
    return {names.get(key, key): way[key] for key in RECEIVERS["email"] if key in way}


def _slack(way: dict[str, Any], tag: str) -> dict[str, Any]:
    told = {key: way[key] for key in RECEIVERS["slack"] if key in way and key != "url"}
    return {"api_url_file": f"{CREDENTIALS}/slack-{tag}", **told}


def _webhook(way: dict[str, Any], tag: str) -> dict[str, Any]:
    found: dict[str, Any] = {"url_file": f"{CREDENTIALS}/webhook-{tag}"} if way.get("secret") else {"url": way["url"]}
    if "token" in way:
        found["http_config"] = {"authorization": {"credentials_file": f"{CREDENTIALS}/token-{tag}"}}
    return {**found, **{key: way[key] for key in ("max_alerts", "send_resolved") if key in way}}


_RENDER: Mapping[str, Callable[[dict[str, Any], str], dict[str, Any]]] = {
    "email": _email,
    "slack": _slack,
    "webhook": _webhook,
}
