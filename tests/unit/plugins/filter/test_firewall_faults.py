# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest

from ansible_collections.plano.delivery.plugins.filter.firewall_faults import FilterModule, firewall_faults

NETWORK = ["10.0.0.0/8"]


@pytest.mark.parametrize(
    "item",
    [
        {"port": 1, "sources": NETWORK},
        {"port": "65535", "sources": NETWORK, "protocol": "udp"},
        {"port": "8000-8010", "sources": ["192.0.2.1", "2001:db8::/32", "::1", "10.1.2.3/8"]},
        {"port": "80-80", "sources": []},
        {"port": 80, "sources": NETWORK, "comment": "x" * 120},
    ],
)
def test_what_can_be_meant_passes(item):
    assert firewall_faults({"allow": [item], "other": []}) == []


@pytest.mark.parametrize(
    ("item", "said"),
    [
        ("80", "allow[0]: '80' must have the keys port and sources"),
        ({"sources": NETWORK}, "allow[0].port: '' is no port from 1 to 65535 or range such as 8000-8010"),
        ({"port": 0, "sources": NETWORK}, "allow[0].port: '0' is no port"),
        ({"port": 65536, "sources": NETWORK}, "allow[0].port: '65536' is no port"),
        ({"port": "8010-8000", "sources": NETWORK}, "allow[0].port: '8010-8000' is no port"),
        ({"port": "80-", "sources": NETWORK}, "allow[0].port: '80-' is no port"),
        ({"port": "80 accept", "sources": NETWORK}, "allow[0].port: '80 accept' is no port"),
        ({"port": 80, "sources": NETWORK, "protocol": "icmp"}, "allow[0].protocol: 'icmp' is not among tcp, udp"),
        ({"port": 80}, "allow[0].sources: must be a list of addresses and networks"),
        ({"port": 80, "sources": "10.0.0.0/8"}, "allow[0].sources: must be a list of addresses and networks"),
        ({"port": 80, "sources": ["10.0.0.0/33"]}, "allow[0].sources: '10.0.0.0/33' is no address or network"),
        ({"port": 80, "sources": ["10.0.0.256"]}, "allow[0].sources: '10.0.0.256' is no address or network"),
        ({"port": 80, "sources": [10]}, "allow[0].sources: '10' is no address or network"),
        ({"port": 80, "sources": NETWORK, "comment": 'a "quote"'}, "allow[0].comment: has quotes"),
        ({"port": 80, "sources": NETWORK, "comment": "x" * 121}, "allow[0].comment: has quotes"),
        (
            {"port": 80, "sources": NETWORK, "source": NETWORK},
            "allow[0].source: there is no such key; known: port, protocol",
        ),
    ],
)
def test_what_cannot_be_meant_is_told(item, said):
    found = firewall_faults({"allow": [item]})
    assert len(found) == 1
    assert found[0].startswith(said)


def test_every_fault_of_every_list_is_told_by_the_filter():
    bad = {"port": "ssh", "sources": [None], "protocol": "sctp"}
    found = FilterModule().filters()["firewall_faults"]({"a": [{"port": 1, "sources": []}, bad], "b": {"port": 1}})
    assert [fault.split(":")[0] for fault in found] == ["a[1].port", "a[1].protocol", "a[1].sources", "b"]
