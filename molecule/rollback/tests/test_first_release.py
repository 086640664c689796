"""The environment serves its first release."""

from __future__ import annotations

testinfra_hosts = ["ansible://backend"]


def test_the_first_release_serves(http):
    assert http("/health").status == 200
    assert http("/version").json["version"] == "1.0.0"


def test_there_is_nothing_to_go_back_to(host):
    refused = host.run("/opt/plano/bin/plano rollback backend")
    assert refused.rc != 0
    assert "1.0.0" in refused.stdout + refused.stderr
