"""Resources found by their tags: the ARN of each kind gives the value that its metrics have."""

from __future__ import annotations

import pytest
from cloudwatch import HOME_REGION, Fed
from cloudwatch_jar import exporter
from cloudwatch_watch import described

from ansible_collections.plano.delivery.plugins.module_utils.aws.cloudwatch_exporter import plan

REGION = "eu-west-1"
PROD, DEV = ([{"Key": "Environment", "Value": value}] for value in ("prod", "dev"))


@pytest.fixture(scope="module")
def made(aws):
    """Make two of each kind, one of them tagged prod, and feed their metrics; return those of prod by kind."""
    found = {}
    rds = aws.client("rds", REGION)
    for name, tags in (("tagged-prod", PROD), ("tagged-dev", DEV)):
        rds.create_db_instance(
            DBInstanceIdentifier=name, DBInstanceClass="db.t4g.micro", Engine="postgres", AllocatedStorage=20, Tags=tags
        )
        aws.feed([Fed(REGION, "AWS/RDS", "CPUUtilization", (("DBInstanceIdentifier", name),), (7.0,))])
    found["rds"] = "tagged-prod"

    ec2 = aws.client("ec2", REGION)
    image = ec2.describe_images()["Images"][0]["ImageId"]
    for tags in (DEV, PROD):
        named = [{"ResourceType": "instance", "Tags": tags}]
        made = ec2.run_instances(ImageId=image, MinCount=1, MaxCount=1, TagSpecifications=named)["Instances"][0]
        found["ec2"] = made["InstanceId"]
        aws.feed([Fed(REGION, "AWS/EC2", "CPUCreditBalance", (("InstanceId", found["ec2"]),), (7.0,))])

    elb = aws.client("elbv2", REGION)
    network = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    subnets = [
        ec2.create_subnet(VpcId=network, CidrBlock=f"10.0.{number}.0/24", AvailabilityZone=f"{REGION}{zone}")["Subnet"]
        for number, zone in enumerate("ab")
    ]
    for name, tags in (("dev", DEV), ("prod", PROD)):
        balancer = elb.create_load_balancer(Name=name, Subnets=[one["SubnetId"] for one in subnets], Tags=tags)
        group = elb.create_target_group(Name=name, Protocol="HTTP", Port=80, VpcId=network, Tags=tags)
        # What the metrics are named by is the end of the ARN; a load balancer's begins after its kind.
        there = balancer["LoadBalancers"][0]["LoadBalancerArn"].partition(":loadbalancer/")[2]
        targets = group["TargetGroups"][0]["TargetGroupArn"].rpartition(":")[2]
        found["alb"] = (there, targets)
        aws.feed([Fed(REGION, "AWS/ApplicationELB", "RequestCount", (("LoadBalancer", there),), (1.0,))])
        both = (("TargetGroup", targets), ("LoadBalancer", there))
        aws.feed([Fed(REGION, "AWS/ApplicationELB", "HealthyHostCount", both, (2.0,))])

    return found


def test_only_what_has_the_tag_is_shown(jar, aws, tmp_path, made):
    # moto finds no web ACLs or distributions by tags.
    entries = [{"preset": name, "tags": {"Environment": ["prod"]}, "resources": 1} for name in ("rds", "ec2", "alb")]
    config = plan(described(*entries, regions=[REGION])).configurations[REGION]
    with exporter(jar, tmp_path, config, aws) as running:
        shown = running.scrape()
    assert shown.error == 0
    [database] = shown.of("aws_rds_cpuutilization_average")
    [instance] = shown.of("aws_ec2_cpucredit_balance_average")
    [balancer] = shown.of("aws_applicationelb_request_count_sum")
    [group] = shown.of("aws_applicationelb_healthy_host_count_average")
    assert database.label("dbinstance_identifier") == made["rds"]
    assert instance.label("instance_id") == made["ec2"]
    assert (balancer.label("load_balancer"), group.label("target_group")) == made["alb"]
    # Each resource is told about, with all its tags, for joins.
    told = {one.label("arn").split(":")[2] for one in shown.of("aws_resource_info")}
    assert told == {"rds", "ec2", "elasticloadbalancing"}
    assert {one.label("tag_Environment") for one in shown.of("aws_resource_info")} == {"prod"}


def test_tags_of_another_region_find_nothing(jar, aws, tmp_path, made):
    entry = {"preset": "rds", "tags": {"Environment": ["prod"]}, "resources": 1}
    config = plan(described(entry)).configurations[HOME_REGION]
    with exporter(jar, tmp_path, config, aws) as running:
        shown = running.scrape()
    assert (shown.error, shown.families) == (0, [])
