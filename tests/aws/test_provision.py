# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A whole environment is planned, made, kept, gone on with after any cut, and removed, by its tags alone."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError
from provisioning import ACCOUNT, REGION, SECRET, Account, Cut, account

from ansible_collections.plano.delivery.plugins.module_utils.aws.provision import describe
from ansible_collections.plano.delivery.plugins.module_utils.aws.provision.plan import Patience
from ansible_collections.plano.delivery.plugins.module_utils.engine.errors import EngineError, InputError


@pytest.fixture
def mine(monkeypatch: pytest.MonkeyPatch) -> Iterator[Account]:
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    with account(monkeypatch.setenv) as found:
        yield found


def test_a_plan_tells_all_that_would_be_made_and_makes_nothing(mine: Account) -> None:
    planned = [str(step) for step in mine.provisioner().plan(mine.items()).steps]
    assert mine.changes == 0 and mine.ids() == {}
    assert planned[0] == "+ VPC plano-prod: 10.20.0.0/16"
    assert "+ subnet plano-prod-private-b: 10.20.144.0/20 in sa-east-1b" in planned
    made = [str(step) for step in mine.apply().steps]
    assert made == planned, "what was planned is what was done"


def test_the_second_run_changes_nothing(mine: Account) -> None:
    first, edge = mine.apply(), mine.apply_edge()
    assert len(first.steps) == 28 and len(edge.steps) == 3
    changes = mine.changes
    again = [mine.apply(), mine.apply_edge()]
    assert [one.steps for one in again] == [[], []]
    assert [one.strangers for one in again] == [[], []]
    assert mine.changes == changes


def test_what_was_made_is_what_was_described(mine: Account) -> None:
    told = mine.apply().found
    mine.apply_edge()
    hosts = [one for r in mine.client("ec2").describe_instances()["Reservations"] for one in r["Instances"]]
    assert {one["MetadataOptions"]["HttpTokens"] for one in hosts} == {"required"}
    volumes = mine.client("ec2").describe_volumes()["Volumes"]
    assert {(one["Encrypted"], one["VolumeType"]) for one in volumes} == {(True, "gp3")}
    profiles = {
        tag["Value"]: "IamInstanceProfile" in one for one in hosts for tag in one["Tags"] if tag["Key"] == "Name"
    }
    assert profiles == {"prod-app-1": False, "prod-app-2": False, "prod-mon": True}
    database = mine.client("rds").describe_db_instances()["DBInstances"][0]
    assert database["MultiAZ"] and database["StorageEncrypted"] and database["DeletionProtection"]
    assert not database["PubliclyAccessible"]
    assert told["database"].tells["endpoint"] == database["Endpoint"]["Address"]
    assert told["database"].tells["master_secret"].startswith(f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:rds!")
    tags = {one["Key"]: one["Value"] for one in database["TagList"]}
    assert {
        "plano:environment": "prod",
        "plano:role": "postgresql",
        "plano:managed": "true",
        "team": "plano",
    }.items() <= tags.items()
    policy = mine.client("s3").get_bucket_policy(Bucket="example-artifacts-prod")["Policy"]
    assert '"aws:SecureTransport": "false"' in policy
    config = mine.client("cloudfront").list_distributions()["DistributionList"]["Items"][0]
    assert config["WebACLId"] and config["ViewerCertificate"]["MinimumProtocolVersion"] == "TLSv1.2_2021"
    acl = mine.client("wafv2").get_web_acl_for_resource(ResourceArn=told["balancer"].id)["WebACL"]
    assert acl["Name"] == "plano-prod-regional"


def test_half_uploads_go_after_a_week_and_the_operators_own_rules_stay(mine: Account) -> None:
    s3 = mine.client("s3")
    mine.apply()

    def rules() -> dict[str, Any]:
        found = s3.get_bucket_lifecycle_configuration(Bucket="example-artifacts-prod")["Rules"]
        return {rule.pop("ID"): rule for rule in found}

    ours = rules()
    assert ours["plano-incomplete-uploads"]["AbortIncompleteMultipartUpload"] == {"DaysAfterInitiation": 7}
    theirs = {"ID": "theirs", "Status": "Enabled", "Filter": {"Prefix": "logs/"}, "Expiration": {"Days": 30}}
    s3.put_bucket_lifecycle_configuration(Bucket="example-artifacts-prod", LifecycleConfiguration={"Rules": [theirs]})
    (step,) = mine.apply().steps
    assert str(step) == "~ bucket example-artifacts-prod: abort_days 0 -> 7"
    assert rules() == {**ours, "theirs": {name: value for name, value in theirs.items() if name != "ID"}}
    assert mine.apply().steps == []


def test_the_load_balancer_lets_in_cloudfront_alone(mine: Account) -> None:
    told = mine.apply().found
    groups = mine.client("ec2").describe_security_groups(GroupIds=[told["group_balancer"].id])["SecurityGroups"]
    (rule,) = groups[0]["IpPermissions"]
    assert [one["PrefixListId"] for one in rule["PrefixListIds"]] == [mine.cloudfront]
    assert not rule["IpRanges"] and not rule["Ipv6Ranges"] and not rule["UserIdGroupPairs"]
    (listener,) = mine.client("elbv2").describe_listeners(LoadBalancerArn=told["balancer"].id)["Listeners"]
    assert listener["DefaultActions"][0]["FixedResponseConfig"]["StatusCode"] == "403"
    rules = mine.client("elbv2").describe_rules(ListenerArn=listener["ListenerArn"])["Rules"]
    forwarding = [one for one in rules if one["Actions"][0]["Type"] == "forward"]
    assert [one["Conditions"][0]["HttpHeaderConfig"]["Values"] for one in forwarding] == [[SECRET]]


def test_a_secret_is_changed_without_a_moment_in_which_neither_holds(mine: Account) -> None:
    mine.apply()
    mine.apply_edge()
    old, new = SECRET, "N3W" * 12
    for secrets, shown in (([new, old], old), ([new, old], new), ([new], new)):
        mine.prod["balancer"]["origin_secrets"], mine.edge["origin_secret"] = secrets, shown
        said = [str(step) for step in [*mine.apply().steps, *mine.apply_edge().steps]]
        assert said and not any(secret in line for line in [*said, *mine.said] for secret in (old, new))
    listener = next(name for kind, name in mine.ids().items() if kind[0] == "listener")
    rules = mine.client("elbv2").describe_rules(ListenerArn=listener)["Rules"]
    values = [one["HttpHeaderConfig"]["Values"] for rule in rules for one in rule["Conditions"]]
    assert values == [[new]]


def test_a_change_is_told_and_made_and_no_other(mine: Account) -> None:
    mine.apply()
    mine.prod["controller_sources"] = ["198.51.100.0/24"]
    mine.prod["database"]["backup_days"] = 14
    mine.prod["database"]["parameters"]["log_min_duration_statement"] = "1000"
    planned = [str(step) for step in mine.provisioner().plan(mine.items()).steps]
    assert "~ database plano-prod: backup_days 7 -> 14" in planned
    assert (
        "~ database parameter group plano-prod-postgresql17: parameters log_min_duration_statement 500 -> 1000"
        in planned
    )
    assert "~ security group plano-prod-backend: rules +22 from 198.51.100.0/24 -22 from 203.0.113.0/24" in planned
    # The monitoring's group is the fourth.
    assert len(planned) == 4
    assert [str(step) for step in mine.apply().steps] == planned
    assert mine.apply().steps == []


def test_what_cannot_be_changed_is_refused_before_anything_is(mine: Account) -> None:
    mine.apply()
    changes = mine.changes
    mine.prod["network"]["cidr"] = "10.30.0.0/16"
    mine.prod["database"]["version"] = "18"
    mine.prod["instances"][0]["type"] = "m7g.large"
    mine.prod["tags"]["team"] = "other"
    with pytest.raises(InputError) as refused:
        mine.apply()
    told = "\n".join(refused.value.faults)
    assert "VPC plano-prod: cidr 10.20.0.0/16 -> 10.30.0.0/16: the range of a VPC stays as it is" in told
    assert "instance prod-app-1: type t4g.medium -> m7g.large: stop the host" in told
    assert "database plano-prod: version" in told and "another major version is no provisioning" in told
    assert mine.changes == changes


def test_what_is_no_longer_described_is_told_and_left_alone(mine: Account) -> None:
    mine.apply()
    mine.prod["instances"].pop()
    outcome = mine.apply()
    assert [str(one)[:20] for one in outcome.strangers] == ["? instance prod-mon:"]
    assert ("instance", "prod-mon") in mine.ids()


def test_a_name_that_another_has_taken_is_refused_with_what_to_do(mine: Account) -> None:
    mine.client("s3").create_bucket(
        Bucket="example-artifacts-prod", CreateBucketConfiguration={"LocationConstraint": REGION}
    )
    mine.client("s3").put_object(Bucket="example-artifacts-prod", Key="theirs", Body=b"theirs")
    mine.client("rds").create_db_instance(
        DBInstanceIdentifier="plano-prod", Engine="postgres", DBInstanceClass="db.t4g.micro", MasterUsername="a"
    )
    changes = mine.changes
    with pytest.raises(InputError) as refused:
        mine.apply()
    told = refused.value.faults
    assert [fault.partition(":")[0] for fault in told] == ["database plano-prod", "bucket example-artifacts-prod"]
    assert "give it these tags if it is to be this environment's" in told[0]
    assert mine.changes == changes


def test_a_given_network_is_used_and_survives_the_environment(mine: Account) -> None:
    ec2 = mine.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.99.0.0/16")["Vpc"]["VpcId"]
    subnets = [
        ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.99.{number}.0/24", AvailabilityZone=f"{REGION}{'ab'[number % 2]}")[
            "Subnet"
        ]["SubnetId"]
        for number in range(4)
    ]
    mine.prod["network"] = {"vpc": vpc, "public_subnets": subnets[:2], "private_subnets": subnets[2:]}
    kinds = {step.kind for step in mine.apply().steps}
    assert not kinds & {"VPC", "subnet", "route table", "NAT gateway", "internet gateway"}
    mine.client("rds").modify_db_instance(DBInstanceIdentifier="plano-prod", DeletionProtection=False)
    mine.prod["balancer"]["deletion_protection"] = mine.prod["database"]["deletion_protection"] = False
    mine.apply()
    mine.remove()
    assert mine.ids() == {}
    assert vpc in {one["VpcId"] for one in ec2.describe_vpcs()["Vpcs"]}


def unprotected(mine: Account) -> None:
    mine.prod["balancer"]["deletion_protection"] = mine.prod["database"]["deletion_protection"] = False


def test_removal_takes_only_what_carries_the_tags(mine: Account) -> None:
    ec2 = mine.client("ec2")
    theirs = ec2.create_vpc(CidrBlock="10.99.0.0/16")["Vpc"]["VpcId"]
    # The same name and another environment, or not made by us: not ours.
    for tags in ({"plano:environment": "dev", "plano:managed": "true"}, {"plano:environment": "prod"}):
        ec2.create_security_group(
            GroupName=f"theirs-{len(tags)}",
            Description="theirs",
            VpcId=theirs,
            TagSpecifications=[
                {
                    "ResourceType": "security-group",
                    "Tags": [
                        {"Key": key, "Value": value} for key, value in {"Name": "plano-prod-backend", **tags}.items()
                    ],
                }
            ],
        )
    unprotected(mine)
    mine.apply()
    mine.apply_edge()
    mine.remove(edge=True)
    planned = mine.provisioner().removal(tuple(reversed(list(mine.provisioner().kinds))))[1]
    assert len(planned.steps) == 28
    mine.remove()
    assert mine.ids() == {}
    names = {one["GroupName"] for one in ec2.describe_security_groups()["SecurityGroups"]}
    assert {"theirs-1", "theirs-2"} <= names
    assert theirs in {one["VpcId"] for one in ec2.describe_vpcs()["Vpcs"]}
    snapshots = mine.client("rds").describe_db_snapshots()["DBSnapshots"]
    assert [one["DBSnapshotIdentifier"][:17] for one in snapshots] == ["plano-prod-final-"]


def test_what_is_protected_or_full_is_removed_only_when_told_and_before_that_nothing_is(mine: Account) -> None:
    mine.apply()
    mine.client("s3").put_object(Bucket="example-artifacts-prod", Key="backend/1.0.0", Body=b"x")
    before = mine.ids()
    with pytest.raises(InputError) as refused:
        mine.remove()
    told = "\n".join(refused.value.faults)
    assert "database plano-prod: it is protected from deletion; set aws_database.deletion_protection: false" in told
    assert "load balancer plano-prod: it is protected" in told
    assert "bucket example-artifacts-prod: it is not empty; aws_delete_bucket_content: true" in told
    assert mine.ids() == before
    unprotected(mine)
    mine.apply()
    mine.prod["delete_bucket_content"] = True
    mine.remove()
    assert mine.ids() == {}


def test_a_run_that_is_cut_anywhere_is_gone_on_with(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a call that changes something, and that nobody hears of: nothing is there twice, nothing is forgotten.

    PLANO_CUTS=1 cuts after each of them.
    """
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    with account(monkeypatch.setenv) as whole:
        unprotected(whole)
        whole.apply()
        made, changes = set(whole.ids()), whole.changes
    for cut in range(1, changes + 1, int(os.environ.get("PLANO_CUTS", "13"))):
        with account(monkeypatch.setenv) as mine:
            unprotected(mine)
            mine.changes, mine.cut_after = 0, cut
            with pytest.raises(Cut):
                mine.apply()
            mine.cut_after = None
            mine.apply()
            assert set(mine.ids()) == made, f"cut after call {cut}: {mine.calls[-1]}"
            assert mine.apply().steps == []


def test_a_removal_that_is_cut_is_gone_on_with(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    for cut in (2, 12, 25):
        with account(monkeypatch.setenv) as mine:
            unprotected(mine)
            mine.apply()
            mine.changes, mine.cut_after = 0, cut
            with pytest.raises(Cut):
                mine.remove()
            mine.cut_after = None
            mine.remove()
            assert mine.ids() == {}


def test_a_long_wait_is_told_and_ends(mine: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(0, 10**6, 20))
    patience = Patience(seconds=100, look=0, say=30, now=lambda: next(clock), sleep=lambda _seconds: None)
    provisioner = mine.provisioner(patience)
    see = provisioner.kinds["database"].observe
    monkeypatch.setattr(
        provisioner.kinds["database"],
        "observe",
        lambda cloud: [type(one)(**{**vars(one), "busy": "creating"}) for one in see(cloud)],
    )
    with pytest.raises(
        EngineError, match=r"still database plano-prod creating\. Look at it .* the next run goes on from here"
    ):
        provisioner.apply(mine.items())
    waiting = [line for line in mine.said if "waiting" in line]
    assert waiting[0] == "  waiting, 0 s: database plano-prod creating" and len(waiting) == 3
    assert mine.apply().steps == []


def test_an_instance_profile_that_ec2_does_not_know_yet_is_waited_for(
    mine: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    ec2 = mine.client("ec2")
    run, refusals = ec2.run_instances, [2]
    slept: list[float] = []

    def refuse(**given: Any) -> Any:
        if "IamInstanceProfile" in given and refusals[0]:
            refusals[0] -= 1
            message = "Value (plano-prod-monitoring) for parameter iamInstanceProfile.name is invalid. Invalid IAM Instance Profile name"
            raise ClientError({"Error": {"Code": "InvalidParameterValue", "Message": message}}, "RunInstances")
        return run(**given)

    monkeypatch.setattr(ec2, "run_instances", refuse)
    monkeypatch.setattr(time, "sleep", slept.append)
    mine.apply()
    assert ("instance", "prod-mon") in mine.ids()
    assert refusals[0] == 0 and slept.count(5) == 2


def listeners(mine: Account) -> dict[int, str]:
    arn = next(name for kind, name in mine.ids().items() if kind[0] == "balancer")
    found = mine.client("elbv2").describe_listeners(LoadBalancerArn=arn)["Listeners"]
    return {one["Port"]: one["DefaultActions"][0]["Type"] for one in found}


def test_without_cloudfront_the_load_balancer_redirects_to_tls_where_it_has_a_certificate(mine: Account) -> None:
    mine.prod["balancer"].update(only_cloudfront=False, sources=["0.0.0.0/0"])
    mine.apply()
    assert listeners(mine) == {80: "redirect", 443: "forward"}
    assert mine.apply().steps == []


def test_without_a_certificate_it_forwards_as_it_is(mine: Account) -> None:
    mine.prod["balancer"] = {"sources": ["198.51.100.0/24"]}
    mine.apply()
    assert listeners(mine) == {80: "forward"}


def test_what_is_wrong_with_edge_and_load_balancer_is_told_at_once(mine: Account) -> None:
    elsewhere = mine.prod["balancer"]["certificate"].replace(REGION, "us-east-1")
    mine.prod["balancer"].update(certificate=elsewhere, origin_secrets=["short"])
    told = "\n".join(describe.faults(mine.prod))
    assert "aws_balancer.certificate: it is in us-east-1; a load balancer in sa-east-1 takes one of sa-east-1" in told
    assert "aws_balancer.origin_secrets: each must be 32 to 128" in told and "short" not in told
    mine.edge.update(
        certificate=elsewhere.replace("us-east-1", REGION), origin="", aliases=[], origin_secret="short", rate=5
    )
    mine.edge["global_rules"]["AWSManagedRulesCommonRuleSet"] = "deny"
    told = "\n".join(describe.edge_faults(mine.edge))
    for name in (
        "edge_certificate",
        "edge_origin:",
        "edge_aliases",
        "edge_origin_secret",
        "edge_rate",
        "neither block nor count",
    ):
        assert name in told
    assert "short" not in told


def test_a_web_acls_rule_is_changed_and_no_other(mine: Account) -> None:
    mine.apply()
    mine.apply_edge()
    mine.edge["global_rules"]["AWSManagedRulesCommonRuleSet"] = "block"
    (step,) = mine.apply_edge().steps
    rules = "rules +AWSManagedRulesCommonRuleSet blocks -AWSManagedRulesCommonRuleSet counts"
    assert str(step) == f"~ web ACL for CloudFront plano-prod-edge: {rules}"
    assert mine.apply_edge().steps == []
