# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import base64
import hashlib
import hmac

import pytest
from ansible.errors import AnsibleFilterError

from ansible_collections.plano.delivery.plugins.filter import scram_verifier

# The example of RFC 7677, section 3: user "user", password "pencil".
SALT = "W22ZaJ0SNY7soEsUEjb6gQ=="
NONCE = "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
MESSAGE = f"n=user,r=rOprNGfwEbeRWgbNEkqO,r={NONCE},s={SALT},i=4096,c=biws,r={NONCE}".encode()
PROOF = "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
SIGNATURE = "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="


def test_it_knows_the_client_and_proves_the_server_as_the_rfc_says():
    made = scram_verifier.verifier("pencil", base64.b64decode(SALT))
    head, _sep, keys = made.rpartition("$")
    assert head == f"SCRAM-SHA-256$4096:{SALT}"
    stored, server = (base64.b64decode(key) for key in keys.split(":"))
    assert base64.b64encode(hmac.new(server, MESSAGE, hashlib.sha256).digest()).decode() == SIGNATURE
    # The client shows ClientKey XOR HMAC(StoredKey); its hash is what is kept.
    mask = hmac.new(stored, MESSAGE, hashlib.sha256).digest()
    client_key = bytes(one ^ other for one, other in zip(base64.b64decode(PROOF), mask))
    assert hashlib.sha256(client_key).digest() == stored


def test_two_of_the_same_password_differ():
    assert scram_verifier.scram_verifier("pencil") != scram_verifier.scram_verifier("pencil")


@pytest.mark.parametrize("password", ["", "bleistift-ä", "new\nline"])
def test_what_would_need_saslprep_is_refused_without_being_told(password):
    with pytest.raises(AnsibleFilterError) as refused:
        scram_verifier.scram_verifier(password)
    assert "printable ASCII" in str(refused.value) and (not password or password not in str(refused.value))
