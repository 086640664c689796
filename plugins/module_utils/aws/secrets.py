# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a secret is kept: one contract for every environment, so that only plano_secrets tells dev from prod."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from typing import Any, Mapping

from ..engine.errors import EngineError
from . import refusals
from .refusals import Call

SOURCES = ("vault", "ssm", "secretsmanager", "rds")
POLICY = "deploy"
_ACTION = {
    "ssm": "ssm:GetParameter",
    "secretsmanager": "secretsmanager:GetSecretValue",
    "rds": "rds:DescribeDBInstances",
}
_RESOURCE = {"ssm": "parameter{slash}{id}", "secretsmanager": "secret:{id}-*", "rds": "db:{id}"}
# An ARN's own colons are not those before a field.
_ARN_PARTS = {"ssm": 6, "secretsmanager": 7}
# amazon.aws's lookups put AWS's word for what is wrong in brackets, or name it in passing.
_DELETED = "marked for deletion"
_CODE = re.compile(rf"\(({_DELETED}|[A-Za-z0-9]+)\)")


class SecretError(EngineError):
    """A secret cannot be had; the message never holds its value."""


@dataclass(frozen=True)
class Reference:
    """A secret's place: *id* in *source*, a *field* of it if it is JSON or a dictionary."""

    name: str
    source: str
    id: str
    field: str = ""
    region: str = ""

    @property
    def what(self) -> str:
        return f"secret '{self.name}' ({self.source} {self.id})"

    @property
    def where(self) -> str:
        """Return what two names have in common that are kept in the same place."""
        return f"{self.source} {self.region} {self.id}"

    def call(self, region: str) -> Call:
        """Return what is asked of AWS, for its refusals."""
        place = self.region or region
        resource = _RESOURCE[self.source].format(id=self.id, slash="" if self.id.startswith("/") else "/")
        arn = self.id if self.id.startswith("arn:") else f"arn:aws:{self.source}:{place or '*'}:*:{resource}"
        elsewhere = "; is it in another region? Say so by AWS_REGION, or by 'region' beside its key"
        return Call(_ACTION[self.source], POLICY, self.what, arn, place, if_absent=elsewhere)

    def masters(self, instance: Mapping[str, Any]) -> Reference:
        """Return where RDS keeps the password of the master of *instance*, as DescribeDBInstances tells it."""
        arn = (instance.get("MasterUserSecret") or {}).get("SecretArn", "")
        status = str(instance.get("DBInstanceStatus") or "")
        if not arn and status == "creating":
            raise SecretError(f"{self.what}: the instance is still being made: wait until it is available")
        if not arn:
            raise SecretError(
                f"{self.what}: AWS does not manage the password of the instance's master, so that it is in no secret of RDS. Let it: "
                f"aws rds modify-db-instance --db-instance-identifier {self.id} --manage-master-user-password --apply-immediately; "
                "or keep it yourself, and name its place: {source: secretsmanager, key: NAME:FIELD}"
            )
        return replace(self, source="secretsmanager", id=str(arn))

    def value(self, content: Any) -> str:
        """Return the secret itself, given what stands at *id*."""
        if self.field:
            content = self._field(content)
        if isinstance(content, (dict, list)):
            raise SecretError(f"{self.what} has fields: {', '.join(map(str, content))}; name one as {self.id}:FIELD")
        text = "" if content is None else str(content)
        if not text:
            raise SecretError(f"{self.what} is empty{f' in its field {self.field}' if self.field else ''}: fill it in")
        return text

    def _field(self, content: Any) -> Any:
        if isinstance(content, str):
            try:
                content = json.loads(content)
            except ValueError:
                content = None
        if not isinstance(content, Mapping):
            raise SecretError(f"{self.what} is no JSON object, so that it has no field '{self.field}'")
        if self.field not in content:
            names = ", ".join(sorted(map(str, content))) or "none"
            raise SecretError(f"{self.what} has no field '{self.field}'; it has: {names}")
        return content[self.field]


def reference(secrets: Any, name: str) -> Reference:
    """Return where *name* of plano_secrets is kept."""
    if not isinstance(secrets, Mapping):
        raise SecretError("plano_secrets is missing, or no dictionary: it names the place of each secret")
    if name not in secrets:
        known = ", ".join(sorted(map(str, secrets))) or "none"
        raise SecretError(f"secret '{name}' is not in plano_secrets; there are: {known}")
    entry = secrets[name]
    if not isinstance(entry, Mapping) or not entry.get("key") or set(entry) - {"source", "key", "region"}:
        raise SecretError(
            f"plano_secrets.{name} must read {{source: {'|'.join(SOURCES)}, key: NAME or NAME:FIELD}}, region if need be"
        )
    source = str(entry.get("source"))
    if source not in SOURCES:
        raise SecretError(f"plano_secrets.{name}: source '{source}' must be one of {', '.join(SOURCES)}")
    key, field = _split(str(entry["key"]), _ARN_PARTS.get(source, 0))
    if source == "rds":
        field = field or "password"
    return Reference(name, source, key, field, str(entry.get("region") or ""))


def _split(key: str, arn_parts: int) -> tuple[str, str]:
    own = arn_parts if key.startswith("arn:") else 1
    parts = key.split(":")
    return ":".join(parts[:own]), ":".join(parts[own:])


def refusal(place: Reference, said: str, region: str, who: str = "") -> str:
    """Say why *place* cannot be read, given what amazon.aws *said* of it, where, and to whom."""
    found = code(said)
    if found == _DELETED:
        return f"{place.what} was deleted, and is kept only until its recovery window ends: restore it, or name another"
    call = place.call(region)
    return call.fault(found, said, who) if found else call.unasked(refusals.unasked(said), said)


def code(said: str) -> str:
    """Return AWS's word for what is wrong in *said*, in which amazon.aws tells it; empty when there is none."""
    found = _CODE.search(said)
    return found.group(1) if found else ""
