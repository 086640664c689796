"""Hosts by the USE method: for each resource how much is used, what waits for it, and its errors."""

from __future__ import annotations

from grafana_foundation_sdk.models import units
from grafana_foundation_sdk.models.dashboard import Dashboard

from .panels import ANY, ANY_PAGES, Column, Query, Section, above, below, board, figure, graph, host, listing

DISKS = 'fstype!~"tmpfs|ramfs"'
CARDS = 'device!="lo"'


def build() -> Dashboard:
    """Return the dashboard."""
    return board(
        "hosts",
        "Hosts",
        "Each resource of each host: how much is used, what waits for it, and its errors.",
        [
            Section(
                "",
                [
                    figure(
                        "Hosts down",
                        "Hosts of which no exporter answers; one for three minutes is a page.",
                        "sum(1 - plano:host_up{@host})",
                        units.Short,
                        limits=ANY_PAGES,
                        alerts=("HostDown",),
                    ),
                    figure(
                        "Busiest CPU",
                        "The highest share of CPU in use; it is a worry only where something waits.",
                        "max(plano:host_cpu:ratio{@host})",
                        units.PercentUnit,
                    ),
                    figure(
                        "Least memory left",
                        "The least share of memory that can be had without swapping; next the kernel ends the largest process.",
                        "min(plano:host_memory_available:ratio{@host})",
                        units.PercentUnit,
                        limits=below(ticket=0.1),
                        alerts=("HostMemoryLow", "HostOomKill"),
                    ),
                    figure(
                        "Fullest disk, left",
                        "The least share of free space of any file system; below 3 % it is a page, since what writes there fails.",
                        "min(plano:host_filesystem_free:ratio{@host})",
                        units.PercentUnit,
                        limits=below(ticket=0.1, page=0.03),
                        alerts=("HostFilesystemAlmostFull", "HostFilesystemFull"),
                    ),
                    figure(
                        "Failed units",
                        "systemd units that have failed; each is something that should run and does not.",
                        'sum(node_systemd_unit_state{@host, state="failed"})',
                        units.Short,
                        limits=ANY,
                        alerts=("HostUnitFailed",),
                    ),
                    figure(
                        "Need a reboot",
                        "Hosts where an upgraded kernel or library waits for a reboot; after a day it is a ticket.",
                        "sum(plano_host_reboot_required{@host})",
                        units.Short,
                        limits=ANY,
                        alerts=("HostRebootRequired",),
                    ),
                ],
            ),
            Section(
                "CPU",
                [
                    graph(
                        "CPU in use",
                        "Share of all CPUs that work; full is fine as long as nothing waits.",
                        Query("plano:host_cpu:ratio{@host}", "{{host}}"),
                        units.PercentUnit,
                        high=1,
                    ),
                    graph(
                        "Waiting for CPU",
                        "Share of the time in which something that could run had to wait for a CPU; half of the time is felt.",
                        Query("rate(node_pressure_cpu_waiting_seconds_total{@host}[$__rate_interval])", "{{host}}"),
                        units.PercentUnit,
                    ),
                    graph(
                        "CPU given to others",
                        "CPU that the hypervisor gave to others; above the line for half an hour the instance is out of credits or crowded.",
                        Query("plano:host_cpu_steal:ratio{@host}", "{{host}}"),
                        units.PercentUnit,
                        limits=above(ticket=0.1),
                        alerts=("HostCpuStolen",),
                    ),
                ],
            ),
            Section(
                "Memory",
                [
                    graph(
                        "Memory left",
                        "Share of memory that can be had without swapping; below the line for 15 minutes it is a ticket.",
                        Query("plano:host_memory_available:ratio{@host}", "{{host}}"),
                        units.PercentUnit,
                        limits=below(ticket=0.1),
                        alerts=("HostMemoryLow",),
                        high=1,
                    ),
                    graph(
                        "Waiting for memory",
                        "Share of the time in which something waited for memory to be freed or read back; it should be 0.",
                        Query("rate(node_pressure_memory_waiting_seconds_total{@host}[$__rate_interval])", "{{host}}"),
                        units.PercentUnit,
                    ),
                    graph(
                        "Processes ended by the kernel, within 15 minutes",
                        "Processes ended for want of memory; each is a ticket, even when systemd has started it again.",
                        Query("increase(node_vmstat_oom_kill{@host}[15m])", "{{host}}"),
                        units.Short,
                        limits=above(ticket=0),
                        alerts=("HostOomKill",),
                    ),
                ],
            ),
            Section(
                "Disks",
                [
                    graph(
                        "Disk left",
                        "Share of free space of each writable file system; a steady fall tells the day it ends.",
                        Query("plano:host_filesystem_free:ratio{@host}", "{{host}} {{mountpoint}}"),
                        units.PercentUnit,
                        limits=below(ticket=0.1, page=0.03),
                        alerts=("HostFilesystemAlmostFull", "HostFilesystemFull", "HostFilesystemFillsUp"),
                        high=1,
                    ),
                    graph(
                        "Disk in use",
                        "Share of the time in which a disk worked; near 1 only a worry when something waits.",
                        Query("rate(node_disk_io_time_seconds_total{@host}[$__rate_interval])", "{{host}} {{device}}"),
                        units.PercentUnit,
                        high=1,
                    ),
                    graph(
                        "Waiting for disk",
                        "Share of the time in which something waited for a disk; half of the time is felt by everybody.",
                        Query("rate(node_pressure_io_waiting_seconds_total{@host}[$__rate_interval])", "{{host}}"),
                        units.PercentUnit,
                    ),
                    graph(
                        "Inodes left",
                        "Share of inodes left; without any no file can be created, however much space is free.",
                        Query(
                            f"""
                            node_filesystem_files_free{{@host, {DISKS}}} / (node_filesystem_files{{@host, {DISKS}}} > 0)
                            """,
                            "{{host}} {{mountpoint}}",
                        ),
                        units.PercentUnit,
                        limits=below(ticket=0.05),
                        alerts=("HostInodesFew",),
                        high=1,
                    ),
                    graph(
                        "Read and written",
                        "Bytes read from and written to each disk; a jump without more work is a table scan, a log or a copy.",
                        [
                            Query(
                                "rate(node_disk_read_bytes_total{@host}[$__rate_interval])", "{{host}} {{device}} read"
                            ),
                            Query(
                                "rate(node_disk_written_bytes_total{@host}[$__rate_interval])",
                                "{{host}} {{device}} written",
                            ),
                        ],
                        units.BytesPerSecondSI,
                    ),
                    graph(
                        "Time of a read or a write",
                        "How long one operation takes on average; tens of milliseconds on a solid-state disk are a limit reached.",
                        [
                            Query(
                                """
                                rate(node_disk_read_time_seconds_total{@host}[$__rate_interval])
                                / (rate(node_disk_reads_completed_total{@host}[$__rate_interval]) > 0)
                                """,
                                "{{host}} {{device}} read",
                            ),
                            Query(
                                """
                                rate(node_disk_write_time_seconds_total{@host}[$__rate_interval])
                                / (rate(node_disk_writes_completed_total{@host}[$__rate_interval]) > 0)
                                """,
                                "{{host}} {{device}} write",
                            ),
                        ],
                        units.Seconds,
                    ),
                ],
            ),
            Section(
                "Network, clock, services",
                [
                    graph(
                        "Network",
                        "Bytes received and sent; a flat top is the limit of the instance.",
                        [
                            Query(
                                f"sum by (host) (rate(node_network_receive_bytes_total{{@host, {CARDS}}}[$__rate_interval]))",
                                "{{host}} in",
                            ),
                            Query(
                                f"sum by (host) (rate(node_network_transmit_bytes_total{{@host, {CARDS}}}[$__rate_interval]))",
                                "{{host}} out",
                            ),
                        ],
                        units.BytesPerSecondSI,
                    ),
                    graph(
                        "Packets lost or damaged",
                        "Errors and drops of the network cards; a lasting rate is a cable, a driver or a limit.",
                        Query(
                            f"""
                            sum by (host) (
                              rate(node_network_receive_errs_total{{@host, {CARDS}}}[$__rate_interval])
                              + rate(node_network_receive_drop_total{{@host, {CARDS}}}[$__rate_interval])
                              + rate(node_network_transmit_errs_total{{@host, {CARDS}}}[$__rate_interval])
                              + rate(node_network_transmit_drop_total{{@host, {CARDS}}}[$__rate_interval])
                            )
                            """,
                            "{{host}}",
                        ),
                        units.CountsPerSecond,
                    ),
                    graph(
                        "Clock off by",
                        "How far each clock is from the right time, either way; above the line logs and tokens cannot be trusted.",
                        Query("abs(node_timex_offset_seconds{@host})", "{{host}}"),
                        units.Seconds,
                        limits=above(ticket=0.05),
                        alerts=("HostClockSkew", "HostClockUnsynchronised"),
                    ),
                    listing(
                        "Units that failed",
                        "What systemd has given up on; empty is as it should be.",
                        {"host": "host", "name": "unit"},
                        Column(
                            "failed",
                            'node_systemd_unit_state{@host, state="failed"} == 1',
                            units.Short,
                        ),
                        sort="host",
                        alerts=("HostUnitFailed",),
                        width=12,
                        height=7,
                    ),
                    graph(
                        "CPU credits of EC2 instances",
                        "Minutes of a full CPU a burstable instance may still use; by CloudWatch, so 10 to 15 minutes late.",
                        Query("plano:ec2_cpu_credits:count{@environment}", "{{instance_id}}"),
                        units.Short,
                        limits=below(ticket=20),
                        alerts=("Ec2CpuCreditsLow", "Ec2StatusCheckFailed"),
                        width=12,
                        height=7,
                    ),
                ],
            ),
        ],
        variables=[host()],
    )
