# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""PRIVATE to the collection: the controller's way into an AWS account that is to be provisioned, and back with what it said."""

from __future__ import annotations

import difflib
from abc import abstractmethod
from typing import Any, Callable

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ansible_collections.plano.delivery.plugins.module_utils.aws import policies
from ansible_collections.plano.delivery.plugins.module_utils.aws.provision import describe, refusals
from ansible_collections.plano.delivery.plugins.module_utils.aws.provision.plan import (
    Cloud,
    Item,
    Outcome,
    Provisioner,
)
from ansible_collections.plano.delivery.plugins.module_utils.engine.errors import EngineError, InputError
from ansible_collections.plano.delivery.plugins.plugin_utils import _plain

try:
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError
except ImportError:
    boto3 = None

# What does not concern what is described but what is done with it.
COMMON: dict[str, dict[str, Any]] = {
    "environment": {"type": "str", "required": True},
    "region": {"type": "str", "required": True},
    "account": {"type": "str", "default": ""},
    "name": {"type": "str", "required": True},
    "tags": {"type": "dict", "default": {}},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "confirm": {"type": "str", "default": ""},
}


class Account:
    """The account that the credentials open. It remembers what was asked last, for the message when that is refused."""

    def __init__(self, region: str) -> None:
        if boto3 is None:
            raise EngineError("boto3 is missing on the controller: pip install boto3")
        self.region = region
        self.session = boto3.session.Session()
        self.asked = ("", "", region)
        self._clients: dict[tuple[str, str], Any] = {}
        known = self.session.get_available_regions("ec2")
        if region not in known:
            near = difflib.get_close_matches(region, known, 1)
            raise InputError([f"region: AWS has no '{region}'" + (f"; did you mean {near[0]}?" if near else "")])

    def client(self, service: str, region: str) -> Any:
        if (service, region) not in self._clients:
            # Throttled calls are made again, with more and more time between them.
            config = Config(retries={"mode": "standard", "total_max_attempts": 8}, connect_timeout=10, read_timeout=60)
            client = self.session.client(service, region_name=region, config=config)
            client.meta.events.register("before-call", self._remember(region))
            self._clients[service, region] = client
        return self._clients[service, region]

    def check(self, account: str) -> None:
        """Refuse to work in another account than the one that is meant."""
        if account:
            found = self.client("sts", self.region).get_caller_identity()["Account"]
            if found != account:
                raise InputError(
                    [f"account: the credentials are of {found}, not of {account}; sign in to the right one"]
                )

    def cloudfront_addresses(self) -> str:
        """Return the id of the list of addresses from which CloudFront asks, which AWS keeps for each region."""
        filters = [{"Name": "prefix-list-name", "Values": [describe.CLOUDFRONT_LIST]}]
        lists = self.client("ec2", self.region).describe_managed_prefix_lists(Filters=filters)["PrefixLists"]
        if not lists:
            raise EngineError(
                f"{self.region} has no prefix list {describe.CLOUDFRONT_LIST}, by which CloudFront alone may come in"
            )
        return str(lists[0]["PrefixListId"])

    def _remember(self, region: str) -> Callable[..., None]:
        def remember(model: Any, **_more: Any) -> None:
            self.asked = (model.service_model.service_name, model.name, region)

        return remember


class ProvisionAction(ActionBase):
    """Observe, plan, and unless in check mode apply; or remove all that carries the environment's tags."""

    _requires_connection = False
    _supports_check_mode = True

    spec: dict[str, dict[str, Any]]
    kinds: tuple[str, ...]

    @abstractmethod
    def faults(self, given: dict[str, Any]) -> list[str]: ...

    @abstractmethod
    def items(self, given: dict[str, Any], account: Account) -> list[Item]: ...

    @abstractmethod
    def tells(self, outcome: Outcome) -> dict[str, Any]: ...

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        _validation, validated = self.validate_argument_spec(argument_spec={**COMMON, **self.spec})
        given = _plain.plain(validated)
        account = None
        try:
            account = Account(given["region"])
            account.check(given["account"])
            result.update(self._provision(given, account))
        except InputError as exc:
            count = "1 fault" if len(exc.faults) == 1 else f"{len(exc.faults)} faults"
            lines = "\n".join(f"- {fault}" for fault in exc.faults)
            raise AnsibleActionFail(f"{count}, nothing was changed:\n{lines}") from exc
        except EngineError as exc:
            raise AnsibleActionFail(str(exc)) from exc
        except (BotoCoreError, ClientError) as exc:
            asked = account.asked if account else ("AWS", "", given["region"])
            raise AnsibleActionFail(str(refusals.told(exc, *asked, policies.granting))) from exc
        return result

    def _provision(self, given: dict[str, Any], account: Account) -> dict[str, Any]:
        bucket = (given.get("bucket") or {}).get("name", "")
        kinds = describe.kinds(bucket, given.get("delete_bucket_content", False))
        cloud = Cloud(account.client, given["region"], given["environment"], given["name"], given["tags"])
        provisioner = Provisioner(cloud, kinds, Display().display)
        check = self._task.check_mode
        if given["state"] == "absent":
            if given["confirm"] != given["environment"]:
                raise InputError([f"confirm: say confirm: {given['environment']} to remove all of it"])
            order = tuple(reversed(self.kinds))
            outcome = provisioner.removal(order)[1] if check else provisioner.remove(order)
        else:
            faults = self.faults(given)
            if faults:
                raise InputError(faults)
            items = self.items(given, account)
            outcome = provisioner.plan(items) if check else provisioner.apply(items)
        plan = [str(step) for step in outcome.steps]
        return {
            "changed": outcome.changed,
            "plan": plan,
            "strangers": [str(step) for step in outcome.strangers],
            # Whatever is done is told as it is done.
            **({"diff": {"prepared": "".join(f"{line}\n" for line in plan)}} if check else {}),
            **self.tells(outcome),
        }
