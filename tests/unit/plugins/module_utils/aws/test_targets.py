# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A target group that drains and finds healthy as AWS does it, which takes time, played on a clock of its own."""

from __future__ import annotations

import re
from contextlib import contextmanager
from types import SimpleNamespace

import pytest

from ansible_collections.plano.delivery.plugins.module_utils.aws.refusals import AwsError
from ansible_collections.plano.delivery.plugins.module_utils.aws.targets import (
    Clock,
    Group,
    Health,
    TargetError,
    drain,
    healths,
    region_of,
    serve,
)

ARN = "arn:aws:elasticloadbalancing:sa-east-1:123456789012:targetgroup/backend/0123456789abcdef"


class Refused(Exception):
    pass


@contextmanager
def explained(call):
    try:
        yield
    except Refused as exc:
        raise AwsError(call.fault("AccessDenied", str(exc))) from None


class Aws:
    """A target group in which a target drains for *delay* seconds, and is healthy *initial* seconds after it came."""

    meta = SimpleNamespace(region_name="sa-east-1")

    def __init__(self, serving, delay=60, initial=20, healthy=True):
        self.time, self.delay, self.initial, self.healthy = 0.0, delay, initial, healthy
        self.targets = dict.fromkeys(serving, ("in", -1000.0))
        self.sick = set()
        self.refuse = {}
        self.calls = []

    def clock(self):
        return Clock(lambda: self.time, self.sleep)

    def sleep(self, seconds):
        self.time += seconds

    def _called(self, name):
        self.calls.append(name)
        if name in self.refuse:
            raise self.refuse[name]

    def describe_target_groups(self, **_asked):
        self._called("describe_target_groups")
        return {"TargetGroups": [{"TargetGroupArn": ARN}]}

    def describe_target_group_attributes(self, **_asked):
        self._called("attributes")
        return {"Attributes": [{"Key": "deregistration_delay.timeout_seconds", "Value": str(self.delay)}]}

    def describe_target_health(self, **_asked):
        self._called("health")
        found = []
        for target, (kind, since) in self.targets.items():
            if kind == "out":
                if self.time - since >= self.delay:
                    continue
                state = {"State": "draining", "Reason": "Target.DeregistrationInProgress"}
            elif self.time - since < self.initial:
                state = {"State": "initial"}
            elif target in self.sick or not self.healthy:
                state = {"State": "unhealthy", "Reason": "Target.ResponseCodeMismatch", "Description": "502"}
            else:
                state = {"State": "healthy"}
            found.append({"Target": {"Id": target, "Port": 8080}, "TargetHealth": state})
        return {"TargetHealthDescriptions": found}

    def register_targets(self, **asked):
        self._called("register")
        for target in asked["Targets"]:
            assert target["Port"] == 8080
            self.targets[target["Id"]] = ("in", self.time)

    def deregister_targets(self, **asked):
        self._called("deregister")
        for target in asked["Targets"]:
            self.targets[target["Id"]] = ("out", self.time)


def leave(aws, *targets, beside=(), seconds=90, apply=True):
    return drain(Group(aws, ARN, explained), list(targets), 8080, list(beside), seconds, apply, aws.clock())


def come(aws, *targets, seconds=180, apply=True):
    return serve(Group(aws, ARN, explained), list(targets), 8080, seconds, apply, aws.clock())


def test_a_drain_ends_when_the_group_says_that_it_has_ended():
    aws = Aws(["a", "b"])
    done = leave(aws, "a")
    assert done["changed"]
    assert done["states"] == {"a": "absent"}
    assert 60 <= aws.time < 66
    # Far fewer calls than seconds: AWS counts them.
    assert aws.calls.count("health") <= 16


def test_what_is_out_already_is_left_so():
    aws = Aws(["b"])
    assert not leave(aws, "a")["changed"]
    assert aws.calls == ["health"]


def test_a_drain_that_another_began_is_waited_for():
    aws = Aws(["a", "b"])
    aws.targets["a"] = ("out", 0.0)
    assert leave(aws, "a")["states"] == {"a": "absent"}
    assert aws.time >= 60
    assert "deregister" not in aws.calls


@pytest.mark.parametrize(("delay", "seconds"), [(300, 90), (90, 90)])
def test_a_drain_that_cannot_end_in_time_is_not_begun(delay, seconds):
    aws = Aws(["a", "b"], delay=delay)
    with pytest.raises(TargetError, match=rf"a stays in the load balancer: .* {delay} s .*drain may take {seconds} s"):
        leave(aws, "a", seconds=seconds)
    assert "deregister" not in aws.calls


def test_a_drain_that_does_not_end_in_time_says_in_which_state_it_is():
    aws = Aws(["a", "b"])
    aws.describe_target_group_attributes = lambda **_asked: {
        "Attributes": [{"Key": "deregistration_delay.timeout_seconds", "Value": "30"}]
    }
    with pytest.raises(TargetError, match=r"within 45 s: a is draining \(Target.DeregistrationInProgress\)"):
        leave(aws, "a", seconds=45)
    assert 45 <= aws.time <= 50


@pytest.mark.parametrize(
    ("serving", "sick", "beside"), [(["a"], [], []), (["a", "b"], ["b"], []), (["a", "b"], [], ["a", "b"])]
)
def test_the_last_healthy_target_stays(serving, sick, beside):
    aws = Aws(serving)
    aws.sick = set(sick)
    with pytest.raises(TargetError, match="no other healthy target would be left"):
        leave(aws, "a", beside=beside)
    assert "deregister" not in aws.calls


def test_a_sick_target_may_leave_a_sick_group():
    assert leave(Aws(["a", "b"], healthy=False), "a")["changed"]


def test_check_mode_changes_nothing_and_refuses_the_same():
    aws = Aws(["a", "b"])
    assert leave(aws, "a", apply=False)["diff"] == {"before": {"a": "healthy"}, "after": {"a": "absent"}}
    assert come(aws, "c", apply=False)["diff"] == {"before": {"c": "absent"}, "after": {"c": "initial"}}
    assert not come(aws, "a", apply=False)["changed"]
    with pytest.raises(TargetError):
        leave(aws, "a", beside=["b"], apply=False)
    assert not {"register", "deregister"} & set(aws.calls)


def test_who_comes_back_is_waited_for_until_healthy():
    aws = Aws(["b"])
    assert come(aws, "a")["states"] == {"a": "healthy"}
    assert 20 <= aws.time < 26


def test_who_is_healthy_costs_one_call_and_no_time():
    aws = Aws(["a"])
    assert not come(aws, "a")["changed"]
    assert aws.time == 0
    assert aws.calls == ["health"]


def test_who_still_drains_comes_back():
    aws = Aws(["a", "b"])
    aws.targets["a"] = ("out", 0.0)
    assert come(aws, "a")["states"] == {"a": "healthy"}
    assert aws.calls.count("register") == 1


def test_without_seconds_nobody_waits():
    aws = Aws(["b"])
    assert come(aws, "a", "b", seconds=0)["states"] == {"a": "initial", "b": "healthy"}
    assert aws.time == 0


def test_who_is_not_healthy_in_time_is_named_with_the_reason():
    aws = Aws(["b"], healthy=False)
    with pytest.raises(
        TargetError, match=r"within 60 s: a is unhealthy \(Target.ResponseCodeMismatch: 502\).*port 8080"
    ):
        come(aws, "a", seconds=60)
    assert aws.time <= 65


def test_a_group_of_no_load_balancer_is_not_waited_for():
    aws = Aws([])
    unused = {"State": "unused", "Reason": "Target.NotInUse", "Description": "not configured to receive traffic"}
    aws.describe_target_health = lambda **_asked: {
        "TargetHealthDescriptions": [{"Target": {"Id": "a", "Port": 8080}, "TargetHealth": unused}]
    }
    with pytest.raises(TargetError, match=r"Target.NotInUse"):
        come(aws, "a")
    assert aws.time == 0
    # Nobody sends requests there, so nobody has to leave.
    assert not leave(aws, "a")["changed"]


@pytest.mark.parametrize("go", [leave, come])
def test_another_port_is_a_fault(go):
    aws = Aws(["a", "b"])
    group = Group(aws, ARN, explained)
    with pytest.raises(
        TargetError, match=r"a is in target group .* with port 8080, but the backend answers on port 80"
    ):
        if go is leave:
            drain(group, ["a"], 80, [], 90, True, aws.clock())
        else:
            serve(group, ["a"], 80, 0, True, aws.clock())


def test_what_aws_refuses_is_told_with_the_policy_that_grants_it():
    aws = Aws(["a", "b"])
    aws.refuse = {"deregister": Refused()}
    told = f"target group {ARN}: elasticloadbalancing:DeregisterTargets is not allowed: the policy 'deploy' grants it, on {ARN}"
    with pytest.raises(AwsError, match=re.escape(told)):
        leave(aws, "a")


def test_a_name_is_looked_up_once():
    aws = Aws(["a"])
    group = Group(aws, "backend", explained)
    assert group.arn == ARN
    group.healths()
    assert aws.calls == ["describe_target_groups", "health"]


def test_an_arn_names_its_region():
    assert region_of(ARN) == "sa-east-1"
    assert region_of("backend") is None


def test_health_is_read_with_its_reason():
    answer = {
        "TargetHealthDescriptions": [
            {
                "Target": {"Id": "a", "Port": 80},
                "TargetHealth": {"State": "unhealthy", "Reason": "R", "Description": "D"},
            },
            {"Target": {"Id": "b", "Port": 81}, "TargetHealth": {"State": "healthy"}},
        ]
    }
    assert healths(answer) == {"a": Health("unhealthy", 80, "R: D"), "b": Health("healthy", 81)}
    assert Health("unhealthy", 80, "R: D").text == "unhealthy (R: D)"
