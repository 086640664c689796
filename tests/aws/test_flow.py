# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From an empty account to a delivered release and back: the commands of docs/aws.md, one after the other, on real hosts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import boto3
import pytest
from controller import become
from flow import APPS, BUCKET, Flow, environment
from provisioning import REGION

from ansible_collections.plano.delivery.plugins.module_utils.aws import policies


@pytest.fixture
def flow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Flow]:
    with environment(tmp_path) as found:
        for name, value in found.aws.environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
        yield found


def test_from_an_empty_account_to_a_delivered_release_and_back(flow: Flow, monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = boto3.client("ec2").create_vpc(CidrBlock="10.99.0.0/16")["Vpc"]["VpcId"]
    flow.describe(boto3.client("acm").request_certificate(DomainName="origin.example.com")["CertificateArn"])
    flow.keep_secrets()

    assert "+ database plano-prod: PostgreSQL 17" in flow.run("provision", inventory="")
    said = flow.run("provision", inventory="")
    assert "changed=0" in said
    flow.name_the_database(said)
    what_is_before_the_backend_is_attached()
    flow.start_hosts()

    # From here on the operator has the rights of the policy deploy and no others.
    with operator(monkeypatch, "deploy"):
        with flow.judged():
            flow.publish("1.0.0")
            flow.publish("1.1.0")
        # Not judged: moto cannot judge the URLs that hosts fetch by.
        said = flow.run("deploy")
        assert flow.versions() == {"1.0.0"}
        # Each host has left the load balancer for its release, and is back.
        assert said.count("TASK [Take the host out of the load balancer]") == 2, said
        assert flow.standing() == set(APPS)
        flow.run("deploy", backend_version="1.1.0")
        assert flow.versions() == {"1.1.0"}

        artifacts = boto3.resource("s3").Bucket(BUCKET)
        artifacts.object_versions.delete()
        artifacts.delete()
        with flow.judged():
            flow.run("rollback", reason="nobody can order")
            assert flow.versions() == {"1.0.0"}
            flow.run("drain", "--limit", APPS[0])
            assert flow.standing() == {APPS[1]}
            flow.run("undrain", "--limit", APPS[0])
            assert flow.standing() == set(APPS)

    with operator(monkeypatch, "data"), flow.judged():
        flow.bring_in("Ada")
        flow.run("checkpoint", checkpoint="before-c2", snapshot=True)
        flow.server.copy()
        flow.bring_in("Eve")
        assert flow.clients() == {"Ada", "Eve"}
        restore = {"instance": True, "checkpoint": "before-c2", "confirm": "before-c2"}
        with flow.server.resolved(APPS):
            # Compared in the new instance, and refused: a client would be lost. The next run goes on with the same instance.
            code, said = flow.attempt("restore", **restore)
            assert code != 0 and "public.clients" in said and flow.clients() == {"Ada", "Eve"}, said
            flow.run("restore", **restore, allow_loss=True)
        flow.wait_until_served()
        assert flow.clients() == {"Ada"}
    # The old one is put aside.
    names = sorted(one["name"] for one in flow.server.instances().values())
    assert [name[:17] for name in names] == ["plano-prod", "plano-prod-before"], names

    flow.run("provision", "--tags", "edge", inventory="", edge_invalidate=["/static/*"])
    assert invalidated() == [["/static/*"]]
    flow.run("unprovision", inventory="", confirm="prod")
    assert all_that_is_left() == {"VPCs": {theirs}}


@contextmanager
def operator(monkeypatch: pytest.MonkeyPatch, policy: str) -> Iterator[None]:
    """Be somebody who has this policy alone. moto knows actions, not resources or tags: those are judged in test_policies.py."""
    with monkeypatch.context() as patched:
        document = policies.POLICIES[policy](policies.EXAMPLE)
        become(patched, policy, [{**one, "Resource": "*"} for one in document["Statement"]])
        yield


def invalidated() -> list[list[str]]:
    """Return the paths that CloudFront was told to forget."""
    client = boto3.client("cloudfront")
    (distribution,) = client.list_distributions()["DistributionList"]["Items"]
    found = client.list_invalidations(DistributionId=distribution["Id"])["InvalidationList"]["Items"]
    asked = [client.get_invalidation(DistributionId=distribution["Id"], Id=one["Id"])["Invalidation"] for one in found]
    return [one["InvalidationBatch"]["Paths"]["Items"] for one in asked]


def what_is_before_the_backend_is_attached() -> None:
    """The load balancer has the regional web ACL, and CloudFront the global one and the load balancer's name as its origin."""
    (balancer,) = boto3.client("elbv2").describe_load_balancers()["LoadBalancers"]
    regional = boto3.client("wafv2").get_web_acl_for_resource(ResourceArn=balancer["LoadBalancerArn"])["WebACL"]
    assert regional["Name"] == "plano-prod-regional"
    (distribution,) = boto3.client("cloudfront").list_distributions()["DistributionList"]["Items"]
    (acl,) = boto3.client("wafv2", region_name="us-east-1").list_web_acls(Scope="CLOUDFRONT")["WebACLs"]
    assert (acl["Name"], distribution["WebACLId"]) == ("plano-prod-edge", acl["ARN"])
    assert [origin["DomainName"] for origin in distribution["Origins"]["Items"]] == ["origin.example.com"]


def all_that_is_left() -> dict[str, set[str]]:
    """What there is in the account that costs or stands in the way, beside each VPC's own parts and what the operator has put there."""
    ec2, rds = boto3.client("ec2"), boto3.client("rds")
    hosts = [one for each in ec2.describe_instances()["Reservations"] for one in each["Instances"]]
    found = {
        "VPCs": {one["VpcId"] for one in ec2.describe_vpcs()["Vpcs"] if not one["IsDefault"]},
        "hosts": {one["InstanceId"] for one in hosts if one["State"]["Name"] != "terminated"},
        "databases": {one["DBInstanceIdentifier"] for one in rds.describe_db_instances()["DBInstances"]},
        "balancers": {
            one["LoadBalancerName"] for one in boto3.client("elbv2").describe_load_balancers()["LoadBalancers"]
        },
        "groups": {one["TargetGroupName"] for one in boto3.client("elbv2").describe_target_groups()["TargetGroups"]},
        "distributions": {
            one["Id"] for one in boto3.client("cloudfront").list_distributions()["DistributionList"].get("Items", [])
        },
        "web ACLs": {
            one["Name"]
            for scope, region in (("REGIONAL", REGION), ("CLOUDFRONT", "us-east-1"))
            for one in boto3.client("wafv2", region_name=region).list_web_acls(Scope=scope)["WebACLs"]
        },
        "buckets": {one["Name"] for one in boto3.client("s3").list_buckets()["Buckets"]},
        "keys": {one["KeyName"] for one in ec2.describe_key_pairs()["KeyPairs"]},
    }
    return {kind: names for kind, names in found.items() if names}
