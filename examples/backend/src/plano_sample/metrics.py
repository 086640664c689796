"""What Prometheus reads at /metrics."""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.gc_collector import GCCollector
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.registry import Collector

from plano_sample._release import SCHEMA, VERSION

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from plano_sample.database import Pool
    from plano_sample.settings import ServeSettings

_METHODS: Final = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}


class ProcessUsage(Collector):
    """What the process uses, under the usual names.

    prometheus_client's own collector reads /proc/stat and falls silent in a unit with ProcSubset=pid.
    """

    def __init__(self) -> None:
        self._started = time.time()

    def collect(self) -> Iterator[Metric]:
        """Read the figures of this moment."""
        times = os.times()
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
        memory = pages * resource.getpagesize()
        yield CounterMetricFamily("process_cpu_seconds", "CPU time used.", times.user + times.system)
        yield GaugeMetricFamily("process_resident_memory_bytes", "Resident memory.", memory)
        yield GaugeMetricFamily(
            "process_open_fds", "Open file descriptors.", sum(1 for _descriptor in Path("/proc/self/fd").iterdir())
        )
        yield GaugeMetricFamily("process_max_fds", "Most it may open.", resource.getrlimit(resource.RLIMIT_NOFILE)[0])
        yield GaugeMetricFamily("process_start_time_seconds", "Start, in seconds since 1970.", self._started)


class Metrics:
    """The metrics of one process, in a registry of their own."""

    def __init__(self, settings: ServeSettings, pool: Pool) -> None:
        registry = self.registry = CollectorRegistry()
        registry.register(ProcessUsage())
        PlatformCollector(registry=registry)
        GCCollector(registry=registry)
        self.requests = Counter(
            "plano_sample_http_requests", "Requests answered.", ["method", "route", "status"], registry=registry
        )
        self.duration = Histogram(
            "plano_sample_http_request_duration_seconds",
            "Time from request to answer.",
            ["method", "route"],
            registry=registry,
        )
        self.in_progress = Gauge(
            "plano_sample_http_requests_in_progress", "Requests being answered.", registry=registry
        )
        self.imports = Counter("plano_sample_imports", "Imports by outcome.", ["outcome"], registry=registry)
        self.imported = Counter(
            "plano_sample_imported_clients", "Clients in accepted imports by change.", ["change"], registry=registry
        )
        self.distributions = Counter(
            "plano_sample_distributions", "Distributions by outcome.", ["outcome"], registry=registry
        )
        self.results = Counter("plano_sample_results", "Results of distributions.", registry=registry)
        # A counter that appears with its first event has no increase to alert on: let all of them start at 0.
        for outcome in ("accepted", "rejected", "failed"):
            self.imports.labels(outcome)
            self.distributions.labels(outcome)
        for change in ("inserted", "updated", "unchanged"):
            self.imported.labels(change)
        connections = Gauge(
            "plano_sample_database_pool", "Connections and waiting requests of the pool.", ["state"], registry=registry
        )
        for state, key in (("open", "pool_size"), ("idle", "pool_available"), ("waiting", "requests_waiting")):
            connections.labels(state).set_function(lambda key=key: pool.get_stats().get(key, 0))  # type: ignore[misc]
        Gauge(
            "plano_sample_build_info",
            "Always 1; the labels tell what runs.",
            ["version", "schema", "release", "artifact_sha256"],
            registry=registry,
        ).labels(VERSION, SCHEMA, settings.release, settings.artifact_sha256).set(1)

    def text(self) -> bytes:
        """All metrics in Prometheus' text format."""
        return generate_latest(self.registry)


class Observed:
    """ASGI middleware: count and time every request by its route, never by its path, whose values have no end."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self.app = app
        self.metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on and look at the status of its answer."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        status = 500

        async def observed(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        started = time.perf_counter()
        try:
            with self.metrics.in_progress.track_inprogress():
                await self.app(scope, receive, observed)
        finally:
            method = scope["method"] if scope["method"] in _METHODS else "other"
            route = getattr(scope.get("route"), "path", "unmatched")
            self.metrics.requests.labels(method, route, str(status)).inc()
            self.metrics.duration.labels(method, route).observe(time.perf_counter() - started)
