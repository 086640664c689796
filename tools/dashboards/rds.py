"""RDS by CloudWatch: every value is 10 to 15 minutes late, so each is the last of 20 minutes."""

from __future__ import annotations

from grafana_foundation_sdk.models import units
from grafana_foundation_sdk.models.dashboard import Dashboard

from .panels import Query, Section, above, below, board, figure, graph, variable

GIB = 1024**3
MIB = 1024**2


def of_rds(name: str) -> str:
    """Return a shared name of the RDS instances alone: those CloudWatch has heard of within a day."""
    return f"""
        {name}{{@database}}
        and on (environment, database) label_replace(
          last_over_time(aws_rds_cpuutilization_average{{@instance}}[1d]), "database", "$1", "dbinstance_identifier", "(.+)"
        )
    """


def build() -> Dashboard:
    """Return the dashboard."""
    return board(
        "rds",
        "RDS",
        "Managed databases as CloudWatch sees them, 10 to 15 minutes late: capacity, not emergencies.",
        [
            Section(
                "",
                [
                    figure(
                        "Instances not heard of",
                        "Instances that reported within a day and not within 20 minutes: stopped, or CloudWatch or its exporter is in trouble.",
                        """
                        count(last_over_time(aws_rds_cpuutilization_average{@instance}[1d]))
                        - (
                          count(last_over_time(aws_rds_cpuutilization_average{@instance}[20m]))
                          or 0 * count(last_over_time(aws_rds_cpuutilization_average{@instance}[1d]))
                        )
                        """,
                        units.Short,
                        limits=above(ticket=1),
                        alerts=("RdsNoData",),
                    ),
                    figure(
                        "CPU in use",
                        "The busiest instance; beyond 90 % for half an hour every query waits for its turn.",
                        f"max({of_rds('plano:database_cpu:ratio')})",
                        units.PercentUnit,
                        limits=above(ticket=0.9),
                        alerts=("DatabaseCpuHigh",),
                    ),
                    figure(
                        "Connections used",
                        "The highest share of the connections allowed, which the inventory has to tell (plano_database_connections_limit).",
                        f"max({of_rds('plano:database_connections:ratio')})",
                        units.PercentUnit,
                        limits=above(ticket=0.8, page=0.95),
                        alerts=("DatabaseConnectionsHigh", "DatabaseConnectionsExhausted"),
                    ),
                    figure(
                        "Least disk left",
                        "The least free storage of any instance; without any RDS refuses writes.",
                        f"min({of_rds('plano:database_disk_free:bytes')})",
                        units.BytesIEC,
                        limits=below(ticket=5 * GIB, page=GIB),
                        alerts=("DatabaseDiskLow", "DatabaseDiskFull", "DatabaseDiskFillsUp"),
                    ),
                    figure(
                        "Least memory left",
                        "The least memory of any instance that can be had without swapping.",
                        f"min({of_rds('plano:database_memory_available:bytes')})",
                        units.BytesIEC,
                        limits=below(ticket=100 * MIB),
                        alerts=("DatabaseMemoryLow",),
                    ),
                    figure(
                        "Slowest disk",
                        "Time of one read or write on the slowest instance; a healthy gp3 volume needs 1 to 2 ms.",
                        "max(plano:rds_latency:seconds{@database})",
                        units.Seconds,
                        limits=above(ticket=0.02),
                        alerts=("RdsLatencyHigh",),
                    ),
                ],
            ),
            Section(
                "Load",
                [
                    graph(
                        "CPU",
                        "CPU in use of each instance; it may touch the line, not stay there.",
                        Query(of_rds("plano:database_cpu:ratio"), "{{database}}"),
                        units.PercentUnit,
                        limits=above(ticket=0.9),
                        alerts=("DatabaseCpuHigh",),
                        high=1,
                    ),
                    graph(
                        "Connections",
                        "Open connections of each instance; compare with what its class allows.",
                        Query(of_rds("plano:database_connections:count"), "{{database}}"),
                        units.Short,
                        alerts=("DatabaseConnectionsHigh", "DatabaseConnectionsExhausted"),
                    ),
                    graph(
                        "Memory left",
                        "Memory that can be had without swapping; below the line RDS may restart the instance.",
                        Query(of_rds("plano:database_memory_available:bytes"), "{{database}}"),
                        units.BytesIEC,
                        limits=below(ticket=100 * MIB),
                        alerts=("DatabaseMemoryLow",),
                    ),
                ],
            ),
            Section(
                "Storage",
                [
                    graph(
                        "Disk left",
                        "Free storage of each instance; a steady fall tells the day it ends.",
                        Query(of_rds("plano:database_disk_free:bytes"), "{{database}}"),
                        units.BytesIEC,
                        limits=below(ticket=5 * GIB, page=GIB),
                        alerts=("DatabaseDiskLow", "DatabaseDiskFull", "DatabaseDiskFillsUp"),
                    ),
                    graph(
                        "Time of a read and a write",
                        "How long the volume takes, on average; above the line for 15 minutes it is the bottleneck.",
                        Query("plano:rds_latency:seconds{@database}", "{{database}} {{operation}}"),
                        units.Seconds,
                        limits=above(ticket=0.02),
                        alerts=("RdsLatencyHigh",),
                    ),
                    graph(
                        "Waiting for the disk",
                        "Reads and writes that wait for the volume; above the line more is asked of it than it does.",
                        Query("plano:rds_queue_depth:count{@database}", "{{database}}"),
                        units.Short,
                        limits=above(ticket=16),
                        alerts=("RdsQueueDeep",),
                    ),
                    graph(
                        "Reads and writes",
                        "Operations a second; a flat top is the limit of the volume or of the instance class.",
                        [
                            Query(
                                "last_over_time(aws_rds_read_iops_average{@instance}[20m])",
                                "{{dbinstance_identifier}} read",
                            ),
                            Query(
                                "last_over_time(aws_rds_write_iops_average{@instance}[20m])",
                                "{{dbinstance_identifier}} write",
                            ),
                        ],
                        units.IOOpsPerSecond,
                    ),
                    graph(
                        "Write-ahead log kept",
                        "Log that cannot be removed yet; growth means a replication slot nobody reads or a replica far behind.",
                        Query(of_rds("plano:database_wal:bytes"), "{{database}}"),
                        units.BytesIEC,
                        limits=above(ticket=10 * GIB),
                        alerts=("DatabaseWalGrows",),
                    ),
                    graph(
                        "Transaction ids used",
                        "Transactions since the oldest row was frozen; vacuum begins at 200 million, and at 2.1 billion nothing is written.",
                        Query(of_rds("plano:database_transaction_age:count"), "{{database}}"),
                        units.Short,
                        limits=above(ticket=1_000_000_000),
                        alerts=("DatabaseWraparoundNear",),
                    ),
                ],
            ),
            Section(
                "Credits and replicas",
                [
                    graph(
                        "CPU credits left",
                        "Minutes of a full CPU a burstable instance may still use; without any it falls to a fraction of its speed.",
                        Query("plano:rds_cpu_credits:count{@database}", "{{database}}"),
                        units.Short,
                        limits=below(ticket=30),
                        alerts=("RdsCpuCreditsLow",),
                    ),
                    graph(
                        "Burst left of the disk",
                        "Burst left to a gp2 volume, gp3 has none; without any it falls to 3 operations a second for each GiB.",
                        Query("plano:rds_burst_balance:ratio{@database}", "{{database}}"),
                        units.PercentUnit,
                        limits=below(ticket=0.2),
                        alerts=("RdsBurstBalanceLow",),
                        high=1,
                    ),
                    graph(
                        "Replica lag",
                        "How far each replica is behind, -1 while it does not replicate at all; empty without replicas.",
                        Query(
                            "last_over_time(aws_rds_replica_lag_average{@instance}[20m])", "{{dbinstance_identifier}}"
                        ),
                        units.Seconds,
                        limits=above(ticket=60),
                        alerts=("DatabaseReplicationLag", "RdsReplicationStopped"),
                        low=None,
                    ),
                ],
            ),
        ],
        variables=[
            variable(
                "database",
                "label_values(aws_rds_cpuutilization_average{@environment}, dbinstance_identifier)",
                "Instance",
                "RDS instances of the environments chosen.",
            )
        ],
        since="now-12h",
    )
