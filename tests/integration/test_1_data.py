"""The demonstration of client data runs as it says, on call hears of what failed at once, and the users concerned are told."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

import pytest
from inbox import Inbox
from local_environment import ROOT, Done, Environment
from test_1_monitoring import GATEWAY


class Demo(NamedTuple):
    """What it printed, and what arrived meanwhile."""

    done: Done
    inbox: Inbox


@pytest.fixture(scope="module")
def demo(environment: Environment) -> Iterator[Demo]:
    inbox = Inbox(GATEWAY)
    inbox.start()
    try:
        yield Demo(environment.shell("make demo"), inbox)
    finally:
        inbox.stop()


def test_it_ends_well(demo: Demo) -> None:
    assert demo.done.code == 0, demo.done.output[-3000:]


def test_what_was_refused_says_why(demo: Demo) -> None:
    words = " ".join(demo.done.output.split())
    assert "The import is held: rule mail_form (matches of public.clients) is broken by 1 of 3 rows" in words
    assert re.search(r"The import is reverted: rule one_mail_one_client .* rolled back before anybody saw it", words)
    assert re.search(r"7 rows went back, 0 were skipped", words)


@pytest.mark.parametrize("alert", ["ImportHeld", "ImportReverted"])
def test_those_on_call_are_told(demo: Demo, alert: str) -> None:
    found = demo.inbox.wait(alert, "firing", 120)
    assert (found["labels"]["target"], found["labels"]["database"]) == ("public.clients", "local-db")


def test_users_are_told_in_their_language_and_once(demo: Demo) -> None:
    told = [message["address"] for message in demo.inbox.messages if "desfeitos" in message["subject"]]
    names = ("ana", "bruno", "carla", "diego", "elisa", "fabio")
    assert sorted(told) == [f"{name}@example.org" for name in names]


def test_no_output_tells_an_address(demo: Demo) -> None:
    assert "@example.org" not in demo.done.output


def test_each_revert_has_a_report_here(demo: Demo) -> None:
    runs = re.findall(r"(\S+)\s+(?:distribution|import)\s+reverted", demo.done.output)
    assert len(runs) >= 2
    for run in runs:
        assert (ROOT / ".cache" / "reports" / "local-db" / f"run-{run}.html").is_file()
