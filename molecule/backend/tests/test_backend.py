"""The backend serves the confirmed release, whatever was tried before."""

from __future__ import annotations

import json

testinfra_hosts = ["ansible://backend"]


def current(host):
    return json.loads(host.file("/opt/plano/backend/current/release.json").content_string)


def test_the_backend_answers_through_the_proxy_and_its_database(http):
    answer = http("/health")
    assert answer.status == 200, answer.text


def test_the_process_itself_reports_the_confirmed_release(host, http):
    version = http("/version").json
    assert version["version"] == "1.0.0"
    assert version["release"] == current(host)["id"]


def test_every_release_on_disk_is_what_was_released(host):
    assert host.run("/opt/plano/bin/plano verify").rc == 0


def test_the_proxy_owns_the_port_and_the_slots_are_private(host):
    sockets = [line.split() for line in host.check_output("ss -Hltnp").splitlines()]
    owners = {fields[3]: fields[-1] for fields in sockets}
    assert any(address.endswith(":8080") and "haproxy" in owner for address, owner in owners.items())
    assert all(address.startswith("127.0.0.1:") for address in owners if address.endswith((":18081", ":18082")))


def test_no_secret_is_part_of_a_release_or_of_the_command_line(host):
    secret = host.check_output("find /var/lib/plano/backend/secrets -name database_password -exec cat {} + -quit")
    assert len(secret) >= 12
    assert host.run(f"grep -rqF {secret} /opt/plano /etc/systemd/system /var/lib/plano/backend/ledger.jsonl").rc == 1
    assert secret not in host.check_output("ps -eo args")


def test_the_host_runs_without_a_failed_unit(host):
    assert host.check_output("systemctl list-units --failed --plain --no-legend") == ""
