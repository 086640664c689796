"""The ground a server stands on, asked from outside where it can be."""

from __future__ import annotations

import socket
import subprocess

import pytest

testinfra_hosts = ["ansible://postgresql"]


@pytest.fixture
def ssh(address, cache):
    """Log in over a connection of its own."""

    def run(user: str, command: str, *options: str) -> subprocess.CompletedProcess[str]:
        known = f"UserKnownHostsFile={cache}/ssh/plano-molecule.known_hosts"
        keys = ["-F", "none", "-i", f"{cache}/ssh/id_ed25519", "-o", known]
        alone = ["-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes"]
        argv = ["ssh", *keys, *alone, *options, f"{user}@{address}", command]
        return subprocess.run(argv, capture_output=True, text=True, timeout=20, check=False)

    return run


def test_an_operator_gets_in_by_key_and_may_act_as_root(ssh):
    done = ssh("operator", "sudo --non-interactive id --user")
    assert done.stdout.strip() == "0", done.stderr


def test_only_keys_open_the_door(ssh):
    done = ssh("operator", "true", "-o", "PreferredAuthentications=password,keyboard-interactive,none")
    assert "Permission denied (publickey)" in done.stderr


def test_root_does_not_log_in(ssh):
    assert "Permission denied" in ssh("root", "true").stderr


def test_the_running_sshd_offers_no_weak_algorithms(host):
    settings = dict(line.split(" ", 1) for line in host.check_output("sshd -T").splitlines() if " " in line)
    offered = ",".join(settings[name] for name in ("ciphers", "macs", "kexalgorithms"))
    assert not [name for name in offered.split(",") if "cbc" in name or "sha1" in name or "umac-64" in name]
    assert "curve25519-sha256" in offered
    assert settings["maxauthtries"] == "2"


def test_what_is_not_meant_to_be_reached_does_not_even_answer(address):
    with pytest.raises(TimeoutError):
        socket.create_connection((address, 9), timeout=1)


def test_what_is_meant_to_be_reached_answers(address):
    socket.create_connection((address, 5432), timeout=5).close()


def test_loading_the_firewall_leaves_other_tables_alone(host):
    host.check_output("nft add table inet somebody_elses")
    try:
        host.check_output("systemctl reload plano-firewall.service")
        tables = host.check_output("nft list tables").splitlines()
        assert {"table inet plano", "table inet somebody_elses"} <= set(tables)
    finally:
        host.check_output("nft delete table inet somebody_elses")


def test_the_firewall_is_loaded_at_boot_and_by_a_unit_with_few_rights(host):
    assert host.service("plano-firewall.service").is_enabled
    verdict = host.check_output("systemd-analyze security --no-pager plano-firewall.service").splitlines()[-1]
    assert float(verdict.rpartition(":")[2].split()[0]) <= 2.0, verdict


def test_redirects_are_not_accepted(host):
    assert host.sysctl("net.ipv4.conf.all.accept_redirects") == 0
    assert host.sysctl("net.ipv4.conf.all.rp_filter") == 2


def test_the_clock_is_looked_after(host):
    assert host.service("systemd-timesyncd.service").is_enabled
