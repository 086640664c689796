# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What PostgreSQL keeps of a password, so that the password itself need not travel to be set."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
from typing import Any, Callable

from ansible.errors import AnsibleFilterError

DOCUMENTATION = r"""
name: scram_verifier
short_description: Make what PostgreSQL keeps of a password
version_added: 0.1.0
author:
  - plano.delivery contributors (@plano-delivery)
description:
  - Returns the verifier of a password for SCRAM-SHA-256 (RFC 5802, RFC 7677), in the form that PostgreSQL keeps and takes as a password.
  - Its salt is random, so that every call gives another one. Ask whether somebody can sign in instead of comparing.
positional: _input
options:
  _input:
    description: The password, of printable ASCII. Of anything else SASLprep would have to make a common form first.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Show the form
  ansible.builtin.debug:
    msg: "{{ 'example-password' | plano.delivery.scram_verifier }}"
"""

RETURN = r"""
_value:
  description: The verifier, C(SCRAM-SHA-256$4096:SALT$STORED_KEY:SERVER_KEY).
  type: str
"""

# PostgreSQL's own, of scram_iterations and of its salts.
ITERATIONS = 4096
SALT_BYTES = 16


def verifier(password: str, salt: bytes) -> str:
    """Return the verifier of *password*."""
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, ITERATIONS)
    client_key = hmac.new(salted, b"Client Key", hashlib.sha256).digest()
    server_key = hmac.new(salted, b"Server Key", hashlib.sha256).digest()
    shown = [base64.b64encode(part).decode() for part in (salt, hashlib.sha256(client_key).digest(), server_key)]
    return f"SCRAM-SHA-256${ITERATIONS}:{shown[0]}${shown[1]}:{shown[2]}"


def scram_verifier(password: Any) -> str:
    """Return the verifier of *password* with a salt of its own."""
    text = str(password)
    if not text or not text.isascii() or not text.isprintable():
        raise AnsibleFilterError("scram_verifier: the password must be printable ASCII, and not empty")
    return verifier(text, os.urandom(SALT_BYTES))


class FilterModule:
    """What Ansible finds here."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"scram_verifier": scram_verifier}
