# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The least that each of those who work on an environment may do, as IAM's policy documents.

Each is limited to the environment: by its names where ARNs have them, by its tags where they have not. What AWS lets
nobody limit (mostly what only describes) is in a statement of its own, for the environment's regions.
"""

from __future__ import annotations

import fnmatch
from dataclasses import dataclass
from typing import Any, Sequence

GLOBAL_REGION = "us-east-1"
OWNED = {"plano:environment": "{environment}", "plano:managed": "true"}
# What EC2 makes with tags in the call that makes it.
EC2_TAGGED = (
    "elastic-ip",
    "instance",
    "internet-gateway",
    "key-pair",
    "natgateway",
    "network-interface",
    "route-table",
    "security-group",
    "subnet",
    "volume",
    "vpc",
    "vpc-endpoint",
)
EC2_MAKES = (
    "AllocateAddress",
    "CreateInternetGateway",
    "CreateNatGateway",
    "CreateRouteTable",
    "CreateSecurityGroup",
    "CreateSubnet",
    "CreateVpc",
    "CreateVpcEndpoint",
    "ImportKeyPair",
    "RunInstances",
)
# What these calls use, and what has to be the environment's.
EC2_USES = (
    "CreateNatGateway",
    "CreateRouteTable",
    "CreateSecurityGroup",
    "CreateSubnet",
    "CreateVpcEndpoint",
    "RunInstances",
)
EC2_USED = ("elastic-ip", "key-pair", "route-table", "security-group", "subnet", "vpc")
EC2_CHANGES = (
    "AssociateIamInstanceProfile",
    "AssociateRouteTable",
    "AttachInternetGateway",
    "AuthorizeSecurityGroupIngress",
    "CreateRoute",
    "CreateTags",
    "DeleteInternetGateway",
    "DeleteKeyPair",
    "DeleteNatGateway",
    "DeleteRoute",
    "DeleteRouteTable",
    "DeleteSecurityGroup",
    "DeleteSubnet",
    "DeleteVpc",
    "DeleteVpcEndpoints",
    "DetachInternetGateway",
    "DisassociateIamInstanceProfile",
    "DisassociateRouteTable",
    "ModifyInstanceAttribute",
    "ModifyInstanceMetadataOptions",
    "ModifyVpcAttribute",
    "ModifyVpcEndpoint",
    "ReleaseAddress",
    "RevokeSecurityGroupIngress",
    "TerminateInstances",
)
EC2_READS = (
    "DescribeAddresses",
    "DescribeIamInstanceProfileAssociations",
    "DescribeImages",
    "DescribeInstances",
    "DescribeInternetGateways",
    "DescribeKeyPairs",
    "DescribeManagedPrefixLists",
    "DescribeNatGateways",
    "DescribeRouteTables",
    "DescribeSecurityGroups",
    "DescribeSubnets",
    "DescribeVpcAttribute",
    "DescribeVpcEndpoints",
    "DescribeVpcs",
)
ELB_READS = (
    "DescribeListeners",
    "DescribeLoadBalancerAttributes",
    "DescribeLoadBalancers",
    "DescribeRules",
    "DescribeTags",
    "DescribeTargetGroupAttributes",
    "DescribeTargetGroups",
    "DescribeTargetHealth",
)
RDS_READS = (
    "DescribeDBInstances",
    "DescribeDBParameterGroups",
    "DescribeDBParameters",
    "DescribeDBSnapshots",
    "DescribeDBSubnetGroups",
    "ListTagsForResource",
)


@dataclass(frozen=True)
class Scope:
    """Where the rights hold. *name* begins the names of the environment's resources, as aws_name does."""

    account: str
    region: str
    environment: str
    name: str
    bucket: str
    partition: str = "aws"

    def arn(self, service: str, rest: str, region: str | None = None, account: str | None = None) -> str:
        where = self.region if region is None else region
        whose = self.account if account is None else account
        return f"arn:{self.partition}:{service}:{where}:{whose}:{rest}"

    @property
    def owned(self) -> dict[str, Any]:
        """What carries the environment's tags."""
        return {"StringEquals": {f"aws:ResourceTag/{key}": value for key, value in self._tags.items()}}

    @property
    def tagged(self) -> dict[str, Any]:
        """What is made with them."""
        return {"StringEquals": {f"aws:RequestTag/{key}": value for key, value in self._tags.items()}}

    @property
    def here(self) -> dict[str, Any]:
        return {"StringEquals": {"aws:RequestedRegion": self.region}}

    @property
    def _tags(self) -> dict[str, str]:
        return {key: value.format(environment=self.environment) for key, value in OWNED.items()}


def _allow(
    sid: str,
    service: str,
    actions: Sequence[str],
    resources: Sequence[str] | str,
    condition: dict[str, Any] | None = None,
) -> dict[str, Any]:
    return {
        "Sid": sid,
        "Effect": "Allow",
        "Action": [f"{service}:{action}" for action in sorted(actions)],
        "Resource": resources if isinstance(resources, str) else sorted(resources),
        **({"Condition": condition} if condition else {}),
    }


def _document(*statements: dict[str, Any]) -> dict[str, Any]:
    return {"Version": "2012-10-17", "Statement": list(statements)}


def _bucket(scope: Scope, rest: str = "") -> str:
    return scope.arn("s3", scope.bucket + rest, "", "")


def _secrets(scope: Scope, sid: str, *parts: str) -> list[dict[str, Any]]:
    """Let read the secrets of the environment, whichever of the two stores they are in."""
    return [
        _allow(
            f"{sid}InSecretsManager",
            "secretsmanager",
            ["GetSecretValue"],
            [scope.arn("secretsmanager", f"secret:plano/{scope.environment}/{part}") for part in parts],
        ),
        _allow(
            f"{sid}InParameterStore",
            "ssm",
            ["GetParameter", "GetParameters"],
            [scope.arn("ssm", f"parameter/plano/{scope.environment}/{part}") for part in parts],
        ),
    ]


def _master_password(scope: Scope) -> dict[str, Any]:
    """Reading the password of the database's master. RDS makes the secret's name, and marks it with the instance it is of.

    The instance's own tags would not do: RDS copies them when it makes the secret, and never again.
    """
    return _allow(
        "MasterPassword",
        "secretsmanager",
        ["GetSecretValue"],
        [scope.arn("secretsmanager", "secret:rds!db-*")],
        {"StringLike": {"aws:ResourceTag/aws:rds:primaryDBInstanceArn": scope.arn("rds", f"db:{scope.name}*")}},
    )


def deploy(scope: Scope) -> dict[str, Any]:
    """What builds, publishes and delivers: a workflow's role, or an operator's."""
    groups = [scope.arn("elasticloadbalancing", f"targetgroup/{scope.name}-*/*")]
    return _document(
        _allow(
            "Artifacts",
            "s3",
            ["AbortMultipartUpload", "GetObject", "GetObjectVersion", "PutObject"],
            [_bucket(scope, "/*")],
        ),
        _allow(
            "ArtifactsListed",
            "s3",
            ["GetBucketLocation", "ListBucket", "ListBucketMultipartUploads", "ListBucketVersions"],
            [_bucket(scope)],
        ),
        _allow("Drain", "elasticloadbalancing", ["DeregisterTargets", "RegisterTargets"], groups, scope.owned),
        _allow(
            "Health",
            "elasticloadbalancing",
            ["DescribeTags", "DescribeTargetGroupAttributes", "DescribeTargetGroups", "DescribeTargetHealth"],
            "*",
            scope.here,
        ),
        _allow("Inventory", "ec2", ["DescribeInstances", "DescribeRegions"], "*", scope.here),
        _allow("InventoryOfDatabases", "rds", ["DescribeDBInstances", "ListTagsForResource"], "*", scope.here),
        *_secrets(scope, "Secrets", "*"),
        _master_password(scope),
    )


def data(scope: Scope) -> dict[str, Any]:
    """What takes checkpoints and restores them: always into a new instance. It deletes no instance and no snapshot."""
    reads = [*RDS_READS, "DescribeDBInstanceAutomatedBackups"]
    # RDS asks for the option group too, which is its own default.
    options = scope.arn("rds", "og:default:postgres-*")
    instance, snapshot = scope.arn("rds", f"db:{scope.name}*"), scope.arn("rds", f"snapshot:{scope.name}*")
    placed = [scope.arn("rds", f"{kind}:{scope.name}*") for kind in ("pg", "subgrp")]
    return _document(
        _allow("Snapshot", "rds", ["CreateDBSnapshot"], [instance], scope.owned),
        _allow("SnapshotNamed", "rds", ["CreateDBSnapshot"], [snapshot]),
        _allow(
            "Restore",
            "rds",
            ["RestoreDBInstanceFromDBSnapshot", "RestoreDBInstanceToPointInTime"],
            [instance, snapshot, options, *placed],
        ),
        _allow("Rename", "rds", ["ModifyDBInstance", "RebootDBInstance"], [instance, *placed], scope.owned),
        # RDS makes the restored instance's own master password in the name of whoever asks for it.
        _allow(
            "RestoredPassword",
            "secretsmanager",
            ["CreateSecret", "TagResource"],
            [scope.arn("secretsmanager", "secret:rds!db-*")],
        ),
        _allow("RestoredPasswordKey", "kms", ["DescribeKey"], [scope.arn("kms", "key/*")]),
        _allow("Tag", "rds", ["AddTagsToResource"], [instance, snapshot], scope.tagged),
        _allow("Read", "rds", reads, "*", scope.here),
        _allow("ReadNetwork", "ec2", ["DescribeSecurityGroups", "DescribeSubnets", "DescribeVpcs"], "*", scope.here),
        _allow("Inventory", "ec2", ["DescribeInstances", "DescribeRegions"], "*", scope.here),
        _allow("Checkpoints", "s3", ["GetObject", "PutObject"], [_bucket(scope, "/checkpoints/*")]),
        _allow(
            "CheckpointsListed", "s3", ["ListBucket"], [_bucket(scope)], {"StringLike": {"s3:prefix": "checkpoints/*"}}
        ),
        *_secrets(scope, "Passwords", "database*"),
        _master_password(scope),
    )


def edge(scope: Scope) -> dict[str, Any]:
    """What changes WAF and CloudFront, and clears CloudFront's caches. It makes and deletes both, for the environment only."""
    acls = [
        scope.arn("wafv2", f"regional/webacl/{scope.name}-*"),
        scope.arn("wafv2", f"global/webacl/{scope.name}-*", GLOBAL_REGION),
    ]
    managed = [
        scope.arn("wafv2", "regional/managedruleset/*"),
        scope.arn("wafv2", "global/managedruleset/*", GLOBAL_REGION),
    ]
    balancers = [scope.arn("elasticloadbalancing", f"loadbalancer/app/{scope.name}/*")]
    distributions = [scope.arn("cloudfront", "distribution/*", "")]
    certificates = [scope.arn("acm", "certificate/*", GLOBAL_REGION)]
    return _document(
        _allow("MakeAcls", "wafv2", ["CreateWebACL", "TagResource"], [*acls, *managed], scope.tagged),
        _allow("UseManagedRules", "wafv2", ["CreateWebACL", "UpdateWebACL"], managed),
        _allow("ChangeAcls", "wafv2", ["DeleteWebACL", "GetWebACL", "UpdateWebACL"], acls, scope.owned),
        _allow(
            "Attach",
            "wafv2",
            ["AssociateWebACL", "DisassociateWebACL", "ListResourcesForWebACL", "ListTagsForResource"],
            [*acls, *balancers],
        ),
        _allow("AttachBalancer", "elasticloadbalancing", ["SetWebAcl"], balancers),
        _allow("ListAcls", "wafv2", ["ListWebACLs"], "*"),
        _allow("MakeDistribution", "cloudfront", ["CreateDistribution", "TagResource"], distributions, scope.tagged),
        _allow(
            "ChangeDistribution",
            "cloudfront",
            [
                "CreateInvalidation",
                "DeleteDistribution",
                "GetDistribution",
                "GetDistributionConfig",
                "GetInvalidation",
                "ListInvalidations",
                "UpdateDistribution",
            ],
            distributions,
            scope.owned,
        ),
        _allow("ListDistributions", "cloudfront", ["ListDistributions", "ListTagsForResource"], "*"),
        _allow("Certificates", "acm", ["DescribeCertificate"], certificates),
        _allow(
            "ReadBalancer",
            "elasticloadbalancing",
            ["DescribeLoadBalancerAttributes", "DescribeLoadBalancers", "DescribeTags"],
            "*",
            scope.here,
        ),
        *_secrets(scope, "OriginSecret", "edge*"),
    )


def monitor(scope: Scope) -> dict[str, Any]:
    """What the monitoring host reads: metrics, and which resources they are of."""
    regions = {"StringEquals": {"aws:RequestedRegion": sorted({scope.region, GLOBAL_REGION})}}
    return _document(
        _allow("Metrics", "cloudwatch", ["GetMetricData", "GetMetricStatistics", "ListMetrics"], "*", regions),
        _allow("Resources", "tag", ["GetResources"], "*", regions),
        _allow("Targets", "ec2", ["DescribeInstances"], "*", scope.here),
    )


def audit(scope: Scope) -> dict[str, Any]:
    """What looks on and changes nothing; it reads no secret, no artifact and no client's data."""
    trail = ("DescribeTrails", "GetTrailStatus", "LookupEvents")
    return _document(
        _allow("Trail", "cloudtrail", trail, "*"),
        _allow("Network", "ec2", EC2_READS, "*", scope.here),
        _allow("Balancers", "elasticloadbalancing", ELB_READS, "*", scope.here),
        _allow("Databases", "rds", RDS_READS, "*", scope.here),
        _allow("Acls", "wafv2", ["GetWebACL", "ListResourcesForWebACL", "ListTagsForResource", "ListWebACLs"], "*"),
        _allow(
            "Distributions", "cloudfront", ["GetDistributionConfig", "ListDistributions", "ListTagsForResource"], "*"
        ),
        _allow(
            "Bucket",
            "s3",
            [
                "GetBucketOwnershipControls",
                "GetBucketPolicy",
                "GetBucketPublicAccessBlock",
                "GetBucketTagging",
                "GetBucketVersioning",
                "GetEncryptionConfiguration",
                "GetLifecycleConfiguration",
            ],
            [_bucket(scope)],
        ),
        _allow(
            "Rights",
            "iam",
            ["GetRole", "GetRolePolicy", "ListRolePolicies", "ListRoleTags"],
            [scope.arn("iam", f"role/plano/{scope.environment}/*", "")],
        ),
    )


def provision_hosts(scope: Scope) -> dict[str, Any]:
    """What makes, changes and removes network, hosts and their rights. One policy for all would be longer than IAM takes."""

    def ec2(kinds: Sequence[str]) -> list[str]:
        return [scope.arn("ec2", f"{kind}/*") for kind in kinds]

    roles = [scope.arn("iam", f"role/plano/{scope.environment}/*", "")]
    profiles = [scope.arn("iam", f"instance-profile/plano/{scope.environment}/*", "")]
    return _document(
        _allow("MakeTagged", "ec2", EC2_MAKES, ec2(EC2_TAGGED), scope.tagged),
        _allow(
            "TagWhatIsMade",
            "ec2",
            ["CreateTags"],
            ec2(EC2_TAGGED),
            {"StringEquals": {"ec2:CreateAction": sorted(EC2_MAKES)}},
        ),
        _allow("UseOurs", "ec2", EC2_USES, ec2(EC2_USED), scope.owned),
        _allow("UseImages", "ec2", ["RunInstances"], [scope.arn("ec2", "image/*", account="")]),
        _allow("ChangeOurs", "ec2", EC2_CHANGES, ec2(EC2_TAGGED), scope.owned),
        _allow("ReadNetwork", "ec2", EC2_READS, "*", scope.here),
        _allow("Images", "ssm", ["GetParameter"], [scope.arn("ssm", "parameter/aws/service/*", account="")]),
        _allow(
            "Rights",
            "iam",
            [
                "CreateRole",
                "DeleteRole",
                "DeleteRolePolicy",
                "GetRolePolicy",
                "ListRolePolicies",
                "ListRoleTags",
                "PutRolePolicy",
                "TagRole",
            ],
            roles,
        ),
        _allow(
            "PassRights", "iam", ["PassRole"], roles, {"StringEquals": {"iam:PassedToService": "ec2.amazonaws.com"}}
        ),
        _allow(
            "Profiles",
            "iam",
            [
                "AddRoleToInstanceProfile",
                "CreateInstanceProfile",
                "DeleteInstanceProfile",
                "GetInstanceProfile",
                "RemoveRoleFromInstanceProfile",
                "TagInstanceProfile",
            ],
            profiles,
        ),
        _allow("ListRights", "iam", ["ListInstanceProfiles", "ListRoles"], "*"),
    )


def provision_services(scope: Scope) -> dict[str, Any]:
    """What makes, changes and removes database, bucket and load balancer."""
    database = [scope.arn("rds", f"{kind}:{scope.name}*") for kind in ("db", "pg", "subgrp")]
    balancers = [
        scope.arn("elasticloadbalancing", f"{kind}/{scope.name}{rest}")
        for kind, rest in (
            ("loadbalancer/app", "/*"),
            ("targetgroup", "-*/*"),
            ("listener/app", "/*"),
            ("listener-rule/app", "/*"),
        )
    ]
    services = {"StringEquals": {"iam:AWSServiceName": ["elasticloadbalancing.amazonaws.com", "rds.amazonaws.com"]}}
    return _document(
        _allow(
            "ServicesOwnRoles",
            "iam",
            ["CreateServiceLinkedRole"],
            [scope.arn("iam", "role/aws-service-role/*", "")],
            services,
        ),
        _allow(
            "MakeDatabase",
            "rds",
            ["AddTagsToResource", "CreateDBInstance", "CreateDBParameterGroup", "CreateDBSubnetGroup"],
            database,
            scope.tagged,
        ),
        _allow("PlaceDatabase", "rds", ["CreateDBInstance"], database[1:], scope.owned),
        _allow(
            "ChangeDatabase",
            "rds",
            [
                "DeleteDBInstance",
                "DeleteDBParameterGroup",
                "DeleteDBSubnetGroup",
                "ModifyDBInstance",
                "ModifyDBParameterGroup",
                "ModifyDBSubnetGroup",
            ],
            database,
            scope.owned,
        ),
        _allow(
            "FinalSnapshot",
            "rds",
            ["AddTagsToResource", "CreateDBSnapshot", "DeleteDBInstance"],
            [scope.arn("rds", f"snapshot:{scope.name}*")],
        ),
        _allow("ReadDatabase", "rds", RDS_READS, "*", scope.here),
        _allow(
            "MasterPassword",
            "secretsmanager",
            ["CreateSecret", "TagResource"],
            [scope.arn("secretsmanager", "secret:rds!db-*")],
        ),
        _allow("MasterPasswordKey", "kms", ["DescribeKey"], [scope.arn("kms", "key/*")]),
        _allow(
            "Bucket",
            "s3",
            [
                "CreateBucket",
                "DeleteBucket",
                "DeleteObject",
                "DeleteObjectVersion",
                "GetBucketOwnershipControls",
                "GetBucketPolicy",
                "GetBucketPublicAccessBlock",
                "GetBucketTagging",
                "GetBucketVersioning",
                "GetEncryptionConfiguration",
                "GetLifecycleConfiguration",
                "ListBucketVersions",
                "PutBucketOwnershipControls",
                "PutBucketPolicy",
                "PutBucketPublicAccessBlock",
                "PutBucketTagging",
                "PutBucketVersioning",
                "PutEncryptionConfiguration",
                "PutLifecycleConfiguration",
            ],
            [_bucket(scope), _bucket(scope, "/*")],
        ),
        _allow("ListBuckets", "s3", ["ListAllMyBuckets"], "*"),
        _allow(
            "MakeBalancer",
            "elasticloadbalancing",
            ["AddTags", "CreateListener", "CreateLoadBalancer", "CreateTargetGroup"],
            balancers,
            scope.tagged,
        ),
        _allow(
            "ChangeBalancer",
            "elasticloadbalancing",
            [
                "CreateRule",
                "DeleteListener",
                "DeleteLoadBalancer",
                "DeleteRule",
                "DeleteTargetGroup",
                "DeregisterTargets",
                "ModifyListener",
                "ModifyLoadBalancerAttributes",
                "ModifyTargetGroup",
                "ModifyTargetGroupAttributes",
                "RegisterTargets",
                "SetSecurityGroups",
                "SetSubnets",
            ],
            balancers,
        ),
        _allow("ReadBalancer", "elasticloadbalancing", ELB_READS, "*", scope.here),
        _allow("Certificates", "acm", ["DescribeCertificate", "ListCertificates"], "*", scope.here),
    )


POLICIES = {
    "audit": audit,
    "data": data,
    "deploy": deploy,
    "edge": edge,
    "monitor": monitor,
    "provision_hosts": provision_hosts,
    "provision_services": provision_services,
}
EXAMPLE = Scope("123456789012", "sa-east-1", "prod", "plano-prod", "example-artifacts")


def github_trust(account: str, repository: str, environment: str, partition: str = "aws") -> dict[str, Any]:
    """Return who may take up the deploy role: the workflow's jobs of one environment of one repository, and nobody else.

    Both are compared whole: a pattern such as repo:ORG/REPO:* would let every branch and every pull request in.
    """
    issuer = "token.actions.githubusercontent.com"
    return _document(
        {
            "Sid": "WorkflowOfOneEnvironment",
            "Effect": "Allow",
            "Principal": {"Federated": f"arn:{partition}:iam::{account}:oidc-provider/{issuer}"},
            "Action": "sts:AssumeRoleWithWebIdentity",
            "Condition": {
                "StringEquals": {
                    f"{issuer}:aud": "sts.amazonaws.com",
                    f"{issuer}:sub": f"repo:{repository}:environment:{environment}",
                }
            },
        }
    )


def granting(action: str) -> list[str]:
    """Return the policies that grant an action, the narrowest first, for the message that it is missing."""
    found = []
    for name, make in POLICIES.items():
        actions = [one for statement in make(EXAMPLE)["Statement"] for one in statement["Action"]]
        if any(fnmatch.fnmatchcase(action, pattern) for pattern in actions):
            found.append((len(actions), name))
    return [name for _count, name in sorted(found)]
