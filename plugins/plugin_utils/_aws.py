# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""PRIVATE to the collection: the controller's way to AWS, and its refusals in words an operator can act on."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import Any, Iterator

from ansible_collections.plano.delivery.plugins.module_utils.aws import refusals
from ansible_collections.plano.delivery.plugins.module_utils.aws.refusals import AwsError, Call

try:
    import boto3
    from botocore import exceptions
    from botocore.config import Config
except ImportError:  # connect() says so
    boto3 = None

# AWS asks for fewer calls with an error; botocore then waits longer and longer before it asks again.
RETRIES = {"mode": "standard", "total_max_attempts": 8}


def connect(service: str, region: str | None = None, what: str = "") -> Any:
    """Return a client that finds credentials, region and address as AWS's own tools do; *what* it is for, where it cannot be had."""
    if boto3 is None:
        raise AwsError("boto3 is missing on the controller: pip install boto3")
    # What botocore would choose for URLs suits few buckets: version 2 signatures open nothing that KMS encrypts, and the global
    # address leads astray what was signed for a bucket's own region.
    s3 = {"signature_version": "s3v4", "s3": {"addressing_style": "virtual"}} if service == "s3" else {}
    config = Config(retries=RETRIES, **s3)
    with explained(Call("", "", what or service, "")):
        return boto3.client(service, region_name=region or said_region() or None, config=config)


@contextmanager
def explained(call: Call) -> Iterator[None]:
    """Tell what AWS refuses within as what it means for *call*."""
    try:
        yield
    except exceptions.ClientError as exc:
        error = exc.response.get("Error", {})
        code, said = str(error.get("Code", "")), str(error.get("Message", exc))
        # Who is not allowed is half of the answer.
        who = caller()["Arn"] if code in refusals.DENIED else ""
        raise AwsError(call.fault(code, said, who), code) from None
    except (exceptions.NoRegionError, exceptions.InvalidRegionError) as exc:
        raise AwsError(call.unasked(refusals.NO_REGION, exc)) from None
    except (exceptions.ConnectionError, exceptions.HTTPClientError) as exc:
        raise AwsError(call.unasked(refusals.NO_ANSWER, exc), refusals.UNANSWERED) from None
    except exceptions.ParamValidationError as exc:
        # All that could be asked for instead is no help.
        said = " ".join(str(exc).split()).partition(", must be one of")[0]
        raise AwsError(call.unasked(refusals.NOT_KNOWN, said)) from None
    except exceptions.BotoCoreError as exc:
        # Whatever there is to find credentials, a profile, a role, a single sign-on, has errors of its own.
        raise AwsError(call.unasked(refusals.NO_CREDENTIALS, exc)) from None


def caller() -> dict[str, str]:
    """Return Arn and Account of whoever calls; both empty when AWS does not say. Nobody needs a permission to ask."""
    try:
        found = boto3.client(
            "sts", region_name=said_region() or None, config=Config(connect_timeout=5, read_timeout=5, retries=RETRIES)
        ).get_caller_identity()
    except (exceptions.ClientError, exceptions.BotoCoreError):
        return {"Arn": "", "Account": ""}
    return {name: str(found.get(name, "")) for name in ("Arn", "Account")}


def bucket_region(client: Any, bucket: str) -> str:
    """Return where *bucket* is. S3 says it even to whom it refuses all else; the client's own region when it says nothing."""
    try:
        headers = client.head_bucket(Bucket=bucket)["ResponseMetadata"]["HTTPHeaders"]
    except exceptions.ClientError as exc:
        headers = exc.response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    except exceptions.BotoCoreError:
        headers = {}
    return str(headers.get("x-amz-bucket-region") or client.meta.region_name)


def said_region() -> str:
    """Return the region that AWS's own tools would use, empty when none is said. Of them boto3 alone does not know AWS_REGION."""
    return os.environ.get("AWS_REGION", "") or str(boto3.session.Session().region_name or "")
