# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From one description of what is to be watched: the CloudWatch exporters' configurations, their cost and rights.

One exporter reads one region, so there is a configuration for each region that is named, and one for us-east-1 where
CloudFront is watched.

Cost (https://aws.amazon.com/cloudwatch/pricing/): 0.01 USD for 1000 requests of GetMetricStatistics or ListMetrics,
after a million requests a month that are free for the whole account, and 0.01 USD for 1000 metrics asked for by
GetMetricData, none of them free
(https://aws.amazon.com/premiumsupport/knowledge-center/cloudwatch-getmetricdata-api/). A month has 30 days here. The
estimate is an upper bound: AWS documents that up to five statistics of one metric in one request of GetMetricData are
charged once, but users of the exporter were charged for each (prometheus/cloudwatch_exporter, pull request 482).
"""

from __future__ import annotations

import itertools
import math
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Iterable, Iterator, Mapping, Sequence

from ..engine.errors import InputError
from .cloudwatch_metrics import GLOBAL_REGION, PRESETS, REGION, Preset, Wanted, only_in_global_region
from .cloudwatch_rules import (
    LOOKBACK,
    REGION_NAME,
    ROLE_ARN,
    RULE_KEYS,
    SETTINGS,
    Config,
    Rule,
    families,
    is_number,
    lists_metrics,
    matches,
    nearest,
    repeated,
    rule_faults,
    setting,
    setting_faults,
    shown,
    statistics,
    twice,
    unknown,
)

# What this collection sets. Without a cache each rule lists its metrics at each scrape; what is new is seen after the
# cache's time, so that is short.
OURS: Mapping[str, Any] = {**SETTINGS, "list_metrics_cache_ttl": 900, "warn_on_empty_list_dimensions": True}
# What the exporter takes up only when it starts: a reload keeps its clients.
CLIENT_KEYS = ("region", "role_arn")
# What may stand beside a rule, or a preset, in an entry of the description.
ENTRY_KEYS = ("regions", "resources")
RAW_KEYS = (*RULE_KEYS, *ENTRY_KEYS, "unlisted")
PRESET_KEYS = ("preset", "metrics", "select", "tags", *ENTRY_KEYS, *SETTINGS)

# In place of a region where none is named, so that the rest can be checked all the same.
NOWHERE = ""

FIRST_PORT = 9106

MOST_QUERIES = 500
MOST_LISTED = 500
# "100 metrics take 25 s" (prometheus/cloudwatch_exporter, issue 97): one request after another.
SECONDS_A_REQUEST = 0.25

PRICE = 0.01 / 1000
MONTH = 30 * 86400
FREE_REQUESTS = 1_000_000


# -- the description -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Description:
    """What is to be watched. Each entry of *watch* is a preset or a rule as the exporter itself takes it."""

    # The first four come from users: they are whatever users wrote, until description_faults() has nothing to say.
    watch: Any
    regions: Any = ()
    role_arn: Any = None
    settings: Any = field(default_factory=dict)
    scrape_interval: int = 60
    # Each Prometheus server asks, and pays, for itself.
    scrapers: int = 1
    free_requests: int = FREE_REQUESTS
    budget: float | None = None
    # Region to port; what users wrote, too.
    ports: Any = field(default_factory=dict)


@dataclass(frozen=True)
class Watched:
    """One rule of one region's exporter, where it was asked for, and how many sets of dimensions it finds."""

    where: str
    region: str
    rule: Rule
    resources: int = 1
    preset: bool = False
    unlisted: bool = False


@dataclass(frozen=True)
class Usage:
    """What one exporter asks of CloudWatch at each scrape; list_metrics as often as its cache allows."""

    series: int = 0
    get_metric_statistics: int = 0
    get_metric_data: int = 0
    get_metric_data_requests: int = 0
    list_metrics: float = 0.0

    def __add__(self, other: Usage) -> Usage:
        return Usage(*(mine + theirs for mine, theirs in zip(vars(self).values(), vars(other).values())))

    @property
    def requests(self) -> float:
        return self.get_metric_statistics + self.get_metric_data_requests + self.list_metrics


@dataclass(frozen=True)
class Cost:
    """A month. *list_price* is before, *usd* after what is free."""

    series: int
    get_metric_statistics: int
    get_metric_data: int
    list_metrics: int
    list_price: float
    usd: float


@dataclass(frozen=True)
class Plan:
    """All that follows from a description without faults."""

    configurations: Mapping[str, Config]
    ports: Mapping[str, int]
    families: Mapping[str, Sequence[str]]
    clients: Mapping[str, str]
    requests: Mapping[str, float]
    cost: Cost
    policies: Mapping[str, Any]
    summary: str


def plan(description: Description) -> Plan:
    """Make the configurations of all regions. Raises InputError with every fault of the description."""
    watched, faults = _checked(description)
    if faults:
        raise InputError(faults)
    configs = _configurations(description, watched)
    found = cost(description, watched)
    return Plan(
        configurations=configs,
        ports=_ports(description, watched),
        families={region: families(config) for region, config in configs.items()},
        clients={region: client(config) for region, config in configs.items()},
        requests={
            region: round(sum(usage(description, item).requests for item in watched if item.region == region), 3)
            for region in configs
        },
        cost=found,
        policies=policies(configs.values()),
        summary=_summary(found, configs),
    )


def ports(description: Description) -> dict[str, int]:
    """Return where the exporter of each region listens, also while the description has faults."""
    return _ports(description, _checked(description)[0])


def description_faults(description: Description) -> list[str]:
    """Return every fault of a description, each with where it is and what to do."""
    return _checked(description)[1]


def _checked(description: Description) -> tuple[list[Watched], list[str]]:
    faults = list(_frame_faults(description))
    watched: list[Watched] = []
    for number, entry in enumerate(_listed(description.watch)):
        found, wrong = _read(description, entry, f"watch[{number}]")
        watched += found
        faults += wrong
    settings = description.settings if isinstance(description.settings, Mapping) else {}
    for item in watched:
        config = {**OURS, **settings, "region": item.region}
        faults += [
            f"{item.where}: {_said(item, fault)}" for fault in rule_faults(item.rule, config, listed=not item.unlisted)
        ]
    faults += _port_faults(description.ports, _regions(watched))
    # An entry for several regions has the same fault in each.
    faults = list(dict.fromkeys(faults))
    for region in dict.fromkeys(item.region for item in watched):
        faults += twice((item.where, item.rule) for item in watched if item.region == region)
    if not faults:
        faults = [*_slow(description, watched), *_dear(description, watched)]
    return watched, faults


def _said(item: Watched, fault: str) -> str:
    """Name what is wrong as the entry names it: the keys of a preset are not those of the exporter."""
    if not item.preset:
        return fault
    return fault.replace("aws_tag_select: tag_selections", "tags").replace("aws_dimension_select:", "select:")


def _frame_faults(description: Description) -> Iterator[str]:
    if not _listed(description.watch):
        yield "watch: it must be a list of what is to be watched, with at least one entry"
    yield from _region_faults(description.regions, "regions")
    if description.role_arn is not None and not matches(ROLE_ARN, description.role_arn):
        yield f"role_arn: {shown(description.role_arn)} is not the ARN of a role: arn:aws:iam::123456789012:role/name"
    if not isinstance(description.settings, Mapping):
        yield "settings: it must be a mapping"
    else:
        yield from (f"settings: {fault}" for fault in unknown(description.settings, tuple(SETTINGS)))
        yield from (f"settings: {fault}" for fault in setting_faults(description.settings))
    if not is_number(description.scrape_interval) or not 10 <= description.scrape_interval <= LOOKBACK:
        yield (
            f"scrape_interval: {shown(description.scrape_interval)} is not between 10 and {LOOKBACK} seconds: Prometheus "
            f"shows a sample for {LOOKBACK} seconds, so a longer one leaves gaps"
        )
    if not is_number(description.scrapers) or description.scrapers < 1:
        yield f"scrapers: {shown(description.scrapers)} must be the number of Prometheus servers that scrape, 1 or more"
    if not is_number(description.free_requests) or description.free_requests < 0:
        yield f"free_requests: {shown(description.free_requests)} must be a number of requests a month, 0 or more"
    if description.budget is not None and (
        isinstance(description.budget, bool)
        or not isinstance(description.budget, (int, float))
        or not math.isfinite(description.budget)
        or description.budget < 0
    ):
        yield f"budget: {shown(description.budget)} must be a number of US dollars a month"


def _region_faults(regions: Any, where: str) -> Iterator[str]:
    if not isinstance(regions, (list, tuple)):
        yield f"{where}: it must be a list of regions such as [sa-east-1]"
        return
    for name in regions:
        if not matches(REGION_NAME, name):
            yield f"{where}: {shown(name)} is not a region such as sa-east-1"
    yield from (f"{where}: {name} stands there twice" for name in repeated(regions))


def _port_faults(given: Any, regions: Sequence[str]) -> Iterator[str]:
    if not isinstance(given, Mapping):
        yield f"ports: it must be a mapping of regions to ports, such as {{sa-east-1: {FIRST_PORT}}}"
        return
    for region, port in given.items():
        if region not in regions:
            yield f"ports: nothing is watched in {shown(region)}, so it needs no port{nearest(region, regions)}"
        if not is_number(port) or not 1024 <= port <= 65535:
            yield f"ports: {region}: {shown(port)} is not a port between 1024 and 65535"
    for port in dict.fromkeys(repeated(port for port in given.values() if is_number(port))):
        yield f"ports: {port} stands there twice; one process listens on one port"


def _regions(watched: Iterable[Watched]) -> list[str]:
    return [region for region in dict.fromkeys(item.region for item in watched) if region != NOWHERE]


def _ports(description: Description, watched: Iterable[Watched]) -> dict[str, int]:
    """Return the port of each region: as the description says, else the first from FIRST_PORT on that is free."""
    given = description.ports if isinstance(description.ports, Mapping) else {}
    free = (port for port in itertools.count(FIRST_PORT) if port not in given.values())
    return {region: given[region] if region in given else next(free) for region in _regions(watched)}


def _read(description: Description, entry: Any, where: str) -> tuple[list[Watched], list[str]]:
    """Turn one entry into rules; what the rules themselves have for faults is found later."""
    if not isinstance(entry, Mapping):
        return [], [f"{where}: it must be a mapping with 'preset' or 'aws_namespace', is {shown(entry)}"]
    is_preset = "preset" in entry
    if is_preset:
        where = f"{where} (preset {entry['preset']})"
    elif isinstance(entry.get("aws_metric_name"), str):
        where = f"{where} ({entry.get('aws_namespace')} {entry['aws_metric_name']})"
    faults = [f"{where}: {fault}" for fault in unknown(entry, PRESET_KEYS if is_preset else RAW_KEYS)]
    preset = PRESETS.get(entry["preset"]) if is_preset and isinstance(entry["preset"], str) else None
    if is_preset and preset is None:
        return [], [*faults, f"{where}: there is no such preset{nearest(entry['preset'], PRESETS)}"]
    resources = entry.get("resources")
    if resources is not None and (not is_number(resources) or resources < 1):
        faults.append(f"{where}: resources must be a whole number of 1 or more, is {shown(resources)}")
    if not isinstance(entry.get("unlisted", False), bool):
        faults.append(f"{where}: unlisted must be true or false, is {shown(entry['unlisted'])}")
    if "regions" in entry:
        faults += _region_faults(entry["regions"], f"{where}: regions")
    regions, wrong = _where_to_ask(description, entry, preset)
    faults += [f"{where}: {fault}" for fault in wrong]
    if preset is not None:
        wrong = [f"{where}: {fault}" for fault in _preset_faults(entry, preset)]
        if wrong:
            return [], [*faults, *wrong]
    rules = (
        [{key: entry[key] for key in RULE_KEYS if key in entry}]
        if preset is None
        else [_preset_rule(entry, preset, wanted) for wanted in preset.metrics if wanted.name in _chosen(entry, preset)]
    )
    found: list[Watched] = []
    needed = False
    for region in regions or [NOWHERE]:
        for rule in rules:
            there = _of_region(rule, region)
            known = combinations(there)
            needed = needed or known is None
            found.append(
                Watched(where, region, there, known or resources or 1, is_preset, entry.get("unlisted") is True)
            )
    if (
        needed
        and resources is None
        and not any(list(rule_faults(item.rule, {"region": item.region})) for item in found)
    ):
        faults.append(
            f"{where}: how many there are is not known, so neither is the cost: name all of them ("
            f"{'select' if is_preset else 'aws_dimension_select'} with a list for each dimension), or say how many to "
            "reckon with (resources)"
        )
    if not needed and resources is not None:
        faults.append(f"{where}: resources is of no use, all are named; remove it")
    return found, faults


def _where_to_ask(
    description: Description, entry: Mapping[str, Any], preset: Preset | None
) -> tuple[list[str], list[str]]:
    given = _listed(entry["regions"]) if "regions" in entry else None
    dimensions = entry.get("aws_dimensions")
    if preset is not None:
        only = preset.region
    else:
        known = dimensions if isinstance(dimensions, list) else ()
        only = GLOBAL_REGION if only_in_global_region(str(entry.get("aws_namespace")), known) else None
    if only is not None:
        if given not in (None, [only]):
            return [], [f"these metrics are in {only} only: remove 'regions'"]
        return [only], []
    # Those that are no regions are faults already.
    regions = [name for name in _listed(description.regions if given is None else given) if matches(REGION_NAME, name)]
    if regions or "regions" in entry or description.regions not in ([], ()):
        return regions, []
    return [], ["no region is named, neither here (regions) nor for all (regions of the description)"]


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (list, tuple)) else []


def _chosen(entry: Mapping[str, Any], preset: Preset) -> list[str]:
    return list(entry["metrics"]) if "metrics" in entry else [wanted.name for wanted in preset.metrics]


def _preset_faults(entry: Mapping[str, Any], preset: Preset) -> Iterator[str]:
    offered = [wanted.name for wanted in preset.metrics]
    chosen = entry.get("metrics", offered)
    if not isinstance(chosen, (list, tuple)) or not chosen:
        yield f"metrics must be a list of some of {', '.join(dict.fromkeys(offered))}"
    else:
        for name in chosen:
            if name not in offered:
                yield f"metrics: the preset has no {shown(name)}; a rule of its own can watch it{nearest(name, offered)}"
    dimensions = {name for wanted in preset.metrics for name in wanted.dimensions}
    select = entry.get("select", {})
    if not isinstance(select, Mapping):
        yield f"select must be a mapping of {', '.join(sorted(dimensions))} to lists of values"
    else:
        for name in select:
            if name not in dimensions:
                yield f"select: the preset has no dimension {shown(name)}{nearest(name, dimensions)}"
    tags = entry.get("tags", {})
    if not isinstance(tags, Mapping) or ("tags" in entry and not tags):
        yield "tags must be a mapping of tag keys to lists of values"


def _preset_rule(entry: Mapping[str, Any], preset: Preset, wanted: Wanted) -> Rule:
    given = {**preset.select, **entry.get("select", {})}
    select = {name: given[name] for name in wanted.dimensions if name in given}
    rule: Rule = {
        "aws_namespace": preset.namespace,
        "aws_metric_name": wanted.name,
        "aws_dimensions": list(wanted.dimensions),
    }
    if select:
        rule["aws_dimension_select"] = select
    if "tags" in entry:
        name = next(name for name in wanted.dimensions if name in preset.tagged)
        rule["aws_tag_select"] = {
            "resource_type_selection": preset.tagged[name].resource_type,
            "resource_id_dimension": name,
            "tag_selections": entry["tags"],
        }
        if preset.tagged[name].arn_regexp is not None:
            rule["aws_tag_select"]["arn_resource_id_regexp"] = preset.tagged[name].arn_regexp
    if wanted.statistics:
        rule["aws_statistics"] = list(wanted.statistics)
    if wanted.percentiles:
        rule["aws_extended_statistics"] = list(wanted.percentiles)
    rule.update({key: entry[key] for key in SETTINGS if key in entry})
    return rule


def _of_region(value: Any, region: str) -> Any:
    """Return a rule for one region, as plain data that shares nothing with any other."""
    if isinstance(value, Mapping):
        return {str(key): _of_region(item, region) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_of_region(item, region) for item in value]
    return region if value == REGION else value


def _configurations(description: Description, watched: Sequence[Watched]) -> dict[str, Config]:
    found: dict[str, Config] = {}
    for item in watched:
        if item.region not in found:
            found[item.region] = {"region": item.region}
            if description.role_arn is not None:
                found[item.region]["role_arn"] = description.role_arn
            found[item.region].update({**OURS, **description.settings}, metrics=[])
        found[item.region]["metrics"].append(item.rule)
    return found


# -- cost ----------------------------------------------------------------------------------------------------


def combinations(rule: Mapping[str, Any]) -> int | None:
    """Return the number of sets of dimensions that a rule asks for, None when only CloudWatch knows it."""
    if rule.get("aws_dimensions") is None:
        return 1
    if lists_metrics(rule):
        return None
    return math.prod(len(values) for values in rule["aws_dimension_select"].values())


def usage(description: Description, item: Watched, *, cached: bool = True) -> Usage:
    """Return what one rule asks of CloudWatch at each scrape, on average or, without the cache, at the first one."""
    settings = {**OURS, **description.settings}
    number = len(statistics(item.rule))
    by_data = bool(setting(item.rule, settings, "use_get_metric_data"))
    series = item.resources * number
    listed = 0.0
    if lists_metrics(item.rule):
        # A cached list is read again at the first scrape after its time is over.
        kept = setting(item.rule, settings, "list_metrics_cache_ttl") if cached else 0
        scrapes = max(1, math.ceil(kept / description.scrape_interval))
        listed = math.ceil(item.resources / MOST_LISTED) / scrapes
    return Usage(
        series=series,
        get_metric_statistics=0 if by_data else item.resources,
        get_metric_data=series if by_data else 0,
        get_metric_data_requests=math.ceil(series / MOST_QUERIES) if by_data else 0,
        list_metrics=listed,
    )


def cost(description: Description, watched: Iterable[Watched]) -> Cost:
    """Estimate a month of all exporters."""
    found = sum((usage(description, item) for item in watched), Usage())
    scrapes = MONTH / description.scrape_interval * description.scrapers
    requests = round(found.get_metric_statistics * scrapes)
    listed = round(found.list_metrics * scrapes)
    metrics = round(found.get_metric_data * scrapes)
    charged = max(0, requests + listed - description.free_requests)
    return Cost(
        series=found.series,
        get_metric_statistics=requests,
        get_metric_data=metrics,
        list_metrics=listed,
        list_price=round((requests + listed + metrics) * PRICE, 2),
        usd=round((charged + metrics) * PRICE, 2),
    )


def _slow(description: Description, watched: Sequence[Watched]) -> Iterator[str]:
    for region in dict.fromkeys(item.region for item in watched):
        # The cache is empty now and then, and a scrape must be over even so.
        asked = sum(usage(description, item, cached=False).requests for item in watched if item.region == region)
        seconds = asked * SECONDS_A_REQUEST
        if seconds > description.scrape_interval:
            yield (
                f"{region}: a scrape needs {asked:.0f} requests one after another, about {seconds:.0f} s, but there is a scrape every "
                f"{description.scrape_interval} s: set use_get_metric_data: true, name what is to be watched, or scrape less often"
            )


def _dear(description: Description, watched: Sequence[Watched]) -> Iterator[str]:
    found = cost(description, watched)
    if description.budget is None or found.usd <= description.budget:
        return
    free = replace(description, free_requests=0)
    parts = {
        where: cost(free, [item for item in watched if item.where == where]).usd
        for where in dict.fromkeys(item.where for item in watched)
    }
    dearest = sorted(parts.items(), key=lambda part: -part[1])[:3]
    yield (
        f"budget: about {found.usd:.2f} USD a month ({_words(found)}), more than the {description.budget:.2f} allowed. Most of it: "
        + ", ".join(f"{where} {usd:.2f}" for where, usd in dearest)
        + ". Watch less, scrape less often, name what is to be watched so that it need not be listed, or raise the budget"
    )


def _words(found: Cost) -> str:
    asked = {
        "GetMetricStatistics": found.get_metric_statistics,
        "metrics by GetMetricData": found.get_metric_data,
        "ListMetrics": found.list_metrics,
    }
    return f"{found.series} series: " + ", ".join(f"{number} {name}" for name, number in asked.items() if number)


def _summary(found: Cost, configs: Mapping[str, Config]) -> str:
    return f"{', '.join(configs)}: about {found.usd:.2f} USD a month ({_words(found)}; {found.list_price:.2f} without what is free)"


# -- rights ----------------------------------------------------------------------------------------------------


def actions(config: Mapping[str, Any]) -> list[str]:
    """Return the actions that a sound configuration needs, and no other."""
    found = set()
    for rule in config["metrics"]:
        by_data = setting(rule, config, "use_get_metric_data")
        found.add("cloudwatch:GetMetricData" if by_data else "cloudwatch:GetMetricStatistics")
        if lists_metrics(rule):
            found.add("cloudwatch:ListMetrics")
        if "aws_tag_select" in rule:
            found.add("tag:GetResources")
    return sorted(found)


def policies(configs: Iterable[Config]) -> dict[str, Any]:
    """Return the least policies: for the identity of the exporters' host, and for the role that they assume, if any.

    None of these actions can be limited to a resource, or to a namespace; they can be limited to regions.
    """
    regions: dict[tuple[str, ...], list[str]] = {}
    roles = []
    for config in configs:
        regions.setdefault(tuple(actions(config)), []).append(config["region"])
        if "role_arn" in config:
            roles.append(config["role_arn"])
    reading = _policy(
        {
            "Sid": f"ReadMetrics{number}",
            "Effect": "Allow",
            "Action": list(asked),
            "Resource": "*",
            "Condition": {"StringEquals": {"aws:RequestedRegion": sorted(there)}},
        }
        for number, (asked, there) in enumerate(sorted(regions.items()), start=1)
    )
    if not roles:
        return {"exporter": reading, "assumed_role": None}
    assuming = _policy(
        [
            {
                "Sid": "AssumeReader",
                "Effect": "Allow",
                "Action": ["sts:AssumeRole"],
                "Resource": sorted(set(roles)),
            }
        ]
    )
    return {"exporter": assuming, "assumed_role": reading}


def _policy(statements: Iterable[dict[str, Any]]) -> dict[str, Any]:
    return {"Version": "2012-10-17", "Statement": list(statements)}


# -- change ----------------------------------------------------------------------------------------------------


def client(config: Mapping[str, Any]) -> str:
    """Return, as text, what of a configuration an exporter takes up only when it starts."""
    return "".join(f"{key}={config.get(key) or ''}\n" for key in CLIENT_KEYS)


def change(old: Mapping[str, Any] | None, new: Mapping[str, Any] | None) -> str:
    """Say what brings an exporter from one configuration to another: none, start, stop, reload or restart."""
    if old is None or new is None:
        return "none" if old is new else "start" if old is None else "stop"
    if client(old) != client(new):
        return "restart"
    return "none" if old == new else "reload"


def changes(old: Mapping[str, Config], new: Mapping[str, Config]) -> dict[str, str]:
    """Say it for the exporters of all regions."""
    return {region: change(old.get(region), new.get(region)) for region in sorted({**old, **new})}


def as_data(found: Plan) -> dict[str, Any]:
    """Return a plan as plain data."""
    return {**vars(found), "cost": asdict(found.cost)}
