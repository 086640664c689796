"""Client data: imports and what makes them safe, distributions and undos, checkpoints and restores."""

from __future__ import annotations

from grafana_foundation_sdk.models import units
from grafana_foundation_sdk.models.dashboard import Dashboard

from .panels import (
    ANY,
    ANY_PAGES,
    Column,
    Query,
    Section,
    above,
    board,
    figure,
    graph,
    listing,
    timeline,
    variable,
    words,
)


def build() -> Dashboard:
    """Return the dashboard."""
    return board(
        "imports",
        "Data",
        "Client data: imports and what makes them safe, distributions and undos, checkpoints and restores.",
        [
            Section(
                "",
                [
                    figure(
                        "Taken back",
                        "Targets whose last import was taken back, because a rule broke on live data; one is a page.",
                        'sum(plano_import_outcome{@database, outcome="reverted"})',
                        units.Short,
                        limits=ANY_PAGES,
                        alerts=("ImportReverted",),
                    ),
                    figure(
                        "Held",
                        "Targets whose last import is held, because a rule broke on staging; live data is untouched.",
                        'sum(plano_import_outcome{@database, outcome="held"})',
                        units.Short,
                        limits=ANY,
                        alerts=("ImportHeld",),
                    ),
                    figure(
                        "Longest import under way",
                        "How long the oldest unfinished import has been running, 0 without one; beyond an hour it is stuck.",
                        """
                        max(
                          (time() - plano_import_started_timestamp_seconds{@database})
                          * (plano_import_started_timestamp_seconds{@database} > bool 0)
                        )
                        """,
                        units.Seconds,
                        limits=above(ticket=3600),
                        alerts=("ImportStuck",),
                    ),
                    figure(
                        "Newest checkpoint",
                        "How old the newest checkpoint is, of the database where it is oldest; all written since could be lost.",
                        "max(time() - plano_checkpoint_timestamp_seconds{@database})",
                        units.Seconds,
                        limits=above(ticket=26 * 3600),
                        alerts=("DatabaseBackupOld", "ImportWithoutCheckpoint"),
                    ),
                    figure(
                        "Last restore drill",
                        "How long ago a checkpoint was last restored on trial; a backup nobody has restored is a hope.",
                        "max(time() - plano_restore_drill_timestamp_seconds{@database})",
                        units.Seconds,
                        limits=above(ticket=30 * 86400),
                        alerts=("RestoreDrillOld", "RestoreFailed"),
                    ),
                    figure(
                        "Longest pending run",
                        "How long the oldest run has been neither confirmed nor reverted, 0 without one.",
                        """
                        max(
                          (time() - plano_run_pending_timestamp_seconds{@database})
                          * (plano_run_pending_timestamp_seconds{@database} > bool 0)
                        )
                        """,
                        units.Seconds,
                        limits=above(ticket=3600),
                        alerts=("RunPendingLong",),
                    ),
                ],
            ),
            Section(
                "The last import of each target",
                [
                    listing(
                        "Last imports",
                        "When the last import of each target ended, how long it took and what became of its rows; "
                        "many quarantined or none inserted is worth a look at the file.",
                        {"target": "target", "datname": "database", "database": "server", "environment": "environment"},
                        [
                            Column("ended", "plano:import_age:seconds{@database}", units.Seconds),
                            Column(
                                "took",
                                "plano_import_duration_seconds{@database}",
                                units.Seconds,
                            ),
                            *(
                                Column(
                                    state,
                                    f'plano_import_rows{{@database, state="{state}"}}',
                                    units.Short,
                                )
                                for state in ("read", "inserted", "updated", "unchanged", "quarantined")
                            ),
                        ],
                        sort="ended",
                        alerts=("ImportHeld", "ImportReverted"),
                        width=16,
                    ),
                    listing(
                        "Broken rules",
                        "Rows of the last import that break a rule; critical ones held or reverted it, warnings let it pass.",
                        {
                            "target": "target",
                            "rule": "rule",
                            "severity": "severity",
                            "datname": "database",
                            "database": "server",
                        },
                        Column(
                            "rows",
                            "plano_import_rule_failures{@database} > 0",
                            units.Short,
                        ),
                        sort="rows",
                        descending=True,
                        alerts=("ImportRulesWarn", "ImportHeld", "ImportReverted"),
                        width=8,
                    ),
                    timeline(
                        "Outcome over time",
                        "What became of each target's imports: accepted, held, failed or reverted; the colour is the state of the last one.",
                        [
                            Query(
                                f"""
                                {number} * max by (database, datname, target) (
                                  plano_import_outcome{{@database, outcome="{outcome}"}} == 1
                                )
                                """,
                                "{{target}} of {{datname}} on {{database}}",
                            )
                            for number, outcome in ((1, "accepted"), (2, "held"), (3, "failed"), (4, "reverted"))
                        ],
                        limits=above(ticket=2, page=4),
                        mappings=words(_1="accepted", _2="held", _3="failed", _4="reverted"),
                        alerts=("ImportHeld", "ImportFailed", "ImportReverted"),
                    ),
                ],
            ),
            Section(
                "What it does to the database",
                [
                    graph(
                        "Rows by what became of them",
                        "Rows of the last import of each target; a number far from the usual is a wrong or cut file.",
                        Query(
                            "max by (database, datname, target, state) (plano_import_rows{@database})",
                            "{{target}} of {{datname}}, {{state}}",
                        ),
                        units.Short,
                    ),
                    graph(
                        "Duration",
                        "How long the last import of each target took; growth with the same rows is a missing index or analyze.",
                        Query(
                            "max by (database, datname, target) (plano_import_duration_seconds{@database})",
                            "{{target}} of {{datname}} on {{database}}",
                        ),
                        units.Seconds,
                        alerts=("ImportStuck", "ImportNotAnalyzed"),
                    ),
                    graph(
                        "Disk left",
                        "Free space of each database; an import that takes a third of it is a ticket.",
                        Query("plano:database_disk_free:bytes{@database}", "{{database}}"),
                        units.BytesIEC,
                        alerts=("ImportFilledDisk", "DatabaseDiskLow"),
                    ),
                ],
            ),
            Section(
                "The way back",
                [
                    listing(
                        "Checkpoints and drills",
                        "For each database how old the newest checkpoint is, whether it matches its manifest, and the last restore drill.",
                        {"datname": "database", "database": "server", "environment": "environment"},
                        [
                            Column(
                                "checkpoint",
                                "time() - plano_checkpoint_timestamp_seconds{@database}",
                                units.Seconds,
                                above(ticket=26 * 3600),
                            ),
                            Column(
                                "verified",
                                "plano_checkpoint_verified{@database}",
                                units.Short,
                                mappings=words(_1="yes", _0="no"),
                            ),
                            Column(
                                "last restore",
                                "plano_restore_success{@database}",
                                units.Short,
                                mappings=words(_1="succeeded", _0="failed"),
                            ),
                            Column(
                                "drill",
                                "time() - plano_restore_drill_timestamp_seconds{@database}",
                                units.Seconds,
                                above(ticket=30 * 86400),
                            ),
                        ],
                        sort="database",
                        alerts=("DatabaseBackupOld", "CheckpointUnverified", "RestoreDrillOld", "RestoreFailed"),
                        width=24,
                        height=7,
                    ),
                    graph(
                        "Action log",
                        "Room that the action log and all else that is kept of runs takes in each database; what has no limit is not removed.",
                        Query("plano:action_log:bytes{@database}", "{{datname}} on {{database}}"),
                        units.BytesIEC,
                        alerts=("ActionLogLarge",),
                        width=12,
                        height=7,
                    ),
                    listing(
                        "What failed last",
                        "Checkpoints, drills, distributions and undos whose last one failed, and how long ago; a day on it is no alert any more.",
                        {
                            "operation": "operation",
                            "datname": "database",
                            "database": "server",
                            "environment": "environment",
                        },
                        Column(
                            "failed",
                            "time() - (plano_operation_failed_timestamp_seconds{@database} > 0)",
                            units.Seconds,
                        ),
                        sort="failed",
                        alerts=("DataOperationFailed",),
                        width=12,
                        height=7,
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
        since="now-7d",
    )
