# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The edge: what filters requests (WAF), and what stands before the load balancer (CloudFront)."""

from __future__ import annotations

from typing import Any, Mapping, Sequence

from ..tags import tag_list, tags_in
from .balancer import HEADER, digest
from .plan import Cloud, Found, Item, Kind, covers

GLOBAL_REGION = "us-east-1"
# AWS's own policies: nothing is cached, and the origin sees the whole request.
CACHING_DISABLED = "4135ea2d-6df8-44a3-9df3-4b5a84be39ad"
ALL_VIEWER = "216adef6-5c7f-47e4-b989-5492eafa07d3"
METHODS = ["GET", "HEAD", "OPTIONS", "PUT", "POST", "PATCH", "DELETE"]


def _visible(name: str) -> dict[str, Any]:
    # The metric has the rule's name, by which dashboards and alerts find it.
    return {"SampledRequestsEnabled": True, "CloudWatchMetricsEnabled": True, "MetricName": name}


def acl_rules(groups: Mapping[str, str], rate: int, rate_action: str) -> list[dict[str, Any]]:
    """Return a web ACL's rules: the limit for one address first, for it costs least, then AWS's managed groups.

    *groups* says of each whether it blocks or only counts. Without *rate* there is no limit.
    """
    rules: list[dict[str, Any]] = []
    if rate:
        rules.append(
            {
                "Name": "rate",
                "Priority": 0,
                "Statement": {"RateBasedStatement": {"Limit": rate, "AggregateKeyType": "IP"}},
                "Action": {rate_action.capitalize(): {}},
                "VisibilityConfig": _visible("rate"),
            }
        )
    for priority, (name, action) in enumerate(groups.items(), 1):
        rules.append(
            {
                "Name": name,
                "Priority": priority,
                "Statement": {"ManagedRuleGroupStatement": {"VendorName": "AWS", "Name": name}},
                # "None" leaves the group's own actions, which block.
                "OverrideAction": {"Count" if action == "count" else "None": {}},
                "VisibilityConfig": _visible(name),
            }
        )
    return rules


def said(rules: Sequence[Mapping[str, Any]]) -> list[str]:
    """Tell a web ACL's rules as a plan does."""
    return [
        f"{rule['Name']} {'counts' if 'Count' in (rule.get('Action') or rule.get('OverrideAction') or {}) else 'blocks'}"
        for rule in rules
    ]


class WebAcl(Kind):
    """A web ACL of one scope. One for CloudFront lives in us-east-1, wherever the rest is."""

    def __init__(self, scope: str) -> None:
        self.scope = scope
        self.title = "web ACL for CloudFront" if scope == "CLOUDFRONT" else "web ACL"

    def _client(self, cloud: Cloud) -> Any:
        return cloud.client("wafv2", GLOBAL_REGION if self.scope == "CLOUDFRONT" else cloud.region)

    def observe(self, cloud: Cloud) -> list[Found]:
        client = self._client(cloud)
        found: list[Any] = []
        marker: dict[str, str] = {}
        while True:
            page = client.list_web_acls(Scope=self.scope, Limit=100, **marker)
            found += [acl for acl in page["WebACLs"] if acl["Name"].startswith(cloud.prefix)]
            if not page.get("NextMarker") or not page["WebACLs"]:
                return [self._seen(client, acl) for acl in found]
            marker = {"NextMarker": page["NextMarker"]}

    def _seen(self, client: Any, acl: Any) -> Found:
        whole = client.get_web_acl(Name=acl["Name"], Scope=self.scope, Id=acl["Id"])
        has: dict[str, Any] = {"rules": whole["WebACL"].get("Rules", [])}
        if self.scope == "REGIONAL":
            answer = client.list_resources_for_web_acl(WebACLArn=acl["ARN"], ResourceType="APPLICATION_LOAD_BALANCER")
            has["protects"] = frozenset(answer["ResourceArns"])
        tags = client.list_tags_for_resource(ResourceARN=acl["ARN"])["TagInfoForResource"]["TagList"]
        tells = {"id": acl["Id"], "lock": whole["LockToken"], "scope": self.scope}
        return Found(acl["ARN"], acl["Name"], tags_in(tags), has, tells)

    def make(self, cloud: Cloud, item: Item, wanted: Mapping[str, Any], tags: Mapping[str, str]) -> Found:
        made = self._client(cloud).create_web_acl(
            Name=item.name,
            Scope=self.scope,
            DefaultAction={"Allow": {}},
            Rules=wanted["rules"],
            VisibilityConfig=_visible(item.name),
            Tags=tag_list(tags),
        )["Summary"]
        has = {"rules": wanted["rules"], "protects": frozenset()}
        return Found(made["ARN"], item.name, tags, has, {"id": made["Id"], "lock": made["LockToken"]})

    def change(self, cloud: Cloud, item: Item, found: Found, wanted: Mapping[str, Any], names: Sequence[str]) -> None:
        client = self._client(cloud)
        if "rules" in names:
            client.update_web_acl(
                Name=item.name,
                Scope=self.scope,
                Id=found.tells["id"],
                LockToken=found.tells["lock"],
                DefaultAction={"Allow": {}},
                Rules=wanted["rules"],
                VisibilityConfig=_visible(item.name),
            )
        if "protects" in names:
            for arn in sorted(wanted["protects"] - found.has["protects"]):
                client.associate_web_acl(WebACLArn=found.id, ResourceArn=arn)
            for arn in sorted(found.has["protects"] - wanted["protects"]):
                client.disassociate_web_acl(ResourceArn=arn)

    def told(self, name: str, value: Any) -> Any:
        return frozenset(said(value)) if name == "rules" else value

    def tag(self, cloud: Cloud, found: Found, tags: Mapping[str, str]) -> None:
        self._client(cloud).tag_resource(ResourceARN=found.id, Tags=tag_list(tags))

    def remove(self, cloud: Cloud, found: Found) -> None:
        client = self._client(cloud)
        for arn in found.has.get("protects", ()):
            client.disassociate_web_acl(ResourceArn=arn)
        client.delete_web_acl(Name=found.name, Scope=self.scope, Id=found.tells["id"], LockToken=found.tells["lock"])


class Distribution(Kind):
    title = "distribution"

    def observe(self, cloud: Cloud) -> list[Found]:
        client = cloud.client("cloudfront", GLOBAL_REGION)
        pages = client.get_paginator("list_distributions").paginate()
        summaries = [one for page in pages for one in page["DistributionList"].get("Items", [])]
        # A distribution has no name; its comment is ours.
        return [self._seen(client, one) for one in summaries if one.get("Comment", "").startswith(cloud.prefix)]

    def _seen(self, client: Any, one: Any) -> Found:
        answer = client.get_distribution_config(Id=one["Id"])
        config = answer["DistributionConfig"]
        tags = client.list_tags_for_resource(Resource=one["ARN"])["Tags"].get("Items", [])
        return Found(
            one["Id"],
            config["Comment"],
            tags_in(tags),
            has=_readable(config),
            tells={
                "arn": one["ARN"],
                "domain_name": one["DomainName"],
                "etag": answer["ETag"],
                "config": config,
            },
            busy="" if one["Status"] == "Deployed" else "being deployed to all of CloudFront",
        )

    def make(self, cloud: Cloud, item: Item, wanted: Mapping[str, Any], tags: Mapping[str, str]) -> Found:
        config = {**_config(item, wanted), "CallerReference": f"{item.name}-{item.making['reference']}"}
        made = cloud.client("cloudfront", GLOBAL_REGION).create_distribution_with_tags(
            DistributionConfigWithTags={"DistributionConfig": config, "Tags": {"Items": tag_list(tags)}}
        )["Distribution"]
        return Found(made["Id"], item.name, tags, wanted, {"arn": made["ARN"], "domain_name": made["DomainName"]})

    def change(self, cloud: Cloud, item: Item, found: Found, wanted: Mapping[str, Any], names: Sequence[str]) -> None:
        # AWS takes a whole configuration only, so ours is laid over the one that is there.
        cloud.client("cloudfront", GLOBAL_REGION).update_distribution(
            Id=found.id,
            IfMatch=found.tells["etag"],
            DistributionConfig={**found.tells["config"], **_config(item, wanted)},
        )

    def same(self, name: str, wanted: Any, has: Any) -> bool:
        return covers(wanted, has)

    def tag(self, cloud: Cloud, found: Found, tags: Mapping[str, str]) -> None:
        client = cloud.client("cloudfront", GLOBAL_REGION)
        client.tag_resource(Resource=found.tells["arn"], Tags={"Items": tag_list(tags)})

    def remove(self, cloud: Cloud, found: Found) -> None:
        """Disable it, or delete one that is disabled; AWS takes a quarter of an hour between the two."""
        client = cloud.client("cloudfront", GLOBAL_REGION)
        if found.tells["config"]["Enabled"]:
            off = {**found.tells["config"], "Enabled": False}
            client.update_distribution(Id=found.id, IfMatch=found.tells["etag"], DistributionConfig=off)
        else:
            client.delete_distribution(Id=found.id, IfMatch=found.tells["etag"])


def _config(item: Item, wanted: Mapping[str, Any]) -> dict[str, Any]:
    aliases, logs = sorted(wanted["aliases"]), wanted["log_bucket"]
    header = {"HeaderName": HEADER, "HeaderValue": item.making["secret"]}
    return {
        "Comment": item.name,
        "Enabled": wanted["enabled"],
        "Aliases": {"Quantity": len(aliases), **({"Items": aliases} if aliases else {})},
        "PriceClass": wanted["price_class"],
        "HttpVersion": "http2and3",
        "IsIPV6Enabled": True,
        "WebACLId": wanted["web_acl"],
        "Logging": {
            "Enabled": bool(logs),
            "IncludeCookies": False,
            "Bucket": logs,
            "Prefix": f"{item.name}/" if logs else "",
        },
        "Origins": {
            "Quantity": 1,
            "Items": [
                {
                    "Id": "balancer",
                    "DomainName": wanted["origin"],
                    "CustomHeaders": {"Quantity": 1, "Items": [header]},
                    "CustomOriginConfig": {
                        "HTTPPort": 80,
                        "HTTPSPort": 443,
                        "OriginProtocolPolicy": "https-only",
                        "OriginSslProtocols": {"Quantity": 1, "Items": ["TLSv1.2"]},
                        "OriginReadTimeout": 30,
                        "OriginKeepaliveTimeout": 5,
                    },
                }
            ],
        },
        "DefaultCacheBehavior": {
            "TargetOriginId": "balancer",
            "ViewerProtocolPolicy": wanted["viewers"],
            "AllowedMethods": {
                "Quantity": len(METHODS),
                "Items": METHODS,
                "CachedMethods": {"Quantity": 2, "Items": ["GET", "HEAD"]},
            },
            "Compress": wanted["compress"],
            "CachePolicyId": wanted["cache_policy"],
            "OriginRequestPolicyId": wanted["request_policy"],
        },
        "ViewerCertificate": {
            "CloudFrontDefaultCertificate": False,
            "ACMCertificateArn": wanted["certificate"],
            "SSLSupportMethod": "sni-only",
            "MinimumProtocolVersion": wanted["tls"],
        },
    }


def _readable(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return of a configuration what can be wanted, under the names it is wanted by; of the secret only a digest."""
    origin: Mapping[str, Any] = next(iter(config["Origins"].get("Items", [])), {})
    behavior = config["DefaultCacheBehavior"]
    headers = origin.get("CustomHeaders", {}).get("Items", [])
    return {
        "enabled": config["Enabled"],
        "aliases": frozenset(config.get("Aliases", {}).get("Items", [])),
        "price_class": config.get("PriceClass"),
        "web_acl": config.get("WebACLId"),
        "log_bucket": config.get("Logging", {}).get("Bucket") or "",
        "origin": origin.get("DomainName"),
        "secret": digest([one["HeaderValue"] for one in headers if one["HeaderName"] == HEADER]),
        "origin_protocol": origin.get("CustomOriginConfig", {}).get("OriginProtocolPolicy"),
        "viewers": behavior["ViewerProtocolPolicy"],
        "compress": behavior["Compress"],
        "cache_policy": behavior.get("CachePolicyId"),
        "request_policy": behavior.get("OriginRequestPolicyId"),
        "certificate": config.get("ViewerCertificate", {}).get("ACMCertificateArn"),
        "tls": config.get("ViewerCertificate", {}).get("MinimumProtocolVersion"),
    }
