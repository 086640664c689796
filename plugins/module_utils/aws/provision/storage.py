# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The bucket of the artifacts: nobody else's to read, every version kept, nothing by plain HTTP."""

from __future__ import annotations

import json
from typing import Any, Mapping, Sequence

from ..tags import tag_list, tags_in
from .plan import Cloud, Found, Item, Kind
from .refusals import code_of, is_gone

# The rule of ours among the bucket's lifecycle rules; others are the operator's.
ABORT = "plano-incomplete-uploads"
PRIVATE = dict.fromkeys(("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets"), True)


def tls_only(bucket: str) -> dict[str, Any]:
    arn = f"arn:aws:s3:::{bucket}"
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Sid": "OnlyByTls",
                "Effect": "Deny",
                "Principal": "*",
                "Action": "s3:*",
                "Resource": [arn, f"{arn}/*"],
                "Condition": {"Bool": {"aws:SecureTransport": "false"}},
            }
        ],
    }


class Bucket(Kind):
    title = "bucket"

    def __init__(self, name: str = "", delete_content: bool = False) -> None:
        # Buckets have no path, so the one that is meant is named; others are never looked at.
        self.name = name
        self.delete_content = delete_content

    def observe(self, cloud: Cloud) -> list[Found]:
        client = cloud.client("s3")
        mine = [one["Name"] for one in client.list_buckets()["Buckets"]]
        if not self.name or self.name not in mine:
            return []
        return [self._seen(client, self.name)]

    def _seen(self, client: Any, name: str) -> Found:
        tags = tags_in((_asked(client.get_bucket_tagging, Bucket=name) or {}).get("TagSet"))
        versions = client.list_object_versions(Bucket=name, MaxKeys=1)
        holds = bool(versions.get("Versions") or versions.get("DeleteMarkers"))
        policy = (_asked(client.get_bucket_policy, Bucket=name) or {}).get("Policy")
        encryption = _asked(client.get_bucket_encryption, Bucket=name) or {}
        rules = encryption.get("ServerSideEncryptionConfiguration", {}).get("Rules", [{}])
        public = _asked(client.get_public_access_block, Bucket=name) or {}
        ownership = _asked(client.get_bucket_ownership_controls, Bucket=name) or {}
        abort = next((one for one in _lifecycle(client, name) if one.get("ID") == ABORT), {})
        return Found(
            name,
            name,
            tags,
            has={
                # Made by a run that was cut before it gave the tags: it is the caller's, and nobody has put anything into it.
                "unclaimed": not tags and not holds,
                "versioning": client.get_bucket_versioning(Bucket=name).get("Status", ""),
                "encryption": _encryption(rules[0].get("ApplyServerSideEncryptionByDefault", {})),
                "public_access_blocked": public.get("PublicAccessBlockConfiguration", {}) == PRIVATE,
                "policy": json.loads(policy) if policy else {},
                "owner": next(
                    (one["ObjectOwnership"] for one in ownership.get("OwnershipControls", {}).get("Rules", [])), ""
                ),
                "abort_days": abort.get("AbortIncompleteMultipartUpload", {}).get("DaysAfterInitiation", 0)
                if abort.get("Status") == "Enabled"
                else 0,
            },
            tells={"arn": f"arn:aws:s3:::{name}"},
            kept="it is not empty; aws_delete_bucket_content: true deletes every version of every object in it"
            if holds and not self.delete_content
            else "",
        )

    def make(self, cloud: Cloud, item: Item, wanted: Mapping[str, Any], tags: Mapping[str, str]) -> Found:
        place = (
            {} if cloud.region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": cloud.region}}
        )
        cloud.client("s3").create_bucket(Bucket=item.name, ObjectOwnership="BucketOwnerEnforced", **place)
        # S3 takes no tags here, so that the change that follows gives them.
        return Found(item.name, item.name, {}, {})

    def change(self, cloud: Cloud, item: Item, found: Found, wanted: Mapping[str, Any], names: Sequence[str]) -> None:
        client, bucket = cloud.client("s3"), item.name
        if "public_access_blocked" in names:
            client.put_public_access_block(Bucket=bucket, PublicAccessBlockConfiguration=PRIVATE)
        if "owner" in names:
            rules = {"Rules": [{"ObjectOwnership": wanted["owner"]}]}
            client.put_bucket_ownership_controls(Bucket=bucket, OwnershipControls=rules)
        if "versioning" in names:
            client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": wanted["versioning"]})
        if "encryption" in names:
            algorithm, _space, key = wanted["encryption"].partition(" ")
            by_default = {"SSEAlgorithm": algorithm, **({"KMSMasterKeyID": key} if key else {})}
            rule = {"ApplyServerSideEncryptionByDefault": by_default, "BucketKeyEnabled": bool(key)}
            client.put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration={"Rules": [rule]})
        if "policy" in names:
            client.put_bucket_policy(Bucket=bucket, Policy=json.dumps(wanted["policy"]))
        if "abort_days" in names:
            days = {"DaysAfterInitiation": wanted["abort_days"]}
            ours = {"ID": ABORT, "Status": "Enabled", "Filter": {"Prefix": ""}, "AbortIncompleteMultipartUpload": days}
            # The call replaces all of them.
            others = [one for one in _lifecycle(client, bucket) if one.get("ID") != ABORT]
            client.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": [*others, ours]})

    def tag(self, cloud: Cloud, found: Found, tags: Mapping[str, str]) -> None:
        # The call replaces all of them.
        cloud.client("s3").put_bucket_tagging(Bucket=found.name, Tagging={"TagSet": tag_list({**found.tags, **tags})})

    def remove(self, cloud: Cloud, found: Found) -> None:
        client = cloud.client("s3")
        if self.delete_content:
            for page in client.get_paginator("list_object_versions").paginate(Bucket=found.name):
                things = [*page.get("Versions", []), *page.get("DeleteMarkers", [])]
                keys = [{"Key": one["Key"], "VersionId": one["VersionId"]} for one in things]
                if keys:
                    client.delete_objects(Bucket=found.name, Delete={"Objects": keys, "Quiet": True})
        client.delete_bucket(Bucket=found.name)


def _encryption(by_default: Mapping[str, Any]) -> str:
    return " ".join(filter(None, (by_default.get("SSEAlgorithm", ""), by_default.get("KMSMasterKeyID", ""))))


def _lifecycle(client: Any, bucket: str) -> list[dict[str, Any]]:
    rules: list[dict[str, Any]] = (_asked(client.get_bucket_lifecycle_configuration, Bucket=bucket) or {}).get(
        "Rules", []
    )
    return rules


def _asked(call: Any, **arguments: Any) -> Any:
    """Return what a bucket has, or None where it has nothing of the kind, which S3 tells by an error."""
    try:
        return call(**arguments)
    except Exception as exc:  # botocore's; any other is raised again
        if is_gone(exc) or code_of(exc) in (
            "NoSuchTagSet",
            "OwnershipControlsNotFoundError",
            "ServerSideEncryptionConfigurationNotFoundError",
        ):
            return None
        raise
