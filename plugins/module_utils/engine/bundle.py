# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine puts itself on the host as /opt/plano/bin/plano: the same code, without a controller."""

from __future__ import annotations

import io
import pkgutil
import zipfile
from pathlib import Path

from . import cli, fs
from .release import OPT
from .systemd import UNIT_DIR, Host

MODULES = (
    "__init__",
    "activate",
    "archive",
    "bundle",
    "change",
    "cli",
    "data",
    "errors",
    "fs",
    "health",
    "ledger",
    "lock",
    "metrics",
    "proxy",
    "release",
    "signature",
    "state",
    "status",
    "store",
    "systemd",
)
PACKAGE = "plano_engine"
# Ansible ships to the host only what is imported; cli is what the command starts with.
MAIN = f"import sys\nfrom {PACKAGE}.cli import {cli.main.__name__}\nsys.exit(main())\n"
EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest time a zip can hold: the same sources give the same bytes

RECOVER_UNIT = "plano-recover.service"
RECOVER = """# Written by the plano engine; changes here are lost.
[Unit]
Description=Revert releases that were switched but never confirmed
Documentation=https://github.com/plano-delivery/plano.delivery
DefaultDependencies=no
After=local-fs.target systemd-tmpfiles-setup.service
Before=basic.target
ConditionPathExists=/opt/plano/bin/plano

[Service]
Type=oneshot
ExecStart=/opt/plano/bin/plano recover --boot

[Install]
WantedBy=multi-user.target
"""
METRICS_UNIT = "plano-metrics.service"
METRICS_TIMER = "plano-metrics.timer"
METRICS = """# Written by the plano engine; changes here are lost.
[Unit]
Description=Tell node_exporter what was released here
ConditionPathExists=/opt/plano/bin/plano

[Service]
Type=oneshot
ExecStart=/opt/plano/bin/plano metrics
# A ledger that is damaged is told by 'plano status'; the host is not degraded for it.
SuccessExitStatus=1
ProtectSystem=strict
StateDirectory=plano
ProtectHome=yes
PrivateTmp=yes
PrivateNetwork=yes
NoNewPrivileges=yes
"""
METRICS_EVERY = """# Written by the plano engine; changes here are lost.
[Unit]
Description=Tell node_exporter every five minutes what was released here

[Timer]
OnBootSec=1min
OnUnitActiveSec=5min
AccuracySec=30s

[Install]
WantedBy=multi-user.target
"""


def zipapp() -> bytes:
    """Return the engine as an executable zip, the same bytes for the same sources."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        for name in MODULES:
            source = pkgutil.get_data(__package__ or "", f"{name}.py")
            if source is None:
                raise OSError(f"the engine cannot read its own module {name}")
            archive.writestr(zipfile.ZipInfo(f"{PACKAGE}/{name}.py", EPOCH), source)
        archive.writestr(zipfile.ZipInfo("__main__.py", EPOCH), MAIN)
    return b"#!/usr/bin/python3 -I\n" + target.getvalue()


def install(host: Host, opt: Path = OPT, unit_dir: Path = UNIT_DIR) -> bool:
    """Put the engine and its units on the host; say whether anything differed."""
    command = opt / "bin" / "plano"
    fs.make_dir(command.parent)
    changed = fs.write_if_changed(command, zipapp(), 0o755)
    units = {RECOVER_UNIT: RECOVER, METRICS_UNIT: METRICS, METRICS_TIMER: METRICS_EVERY}
    changed_units = [name for name, text in units.items() if fs.write_if_changed(unit_dir / name, text.encode())]
    if changed_units:
        host.daemon_reload()
        host.start(METRICS_TIMER)
        changed = True
    host.enable(RECOVER_UNIT)
    host.enable(METRICS_TIMER)
    return changed
