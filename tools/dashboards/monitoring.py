"""Who watches the watchers: targets, rules, storage, the way of an alert to a person, and what CloudWatch costs."""

from __future__ import annotations

from grafana_foundation_sdk.models import units
from grafana_foundation_sdk.models.dashboard import Dashboard

from .panels import (
    ANY,
    ANY_PAGES,
    STATE,
    STATE_PAGES,
    Column,
    Query,
    Section,
    above,
    board,
    figure,
    graph,
    host,
    listing,
    timeline,
    words,
)


def build() -> Dashboard:
    """Return the dashboard."""
    return board(
        "monitoring",
        "Monitoring of monitoring",
        "Who watches the watchers: targets, rules, storage, the way of an alert to a person, and what CloudWatch costs.",
        [
            Section(
                "",
                [
                    figure(
                        "Alerting works",
                        "Whether Watchdog fires, as it always must; without it no other alert can be believed to be silent.",
                        'max(ALERTS{@alert, alertname="Watchdog", alertstate="firing"})',
                        units.Short,
                        limits=STATE_PAGES,
                        mappings=words(_1="yes"),
                        alerts=("Watchdog",),
                    ),
                    figure(
                        "Targets down",
                        "Exporters and services that do not answer Prometheus; their alerts are blind.",
                        "sum(1 - up{@host})",
                        units.Short,
                        limits=ANY,
                        alerts=("TargetDown", "JobMissing"),
                    ),
                    figure(
                        "Configuration loaded",
                        "Whether the last reload of Prometheus and of Alertmanager took; no means that an old one is in use.",
                        """
                        min(
                          prometheus_config_last_reload_successful{@host}
                          or alertmanager_config_last_reload_successful{@host}
                        )
                        """,
                        units.Short,
                        limits=STATE,
                        mappings=words(_1="yes", _0="no"),
                        alerts=("PrometheusReloadFailed", "AlertmanagerReloadFailed"),
                    ),
                    figure(
                        "Rules failing",
                        "Evaluations that failed within 15 minutes; a rule that fails gives no result, and an alert of it cannot fire.",
                        "sum(increase(prometheus_rule_evaluation_failures_total{@host}[15m]))",
                        units.Short,
                        limits=ANY,
                        alerts=("RulesFailing",),
                        decimals=0,
                    ),
                    figure(
                        "Messages lost",
                        "Notifications of 15 minutes that no attempt delivered; somebody was not told.",
                        "sum(increase(alertmanager_notifications_failed_total{@host}[15m]))",
                        units.Short,
                        limits=ANY_PAGES,
                        alerts=("NotificationsFailing",),
                        decimals=0,
                    ),
                    figure(
                        "CloudWatch a month",
                        "What its calls cost at the rate of the last 6 hours; the line is USD 50, or the budget of the inventory.",
                        "sum(plano:cloudwatch_cost:usd_per_month{@environment})",
                        units.Dollars,
                        limits=above(ticket=50),
                        alerts=("CloudWatchOverBudget", "CloudWatchScrapeError"),
                    ),
                ],
            ),
            Section(
                "Targets",
                [
                    timeline(
                        "Targets over time",
                        "Whether each target answered; a red bar is a time of which its metrics know nothing.",
                        Query("min by (job, host) (up{@host})", "{{job}} {{host}}"),
                        limits=STATE,
                        mappings=words(_1="up", _0="down"),
                        alerts=("TargetDown", "GrafanaDown"),
                        width=16,
                        height=10,
                    ),
                    listing(
                        "What does not answer",
                        "What does not answer now; empty is as it should be.",
                        {"job": "job", "host": "host", "instance": "instance"},
                        Column("down", "1 - up{@host} > 0", units.Short),
                        sort="job",
                        alerts=("TargetDown", "GrafanaDown"),
                        width=8,
                        height=10,
                    ),
                    graph(
                        "Time of a scrape",
                        "The slowest target of each job; above the line it is close to the timeout, beyond which it counts as down.",
                        Query('max by (job) (scrape_duration_seconds{@host, job!="cloudwatch"})', "{{job}}"),
                        units.Seconds,
                        limits=above(ticket=5),
                        alerts=("ScrapeSlow",),
                        width=6,
                    ),
                    graph(
                        "Samples of a scrape",
                        "Samples each job brings; a jump is a label with too many values, a fall is a collector that stopped.",
                        Query("sum by (job) (scrape_samples_post_metric_relabeling{@host})", "{{job}}"),
                        units.Short,
                        stacked=True,
                        width=6,
                    ),
                    graph(
                        "Samples rejected, within 15 minutes",
                        "Samples that were there twice, out of order or out of bounds; more than ten are a ticket.",
                        Query(
                            """
                            sum by (host) (
                              increase(prometheus_target_scrapes_sample_duplicate_timestamp_total{@host}[15m])
                              + increase(prometheus_target_scrapes_sample_out_of_order_total{@host}[15m])
                              + increase(prometheus_target_scrapes_sample_out_of_bounds_total{@host}[15m])
                            )
                            """,
                            "{{host}}",
                        ),
                        units.Short,
                        limits=above(ticket=10),
                        alerts=("SamplesRejected",),
                        width=6,
                    ),
                    graph(
                        "Exporters that see only a part",
                        "1 where node_exporter cannot read a textfile or postgres_exporter a view; alerts that stand on it are blind.",
                        [
                            Query("max by (host) (node_textfile_scrape_error{@host})", "{{host}} textfiles"),
                            Query(
                                """
                                max by (host) (
                                  pg_exporter_last_scrape_error{@host} or 1 - pg_scrape_collector_success{@host}
                                )
                                """,
                                "{{host}} PostgreSQL",
                            ),
                        ],
                        units.Short,
                        limits=ANY,
                        alerts=("TextfileUnreadable", "PostgresqlMetricsPartial"),
                        width=6,
                    ),
                ],
            ),
            Section(
                "Prometheus",
                [
                    graph(
                        "Series",
                        "Series in memory, which is what Prometheus' memory goes by; a steady rise is a label with too many values.",
                        Query("prometheus_tsdb_head_series{@host}", "{{host}}"),
                        units.Short,
                    ),
                    graph(
                        "Size on disk",
                        "Blocks and write-ahead log; it levels off after the retention time, else the disk fills up.",
                        [
                            Query("prometheus_tsdb_storage_blocks_bytes{@host}", "{{host}} blocks"),
                            Query("prometheus_tsdb_wal_storage_size_bytes{@host}", "{{host}} write-ahead log"),
                        ],
                        units.BytesIEC,
                        alerts=("PrometheusDiskFillsUp",),
                    ),
                    graph(
                        "Disk left where it runs",
                        "Share of free space of each file system of Prometheus' host; on a full disk it loses what it scrapes.",
                        Query(
                            """
                            plano:host_filesystem_free:ratio{@host}
                            and on (environment, host) up{@host, job="prometheus"}
                            """,
                            "{{host}} {{mountpoint}}",
                        ),
                        units.PercentUnit,
                        alerts=("PrometheusDiskFillsUp",),
                        high=1,
                    ),
                    graph(
                        "Time to evaluate a group of rules",
                        "Time each group takes; near the interval of 15 s evaluations are skipped.",
                        Query(
                            """
                            max by (rule_group) (label_replace(
                              prometheus_rule_group_last_duration_seconds{@host}, "rule_group", "$1", "rule_group", ".+;(.+)"
                            ))
                            """,
                            "{{rule_group}}",
                        ),
                        units.Seconds,
                        alerts=("RulesFailing",),
                    ),
                    graph(
                        "Errors of storage, within 3 hours",
                        "Compactions and reloads that failed, and damage found in the write-ahead log; any is a ticket.",
                        Query(
                            """
                            sum by (host) (
                              increase(prometheus_tsdb_compactions_failed_total{@host}[3h])
                              + increase(prometheus_tsdb_reloads_failures_total{@host}[3h])
                              + prometheus_tsdb_wal_corruptions_total{@host}
                            )
                            """,
                            "{{host}}",
                        ),
                        units.Short,
                        limits=above(ticket=0),
                        alerts=("PrometheusStorageFailing",),
                    ),
                    graph(
                        "Memory of the monitoring",
                        "Memory that Prometheus, Alertmanager and the others hold; the host's is what is left for queries.",
                        Query(
                            """
                            max by (job, host) (
                              process_resident_memory_bytes{@host, job=~"prometheus|alertmanager|grafana|cloudwatch"}
                            )
                            """,
                            "{{job}} {{host}}",
                        ),
                        units.BytesIEC,
                    ),
                ],
            ),
            Section(
                "From an alert to a person",
                [
                    graph(
                        "Alerts that fire, by severity",
                        "How many alerts fire; info is Watchdog and context, pages and tickets should come and go.",
                        Query('count by (severity) (ALERTS{@alert, alertstate="firing"})', "{{severity}}"),
                        units.Short,
                        stacked=True,
                    ),
                    graph(
                        "Handed over to Alertmanager",
                        "Alerts sent and dropped each second; a dropped one is heard of by nobody.",
                        [
                            Query(
                                "sum by (host) (rate(prometheus_notifications_sent_total{@host}[$__rate_interval]))",
                                "{{host}} sent",
                            ),
                            Query(
                                "sum by (host) (rate(prometheus_notifications_dropped_total{@host}[$__rate_interval]))",
                                "{{host}} dropped",
                            ),
                        ],
                        units.CountsPerSecond,
                        alerts=("PrometheusAlertsNotDelivered",),
                    ),
                    graph(
                        "Messages by way, within an hour",
                        "Notifications tried and lost by each way to people that was used; lost ones are a page by another way.",
                        [
                            Query(
                                "sum by (integration) (increase(alertmanager_notifications_total{@host}[1h])) > 0",
                                "{{integration}} tried",
                            ),
                            Query(
                                "sum by (integration) (increase(alertmanager_notifications_failed_total{@host}[1h])) > 0",
                                "{{integration}} lost",
                            ),
                        ],
                        units.Short,
                        alerts=("NotificationsFailing",),
                    ),
                    graph(
                        "Silences",
                        "Silences active or still to come; one that is active long after its change hides what it should not.",
                        Query('sum by (state) (alertmanager_silences{@host, state!="expired"})', "{{state}}"),
                        units.Short,
                        width=24,
                        height=6,
                    ),
                ],
            ),
            Section(
                "CloudWatch",
                [
                    graph(
                        "Cost a month",
                        "What the calls cost at the rate of the last 6 hours, and the budget; above it for an hour is a ticket.",
                        [
                            Query("plano:cloudwatch_cost:usd_per_month{@environment}", "{{environment}}"),
                            Query(
                                "max by (environment) (plano_cloudwatch_budget_usd{@host})",
                                "{{environment}} budget",
                            ),
                        ],
                        units.Dollars,
                        limits=above(ticket=50),
                        alerts=("CloudWatchOverBudget",),
                        dashed="budget",
                    ),
                    graph(
                        "Calls",
                        "Calls a second by action; more lists than data means that resources should be named.",
                        # Read once a minute or less, while $__rate_interval reckons with the other targets' 15 seconds.
                        Query("sum by (action) (rate(cloudwatch_requests_total{@host}[20m]))", "{{action}}"),
                        units.RequestsPerSecond,
                        alerts=("CloudWatchOverBudget",),
                    ),
                    graph(
                        "Errors and time of a scrape",
                        "Whether the exporter of each region reads only a part (1), and how long a scrape takes; near its interval it is lost.",
                        [
                            Query("cloudwatch_exporter_scrape_error{@host}", "{{region}} error"),
                            Query("cloudwatch_exporter_scrape_duration_seconds{@host}", "{{region}} seconds"),
                        ],
                        units.Seconds,
                        alerts=("CloudWatchScrapeError",),
                    ),
                ],
            ),
        ],
        variables=[host("up{@environment}")],
    )
