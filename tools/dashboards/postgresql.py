"""PostgreSQL 15 to 18 by postgres_exporter; RDS too, in the panels of a name it shares."""

from __future__ import annotations

from grafana_foundation_sdk.models import units
from grafana_foundation_sdk.models.dashboard import Dashboard

from .panels import STATE_PAGES, Column, Query, Section, above, below, board, figure, graph, listing, variable, words

GIB = 1024**3
MIB = 1024**2
APPLICATION = 'datname!~"template.*"'
MOST_DEAD = "topk(10, max by (host, schemaname, relname) (pg_stat_user_tables_n_dead_tup{@server}))"


def build() -> Dashboard:
    """Return the dashboard."""
    return board(
        "postgresql",
        "PostgreSQL",
        "PostgreSQL 15 to 18, and RDS where it says the same: does it answer, what does it wait for, how long will its disk do.",
        [
            Section(
                "",
                [
                    figure(
                        "Answers",
                        "Whether every database chosen takes connections; down for a minute is a page.",
                        "min(plano:database_up{@database})",
                        units.Short,
                        limits=STATE_PAGES,
                        mappings=words(_1="up", _0="down"),
                        alerts=("PostgresqlDown",),
                    ),
                    figure(
                        "Connections used",
                        "The highest share of the connections allowed; a deploy needs room for old and new processes side by side.",
                        "max(plano:database_connections:ratio{@database})",
                        units.PercentUnit,
                        limits=above(ticket=0.8, page=0.95),
                        alerts=("DatabaseConnectionsHigh", "DatabaseConnectionsExhausted"),
                    ),
                    figure(
                        "CPU in use",
                        "The busiest database's machine; beyond 90 % for half an hour every query waits for its turn.",
                        "max(plano:database_cpu:ratio{@database})",
                        units.PercentUnit,
                        limits=above(ticket=0.9),
                        alerts=("DatabaseCpuHigh",),
                    ),
                    figure(
                        "Least disk left",
                        "The least free space where data is; on a full disk PostgreSQL stops.",
                        "min(plano:database_disk_free:bytes{@database})",
                        units.BytesIEC,
                        limits=below(ticket=5 * GIB, page=GIB),
                        alerts=("DatabaseDiskLow", "DatabaseDiskFull", "DatabaseDiskFillsUp"),
                    ),
                    figure(
                        "Longest transaction",
                        "The longest that is at work, dumps and vacuums left out; its locks stay, and nothing behind it is cleaned.",
                        """
                        max(pg_stat_activity_max_tx_duration{
                          @server, state!~"idle in transaction.*", application_name!="pg_dump",
                          backend_type!="autovacuum worker"
                        })
                        """,
                        units.Seconds,
                        limits=above(ticket=900),
                        alerts=("PostgresqlLongTransaction",),
                    ),
                    figure(
                        "Newest checkpoint",
                        "How old the newest checkpoint of any database is, the oldest of them; one a day is expected.",
                        "max(time() - plano_checkpoint_timestamp_seconds{@database})",
                        units.Seconds,
                        limits=above(ticket=26 * 3600),
                        alerts=("DatabaseBackupOld", "CheckpointUnverified"),
                    ),
                ],
            ),
            Section(
                "Work",
                [
                    graph(
                        "Connections by state",
                        "Who is connected and what they do; many idle in transaction is an application that forgets to end them.",
                        Query("sum by (state) (pg_stat_activity_count{@server})", "{{state}}"),
                        units.Short,
                        alerts=("DatabaseConnectionsHigh",),
                        stacked=True,
                    ),
                    graph(
                        "Transactions",
                        "Transactions a second and those rolled back; rollbacks that grow with a deploy are errors of the application.",
                        [
                            Query(
                                f"sum by (host) (rate(pg_stat_database_xact_commit{{@server, {APPLICATION}}}[$__rate_interval]))",
                                "{{host}} committed",
                            ),
                            Query(
                                f"sum by (host) (rate(pg_stat_database_xact_rollback{{@server, {APPLICATION}}}[$__rate_interval]))",
                                "{{host}} rolled back",
                            ),
                        ],
                        units.OpsPerSecond,
                    ),
                    graph(
                        "Rows",
                        "Rows read through indexes and written each second; a jump without more requests is a query that changed its plan.",
                        [
                            Query(
                                f"sum(rate(pg_stat_database_tup_{what}{{@server, {APPLICATION}}}[$__rate_interval]))",
                                what,
                            )
                            for what in ("fetched", "inserted", "updated", "deleted")
                        ],
                        units.RowsPerSecond,
                    ),
                    graph(
                        "Connections",
                        "Share of the connections allowed that are open; new clients are refused near 1.",
                        Query("plano:database_connections:ratio{@database}", "{{database}}"),
                        units.PercentUnit,
                        limits=above(ticket=0.8, page=0.95),
                        alerts=("DatabaseConnectionsHigh", "DatabaseConnectionsExhausted"),
                        high=1,
                    ),
                    graph(
                        "CPU",
                        "CPU in use of each database's machine; it may touch the line, not stay there.",
                        Query("plano:database_cpu:ratio{@database}", "{{database}}"),
                        units.PercentUnit,
                        limits=above(ticket=0.9),
                        alerts=("DatabaseCpuHigh",),
                        high=1,
                    ),
                    graph(
                        "Blocks found in memory",
                        "Share of blocks that PostgreSQL need not ask the kernel for; only of interest when queries are slow.",
                        Query("plano:database_cache_hits:ratio{@database}", "{{database}}"),
                        units.PercentUnit,
                        limits=below(ticket=0.9),
                        alerts=("PostgresqlCacheHitsLow",),
                        low=None,
                        high=1,
                    ),
                ],
            ),
            Section(
                "What queries wait for",
                [
                    graph(
                        "Longest transaction at work",
                        "The longest transaction at work in each database, dumps and vacuums left out; above the line it is a ticket.",
                        Query(
                            """
                            max by (host, datname) (pg_stat_activity_max_tx_duration{
                              @server, state!~"idle in transaction.*", application_name!="pg_dump",
                              backend_type!="autovacuum worker"
                            })
                            """,
                            "{{datname}} on {{host}}",
                        ),
                        units.Seconds,
                        limits=above(ticket=900),
                        alerts=("PostgresqlLongTransaction",),
                    ),
                    graph(
                        "Longest idle in transaction",
                        "The longest transaction that is open and does nothing; somebody forgot to end it, and its locks stay.",
                        Query(
                            """
                            max by (host, datname) (
                              pg_stat_activity_max_tx_duration{@server, state=~"idle in transaction.*"}
                            )
                            """,
                            "{{datname}} on {{host}}",
                        ),
                        units.Seconds,
                        limits=above(ticket=300),
                        alerts=("PostgresqlIdleInTransaction",),
                    ),
                    graph(
                        "Locks that shut out readers",
                        "Access exclusive locks held or awaited; more than 0 for five minutes stops everybody else on that table.",
                        Query(
                            'sum by (host, datname) (pg_locks_count{@server, mode="accessexclusivelock"})',
                            "{{datname}} on {{host}}",
                        ),
                        units.Short,
                        alerts=("PostgresqlLocked",),
                    ),
                    graph(
                        "Deadlocks within 15 minutes",
                        "Transactions ended by a deadlock; more than two are a ticket, and usually an order of updates in the code.",
                        Query(
                            "sum by (host, datname) (increase(pg_stat_database_deadlocks{@server}[15m]))",
                            "{{datname}} on {{host}}",
                        ),
                        units.Short,
                        limits=above(ticket=2),
                        alerts=("PostgresqlDeadlocks",),
                    ),
                    graph(
                        "Temporary files",
                        "Bytes of sorts and joins that did not fit in work_mem; much of it makes queries slow and wears the disk.",
                        Query(
                            "sum by (host, datname) (rate(pg_stat_database_temp_bytes{@server}[$__rate_interval]))",
                            "{{datname}} on {{host}}",
                        ),
                        units.BytesPerSecondSI,
                    ),
                    graph(
                        "Forced checkpoints an hour",
                        "Checkpoints because max_wal_size was reached; above the line for an hour it is too small for what is written.",
                        Query("plano:database_checkpoints_requested:rate1h{@database} * 3600", "{{database}}"),
                        units.Short,
                        limits=above(ticket=12),
                        alerts=("PostgresqlCheckpointsForced",),
                    ),
                ],
            ),
            Section(
                "Disk, log and replicas",
                [
                    graph(
                        "Disk left",
                        "Free space where the data is; a steady fall tells the day it ends.",
                        Query("plano:database_disk_free:bytes{@database}", "{{database}}"),
                        units.BytesIEC,
                        limits=below(ticket=5 * GIB, page=GIB),
                        alerts=("DatabaseDiskLow", "DatabaseDiskFull", "DatabaseDiskFillsUp"),
                    ),
                    graph(
                        "Size of databases",
                        "How large each database is; a step is an import, a slope is growth to plan for.",
                        Query(f"pg_database_size_bytes{{@server, {APPLICATION}}}", "{{datname}} on {{host}}"),
                        units.BytesIEC,
                    ),
                    graph(
                        "Write-ahead log kept",
                        "Log that cannot be removed yet; growth means a slot nobody reads, a failing archiver or a replica far behind.",
                        Query("plano:database_wal:bytes{@database}", "{{database}}"),
                        units.BytesIEC,
                        limits=above(ticket=10 * GIB),
                        alerts=("DatabaseWalGrows", "PostgresqlSlotInactive", "PostgresqlArchiverFailing"),
                    ),
                    graph(
                        "Replication lag",
                        "How far each replica is behind; a primary has none, so without replicas this is empty.",
                        Query("plano:database_replication_lag:seconds{@database}", "{{database}}"),
                        units.Seconds,
                        limits=above(ticket=60),
                        alerts=("DatabaseReplicationLag",),
                    ),
                    graph(
                        "Replication slots",
                        "Log kept for each slot; one that only grows is read by nobody and fills the disk.",
                        Query(
                            "max by (host, slot_name) (pg_replication_slots_pg_wal_lsn_diff{@server})",
                            "{{slot_name}} on {{host}}",
                        ),
                        units.BytesIEC,
                        alerts=("PostgresqlSlotInactive",),
                    ),
                    graph(
                        "Archiving that failed, within 15 minutes",
                        "Attempts to archive a piece of log that failed; point-in-time recovery ends where the archive ends.",
                        Query("max by (host) (increase(pg_stat_archiver_failed_count{@server}[15m]))", "{{host}}"),
                        units.Short,
                        limits=above(ticket=0),
                        alerts=("PostgresqlArchiverFailing",),
                    ),
                ],
            ),
            Section(
                "Tables and upkeep",
                [
                    listing(
                        "Tables with most dead rows",
                        "Live and dead rows, and rows changed since the last analyze, of the ten tables with most dead ones; "
                        "a third dead of a large table is a ticket.",
                        {"host": "host", "schemaname": "schema", "relname": "table"},
                        [
                            Column(
                                "dead",
                                MOST_DEAD,
                                units.Short,
                            ),
                            Column(
                                "live",
                                f"pg_stat_user_tables_n_live_tup{{@server}} and on (host, schemaname, relname) {MOST_DEAD}",
                                units.Short,
                            ),
                            Column(
                                "changed since analyze",
                                f"pg_stat_user_tables_n_mod_since_analyze{{@server}} and on (host, schemaname, relname) {MOST_DEAD}",
                                units.Short,
                            ),
                        ],
                        sort="dead",
                        descending=True,
                        alerts=("PostgresqlDeadRows", "ImportNotAnalyzed"),
                    ),
                    graph(
                        "Transaction ids used",
                        "Transactions since the oldest row was frozen; vacuum begins at 200 million, and at 2.1 billion nothing is written.",
                        Query("plano:database_transaction_age:count{@database}", "{{database}}"),
                        units.Short,
                        limits=above(ticket=1_000_000_000),
                        alerts=("DatabaseWraparoundNear",),
                        width=6,
                        height=9,
                    ),
                    graph(
                        "Memory left on the machine",
                        "Memory that can be had without swapping; below the line the kernel may end a process and all connections with it.",
                        Query("plano:database_memory_available:bytes{@database}", "{{database}}"),
                        units.BytesIEC,
                        limits=below(ticket=100 * MIB),
                        alerts=("DatabaseMemoryLow",),
                        width=6,
                        height=9,
                    ),
                ],
            ),
        ],
        variables=[
            variable(
                "database",
                "label_values(plano:database_up{@environment}, database)",
                "Database",
                "Databases of the environments chosen.",
            )
        ],
    )
