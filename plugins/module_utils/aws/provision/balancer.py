# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The load balancer in front of the backend's hosts."""

from __future__ import annotations

import hashlib
from typing import Any, Mapping, Sequence

from ..tags import tag_list, tags_in
from .plan import Cloud, Found, Item, Kind

HEADER = "X-Plano-Origin"
# "The most common" policy that AWS recommends, with TLS 1.2 and 1.3 alone.
TLS_POLICY = "ELBSecurityPolicy-TLS13-1-2-2021-06"


def digest(secrets: Sequence[str]) -> str:
    """Tell one list of secrets from another without telling them."""
    return hashlib.sha256("\0".join(secrets).encode()).hexdigest()[:12] if secrets else ""


class ElbKind(Kind):
    def tag(self, cloud: Cloud, found: Found, tags: Mapping[str, str]) -> None:
        cloud.client("elbv2").add_tags(ResourceArns=[found.id], Tags=tag_list(tags))

    def tags(self, cloud: Cloud, arns: Sequence[str]) -> dict[str, dict[str, str]]:
        found: dict[str, dict[str, str]] = {}
        # AWS takes 20 at a time.
        for first in range(0, len(arns), 20):
            answer = cloud.client("elbv2").describe_tags(ResourceArns=list(arns[first : first + 20]))
            found.update({one["ResourceArn"]: tags_in(one["Tags"]) for one in answer["TagDescriptions"]})
        return found


class TargetGroup(ElbKind):
    title = "target group"
    fixed = dict.fromkeys(
        ("vpc", "port"), "a target group stays as it is; remove load balancer and target group to change it"
    )

    def observe(self, cloud: Cloud) -> list[Found]:
        client = cloud.client("elbv2")
        pages = client.get_paginator("describe_target_groups").paginate()
        groups = [
            one for page in pages for one in page["TargetGroups"] if one["TargetGroupName"].startswith(cloud.prefix)
        ]
        tags = self.tags(cloud, [one["TargetGroupArn"] for one in groups])
        return [self._seen(client, one, tags[one["TargetGroupArn"]]) for one in groups]

    def _seen(self, client: Any, group: Any, tags: Mapping[str, str]) -> Found:
        arn = group["TargetGroupArn"]
        attributes = client.describe_target_group_attributes(TargetGroupArn=arn)["Attributes"]
        health = client.describe_target_health(TargetGroupArn=arn)["TargetHealthDescriptions"]
        return Found(
            arn,
            group["TargetGroupName"],
            tags,
            has={
                "vpc": group["VpcId"],
                "port": group["Port"],
                "health_path": group["HealthCheckPath"],
                "drain_seconds": int(_attribute(attributes, "deregistration_delay.timeout_seconds") or 300),
                # One that a deploy has taken out is still there, draining, and comes back by the deploy.
                "targets": frozenset(one["Target"]["Id"] for one in health),
            },
            tells={"arn": arn},
        )

    def make(self, cloud: Cloud, item: Item, wanted: Mapping[str, Any], tags: Mapping[str, str]) -> Found:
        made = cloud.client("elbv2").create_target_group(
            Name=item.name,
            Protocol="HTTP",
            Port=wanted["port"],
            VpcId=wanted["vpc"],
            TargetType="instance",
            HealthCheckProtocol="HTTP",
            HealthCheckPath=wanted["health_path"],
            HealthCheckIntervalSeconds=10,
            HealthCheckTimeoutSeconds=5,
            HealthyThresholdCount=2,
            UnhealthyThresholdCount=3,
            Matcher={"HttpCode": "200"},
            Tags=tag_list(tags),
        )
        has = {**wanted, "drain_seconds": None, "targets": frozenset()}
        arn = made["TargetGroups"][0]["TargetGroupArn"]
        return Found(arn, item.name, tags, has, {"arn": arn})

    def change(self, cloud: Cloud, item: Item, found: Found, wanted: Mapping[str, Any], names: Sequence[str]) -> None:
        client = cloud.client("elbv2")
        if "health_path" in names:
            client.modify_target_group(TargetGroupArn=found.id, HealthCheckPath=wanted["health_path"])
        if "drain_seconds" in names:
            delay = {"Key": "deregistration_delay.timeout_seconds", "Value": str(wanted["drain_seconds"])}
            client.modify_target_group_attributes(TargetGroupArn=found.id, Attributes=[delay])
        if "targets" in names:
            for add, call in (
                (wanted["targets"] - found.has["targets"], client.register_targets),
                (found.has["targets"] - wanted["targets"], client.deregister_targets),
            ):
                if add:
                    call(TargetGroupArn=found.id, Targets=[{"Id": target} for target in sorted(add)])

    def remove(self, cloud: Cloud, found: Found) -> None:
        cloud.client("elbv2").delete_target_group(TargetGroupArn=found.id)


class LoadBalancer(ElbKind):
    title = "load balancer"
    fixed = {"scheme": "a load balancer stays internal or open to the internet; remove it to change that"}

    def observe(self, cloud: Cloud) -> list[Found]:
        client = cloud.client("elbv2")
        pages = client.get_paginator("describe_load_balancers").paginate()
        found = [
            one for page in pages for one in page["LoadBalancers"] if one["LoadBalancerName"].startswith(cloud.prefix)
        ]
        tags = self.tags(cloud, [one["LoadBalancerArn"] for one in found])
        return [self._seen(client, one, tags[one["LoadBalancerArn"]]) for one in found]

    def _seen(self, client: Any, one: Any, tags: Mapping[str, str]) -> Found:
        arn = one["LoadBalancerArn"]
        attributes = client.describe_load_balancer_attributes(LoadBalancerArn=arn)["Attributes"]
        protected = _attribute(attributes, "deletion_protection.enabled")
        state = one.get("State", {}).get("Code", "active")
        return Found(
            arn,
            one["LoadBalancerName"],
            tags,
            has={
                "scheme": one["Scheme"],
                "subnets": frozenset(zone["SubnetId"] for zone in one["AvailabilityZones"]),
                "groups": frozenset(one.get("SecurityGroups", [])),
                "deletion_protection": protected == "true",
                "drop_invalid_headers": _attribute(attributes, "routing.http.drop_invalid_header_fields.enabled")
                == "true",
            },
            tells={"arn": arn, "dns_name": one["DNSName"], "zone": one.get("CanonicalHostedZoneId", "")},
            busy="" if state in ("active", "active_impaired") else state,
            kept="it is protected from deletion; set aws_balancer.deletion_protection: false and provision first"
            if protected == "true"
            else "",
        )

    def make(self, cloud: Cloud, item: Item, wanted: Mapping[str, Any], tags: Mapping[str, str]) -> Found:
        made = cloud.client("elbv2").create_load_balancer(
            Name=item.name,
            Type="application",
            Scheme=wanted["scheme"],
            Subnets=sorted(wanted["subnets"]),
            SecurityGroups=sorted(wanted["groups"]),
            Tags=tag_list(tags),
        )["LoadBalancers"][0]
        has = {**wanted, "deletion_protection": False, "drop_invalid_headers": False}
        return Found(made["LoadBalancerArn"], item.name, tags, has, busy="provisioning")

    def change(self, cloud: Cloud, item: Item, found: Found, wanted: Mapping[str, Any], names: Sequence[str]) -> None:
        client = cloud.client("elbv2")
        if "subnets" in names:
            client.set_subnets(LoadBalancerArn=found.id, Subnets=sorted(wanted["subnets"]))
        if "groups" in names:
            client.set_security_groups(LoadBalancerArn=found.id, SecurityGroups=sorted(wanted["groups"]))
        keys = {
            "deletion_protection": "deletion_protection.enabled",
            "drop_invalid_headers": "routing.http.drop_invalid_header_fields.enabled",
        }
        attributes = [{"Key": keys[name], "Value": str(wanted[name]).lower()} for name in names if name in keys]
        if attributes:
            client.modify_load_balancer_attributes(LoadBalancerArn=found.id, Attributes=attributes)

    def remove(self, cloud: Cloud, found: Found) -> None:
        # Its listeners go with it.
        cloud.client("elbv2").delete_load_balancer(LoadBalancerArn=found.id)


class Listener(ElbKind):
    """Redirects, forwards to the target group, or forwards only what carries the origin's secret."""

    title = "listener"

    def observe(self, cloud: Cloud) -> list[Found]:
        client = cloud.client("elbv2")
        found = []
        for balancer in LoadBalancer().observe(cloud):
            pages = client.get_paginator("describe_listeners").paginate(LoadBalancerArn=balancer.id)
            listeners = [one for page in pages for one in page["Listeners"]]
            tags = self.tags(cloud, [one["ListenerArn"] for one in listeners])
            found += [self._seen(client, balancer.name, one, tags[one["ListenerArn"]]) for one in listeners]
        return found

    def _seen(self, client: Any, balancer: str, one: Any, tags: Mapping[str, str]) -> Found:
        rules = [r for r in client.describe_rules(ListenerArn=one["ListenerArn"])["Rules"] if not r["IsDefault"]]
        values = [
            value
            for rule in rules
            for condition in rule["Conditions"]
            for value in condition.get("HttpHeaderConfig", {}).get("Values", [])
        ]
        forwards = [action for rule in rules for action in rule["Actions"]] + one["DefaultActions"]
        return Found(
            one["ListenerArn"],
            f"{balancer}-{one['Port']}",
            tags,
            has={
                "certificate": next((c["CertificateArn"] for c in one.get("Certificates") or []), ""),
                "tls_policy": one.get("SslPolicy", "") if one["Protocol"] == "HTTPS" else "",
                "default": one["DefaultActions"][0]["Type"],
                "secret": digest(values),
                "target": next((action["TargetGroupArn"] for action in forwards if action.get("TargetGroupArn")), ""),
            },
            tells={"arn": one["ListenerArn"], "rules": [rule["RuleArn"] for rule in rules]},
        )

    def make(self, cloud: Cloud, item: Item, wanted: Mapping[str, Any], tags: Mapping[str, str]) -> Found:
        made = cloud.client("elbv2").create_listener(
            LoadBalancerArn=wanted["balancer"],
            Port=item.making["port"],
            Tags=tag_list(tags),
            **_listens(wanted),
        )["Listeners"][0]
        tells = {"arn": made["ListenerArn"], "rules": []}
        return Found(made["ListenerArn"], item.name, tags, {**wanted, "secret": ""}, tells)

    def same(self, name: str, wanted: Any, has: Any) -> bool:
        # It is found among the load balancer's own.
        return name == "balancer" or bool(wanted == has)

    def change(self, cloud: Cloud, item: Item, found: Found, wanted: Mapping[str, Any], names: Sequence[str]) -> None:
        client = cloud.client("elbv2")
        if set(names) - {"secret"}:
            client.modify_listener(ListenerArn=found.id, **_listens(wanted))
        # The new rule stands before the old one is gone, so that no request of CloudFront is refused in between.
        taken = [int(r["Priority"]) for r in client.describe_rules(ListenerArn=found.id)["Rules"] if not r["IsDefault"]]
        if wanted["secret"]:
            rule = {"HttpHeaderName": HEADER, "Values": list(item.making["secrets"])}
            client.create_rule(
                ListenerArn=found.id,
                Priority=next(number for number in range(1, len(taken) + 2) if number not in taken),
                Conditions=[{"Field": "http-header", "HttpHeaderConfig": rule}],
                Actions=[{"Type": "forward", "TargetGroupArn": wanted["target"]}],
            )
        for arn in found.tells["rules"]:
            client.delete_rule(RuleArn=arn)

    def remove(self, cloud: Cloud, found: Found) -> None:
        cloud.client("elbv2").delete_listener(ListenerArn=found.id)


def _listens(wanted: Mapping[str, Any]) -> dict[str, Any]:
    redirect = {"Protocol": "HTTPS", "Port": "443", "StatusCode": "HTTP_301"}
    refusal = {"StatusCode": "403", "ContentType": "text/plain", "MessageBody": "not this way"}
    default: dict[str, Any] = {"Type": wanted["default"]}
    if wanted["default"] == "redirect":
        default["RedirectConfig"] = redirect
    elif wanted["default"] == "fixed-response":
        default["FixedResponseConfig"] = refusal
    else:
        default["TargetGroupArn"] = wanted["target"]
    if not wanted["certificate"]:
        return {"Protocol": "HTTP", "DefaultActions": [default]}
    return {
        "Protocol": "HTTPS",
        "DefaultActions": [default],
        "Certificates": [{"CertificateArn": wanted["certificate"]}],
        "SslPolicy": wanted["tls_policy"],
    }


def _attribute(attributes: Sequence[Mapping[str, Any]], key: str) -> str:
    return next((str(one.get("Value", "")) for one in attributes if one["Key"] == key), "")
