# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import sys

import bcrypt
import pytest
import yaml
from ansible.errors import AnsibleFilterError

from ansible_collections.plano.delivery.plugins.filter import web_config as plugin
from ansible_collections.plano.delivery.plugins.filter.web_config import FilterModule, web_config
from ansible_collections.plano.delivery.plugins.filter.web_faults import FilterModule as FaultsModule
from ansible_collections.plano.delivery.plugins.filter.web_faults import web_faults

SALT = "0123456789abcdef"


@pytest.fixture(autouse=True)
def afresh():
    """Each test hashes for itself."""
    plugin.bcrypt_hash.cache_clear()


def hashed(password="S3CRET", user="plano", salt=SALT):
    return yaml.safe_load(FilterModule().filters()["web_config"](password, user, salt))["basic_auth_users"][user]


def test_it_serves_tls_and_one_user_only():
    found = yaml.safe_load(web_config("S3CRET", "plano", SALT))
    assert found["tls_server_config"] == {"cert_file": "server.crt", "key_file": "server.key", "min_version": "TLS12"}
    assert list(found["basic_auth_users"]) == ["plano"]
    assert "S3CRET" not in web_config("S3CRET", "plano", SALT)


@pytest.mark.parametrize("password", ["S3CRET", "é" * 36, "x" * 72, 12345678])
def test_the_right_password_and_no_other_opens_it(password):
    found = hashed(password).encode()
    assert found.startswith(b"$2b$10$")
    assert bcrypt.checkpw(str(password).encode(), found)
    assert not bcrypt.checkpw(str(password).encode()[:-1] + b"!", found)


def test_the_same_salt_gives_the_same_hash_in_every_run():
    first = hashed()
    plugin.bcrypt_hash.cache_clear()
    assert hashed() == first


def test_every_host_and_component_has_a_hash_of_its_own():
    salts = [SALT + host + component for host in ("app", "db") for component in ("prometheus", "node_exporter")]
    found = {hashed(salt=salt) for salt in salts}
    assert len(found) == len(salts)
    assert len({each[:29] for each in found}) == len(salts)


@pytest.mark.parametrize(
    ("password", "user", "salt", "said"),
    [
        ("", "plano", SALT, "the password must have 1 to 72 bytes"),
        ("x" * 73, "plano", SALT, "the password must have 1 to 72 bytes"),
        ("é" * 37, "plano", SALT, "the password must have 1 to 72 bytes"),
        (" S3CRET", "plano", SALT, "the password must not begin or end with a space"),
        ("S3\nCRET", "plano", SALT, "the password must not begin or end with a space"),
        ("S3CRET", "plano", SALT[:-1], "the salt must have 16 characters at least"),
        ("S3CRET", "", SALT, "the user must have a name"),
        ("S3CRET", "pl:ano", SALT, "the user must have a name, of printable characters without a colon"),
    ],
)
def test_what_cannot_be_used_is_refused_without_telling_it(password, user, salt, said):
    with pytest.raises(AnsibleFilterError, match=said) as refused:
        web_config(password, user, salt)
    assert "CRET" not in str(refused.value)
    (fault,) = FaultsModule().filters()["web_faults"](password, user, salt)
    assert fault.startswith(f"monitoring: {said}")
    assert "CRET" not in fault


def test_what_can_be_used_has_no_faults():
    assert web_faults("a b", "the user", SALT) == []


def test_a_controller_without_bcrypt_is_told_what_to_do(monkeypatch):
    monkeypatch.setitem(sys.modules, "bcrypt", None)
    with pytest.raises(AnsibleFilterError, match="web_config needs bcrypt on the controller: pip install bcrypt"):
        web_config("S3CRET", "plano", SALT)
