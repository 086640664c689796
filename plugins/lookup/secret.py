# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: secret
short_description: Read a secret from wherever its environment keeps it
version_added: 0.1.0
author:
  - plano.delivery contributors (@plano-delivery)
description:
  - Reads secrets by the names that C(plano_secrets) gives them, a dictionary of names and places. Roles and group variables are the same in every
    environment; only C(plano_secrets) says that dev keeps a secret in a vault and prod in AWS.
  - A place is C({source, key, region}). Of C(source) V(vault) the C(key) is a variable, which stands in an encrypted file of the inventory; of
    V(secretsmanager) a secret's name or ARN; of V(ssm) a parameter's name or ARN. C(key) may end in C(:FIELD), a field of the JSON object or
    of the dictionary that is there. C(region) is where AWS keeps it, if that is not the region of everything else.
  - Of C(source) V(rds) the C(key) is the identifier of an RDS instance, whose master's password AWS manages; that is what is read, or C(:username).
    Which secret it is in is asked of RDS, so that an instance that was restored and took over the name is read too, which has another secret.
  - AWS is asked on the controller, once for each secret and process, and once for each secret and run where the playbook read them all
    first, as this collection's do.
options:
  _terms:
    description: Names in C(plano_secrets).
    type: list
    elements: str
  all:
    description:
      - Instead of names, read whatever AWS keeps for C(plano_secrets), and return it as one dictionary, by its places.
      - What cannot be read is left out, for whoever needs it to say what is wrong.
    type: bool
    default: false
seealso:
  - plugin: amazon.aws.secretsmanager_secret
    plugin_type: lookup
  - plugin: amazon.aws.ssm_parameter
    plugin_type: lookup
"""

EXAMPLES = r"""
# group_vars/all/secrets.yml of dev
#   plano_secrets:
#     database_application: {source: vault, key: "vault_database_passwords:application"}
# and of prod
#   plano_secrets:
#     database_application: {source: secretsmanager, key: "plano/prod/database:application"}
#     database_master: {source: rds, key: "plano-prod"}

- name: Use it
  ansible.builtin.set_fact:
    database_password: "{{ lookup('plano.delivery.secret', 'database_application') }}"
  no_log: true
"""

RETURN = r"""
_raw:
  description: The secrets, each a text.
  type: list
  elements: str
"""

from typing import Any

from ansible.errors import AnsibleError, AnsibleLookupError
from ansible.plugins.loader import lookup_loader
from ansible.plugins.lookup import LookupBase

from ansible_collections.plano.delivery.plugins.module_utils.aws import refusals, secrets
from ansible_collections.plano.delivery.plugins.module_utils.aws.refusals import AwsError
from ansible_collections.plano.delivery.plugins.module_utils.aws.secrets import Reference, SecretError


class _Refused(Exception):
    """What AWS said instead of a secret, where, and to whom; *kept* is the place that RDS named, if it was asked."""

    def __init__(self, said: str, kept: Reference, region: str, who: str) -> None:
        super().__init__(said)
        self.kept, self.region, self.who = kept, region, who


LOOKUPS = {
    "ssm": "amazon.aws.ssm_parameter",
    "secretsmanager": "amazon.aws.secretsmanager_secret",
    "rds": "amazon.aws.secretsmanager_secret",
}
# What was read first for the whole run: tasks/secrets.yml.
READ = "__plano_secrets_read"
# What this process asked AWS already, refusals too: a check of all hosts templates the same variable again and again.
_asked: dict[str, str | _Refused | AwsError | SecretError] = {}


class LookupModule(LookupBase):
    def run(self, terms: list[str], variables: dict[str, Any] | None = None, **kwargs: Any) -> list[Any]:
        self.set_options(var_options=variables, direct=kwargs)
        self._variables = variables or {}
        try:
            if self.get_option("all"):
                return [self._all()]
            places = self._plain("plano_secrets")
            found = [secrets.reference(places, str(name)) for name in terms]
            return [place.value(self._content(place)) for place in found]
        except (AwsError, SecretError) as exc:
            raise AnsibleLookupError(str(exc)) from None

    def _all(self) -> dict[str, str]:
        """What is kept where, by place and not by name: another host may give a name another place."""
        found = {}
        try:
            places = self._plain("plano_secrets")
        except AnsibleError:
            return {}
        for name in places or {}:
            try:
                place = secrets.reference(places, str(name))
                if place.source != "vault":
                    found[place.where] = self._content(place)
            except (AwsError, SecretError):
                continue
        return found

    def _content(self, place: Reference) -> Any:
        if place.source == "vault":
            if place.id not in self._variables:
                raise SecretError(
                    f"'{place.id}' is undefined, in which secret '{place.name}' is kept: fill it into group_vars/all/vault.yml "
                    "(see vault.yml.example)"
                )
            return self._plain(place.id)
        read = self._variables.get(READ) or {}
        if place.where in read:
            return str(read[place.where])
        if place.where not in _asked:
            try:
                _asked[place.where] = self._ask(place)
            except (_Refused, AwsError, SecretError) as exc:
                _asked[place.where] = exc
        answer = _asked[place.where]
        if isinstance(answer, (AwsError, SecretError)):
            raise answer
        if isinstance(answer, _Refused):
            kept = answer.kept if place.source == "rds" else place
            raise SecretError(secrets.refusal(kept, str(answer), answer.region, answer.who))
        return answer

    def _ask(self, place: Reference) -> str:
        # It brings boto3, for whose import no process should wait that reads a vault.
        from ansible_collections.plano.delivery.plugins.plugin_utils import _aws

        options = {"region": place.region} if place.region else {}
        lookup = lookup_loader.get(LOOKUPS[place.source], loader=self._loader, templar=self._templar)
        if lookup is None or _aws.boto3 is None:
            raise SecretError(f"{place.what}: the collection amazon.aws, or boto3, is not installed on the controller")
        if place.source == "rds":
            place = self._masters(place)
        try:
            found = lookup.run([place.id], self._variables, **options)
        except (AnsibleError, _aws.exceptions.BotoCoreError) as exc:
            denied = secrets.code(str(exc)) in refusals.DENIED
            raise _Refused(str(exc), place, _aws.said_region(), _aws.caller()["Arn"] if denied else "") from None
        # It leaves an empty one out.
        return str(found[0]) if found else ""

    def _masters(self, place: Reference) -> Reference:
        """Ask RDS in which secret it keeps the password of an instance's master."""
        from ansible_collections.plano.delivery.plugins.plugin_utils import _aws

        client = _aws.connect("rds", place.region or None, place.what)
        with _aws.explained(place.call(str(client.meta.region_name))):
            (instance,) = client.describe_db_instances(DBInstanceIdentifier=place.id)["DBInstances"]
        return place.masters(instance)

    def _plain(self, name: str) -> Any:
        return self._templar.template(self._variables.get(name))
