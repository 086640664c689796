"""Where moto answers otherwise than CloudWatch, and an exporter would notice: CloudWatch's answer instead.

moto 5.2.5 takes a metric with further dimensions for the one asked for, lists a metric with two dimensions once for
each sample, knows no percentiles, counts periods from the first sample, and refuses nothing. What CloudWatch does is
read from its API reference (ListMetrics, GetMetricStatistics, GetMetricData).
"""

from __future__ import annotations

import datetime
import math
import re
from collections.abc import Iterable
from typing import Any

from moto.cloudwatch.exceptions import InvalidParameterCombination, InvalidParameterValue
from moto.cloudwatch.models import CloudWatchBackend, Statistics
from moto.cloudwatch.responses import CloudWatchResponse
from moto.core.responses import ActionResult
from moto.iam.access_control import IAMRequestBase

STATISTICS = ("SampleCount", "Average", "Sum", "Minimum", "Maximum")
PERCENTILE = re.compile(r"p(\d{1,3}(?:\.\d+)?)$")
SHORT_PERIODS = (1, 5, 10, 20, 30)
MOST_POINTS = 1440
PREFIXES = {"monitoring": "cloudwatch", "tagging": "tag"}
_permitted = IAMRequestBase.check_action_permitted


def _dimensions(given: Iterable[dict[str, str]]) -> frozenset[tuple[str, str]]:
    return frozenset((item["Name"], item["Value"]) for item in given)


def _own(datum: Any) -> frozenset[tuple[str, str]]:
    return frozenset((item.name, item.value) for item in datum.dimensions)


def percentile(values: Iterable[float], name: str) -> float:
    ranked = sorted(values)
    wanted = float(PERCENTILE.match(name).group(1))
    return ranked[max(0, math.ceil(wanted / 100 * len(ranked)) - 1)]


def value_of(found: Statistics, name: str) -> float:
    """Return a statistic of a period, an extended one too."""
    if PERCENTILE.match(name):
        return percentile(found.metric_single_values_list, name)
    return float(found.get_statistics_for_type(name))


def refuse(
    start: datetime.datetime, end: datetime.datetime, period: int, plain: list[str], extended: list[str]
) -> None:
    """Raise what CloudWatch answers to a question that it does not accept."""
    if bool(plain) == bool(extended):
        raise InvalidParameterCombination("Must specify either Statistics or ExtendedStatistics, but not both")
    for name in plain:
        if name not in STATISTICS:
            raise InvalidParameterValue(f"The value {name} for parameter Statistics is not supported.")
    for name in extended:
        if not PERCENTILE.match(name) or float(PERCENTILE.match(name).group(1)) > 100:
            raise InvalidParameterValue(f"The value {name} for parameter ExtendedStatistics is not supported.")
    if start >= end:
        raise InvalidParameterValue("The parameter StartTime must be less than the parameter EndTime.")
    if period not in SHORT_PERIODS and (period < 1 or period % 60):
        raise InvalidParameterValue(f"The parameter Period must be a multiple of 60, is {period}.")
    if (end - start).total_seconds() / period > MOST_POINTS:
        raise InvalidParameterCombination(f"You have requested more than {MOST_POINTS} datapoints; raise the Period.")


def periods(
    backend: CloudWatchBackend,
    metric: tuple[str, str, frozenset[tuple[str, str]]],
    start: datetime.datetime,
    end: datetime.datetime,
    period: int,
    statistics: list[str],
) -> list[Statistics]:
    """Return the periods that begin between *start* and *end* and have samples, the oldest first."""
    found: dict[int, Statistics] = {}
    for datum in backend.get_all_metrics():
        if (datum.namespace, datum.name, _own(datum)) != metric:
            continue
        begin = int(datum.timestamp.timestamp()) // period * period
        stamp = datetime.datetime.fromtimestamp(begin, datetime.timezone.utc).replace(tzinfo=start.tzinfo)
        if start <= stamp < end:
            one = found.setdefault(begin, Statistics(statistics, stamp, datum.unit))
            one.metric_data.append(datum)
    return [found[begin] for begin in sorted(found)]


def get_metric_statistics(self: CloudWatchResponse) -> ActionResult:
    plain, extended = self._get_param("Statistics", []), self._get_param("ExtendedStatistics", [])
    start, end, period = self._get_param("StartTime"), self._get_param("EndTime"), self._get_int_param("Period")
    refuse(start, end, period, plain, extended)
    name = self._get_param("MetricName")
    metric = (self._get_param("Namespace"), name, _dimensions(self._get_param("Dimensions", [])))
    found = periods(self.cloudwatch_backend, metric, start, end, period, plain)
    for one in found:
        one.extended_statistics = {name: value_of(one, name) for name in extended} or None
    return ActionResult({"Label": name, "Datapoints": found})


def get_metric_data(
    self: CloudWatchBackend,
    queries: list[dict[str, Any]],
    start_time: datetime.datetime,
    end_time: datetime.datetime,
    scan_by: str = "TimestampDescending",
) -> list[dict[str, Any]]:
    results = []
    for query in queries:
        asked = query["MetricStat"]
        stat, period, metric = asked["Stat"], int(asked["Period"]), asked["Metric"]
        extended = bool(PERCENTILE.match(stat))
        refuse(start_time, end_time, period, [] if extended else [stat], [stat] if extended else [])
        named = (metric["Namespace"], metric["MetricName"], _dimensions(metric.get("Dimensions", [])))
        found = periods(self, named, start_time, end_time, period, [] if extended else [stat])
        if scan_by == "TimestampDescending":
            found.reverse()
        results.append(
            {
                "id": query["Id"],
                "label": query.get("Label") or metric["MetricName"],
                "values": [value_of(one, stat) for one in found],
                "timestamps": [one.timestamp for one in found],
                "status_code": "Complete",
            }
        )
    return results


def get_filtered_metrics(
    self: CloudWatchBackend, metric_name: str, namespace: str, dimensions: list[dict[str, str]]
) -> list[Any]:
    """List each metric once that has at least the *dimensions* asked for, whatever their values if none is given."""
    found: dict[tuple[str, str, frozenset[tuple[str, str]]], Any] = {}
    for datum in self.get_all_metrics():
        if namespace not in (None, datum.namespace) or metric_name not in (None, datum.name):
            continue
        own = dict(_own(datum))
        if all(item["Name"] in own and item.get("Value") in (None, own[item["Name"]]) for item in dimensions):
            found.setdefault((datum.namespace, datum.name, _own(datum)), datum)
    return list(found.values())


def check_action_permitted(self: IAMRequestBase, resource: str) -> None:
    """Look for the action by the name that policies have for it, which is not that of the signature."""
    service, _colon, action = self._action.partition(":")
    self._action = f"{PREFIXES.get(service, service)}:{action}"
    _permitted(self, resource)


def install() -> None:
    """Let every CloudWatch that moto runs in this process answer so."""
    CloudWatchResponse.get_metric_statistics = get_metric_statistics
    CloudWatchBackend.get_metric_data = get_metric_data
    CloudWatchBackend.get_filtered_metrics = get_filtered_metrics
    IAMRequestBase.check_action_permitted = check_action_permitted
    # Rights are what the tests are about; what was translated no longer has the signature it came with.
    IAMRequestBase.check_signature = lambda _request: None
