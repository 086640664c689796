"""What the tests watch: everything that the local CloudWatch is fed with, by the presets."""

from __future__ import annotations

from cloudwatch import BALANCER, DATABASE, DISTRIBUTION, EDGE_WEB_ACL, HOME_REGION, INSTANCE, REPLICA, WEB_ACL

from ansible_collections.plano.delivery.plugins.module_utils.aws.cloudwatch_exporter import Description

WATCH = [
    {"preset": "rds", "select": {"DBInstanceIdentifier": [DATABASE, REPLICA]}},
    {"preset": "ec2", "select": {"InstanceId": [INSTANCE]}},
    # Which target groups there are is for CloudWatch to say.
    {"preset": "alb", "select": {"LoadBalancer": [BALANCER]}, "resources": 1},
    {"preset": "wafv2", "select": {"WebACL": [WEB_ACL]}},
    {"preset": "wafv2_cloudfront", "select": {"WebACL": [EDGE_WEB_ACL]}},
    {"preset": "cloudfront", "select": {"DistributionId": [DISTRIBUTION]}},
]


def described(*watch: object, **more: object) -> Description:
    return Description(list(watch) or WATCH, **{"regions": [HOME_REGION], **more})
