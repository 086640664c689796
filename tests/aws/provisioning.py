# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A whole environment as the tests provision it, and moto in this process, where a run can be cut at any call."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import boto3
import moto_with_shims
from moto import mock_aws

from ansible_collections.plano.delivery.plugins.module_utils.aws.provision import describe
from ansible_collections.plano.delivery.plugins.module_utils.aws.provision.plan import (
    Cloud,
    Item,
    Outcome,
    Patience,
    Provisioner,
)

REGION = "sa-east-1"
ACCOUNT = "123456789012"
GLOBAL_CERTIFICATE = f"arn:aws:acm:us-east-1:{ACCOUNT}:certificate/12345678-1234-1234-1234-123456789012"
IMAGE = "ami-12c6146b"  # one that moto has
SECRET = "S3CRET" * 6
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBrJCYg2tvPJqI8RXlp2mEXKKfHlNRvVbl9tJgM5n0fU"
METRICS = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": ["cloudwatch:ListMetrics"], "Resource": "*"}],
}

PROD: dict[str, Any] = {
    "account": ACCOUNT,
    "environment": "prod",
    "region": REGION,
    "name": "plano-prod",
    "tags": {"team": "plano"},
    "network": {"cidr": "10.20.0.0/16", "zones": ["a", "b"], "nat": True},
    "controller_sources": ["203.0.113.0/24"],
    "database_sources": [],
    "backend_sources": [],
    "backend_port": 8080,
    "backend_health_path": "/health",
    "key": {"name": "plano-prod", "public_key": f"{KEY} operator@example.com"},
    "instances": [
        {"name": "prod-app-1", "role": "backend", "type": "t4g.medium", "image": IMAGE},
        {"name": "prod-app-2", "role": "backend", "type": "t4g.medium", "image": IMAGE},
        {"name": "prod-mon", "role": "monitoring", "type": "t4g.medium", "image": IMAGE, "network": "public"},
    ],
    "instance_policies": {"monitoring": METRICS},
    "database": {
        "version": "17",
        "class": "db.t4g.medium",
        "storage": 50,
        "storage_limit": 200,
        "parameters": {"log_min_duration_statement": "500"},
    },
    "bucket": {"name": "example-artifacts-prod"},
    "balancer": {"only_cloudfront": True, "origin_secrets": [SECRET], "deletion_protection": True},
    "delete_bucket_content": False,
}
EDGE: dict[str, Any] = {
    "environment": "prod",
    "region": REGION,
    "name": "plano-prod",
    "aliases": ["app.example.com"],
    "origin": "origin.example.com",
    "origin_secret": SECRET,
    "certificate": GLOBAL_CERTIFICATE,
    "regional_rules": {"AWSManagedRulesKnownBadInputsRuleSet": "block"},
    "global_rules": {"AWSManagedRulesAmazonIpReputationList": "block", "AWSManagedRulesCommonRuleSet": "count"},
    "rate": 2000,
    "rate_action": "block",
    "price_class": "PriceClass_All",
    "cache_policy": "cache",
    "request_policy": "request",
    "log_bucket": "",
}


class Cut(BaseException):
    """The run ends here, as by a Ctrl-C or a lost machine."""


current: Account


@functools.lru_cache(maxsize=None)
def client(service: str, region: str) -> Any:
    """Make each client once, for that takes its time; whichever account is there sees its calls."""
    made = boto3.client(service, region_name=region)
    made.meta.events.register(
        "before-call", lambda model, **_more: current.before(model.service_model.service_name, model.name)
    )
    made.meta.events.register("after-call", lambda model, **_more: current.after(model.name))
    return made


class Account:
    """One in this process. It counts the calls that change something, and can cut the run before or after one of them."""

    def __init__(self) -> None:
        global current
        current = self
        self.calls: list[tuple[str, str]] = []
        self.cut_after: int | None = None
        self.changes = 0
        self.said: list[str] = []
        self.prod = copy.deepcopy(PROD)
        self.prod["balancer"]["certificate"] = self.client("acm").request_certificate(DomainName="origin.example.com")[
            "CertificateArn"
        ]
        self.edge = copy.deepcopy(EDGE)
        filters = [{"Name": "prefix-list-name", "Values": [describe.CLOUDFRONT_LIST]}]
        lists = self.client("ec2").describe_managed_prefix_lists(Filters=filters)["PrefixLists"]
        self.cloudfront = str(lists[0]["PrefixListId"])

        self.changes = 0

    def client(self, service: str, region: str = REGION) -> Any:
        return client(service, region)

    def before(self, service: str, operation: str) -> None:
        self.calls.append((service, operation))

    def after(self, operation: str) -> None:
        """The call has had its effect; when the run is cut here, nobody ever hears of it."""
        if not operation.startswith(("Describe", "List", "Get")):
            self.changes += 1
            if self.cut_after is not None and self.changes == self.cut_after:
                raise Cut

    def provisioner(self, patience: Patience | None = None) -> Provisioner:
        cloud = Cloud(self.client, REGION, "prod", "plano-prod", self.prod["tags"])
        kinds = describe.kinds(self.prod["bucket"]["name"], self.prod["delete_bucket_content"])
        return Provisioner(cloud, kinds, self.said.append, patience or Patience(seconds=30, look=0, say=0))

    def items(self) -> list[Item]:
        assert describe.faults(self.prod) == []
        return describe.environment(describe.completed(self.prod), {describe.CLOUDFRONT_LIST: self.cloudfront})

    def edge_items(self) -> list[Item]:
        assert describe.edge_faults(self.edge) == []
        return describe.edge(self.edge)

    def apply(self) -> Outcome:
        return self.provisioner().apply(self.items())

    def apply_edge(self) -> Outcome:
        return self.provisioner().apply(self.edge_items())

    def remove(self, *, edge: bool = False) -> Outcome:
        kinds = describe.EDGE_KINDS if edge else describe.ENVIRONMENT_KINDS
        return self.provisioner().remove(tuple(reversed(kinds)))

    def ids(self) -> dict[tuple[str, str], str]:
        """Return all that carries the environment's tags."""
        provisioner = self.provisioner()
        return {
            (kind, thing.name): thing.id
            for kind, seen in provisioner.kinds.items()
            for thing in seen.observe(provisioner.cloud)
            if provisioner.cloud.owns(thing.tags)
        }


@contextmanager
def account(setenv: Callable[[str, str], None]) -> Iterator[Account]:
    for name, value in (
        ("AWS_ACCESS_KEY_ID", "AKIATESTTESTTESTTEST"),
        ("AWS_SECRET_ACCESS_KEY", "test-secret"),
        ("AWS_DEFAULT_REGION", REGION),
        ("AWS_EC2_METADATA_DISABLED", "true"),
    ):
        setenv(name, value)
    moto_with_shims.install()
    with mock_aws():
        yield Account()
