# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""PRIVATE to the collection: what the modules data_checkpoint, data_checkpoint_info and data_restore do with the library."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Any, Mapping

from .data import checkpoint, erasure, home, instance, leftovers, log, restore
from .data.book import ROOT, Book
from .data.checkpoint import Place
from .data.errors import DataError
from .data.manifest import check_name
from .data.offsite import Offsite
from .data.runs import Stamp
from .data.seal import METHODS, Seal
from .data.session import Login, Session, connect

MOST_JOBS = 4
PLACE: dict[str, Any] = {
    "folder": {"type": "path", "default": str(checkpoint.FOLDER)},
    "jobs": {"type": "int", "default": 0},
    "encryption": {
        "type": "dict",
        "default": {},
        "options": {
            "method": {"type": "str", "choices": list(METHODS), "default": "none"},
            "key_file": {"type": "path", "default": "", "no_log": False},
            "recipient": {"type": "str", "default": ""},
        },
    },
    "upload": {"type": "str", "default": ""},
    "s3_endpoint_url": {"type": "str", "default": ""},
}
INSTANCE: dict[str, Any] = {
    "instance": {"type": "str", "default": ""},
    "to_time": {"type": "str", "default": ""},
    "allow_difference": {"type": "bool", "default": False},
    "part": {
        "type": "dict",
        "options": {
            "step": {"type": "str", "choices": list(instance.STEPS), "required": True},
            "host": {"type": "str", "default": ""},
            "beside": {"type": "str", "default": ""},
            "run": {"type": "str", "default": ""},
            "stamp": {"type": "str", "default": ""},
            "details": {"type": "dict", "default": {}},
        },
    },
}


def checkpointed(
    params: Mapping[str, Any], check: bool, login: Login, stamp: Stamp, books: Path = ROOT
) -> dict[str, Any]:
    """Bring a checkpoint to the state asked for. Returns the module's result."""
    book = Book(login.database, books, stamp.server)
    place = place_of(params, login, sealed=True)
    state = params["state"]
    with connect(login) as session:
        if state == "erased":
            return _erased(session, place, params["erased"], check)
        name = check_name(params["name"])
        if state == "absent":
            return checkpoint.absent(session, place, name, book, stamp, check)
        if state == "unprotected":
            return checkpoint.protect(session, place, name, False, check)
        if state == "verified":
            return checkpoint.verify(place, name, book, stamp, check)
        order = checkpoint.Order(
            name,
            tuple(params["schemas"]),
            params["compress"],
            params["comment"],
            params["keep"],
            params["keep_days"],
            protect=state == "protected",
        )
        return checkpoint.present(session, place, order, book, stamp, check)


def restored(params: Mapping[str, Any], check: bool, login: Login, stamp: Stamp, books: Path = ROOT) -> dict[str, Any]:
    """Restore, prove, take back or clear up. Returns the module's result."""
    book = Book(login.database, books, stamp.server)
    place = place_of(params, login, sealed=False)
    state = params["state"]
    if params["instance"]:
        return _instance(params, check, login, stamp, book, place)
    if params["keep"] < 0:
        raise DataError(f"keep {params['keep']}: give the number of sets of replaced schemas that stay, 0 or more")
    with connect(login) as session:
        if state == "cleaned":
            if not check:
                leftovers.settle(session, book, stamp, place.standing)
            return restore.cleaned(session, params["keep"], check)
        order = restore.Order(
            check_name(params["checkpoint"]), params["confirm"], params["run_id"], params["allow_loss"], params["keep"]
        )
        if state == "drilled":
            return restore.drilled(session, place, order, book, stamp, check)
        if state == "swapped_back":
            return restore.swapped_back(session, place, order, book, stamp, check, log.set_up_again)
        result = restore.restored(session, place, order, book, stamp, check, log.set_up_again)
        return {**result, "diff": diff(result["plan"])} if "plan" in result else result


def _instance(
    params: Mapping[str, Any], check: bool, login: Login, stamp: Stamp, book: Book, place: Place
) -> dict[str, Any]:
    """Do what the action plugin, which restores and renames instances, asks for on the host that reaches the database."""
    part = params["part"] or {}
    if not part:
        raise DataError(
            "an instance is restored by the action plugin of this module, from the controller: run it as a task"
        )
    order = instance.Order(
        params["instance"], params["to_time"] or params["checkpoint"], part["stamp"], params["checkpoint"],
        params["allow_loss"], params["allow_difference"], params["state"] == "swapped_back",
    )  # fmt: skip
    host, beside = (dataclasses.replace(login, host=part[name]) for name in ("host", "beside"))
    step, details = part["step"], part["details"] or {}
    if step == "failed":
        instance.written_down(book, part["run"] or instance.UNMARKED, order, stamp, "failed", **details)
    elif step == "proven":
        known = instance.proven(login, order, part["run"], details, stamp)
        kept = [details["kept"]] if details.get("kept") else None
        instance.written_down(book, known.id, order, stamp, "confirmed", seconds=details.get("seconds"), kept=kept)
        return {"changed": True, "run": known.id}
    elif step == "looked":
        with connect(login) as live:
            return {"changed": False, **instance.looked(live, place, order, check)}
    elif step == "looked_back":
        with instance.reached(host) if part["host"] else connect(login) as live:
            return {"changed": False, **instance.looked_back(live, place, order)}
    elif step == "compared":
        with instance.reached(login) as live, instance.reached(beside) as other:
            return {"changed": True, **instance.compared(live, other, place, order, stamp)}
    elif step == "counted":
        with instance.reached(host) as live, instance.reached(beside) as other:
            losses = instance.counted(live, other, place.jobs)
            return {"changed": False, "losses": [loss.told() for loss in losses], "sessions": instance.others(live)}
    elif step == "marked_back":
        with instance.reached(beside) as other:
            return {"changed": True, **instance.marked_back(other, place, order, stamp)}
    return {"changed": False}


def place_of(params: Mapping[str, Any], login: Login, sealed: bool) -> Place:
    """Return where the options say that checkpoints are; *sealed* when new ones are encrypted there."""
    given = params["encryption"] or {}
    return Place(
        Path(params["folder"]),
        login.database,
        Seal.of(given) if sealed else Seal(key_file=given.get("key_file") or ""),
        Offsite.of(params["upload"], login.database, params["s3_endpoint_url"]),
        params["jobs"] or min(MOST_JOBS, os.cpu_count() or 1),
    )


def diff(plan: Mapping[str, Any]) -> dict[str, str]:
    """Show the rows of each table before and after a restore."""
    return {
        "before": _lines(plan, "rows_now"),
        "after": _lines(plan, "rows_in_checkpoint"),
        "before_header": "live rows",
        "after_header": "rows of the checkpoint",
    }


def _lines(plan: Mapping[str, Any], column: str) -> str:
    lines = []
    for item in plan["tables"]:
        if item[column] is not None:
            other = " (others)" if column == "rows_in_checkpoint" and item["differs"] else ""
            lines.append(f"{item['table']}: {item[column]}{other}\n")
    return "".join(lines)


def _erased(session: Session, place: Place, items: list[dict[str, Any]], check: bool) -> dict[str, Any]:
    wanted = erasure.of(items)
    if check:
        return {"changed": not set(wanted) <= set(erasure.listed(session, place.folder))}
    home.ensure(session)
    place.make()
    return {"changed": erasure.keep(session, place.folder, wanted)}
