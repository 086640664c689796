# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wrong with the lists of what may come in through a host's firewall."""

from __future__ import annotations

import ipaddress
import re
from typing import Any, Callable, Mapping

from ansible_collections.plano.delivery.plugins.plugin_utils import _plain

DOCUMENTATION = r"""
name: firewall_faults
short_description: List what is wrong with the lists of what may come in through a host's firewall
version_added: 0.1.0
author:
  - plano.delivery contributors (@plano-delivery)
description:
  - Returns every fault at once, each with the name of its list and the index in it, so that a play can refuse them together with
    all other faults before it touches a host. The role C(host) asks it about C(host_firewall_allow) and all variables whose names
    begin with C(host_firewall_allow_).
positional: _input
options:
  _input:
    description: Name of a list to the list. Its items have the keys C(port), C(sources), C(protocol) and C(comment).
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Refuse what cannot be meant
  ansible.builtin.assert:
    that: "{'host_firewall_allow': host_firewall_allow} | plano.delivery.firewall_faults | length == 0"
"""

RETURN = r"""
_value:
  description: The faults; none when all is well.
  type: list
  elements: str
"""

KEYS = ("port", "protocol", "sources", "comment")
PROTOCOLS = ("tcp", "udp")
PORTS = re.compile(r"(\d{1,5})(?:-(\d{1,5}))?")
LAST_PORT = 65535
COMMENT = re.compile(r'[^"\\\n]{0,120}')


def firewall_faults(lists: Mapping[str, Any]) -> list[str]:
    found = []
    for name, items in _plain.plain(lists).items():
        if not isinstance(items, list):
            found.append(f"{name}: must be a list")
            continue
        for index, item in enumerate(items):
            found += [f"{name}[{index}]{fault}" for fault in _item_faults(item)]
    return found


def _item_faults(item: Any) -> list[str]:
    """Return what is wrong with one entry, each beginning with the key it is about."""
    if not isinstance(item, dict):
        return [f": '{item}' must have the keys port and sources"]
    found = [f".{key}: there is no such key; known: {', '.join(KEYS)}" for key in item if key not in KEYS]
    if not _is_port(str(item.get("port", ""))):
        found.append(f".port: '{item.get('port', '')}' is no port from 1 to {LAST_PORT} or range such as 8000-8010")
    if item.get("protocol", "tcp") not in PROTOCOLS:
        found.append(f".protocol: '{item['protocol']}' is not among {', '.join(PROTOCOLS)}")
    if not COMMENT.fullmatch(str(item.get("comment", ""))):
        found.append(".comment: has quotes, backslashes or line breaks, or more than 120 characters")
    sources = item.get("sources")
    if not isinstance(sources, list):
        return [*found, ".sources: must be a list of addresses and networks; everybody is 0.0.0.0/0 and ::/0"]
    return found + [
        f".sources: '{source}' is no address or network such as 10.0.0.0/8"
        for source in sources
        if not _is_network(source)
    ]


def _is_port(text: str) -> bool:
    match = PORTS.fullmatch(text)
    first, last = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
    return 0 < first <= last <= LAST_PORT


def _is_network(source: Any) -> bool:
    """Say whether it is an address or a network; one with bits of a host in it is taken as the kernel does."""
    try:
        ipaddress.ip_network(source, strict=False)
    except ValueError:
        return False
    return isinstance(source, str)


class FilterModule:
    """What Ansible finds here."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"firewall_faults": firewall_faults}
