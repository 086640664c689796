# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The web configuration of Prometheus and its exporters: TLS, and one user with a password."""

from __future__ import annotations

import base64
import functools
import hashlib
import json
from typing import Any, Callable

from ansible.errors import AnsibleFilterError

DOCUMENTATION = r"""
name: web_config
short_description: Make the web configuration of Prometheus, Alertmanager or an exporter
version_added: 0.1.0
author:
  - plano.delivery contributors (@plano-delivery)
description:
  - Returns the text of the file that C(--web.config.file) names. It serves TLS from C(server.crt) and C(server.key) beside it, and
    answers one user only.
  - The password is kept as a bcrypt hash. Its salt is made of a random text that is kept with the password, so that the same
    inputs give the same file in every run.
requirements:
  - bcrypt on the controller
positional: _input, user, salt
options:
  _input:
    description: The password.
    type: str
    required: true
  user:
    description: Who may come in.
    type: str
    required: true
  salt:
    description: Random text, 16 characters at least, made once and kept as the password is. What follows it may tell one use from another.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Make a web configuration
  ansible.builtin.set_fact:
    web: "{{ monitoring_password | plano.delivery.web_config('plano', monitoring_password_salt ~ inventory_hostname) }}"
"""

RETURN = r"""
_value:
  description: The configuration, as YAML.
  type: str
"""

# 2^10 rounds, exporter-toolkit's documented default; a password that was right once is not hashed again.
COST = 10
SALT_CHARACTERS = 16
# bcrypt reads no more than 72 bytes of a password.
PASSWORD_BYTES = 72
BASE64 = bytes.maketrans(
    b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/",
    b"./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789",
)


@functools.lru_cache(maxsize=None)
def bcrypt_hash(password: str, salt: str) -> str:
    """Return the bcrypt hash of *password*, its 16 bytes of salt taken from the sha256 of *salt*."""
    try:
        import bcrypt
    except ImportError:
        raise AnsibleFilterError("web_config needs bcrypt on the controller: pip install bcrypt") from None
    digest = hashlib.sha256(salt.encode()).digest()[:16]
    encoded = base64.b64encode(digest).rstrip(b"=").translate(BASE64)
    return bcrypt.hashpw(password.encode(), b"$2b$%02d$" % COST + encoded).decode()


def faults(password: str, user: str, salt: str) -> list[str]:
    """Return what is wrong, in words that give no secret away."""
    found = []
    if not password or len(password.encode()) > PASSWORD_BYTES:
        found.append(f"the password must have 1 to {PASSWORD_BYTES} bytes")
    if password != password.strip() or not password.isprintable():
        # Prometheus takes spaces away from what it reads from a file.
        found.append("the password must not begin or end with a space, and must be one line of printable characters")
    if len(salt) < SALT_CHARACTERS:
        found.append(f"the salt must have {SALT_CHARACTERS} characters at least")
    if not user or ":" in user or not user.isprintable():
        found.append("the user must have a name, of printable characters without a colon")
    return found


def web_config(password: Any, user: Any, salt: Any) -> str:
    """Return the text of a web configuration."""
    password, user, salt = str(password), str(user), str(salt)
    found = faults(password, user, salt)
    if found:
        raise AnsibleFilterError(f"web_config: {'; '.join(found)}")
    # JSON is YAML too, and quotes whatever a name may hold.
    return (
        json.dumps(
            {
                "tls_server_config": {"cert_file": "server.crt", "key_file": "server.key", "min_version": "TLS12"},
                "basic_auth_users": {user: bcrypt_hash(password, salt)},
            },
            indent=1,
        )
        + "\n"
    )


class FilterModule:
    """What Ansible finds here."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"web_config": web_config}
