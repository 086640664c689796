"""After forward, failure, back and forward: the right release serves, and the ledger tells the story."""

from __future__ import annotations

import json

testinfra_hosts = ["ansible://backend"]


def ledger(host):
    lines = host.file("/var/lib/plano/backend/ledger.jsonl").content_string.splitlines()
    return [json.loads(line) for line in lines]


def test_the_newer_release_serves_again(http):
    assert http("/health").status == 200
    assert http("/version").json["version"] == "1.1.0"


def test_the_schema_was_never_taken_back(http):
    assert http("/version").json["schema"] == "0002"


def test_the_broken_release_was_never_confirmed(host):
    variables = host.ansible.get_variables()
    states = {entry["state"] for entry in ledger(host) if entry.get("version") == "1.2.0-broken"}
    assert "confirmed" not in states
    # The first host's failure ends the deploy, so that the others never hear of it.
    assert bool(states) == (variables["inventory_hostname"] == variables["groups"]["backend"][0])


def test_the_ledger_is_whole_and_so_is_every_release(host):
    numbers = [entry["seq"] for entry in ledger(host)]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    assert host.run("/opt/plano/bin/plano verify").rc == 0


def test_the_hosts_run_without_a_failed_unit(host):
    assert host.check_output("systemctl list-units --failed --plain --no-legend") == ""
