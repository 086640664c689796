# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plano command on a host: look, roll back and repair without any controller."""

from __future__ import annotations

import argparse
import getpass
import json
import os
import socket
import sys
import time
from pathlib import Path
from typing import Any, Sequence

from . import change, data, fs, metrics, status
from .change import Component, Order
from .errors import EngineError
from .ledger import CONFIRMED, Ledger, LedgerError, sound_part, utc_now
from .lock import Busy, Lock
from .release import Layout
from .systemd import Host

EXIT_OK, EXIT_FAULT, EXIT_REFUSED = 0, 1, 2


def say(text: str, error: bool = False) -> None:
    """Write a line to the person at the terminal."""
    (sys.stderr if error else sys.stdout).write(f"{text}\n")
    sys.stdout.flush()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="plano", description="Look at, roll back and repair the releases on this host."
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    each = commands.add_parser("status", help="what runs, since when, what stands by, what drifted")
    each.add_argument("--json", action="store_true", help="the same for programs")
    each = commands.add_parser("history", help="what was released, by whom, why, and how it ended")
    each.add_argument("component", help="or data/DATABASE for what was done to client data")
    each.add_argument("--json", action="store_true", help="the ledger's entries, a line each")
    each = commands.add_parser("rollback", help="go back to the last confirmed release before the current one")
    each.add_argument("component")
    each.add_argument("--to", metavar="VERSION", help="a version or release id instead")
    each.add_argument("--reason", default="", help="why; kept in the ledger")
    each.add_argument("--allow-rejected", action="store_true", help="go to a release that was rolled back before")
    each = commands.add_parser("verify", help="hash every file of the releases and the store again, check the ledger")
    each.add_argument("component", nargs="?")
    each = commands.add_parser("recover", help="revert switches that were never confirmed")
    each.add_argument("component", nargs="?")
    each.add_argument("--boot", action="store_true", help="before the services start: mend what is on disk")
    each.add_argument("--rebuild", action="store_true", help="start a new ledger from the releases on disk")
    each = commands.add_parser("retire", help="stop the standby of a component now")
    each.add_argument("component")
    commands.add_parser("metrics", help="write the files for node_exporter anew, from the ledgers")
    each = commands.add_parser("carry-out", help="used by the engine itself, in a unit of its own")
    each.add_argument("component")
    each.add_argument("order", type=Path)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns 0, 1 when something is wrong, 2 when the request was refused."""
    args = _parser().parse_args(argv)
    os.umask(fs.UMASK)
    try:
        return COMMANDS[args.command](args)
    except change.Refused as exc:
        say(f"plano: {exc}", error=True)
        return EXIT_REFUSED
    except (EngineError, OSError) as exc:
        say(f"plano: {exc}", error=True)
        return EXIT_FAULT


def _component(name: str) -> Component:
    layout = Layout(name)
    known = status.components(layout)
    if name not in known:
        raise change.Refused(f"component {name} is not on this host; known: {', '.join(known) or 'none'}")
    return Component(layout)


def _books() -> list[Layout]:
    """Return where the ledgers of client data are: laid out as a component's, one folder further down."""
    return [Layout(f"{data.FOLDER}/{database}") for database in data.databases(Layout("all").var)]


def _named(args: argparse.Namespace) -> list[str]:
    return [_component(args.component).name] if args.component else status.components(Layout("all"))


def _status(args: argparse.Namespace) -> int:
    layout = Layout("all")
    found = [status.report(name, Host(), layout) for name in status.components(layout)]
    if args.json:
        say(json.dumps(found, indent=1, sort_keys=True))
    else:
        say(status.table([status.row(item, socket.gethostname()) for item in found]))
    return EXIT_FAULT if any(item["drift"] for item in found) else EXIT_OK


def _history(args: argparse.Namespace) -> int:
    books = {layout.component: layout for layout in _books()}
    layout = books.get(args.component) or _component(args.component).layout
    path = layout.ledger
    damage = None
    try:
        entries = Ledger(path).entries
    except LedgerError as exc:
        # Its message sends people here: what still proves itself is shown, then the damage.
        entries, damage = sound_part(path.read_bytes() if path.exists() else b"")[0], exc
    if args.json:
        for entry in entries:
            say(json.dumps(entry, sort_keys=True))
    elif args.component in books:
        _show_book(entries)
    else:
        _show_history(entries)
    if damage:
        raise damage
    return EXIT_OK


def _show_history(entries: list[dict[str, Any]]) -> None:
    rows = [
        {
            "seq": str(entry["seq"]),
            "time": entry["time"][:19].replace("T", " "),
            "state": entry["state"],
            "release": entry["release"],
            "change": entry.get("change", {}).get("id", "-"),
            "actor": entry.get("change", {}).get("actor", "-"),
            "signer": entry.get("signer", {}).get("principal", "-"),
            "reason": (entry.get("reason") or entry.get("change", {}).get("reason") or "").split("\n")[0],
        }
        for entry in entries
    ]
    say(status.table(rows, ("seq", "time", "state", "release", "change", "actor", "signer", "reason")))


def _show_book(entries: list[dict[str, Any]]) -> None:
    rows = [
        {
            "seq": str(entry["seq"]),
            "time": entry["time"][:19].replace("T", " "),
            "operation": entry.get("operation", "-"),
            "state": entry["state"],
            "what": entry["release"],
            "target": entry.get("target", "-"),
            "change": entry.get("change") or "-",
            "reason": (entry.get("reason") or "").split("\n")[0],
        }
        for entry in entries
    ]
    say(status.table(rows, ("seq", "time", "operation", "state", "what", "target", "change", "reason")))


def _rollback(args: argparse.Namespace) -> int:
    component = _component(args.component)
    target = change.target_of_rollback(component, args.to, args.allow_rejected)
    stamp = {
        "id": time.strftime("%Y%m%dT%H%M%SZ", time.gmtime()) + f"-{os.getpid():x}",
        "actor": f"{os.environ.get('SUDO_USER') or getpass.getuser()}@{socket.gethostname()}",
        "reason": args.reason or "rolled back on the host",
    }
    order = Order.new(target, stamp, rollback=True, allow_rejected=args.allow_rejected)
    say(f"plano: rolling {component.name} back to {target} ...")
    change.launch(component, order)
    return _say(change.follow(component, order.attempt))


def _say(outcome: dict[str, Any]) -> int:
    words = f"plano: {outcome['status']} {outcome.get('release', '')}"
    if outcome.get("phases", {}).get("switch") is not None:
        words += f" (switch {outcome['phases']['switch'] * 1000:.0f} ms)"
    good = outcome["status"] in (CONFIRMED, change.UNCHANGED)
    say(words if good else f"{words}: {outcome['message']}", error=not good)
    for warning in outcome.get("warnings") or []:
        say(f"plano: {warning}", error=True)
    return EXIT_OK if good else EXIT_REFUSED if outcome["status"] == change.REFUSED else EXIT_FAULT


def _verify(args: argparse.Namespace) -> int:
    wrong = 0
    for name in _named(args):
        component = _component(name)
        try:
            count = len(component.ledger().entries)
        except LedgerError as exc:
            # One damaged ledger must not hide what else is wrong.
            wrong += 1
            say(f"plano: {exc}", error=True)
            continue
        faults = [
            f"{release}: {fault}"
            for release in component.releases.names()
            for fault in component.releases.verify(release)
        ]
        say(
            f"{name}: ledger of {count} entries holds, {len(component.releases.names())} releases, {len(faults)} faults"
        )
        wrong += len(faults)
        for fault in faults:
            say(f"  {fault}")
    for layout in _books() if not args.component else []:
        try:
            say(f"{layout.component}: ledger of {len(Ledger(layout.ledger).entries)} entries holds")
        except LedgerError as exc:
            wrong += 1
            say(f"plano: {exc}", error=True)
    store = Component(Layout("all")).store
    for digest in store.digests():
        for fault in store.verify(digest):
            wrong += 1
            say(f"store {digest[:12]}: {fault}")
    return EXIT_FAULT if wrong else EXIT_OK


def _recover(args: argparse.Namespace) -> int:
    worst = EXIT_OK
    # A ledger that is to be rebuilt may be gone without a trace.
    for name in [args.component] if args.rebuild and args.component else _named(args):
        component = Component(Layout(name))
        try:
            if args.rebuild:
                aside = change.rebuild(component)
                say(f"{name}: new ledger written" + (f", the old one is {aside}" if aside else ""))
                continue
            done = change.recover(component, args.boot)
            say(done or f"{name}: nothing to recover")
        except (EngineError, OSError) as exc:
            # One damaged component must not keep the others from being recovered.
            say(f"plano: {exc}", error=True)
            worst = EXIT_FAULT
    return worst


def _retire(args: argparse.Namespace) -> int:
    for warning in change.retire(_component(args.component)):
        say(f"plano: {args.component}: {warning}", error=True)
    return EXIT_OK


def _metrics(args: argparse.Namespace) -> int:
    worst = EXIT_OK
    layout = Layout("all")
    metrics.publish_host(layout)
    for component in [*map(Layout, status.components(layout)), *_books()]:
        try:
            with Lock(component.lock, component.component) as lock:
                lock.acquire({"change": args.command, "release": change.HOUSEKEEPING, "since": utc_now()}, wait=0.0)
                _publish(component)
        except Busy:
            continue  # the change under way writes it
        except (EngineError, OSError) as exc:
            # One damaged ledger must not keep the others from being told.
            say(f"plano: {exc}", error=True)
            worst = EXIT_FAULT
    return worst


def _publish(layout: Layout) -> None:
    folder, _slash, database = layout.component.rpartition("/")
    if folder:
        data.publish(database, Ledger(layout.ledger).entries, layout.metrics)
    else:
        metrics.publish(layout)


def _carry_out(args: argparse.Namespace) -> int:
    order = Order(**json.loads(args.order.read_text(encoding="utf-8")))
    outcome = change.carry_out(Component(Layout(args.component)), order)
    args.order.unlink(missing_ok=True)
    return _say(outcome)


COMMANDS = {
    "status": _status,
    "history": _history,
    "rollback": _rollback,
    "verify": _verify,
    "recover": _recover,
    "retire": _retire,
    "metrics": _metrics,
    "carry-out": _carry_out,
}
