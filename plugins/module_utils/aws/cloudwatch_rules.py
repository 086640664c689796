# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What one CloudWatch exporter may be told: its settings, rules and names, and every fault of a configuration.

The exporter checks next to nothing: it ignores a key it does not know, finds a wrong statistic at the first scrape, and
drops every rule after it. So everything is checked here, where it can still be refused.
"""

from __future__ import annotations

import difflib
import re
from typing import Any, Dict, Iterable, Iterator, Mapping, Sequence

from .cloudwatch_metrics import (
    CLOUDFRONT,
    GLOBAL_REGION,
    GLOBAL_VALUE,
    NAMESPACES,
    WAF,
    Namespace,
    only_in_global_region,
)

# One exporter's configuration, and one entry of its 'metrics', as the exporter reads them.
Config = Dict[str, Any]
Rule = Dict[str, Any]

STATISTICS = ("Sum", "SampleCount", "Minimum", "Maximum", "Average")

# What may be set for the whole exporter and for a single rule, and what the exporter takes where it is not.
SETTINGS: Mapping[str, Any] = {
    "period_seconds": 60,
    "range_seconds": 600,
    "delay_seconds": 600,
    "set_timestamp": True,
    "use_get_metric_data": False,
    "list_metrics_cache_ttl": 0,
    "warn_on_empty_list_dimensions": False,
}
GLOBAL_KEYS = ("region", "role_arn", "metrics", *SETTINGS)
RULE_KEYS = (
    "aws_namespace",
    "aws_metric_name",
    "aws_dimensions",
    "aws_dimension_select",
    "aws_dimension_select_regex",
    "aws_tag_select",
    "aws_statistics",
    "aws_extended_statistics",
    "help",
    *SETTINGS,
)
TAG_KEYS = ("resource_type_selection", "resource_id_dimension", "tag_selections", "arn_resource_id_regexp")
REGION_NAME = re.compile(r"[a-z]{2,}(-[a-z]+)+-\d")
ROLE_ARN = re.compile(r"arn:aws[a-z-]*:iam::\d{12}:role/[\w+=,.@/-]+")
_PERCENTILE = re.compile(r"p(\d{1,2}(\.\d{1,2})?|100)")
# Java knows more than Python's re: what has any of these is left to Java.
_ONLY_JAVA = re.compile(r"\\[pPQEGRXhHkzZ]|\[[^\]]*(&&|\[)|[*+?}]\+|\(\?<[a-zA-Z]")

# The short ones are for metrics of high resolution, which no service of AWS publishes.
SHORT_PERIODS = (1, 5, 10, 20, 30)
MOST_POINTS = 1440
MOST_EXTENDED = 10
# Java reckons the two in milliseconds, in 32 bits.
MOST_BACK = (2**31 - 1) // 1000
# For how long CloudWatch keeps points of at least such a period.
KEPT = ((3600, 455 * 86400), (300, 63 * 86400), (60, 15 * 86400), (1, 3 * 3600))
# Prometheus refuses a sample that is older than about an hour; it shows one for five minutes.
OLDEST_SAMPLE = 3600
LOOKBACK = 300
# A longer period is one that a service writes once, not one that fills up.
LONGEST_FILLED = 3600

# -- faults ----------------------------------------------------------------------------------------------------


def configuration_faults(config: Any) -> list[str]:
    """Return every fault of what one exporter is to read, each with where it is and what to do."""
    if not isinstance(config, Mapping):
        return [f"the configuration must be a mapping, is {shown(config)}"]
    faults = list(unknown(config, GLOBAL_KEYS))
    if "region" not in config:
        faults.append("region is missing: name it, or the exporter takes what the machine happens to say")
    elif not matches(REGION_NAME, config["region"]):
        faults.append(f"region: {shown(config['region'])} is not a region such as sa-east-1")
    if "role_arn" in config and not matches(ROLE_ARN, config["role_arn"]):
        faults.append(
            f"role_arn: {shown(config['role_arn'])} is not the ARN of a role: arn:aws:iam::123456789012:role/name"
        )
    faults += setting_faults(config)
    rules = config.get("metrics")
    if not isinstance(rules, (list, tuple)) or not rules:
        return [*faults, "metrics must be a list of rules, with at least one"]
    placed = []
    for number, rule in enumerate(rules):
        where = f"metrics[{number}]"
        if isinstance(rule, Mapping):
            where += f" ({rule.get('aws_namespace')} {rule.get('aws_metric_name')})"
            placed.append((where, rule))
        faults += [f"{where}: {fault}" for fault in rule_faults(rule, config)]
    return [*faults, *twice(placed)]


def rule_faults(rule: Any, config: Mapping[str, Any], *, listed: bool = True) -> Iterator[str]:
    """Return every fault of one rule below the settings of *config*.

    With *listed* a metric of a namespace that this collection knows must be one that it knows.
    """
    if not isinstance(rule, Mapping):
        yield f"a rule must be a mapping, is {shown(rule)}"
        return
    yield from unknown(rule, RULE_KEYS)
    for key in ("aws_namespace", "aws_metric_name"):
        if key not in rule:
            yield f"{key} is missing"
        elif not isinstance(rule[key], str) or not rule[key].strip():
            yield f"{key} must be a name, is {shown(rule[key])}"
    if "help" in rule and (not isinstance(rule["help"], str) or not rule["help"].strip() or "\n" in rule["help"]):
        yield "help must be one line of text"
    yield from _dimension_faults(rule)
    yield from _statistics_faults(rule, config)
    yield from setting_faults(rule)
    yield from _time_faults(rule, config)
    if listed:
        yield from _catalog_faults(rule)
    yield from _scope_faults(rule, config.get("region"))


def setting_faults(given: Mapping[str, Any]) -> Iterator[str]:
    for key, standard in SETTINGS.items():
        value = given.get(key, standard)
        if isinstance(standard, bool):
            if not isinstance(value, bool):
                yield f"{key} must be true or false, is {shown(value)}"
        elif not is_number(value):
            yield f"{key} must be a whole number of seconds, is {shown(value)}"
        elif value < 0:
            yield f"{key} must not be negative, is {value}"


def _dimension_faults(rule: Mapping[str, Any]) -> Iterator[str]:
    dimensions = rule.get("aws_dimensions")
    if "aws_dimensions" in rule:
        if not names(dimensions):
            yield f"aws_dimensions must be a list of names, is {shown(dimensions)}"
            dimensions = []
        elif not dimensions:
            yield "aws_dimensions is empty, which lists every set of dimensions: leave it out for a metric without any"
        yield from (f"aws_dimensions: {name} stands there twice" for name in repeated(dimensions or ()))
        for name in dimensions or ():
            if label(name) in ("job", "instance"):
                yield (
                    f"aws_dimensions: {name} becomes the label {label(name)}, which the exporter sets itself: Prometheus "
                    "refuses the whole scrape"
                )
    known = set(dimensions or ())
    both = "aws_dimension_select" in rule and "aws_dimension_select_regex" in rule
    if both:
        yield "aws_dimension_select and aws_dimension_select_regex exclude each other: keep one"
    for key in ("aws_dimension_select", "aws_dimension_select_regex"):
        if key in rule:
            yield from (f"{key}: {fault}" for fault in _select_faults(rule[key], known, regex=key.endswith("regex")))
    if "aws_tag_select" in rule:
        yield from (f"aws_tag_select: {fault}" for fault in _tag_faults(rule["aws_tag_select"], known))


def _select_faults(select: Any, known: set[str], *, regex: bool) -> Iterator[str]:
    if not isinstance(select, Mapping) or not select:
        yield f"it must be a mapping of dimensions to lists of values, is {shown(select)}"
        return
    for name, values in select.items():
        if name not in known:
            yield f"{shown(name)} is not among aws_dimensions{nearest(name, known)}"
        if not names(values) or not values:
            yield f"{name} must have a list of values, all of them text in quotes, is {shown(values)}"
            continue
        yield from (f"{name}: {shown(value)} stands there twice" for value in repeated(values))
        if regex:
            for value in values:
                yield from (f"{name}: {fault}" for fault in _regex_faults(value))


def _tag_faults(select: Any, known: set[str]) -> Iterator[str]:
    if not isinstance(select, Mapping):
        yield f"it must be a mapping, is {shown(select)}"
        return
    yield from unknown(select, TAG_KEYS)
    kind = select.get("resource_type_selection")
    if kind is None:
        yield "resource_type_selection is missing"
    elif not isinstance(kind, str) or ":" not in kind:
        yield f"resource_type_selection must be SERVICE:TYPE, such as rds:db, is {shown(kind)}"
    name = select.get("resource_id_dimension")
    if name is None:
        yield "resource_id_dimension is missing"
    elif name not in known:
        yield f"resource_id_dimension: {shown(name)} is not among aws_dimensions{nearest(name, known)}"
    if "tag_selections" in select:
        tags = select["tag_selections"]
        if not isinstance(tags, Mapping) or not tags:
            yield "tag_selections must be a mapping of tag keys to lists of values"
        else:
            for key, values in tags.items():
                if not isinstance(key, str) or not names(values):
                    yield (
                        f"tag_selections: {key} must have a list of values, all of them text in quotes, is {shown(values)}"
                    )
    if "arn_resource_id_regexp" in select:
        regexp = select["arn_resource_id_regexp"]
        yield from (f"arn_resource_id_regexp: {fault}" for fault in _regex_faults(regexp))
        if isinstance(regexp, str) and "(" not in regexp:
            yield "arn_resource_id_regexp: it needs a group (in parentheses) around what the dimension's value is"


def _regex_faults(pattern: Any) -> Iterator[str]:
    if not isinstance(pattern, str) or not pattern:
        yield f"it must be a regular expression, is {shown(pattern)}"
    elif not _ONLY_JAVA.search(pattern):
        try:
            re.compile(pattern)
        except re.error as exc:
            yield f"{shown(pattern)} is no regular expression: {exc}"


def _statistics_faults(rule: Mapping[str, Any], config: Mapping[str, Any]) -> Iterator[str]:
    if "aws_statistics" in rule:
        plain = rule["aws_statistics"]
        if not names(plain) or not plain:
            yield f"aws_statistics must be a list of some of {', '.join(STATISTICS)}, is {shown(plain)}"
        else:
            for name in plain:
                if name not in STATISTICS:
                    elsewhere = ": that goes into aws_extended_statistics" if _PERCENTILE.fullmatch(name) else ""
                    yield f"aws_statistics: there is no {name}{elsewhere or nearest(name, STATISTICS)}"
            yield from (f"aws_statistics: {name} stands there twice" for name in repeated(plain))
    if "aws_extended_statistics" in rule:
        extended = rule["aws_extended_statistics"]
        if not names(extended) or not extended:
            yield f"aws_extended_statistics must be a list of percentiles such as p95, is {shown(extended)}"
        else:
            for name in extended:
                if not _PERCENTILE.fullmatch(name):
                    elsewhere = (
                        ": that goes into aws_statistics"
                        if name in STATISTICS
                        else ": a percentile is p0 to p100, such as p95 or p99.9"
                    )
                    yield f"aws_extended_statistics: there is no {name}{elsewhere}"
            yield from (f"aws_extended_statistics: {name} stands there twice" for name in repeated(extended))
            if len(extended) > MOST_EXTENDED:
                yield f"aws_extended_statistics: CloudWatch gives {MOST_EXTENDED} at most, these are {len(extended)}"
    together = "aws_statistics" in rule and "aws_extended_statistics" in rule
    if together and not setting(rule, config, "use_get_metric_data"):
        yield (
            "aws_statistics and aws_extended_statistics in one rule: GetMetricStatistics refuses the request; make it two "
            "rules, or set use_get_metric_data: true"
        )


def _time_faults(rule: Mapping[str, Any], config: Mapping[str, Any]) -> Iterator[str]:
    period, span, delay = (setting(rule, config, f"{key}_seconds") for key in ("period", "range", "delay"))
    if not all(is_number(value) and value >= 0 for value in (period, span, delay)):
        return
    service = str(rule.get("aws_namespace")).startswith("AWS/")
    if period not in (() if service else SHORT_PERIODS) and (period < 60 or period % 60):
        yield f"period_seconds must be a multiple of 60, is {period}" + (
            "" if service else f"; metrics of high resolution may have {', '.join(map(str, SHORT_PERIODS))}"
        )
        return
    if span < period:
        yield (
            f"range_seconds {span} is shorter than period_seconds {period}: often no period begins within it; make it 2 periods "
            "or more"
        )
    if span / period > MOST_POINTS:
        yield (
            f"range_seconds {span} holds more than {MOST_POINTS} periods of {period} seconds: CloudWatch refuses it; shorten the "
            "range or lengthen the period"
        )
    if delay < period <= LONGEST_FILLED:
        yield (
            f"delay_seconds {delay} is shorter than period_seconds {period}: the newest period is not over when it is read, so "
            f"sums are too small; make the delay {period} or more"
        )
    if delay + span > MOST_BACK:
        yield (
            f"delay_seconds and range_seconds are {delay + span} together: the exporter cannot reckon with more than {MOST_BACK}"
        )
    kept = max(seconds for shortest, seconds in KEPT if period >= shortest)
    if delay + span > kept:
        yield (
            f"period_seconds {period}: CloudWatch keeps such points for {kept // 3600} hours, but delay and range go back "
            f"{(delay + span) // 3600}"
        )
    if setting(rule, config, "set_timestamp") is True and delay + period > OLDEST_SAMPLE:
        yield (
            f"delay_seconds {delay} and period_seconds {period}: samples are more than {OLDEST_SAMPLE} seconds old, which Prometheus "
            "refuses; set set_timestamp: false"
        )


def _catalog_faults(rule: Mapping[str, Any]) -> Iterator[str]:
    """CloudWatch answers a question about what does not exist with nothing, so ask only for what does."""
    name, metric = rule.get("aws_namespace"), rule.get("aws_metric_name")
    if not isinstance(name, str) or not isinstance(metric, str):
        return
    namespace = NAMESPACES.get(name)
    if namespace is None:
        alike = next((known for known in NAMESPACES if known.casefold() == name.casefold()), None)
        if alike:
            yield f"aws_namespace: there is no {name}; did you mean {alike}?"
        return
    known = namespace.metrics.get(metric)
    if known is None:
        yield (
            f"aws_metric_name: {name} has no {metric}{nearest(metric, namespace.metrics)} "
            "(one that AWS has added since can be watched with unlisted: true)"
        )
        return
    dimensions = rule.get("aws_dimensions", [])
    if names(dimensions):
        yield from _set_faults(name, namespace, metric, frozenset(dimensions))
    asked = rule.get("aws_statistics", [] if "aws_extended_statistics" in rule else list(STATISTICS))
    if known.statistics is not None and names(asked):
        wrong = [item for item in asked if item in STATISTICS and item not in known.statistics]
        right = [item for item in STATISTICS if item in known.statistics]
        if wrong:
            yield (
                f"aws_statistics: {', '.join(wrong)} of {metric} says nothing; ask for "
                f"{' or '.join(right) or 'percentiles (aws_extended_statistics)'}"
            )
    if not known.percentiles and rule.get("aws_extended_statistics"):
        yield f"aws_extended_statistics: there are no percentiles of {metric}"


def _set_faults(name: str, namespace: Namespace, metric: str, dimensions: frozenset[str]) -> Iterator[str]:
    strangers = sorted(dimensions - namespace.dimensions)
    if strangers and not namespace.open:
        for stranger in strangers:
            yield f"aws_dimensions: {name} has no dimension {stranger}{nearest(stranger, namespace.dimensions)}"
        return
    sets = namespace.metrics[metric].dimensions
    if sets is not None and not strangers and dimensions not in sets:
        right = " or ".join(sorted(f"[{', '.join(sorted(one))}]" for one in sets if one))
        yield f"aws_dimensions: there is no {metric} by [{', '.join(sorted(dimensions))}]; it must be exactly {right}"


def _scope_faults(rule: Mapping[str, Any], region: Any) -> Iterator[str]:
    """Find metrics that are elsewhere than where they are looked for."""
    name, dimensions = rule.get("aws_namespace"), rule.get("aws_dimensions", [])
    if not isinstance(name, str) or not names(dimensions) or not matches(REGION_NAME, region):
        return
    if region != GLOBAL_REGION and only_in_global_region(name, dimensions):
        what = "CloudFront" if name == CLOUDFRONT else "web ACLs without the dimension Region (scope CLOUDFRONT)"
        yield f"the metrics of {what} are in {GLOBAL_REGION} only, not in {region}"
    select = rule.get("aws_dimension_select")
    values = select.get("Region") if isinstance(select, Mapping) else None
    if names(values) and values:
        right = {CLOUDFRONT: GLOBAL_VALUE, WAF: region}.get(name)
        if right is not None and list(values) != [right]:
            yield f"aws_dimension_select: Region must be [{right}] there, is [{', '.join(values)}]"


def twice(rules: Iterable[tuple[str, Mapping[str, Any]]]) -> Iterator[str]:
    """Find rules that would print the same series twice; Prometheus drops one of them, whichever."""
    first: dict[tuple[str, frozenset[str]], str] = {}
    for where, rule in rules:
        if not isinstance(rule.get("aws_namespace"), str) or not isinstance(rule.get("aws_metric_name"), str):
            continue
        labels = frozenset(map(label, rule["aws_dimensions"])) if names(rule.get("aws_dimensions")) else frozenset()
        again = [name for name in dict.fromkeys(_family_names(rule)) if (name, labels) in first]
        if again:
            others = " and ".join(dict.fromkeys(first[name, labels] for name in again))
            yield f"{where}: {', '.join(again)} by [{', '.join(sorted(labels))}] is already exported by {others}; make it one rule"
        for name in _family_names(rule):
            first.setdefault((name, labels), where)


# -- names ----------------------------------------------------------------------------------------------------


def _snake(text: str) -> str:
    return re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", text).lower()


def _safe(text: str, allowed: str) -> str:
    return re.sub("__+", "_", re.sub(f"[^{allowed}]", "_", text))


def label(dimension: str) -> str:
    """Return the name of the label that the exporter makes of a dimension."""
    return _safe(_snake(dimension), "a-zA-Z0-9_")


def families(config: Mapping[str, Any]) -> list[str]:
    """Return the names of the metrics that the exporter makes of a sound configuration."""
    return sorted({name for rule in config["metrics"] for name in _family_names(rule)})


def _family_names(rule: Mapping[str, Any]) -> Iterator[str]:
    base = _safe(rule["aws_namespace"].lower() + "_" + _snake(rule["aws_metric_name"]), "a-zA-Z0-9:_")
    for statistic in statistics(rule):
        yield f"{base}_{_safe(_snake(statistic), 'a-zA-Z0-9:_')}"


def statistics(rule: Mapping[str, Any]) -> list[str]:
    """Return what a rule asks for, percentiles too."""
    extended = rule.get("aws_extended_statistics")
    plain = rule.get("aws_statistics", () if "aws_extended_statistics" in rule else STATISTICS)
    return [name for given in (plain, extended) if names(given) or isinstance(given, tuple) for name in given or ()]


def lists_metrics(rule: Mapping[str, Any]) -> bool:
    """Say whether the exporter must ask which metrics there are: unless all dimensions have all their values named."""
    dimensions, select = rule.get("aws_dimensions"), rule.get("aws_dimension_select")
    if dimensions is None:
        return False
    if "aws_tag_select" in rule or not isinstance(select, Mapping) or not names(dimensions):
        return True
    return set(select) != set(dimensions) or not all(names(values) for values in select.values())


# -- parts ----------------------------------------------------------------------------------------------------


def setting(rule: Mapping[str, Any], config: Mapping[str, Any], key: str) -> Any:
    return rule.get(key, config.get(key, SETTINGS[key]))


def unknown(given: Mapping[Any, Any], known: Sequence[str]) -> Iterator[str]:
    for key in given:
        if key not in known:
            yield f"unknown key {shown(key)}{nearest(key, known)}"


def nearest(name: Any, known: Iterable[str]) -> str:
    """Return a hint at the known name that was probably meant."""
    lower = {one.casefold(): one for one in known}
    meant = str(name).casefold()
    found = difflib.get_close_matches(meant, list(lower), n=1) or [
        one for one in lower if meant and one.startswith(meant)
    ]
    return f"; did you mean {lower[found[0]]}?" if found else ""


def shown(value: Any) -> str:
    text = repr(str(value)) if isinstance(value, str) else str(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def is_number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def matches(pattern: re.Pattern[str], value: Any) -> bool:
    return isinstance(value, str) and pattern.fullmatch(value) is not None


def names(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) and item for item in value)


def repeated(values: Iterable[Any]) -> list[Any]:
    """Return what stands there more than once."""
    given = list(values)
    return [value for number, value in enumerate(given) if value in given[:number]]
