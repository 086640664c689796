# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts in a target group of a load balancer: taken out, put back, and waited for."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, Callable, ContextManager, Mapping, Sequence

from ansible_collections.plano.delivery.plugins.module_utils.aws.refusals import Call
from ansible_collections.plano.delivery.plugins.module_utils.engine.errors import EngineError

ABSENT = "absent"
# A load balancer in use answers within milliseconds and changes its mind within seconds.
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 5.0
DELAY = "deregistration_delay.timeout_seconds"
# The policy of docs/aws.md that grants what is asked here.
POLICY = "deploy"


class TargetError(EngineError):
    """What keeps a host in its target group, or out of it."""


@dataclass(frozen=True)
class Health:
    """What the load balancer says of a target."""

    state: str = ABSENT
    port: int = 0
    why: str = ""

    @property
    def text(self) -> str:
        return f"{self.state} ({self.why})" if self.why else self.state


@dataclass(frozen=True)
class Clock:
    """Time, as a test may play it."""

    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep


def region_of(group: str) -> str | None:
    """Return the region that an ARN names; a mere name is looked up in the region of the environment."""
    return group.split(":")[3] if group.startswith("arn:") and group.count(":") >= 5 else None


def healths(answer: Mapping[str, Any]) -> dict[str, Health]:
    """Read the answer to DescribeTargetHealth: id to health."""
    found = {}
    for item in answer.get("TargetHealthDescriptions", []):
        health = item.get("TargetHealth", {})
        why = ": ".join(text for text in (health.get("Reason"), health.get("Description")) if text)
        found[str(item["Target"]["Id"])] = Health(
            str(health.get("State", "")), int(item["Target"].get("Port") or 0), why
        )
    return found


class Group:
    """A target group, by the client of boto3; *explained* tells what AWS refuses."""

    def __init__(self, client: Any, name: str, explained: Callable[[Call], ContextManager[None]]) -> None:
        self.client = client
        self.name = name
        self.explained = explained
        self.arn = name if name.startswith("arn:") else self._arn(name)

    def _call(self, action: str, method: Callable[..., Any], **arguments: Any) -> dict[str, Any]:
        call = Call(
            f"elasticloadbalancing:{action}",
            POLICY,
            f"target group {self.name}",
            self.name,
            region_of(self.name) or self.client.meta.region_name,
            if_absent="; is it in another region (AWS_REGION), or has plano.delivery.provision not made it yet?",
        )
        with self.explained(call):
            answer: dict[str, Any] = method(**arguments)
        return answer

    def _arn(self, name: str) -> str:
        found = self._call("DescribeTargetGroups", self.client.describe_target_groups, Names=[name])
        return str(found["TargetGroups"][0]["TargetGroupArn"])

    def healths(self) -> dict[str, Health]:
        return healths(self._call("DescribeTargetHealth", self.client.describe_target_health, TargetGroupArn=self.arn))

    def delay(self) -> int:
        """Return the seconds that requests in flight have after a target was taken out."""
        found = self._call(
            "DescribeTargetGroupAttributes", self.client.describe_target_group_attributes, TargetGroupArn=self.arn
        )
        return next((int(item["Value"]) for item in found["Attributes"] if item["Key"] == DELAY), 300)

    def register(self, targets: Sequence[str], port: int) -> None:
        wanted = [{"Id": target, "Port": port} for target in targets]
        self._call("RegisterTargets", self.client.register_targets, TargetGroupArn=self.arn, Targets=wanted)

    def deregister(self, targets: Sequence[str], port: int) -> None:
        unwanted = [{"Id": target, "Port": port} for target in targets]
        self._call("DeregisterTargets", self.client.deregister_targets, TargetGroupArn=self.arn, Targets=unwanted)


def drain_fault(
    group: str, found: Mapping[str, Health], targets: Sequence[str], beside: Sequence[str], delay: int, seconds: int
) -> str | None:
    """Say why *targets*, with those that leave *beside* them, must not be taken out, if so."""
    if delay >= seconds:
        return (
            f"target group {group} lets requests end for {delay} s ({DELAY}) and says so only afterwards, but the drain may "
            f"take {seconds} s. Give it more time (backend_target_drain_seconds), or lower the group's delay to a little more "
            f"than a request may take"
        )
    leaving = {*targets, *beside}
    serving = [target for target, health in found.items() if health.state == "healthy"]
    if set(serving) & leaving and not set(serving) - leaving:
        return (
            f"no other healthy target would be left in target group {group}. Add one, mend those that are unhealthy, or do not "
            f"drain (backend_target_drain_seconds: 0): a release alone loses no request"
        )
    return None


def port_fault(group: str, found: Mapping[str, Health], targets: Sequence[str], port: int) -> str | None:
    """Say which target stands in the group with another port than the one that is asked for."""
    for target in targets:
        there = found.get(target, Health()).port
        if there and there != port:
            return f"{target} is in target group {group} with port {there}, but the backend answers on port {port}"
    return None


def drain(
    group: Group, targets: Sequence[str], port: int, beside: Sequence[str], seconds: int, apply: bool, clock: Clock
) -> dict[str, Any]:
    """Take *targets* out, and return when no request is under way on them."""
    before = group.healths()
    there = [target for target in targets if before.get(target, Health()).state not in (ABSENT, "unused", "draining")]
    if there:
        wrong = port_fault(group.name, before, there, port) or drain_fault(
            group.name, before, there, beside, group.delay(), seconds
        )
        if wrong:
            raise TargetError(f"{', '.join(there)} stays in the load balancer: {wrong}.")
    if not apply:
        return report(targets, before, {**before, **dict.fromkeys(there, Health())})
    if there:
        group.deregister(there, port)
    seen = group.healths() if there else before
    after, late = wait(group, seen, targets, lambda health: health.state in (ABSENT, "unused"), seconds, clock)
    if late:
        raise TargetError(f"not drained from target group {group.name} within {seconds} s: {late}.")
    return report(targets, before, after)


def serve(group: Group, targets: Sequence[str], port: int, seconds: int, apply: bool, clock: Clock) -> dict[str, Any]:
    """Put *targets* in, and return when the load balancer finds them healthy; with no *seconds*, at once."""
    before = group.healths()
    wrong = port_fault(group.name, before, targets, port)
    if wrong:
        raise TargetError(f"{wrong}.")
    # One that is draining comes back when it is registered again.
    out = [target for target in targets if before.get(target, Health()).state in (ABSENT, "draining")]
    if not apply:
        return report(targets, before, {**before, **dict.fromkeys(out, Health("initial", port))})
    if out:
        group.register(out, port)
    seen = group.healths() if out else before
    if seconds <= 0:
        return report(targets, before, seen)
    after, late = wait(group, seen, targets, lambda health: health.state == "healthy", seconds, clock)
    if late:
        raise TargetError(
            f"not healthy in target group {group.name} within {seconds} s: {late}. Its health check asks port {port}: does the "
            f"firewall let the load balancer in, and does the path answer?"
        )
    return report(targets, before, after)


def wait(
    group: Group,
    found: dict[str, Health],
    targets: Sequence[str],
    good: Callable[[Health], bool],
    seconds: int,
    clock: Clock,
) -> tuple[dict[str, Health], str]:
    """Ask until all *targets* are good, or time is up; return what was seen last, and in words who was not."""
    deadline, pause = clock.now() + seconds, FIRST_PAUSE
    while True:
        late = {target: found.get(target, Health()) for target in targets if not good(found.get(target, Health()))}
        # What no load balancer uses is never asked after its health.
        hopeless = any(health.why.startswith("Target.NotInUse") for health in late.values())
        if not late or hopeless or clock.now() >= deadline:
            return found, ", ".join(f"{target} is {health.text}" for target, health in late.items())
        clock.sleep(min(pause, max(0.0, deadline - clock.now())))
        pause = min(pause * 2, LONGEST_PAUSE)
        found = group.healths()


def report(targets: Sequence[str], before: Mapping[str, Health], after: Mapping[str, Health]) -> dict[str, Any]:
    """Say what became of *targets*, for a module's result."""
    states = [{target: found.get(target, Health()).state for target in targets} for found in (before, after)]
    return {"changed": states[0] != states[1], "diff": {"before": states[0], "after": states[1]}, "states": states[1]}
