# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts: the key that opens them, what they may ask of AWS, and themselves."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from typing import Any, Callable, Mapping, Sequence
from urllib.parse import unquote

from ..tags import tag_list, tags_in
from .network import Ec2Kind
from .plan import Cloud, Found, Item, Kind
from .refusals import code_of

EC2_TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}
POLICY = "plano"


class KeyPair(Ec2Kind):
    title = "key pair"
    resource = "key-pair"
    unique = True
    fixed = {
        "public_key": "a key pair stays as it is, and so do the keys on the hosts; name another pair for new hosts"
    }

    def observe(self, cloud: Cloud) -> list[Found]:
        pairs = cloud.client("ec2").describe_key_pairs(IncludePublicKey=True)["KeyPairs"]
        return [
            Found(
                pair["KeyName"],
                pair["KeyName"],
                tags_in(pair.get("Tags")),
                {"public_key": _bare(pair.get("PublicKey", ""))},
            )
            for pair in pairs
        ]

    def make(self, cloud: Cloud, item: Item, wanted: Mapping[str, Any], tags: Mapping[str, str]) -> Found:
        cloud.client("ec2").import_key_pair(
            KeyName=item.name,
            PublicKeyMaterial=wanted["public_key"].encode(),
            TagSpecifications=self.specification(tags),
        )
        return Found(item.name, item.name, tags, wanted)

    def same(self, name: str, wanted: Any, has: Any) -> bool:
        return bool(_bare(wanted) == has or wanted == has)

    def remove(self, cloud: Cloud, found: Found) -> None:
        cloud.client("ec2").delete_key_pair(KeyName=found.name)


def _bare(key: str) -> str:
    """Return a public key without its comment."""
    return " ".join(key.split()[:2])


class IamRole(Kind):
    """What the hosts of one role may ask of AWS. The environment's path tells its roles from all others."""

    title = "IAM role"

    def observe(self, cloud: Cloud) -> list[Found]:
        client = cloud.client("iam")
        pages = client.get_paginator("list_roles").paginate(PathPrefix=_path(cloud))
        return [self._seen(client, role["RoleName"]) for page in pages for role in page["Roles"]]

    def _seen(self, client: Any, name: str) -> Found:
        tags = tags_in(client.list_role_tags(RoleName=name)["Tags"])
        document: Any = {}
        if POLICY in client.list_role_policies(RoleName=name)["PolicyNames"]:
            document = client.get_role_policy(RoleName=name, PolicyName=POLICY)["PolicyDocument"]
        if isinstance(document, str):
            document = json.loads(unquote(document))
        return Found(name, name, tags, {"policy": document})

    def make(self, cloud: Cloud, item: Item, wanted: Mapping[str, Any], tags: Mapping[str, str]) -> Found:
        cloud.client("iam").create_role(
            RoleName=item.name,
            Path=_path(cloud),
            AssumeRolePolicyDocument=json.dumps(EC2_TRUST),
            Tags=tag_list(tags),
        )
        return Found(item.name, item.name, tags)

    def same(self, name: str, wanted: Any, has: Any) -> bool:
        # A policy that grants more than is wanted is another one.
        return bool(wanted == has)

    def change(self, cloud: Cloud, item: Item, found: Found, wanted: Mapping[str, Any], names: Sequence[str]) -> None:
        cloud.client("iam").put_role_policy(
            RoleName=item.name, PolicyName=POLICY, PolicyDocument=json.dumps(wanted["policy"])
        )

    def tag(self, cloud: Cloud, found: Found, tags: Mapping[str, str]) -> None:
        cloud.client("iam").tag_role(RoleName=found.name, Tags=tag_list(tags))

    def remove(self, cloud: Cloud, found: Found) -> None:
        client = cloud.client("iam")
        for name in client.list_role_policies(RoleName=found.name)["PolicyNames"]:
            client.delete_role_policy(RoleName=found.name, PolicyName=name)
        client.delete_role(RoleName=found.name)


class InstanceProfile(Kind):
    title = "instance profile"

    def observe(self, cloud: Cloud) -> list[Found]:
        client = cloud.client("iam")
        pages = client.get_paginator("list_instance_profiles").paginate(PathPrefix=_path(cloud))
        names = [profile["InstanceProfileName"] for page in pages for profile in page["InstanceProfiles"]]
        # The list leaves the tags out.
        profiles = [client.get_instance_profile(InstanceProfileName=name)["InstanceProfile"] for name in names]
        return [
            Found(
                profile["InstanceProfileName"],
                profile["InstanceProfileName"],
                tags_in(profile.get("Tags")),
                {"role": next((role["RoleName"] for role in profile["Roles"]), "")},
            )
            for profile in profiles
        ]

    def make(self, cloud: Cloud, item: Item, wanted: Mapping[str, Any], tags: Mapping[str, str]) -> Found:
        cloud.client("iam").create_instance_profile(
            InstanceProfileName=item.name, Path=_path(cloud), Tags=tag_list(tags)
        )
        return Found(item.name, item.name, tags)

    def change(self, cloud: Cloud, item: Item, found: Found, wanted: Mapping[str, Any], names: Sequence[str]) -> None:
        client = cloud.client("iam")
        if found.has.get("role"):
            client.remove_role_from_instance_profile(InstanceProfileName=item.name, RoleName=found.has["role"])
        client.add_role_to_instance_profile(InstanceProfileName=item.name, RoleName=wanted["role"])
        client.get_waiter("instance_profile_exists").wait(InstanceProfileName=item.name)

    def tag(self, cloud: Cloud, found: Found, tags: Mapping[str, str]) -> None:
        cloud.client("iam").tag_instance_profile(InstanceProfileName=found.name, Tags=tag_list(tags))

    def remove(self, cloud: Cloud, found: Found) -> None:
        client = cloud.client("iam")
        if found.has["role"]:
            client.remove_role_from_instance_profile(InstanceProfileName=found.name, RoleName=found.has["role"])
        client.delete_instance_profile(InstanceProfileName=found.name)


def _path(cloud: Cloud) -> str:
    return f"/plano/{cloud.environment}/"


def _when_known(call: Callable[..., Any], **arguments: Any) -> Any:
    """Call it again while EC2 does not know a new instance profile, which takes it some seconds."""
    for left in reversed(range(12)):
        try:
            return call(**arguments)
        except Exception as exc:  # botocore's; any other is raised again
            if not left or code_of(exc) != "InvalidParameterValue" or "Instance Profile" not in str(exc):
                raise
            time.sleep(5)
    return None


class Instance(Ec2Kind):
    title = "instance"
    resource = "instance"
    fixed = {
        "type": "stop the host, change its type in EC2 and start it, one host after another; then run again",
        "subnet": "a host stays in its subnet; add another one and remove this",
        "key": "a host keeps the key it was made with; add keys by the role host",
    }

    def observe(self, cloud: Cloud) -> list[Found]:
        reservations = self.listed(
            cloud,
            "describe_instances",
            "Reservations",
            **{"instance-state-name": ["pending", "running", "stopping", "stopped", "shutting-down"]},
        )
        return [self._seen(instance) for reservation in reservations for instance in reservation["Instances"]]

    def _seen(self, instance: Any) -> Found:
        state = instance["State"]["Name"]
        return self.found(
            instance,
            "InstanceId",
            has={
                "type": instance["InstanceType"],
                "subnet": instance.get("SubnetId"),
                "groups": frozenset(group["GroupId"] for group in instance.get("SecurityGroups", [])),
                "key": instance.get("KeyName"),
                "profile": instance.get("IamInstanceProfile", {}).get("Arn", "").rpartition("/")[2],
                "metadata": instance.get("MetadataOptions", {}).get("HttpTokens"),
            },
            tells={
                "private_address": instance.get("PrivateIpAddress", ""),
                "public_address": instance.get("PublicIpAddress", ""),
                "profile": instance.get("IamInstanceProfile", {}).get("Arn", ""),
            },
            # One that somebody stopped is theirs to start.
            busy=state if state in ("pending", "stopping", "shutting-down") else "",
        )

    def make(self, cloud: Cloud, item: Item, wanted: Mapping[str, Any], tags: Mapping[str, str]) -> Found:
        image = str(item.making["image"])
        if image.startswith("/"):
            image = cloud.client("ssm").get_parameter(Name=image)["Parameter"]["Value"]
        root = cloud.client("ec2").describe_images(ImageIds=[image])["Images"][0]["RootDeviceName"]
        disk = {"VolumeSize": item.making["disk"], "VolumeType": "gp3", "Encrypted": True, "DeleteOnTermination": True}
        made = _when_known(
            cloud.client("ec2").run_instances,
            ImageId=image,
            MinCount=1,
            MaxCount=1,
            InstanceType=wanted["type"],
            KeyName=wanted["key"],
            BlockDeviceMappings=[{"DeviceName": root, "Ebs": disk}],
            MetadataOptions={"HttpTokens": "required", "HttpEndpoint": "enabled", "HttpPutResponseHopLimit": 1},
            NetworkInterfaces=[
                {
                    "DeviceIndex": 0,
                    "SubnetId": wanted["subnet"],
                    "Groups": sorted(wanted["groups"]),
                    "AssociatePublicIpAddress": item.making["public"],
                }
            ],
            TagSpecifications=[
                *self.specification(tags),
                {"ResourceType": "volume", "Tags": tag_list(tags)},
                {"ResourceType": "network-interface", "Tags": tag_list(tags)},
            ],
            **({"IamInstanceProfile": {"Name": wanted["profile"]}} if wanted["profile"] else {}),
        )
        return replace(self._seen({**made["Instances"][0], "Tags": tag_list(tags)}), has=wanted)

    def same(self, name: str, wanted: Any, has: Any) -> bool:
        return bool((wanted or "") == (has or ""))

    def change(self, cloud: Cloud, item: Item, found: Found, wanted: Mapping[str, Any], names: Sequence[str]) -> None:
        client = cloud.client("ec2")
        if "groups" in names:
            client.modify_instance_attribute(InstanceId=found.id, Groups=sorted(wanted["groups"]))
        if "metadata" in names:
            client.modify_instance_metadata_options(InstanceId=found.id, HttpTokens="required", HttpEndpoint="enabled")
        if "profile" in names:
            filters = [{"Name": "instance-id", "Values": [found.id]}]
            for one in client.describe_iam_instance_profile_associations(Filters=filters)[
                "IamInstanceProfileAssociations"
            ]:
                if one["IamInstanceProfile"]["Arn"].rpartition("/")[2] == wanted["profile"]:
                    return
                client.disassociate_iam_instance_profile(AssociationId=one["AssociationId"])
            if wanted["profile"]:
                client.associate_iam_instance_profile(
                    InstanceId=found.id, IamInstanceProfile={"Name": wanted["profile"]}
                )

    def remove(self, cloud: Cloud, found: Found) -> None:
        cloud.client("ec2").terminate_instances(InstanceIds=[found.id])
