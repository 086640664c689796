# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What AWS refused, told so that an operator knows what to do next."""

from __future__ import annotations

import re
from typing import Any, Callable, Iterable

from ...engine.errors import EngineError


class ProvisionError(EngineError):
    """AWS refused or could not be reached; the message says what, where, and what to do next."""


DENIED = (
    "AccessDenied",
    "AccessDeniedException",
    "UnauthorizedOperation",
    "WAFAccessDeniedException",
    "AllAccessDisabled",
)
EXPIRED = ("ExpiredToken", "ExpiredTokenException", "RequestExpired", "TokenRefreshRequired")
UNKNOWN_KEY = (
    "InvalidClientTokenId",
    "InvalidAccessKeyId",
    "AuthFailure",
    "UnrecognizedClientException",
    "SignatureDoesNotMatch",
    "InvalidSignatureException",
)
THROTTLED = (
    "Throttling",
    "ThrottlingException",
    "RequestLimitExceeded",
    "TooManyRequestsException",
    "SlowDown",
    "RequestThrottled",
    "BandwidthLimitExceeded",
    "PriorRequestNotComplete",
)
QUOTA = re.compile(
    r"(LimitExceeded|QuotaExceeded|LimitsExceeded|LimitExceededException|QuotaExceededFault|^TooMany\w+)(Exception|Fault)?$"
)
TAKEN = re.compile(
    r"(AlreadyExists|AlreadyOwnedByYou|^Duplicate\w+|\.Duplicate|DuplicateItemException)(Exception|Fault)?$"
)
GONE = re.compile(r"(NotFound|NotFoundFault|NotFoundException|NoSuchEntity|NonexistentItemException|^NoSuch\w+)$")
HELD = (
    "DependencyViolation",
    "DistributionNotDisabled",
    "InvalidIPAddress.InUse",
    "ResourceInUse",
    "WAFOptimisticLockException",
    "WAFAssociatedItemException",
    "DeleteConflict",
    "InvalidDBSubnetGroupStateFault",
)
# Where the permission has not the operation's name.
ACTIONS = {
    "s3:CreateMultipartUpload": "s3:PutObject",
    "s3:DeleteBucketEncryption": "s3:PutEncryptionConfiguration",
    "s3:GetBucketEncryption": "s3:GetEncryptionConfiguration",
    "s3:GetBucketLifecycleConfiguration": "s3:GetLifecycleConfiguration",
    "s3:GetPublicAccessBlock": "s3:GetBucketPublicAccessBlock",
    "s3:HeadBucket": "s3:ListBucket",
    "s3:HeadObject": "s3:GetObject",
    "s3:ListBuckets": "s3:ListAllMyBuckets",
    "s3:ListObjectVersions": "s3:ListBucketVersions",
    "s3:ListObjectsV2": "s3:ListBucket",
    "s3:PutBucketEncryption": "s3:PutEncryptionConfiguration",
    "s3:PutBucketLifecycleConfiguration": "s3:PutLifecycleConfiguration",
    "s3:PutPublicAccessBlock": "s3:PutBucketPublicAccessBlock",
    "cloudfront:CreateDistributionWithTags": "cloudfront:CreateDistribution",
}
PREFIXES = {"elbv2": "elasticloadbalancing", "resourcegroupstaggingapi": "tag"}


def code_of(exc: BaseException) -> str:
    """Return AWS's own code of an error, or nothing where the error is not AWS's."""
    response = getattr(exc, "response", None)
    return str(response.get("Error", {}).get("Code", "")) if isinstance(response, dict) else ""


def is_gone(exc: BaseException) -> bool:
    return bool(GONE.search(code_of(exc)))


def is_held(exc: BaseException) -> bool:
    return code_of(exc) in HELD


def is_taken(exc: BaseException) -> bool:
    return bool(TAKEN.search(code_of(exc)))


def action_of(service: str, operation: str) -> str:
    """Return the permission that a call needs."""
    action = f"{PREFIXES.get(service, service)}:{operation}"
    return ACTIONS.get(action, action)


def told(
    exc: BaseException, service: str, operation: str, region: str, policies_for: Callable[[str], Iterable[str]]
) -> ProvisionError:
    """Translate what a call to *service* in *region* raised; *policies_for* names the policies that grant an action."""
    code, text = code_of(exc), _text(exc)
    action = action_of(service, operation)
    where = f"in {region}" if region else ""
    if code in DENIED or (code == "403"):
        granting = [f"docs/iam/{name}.json" for name in policies_for(action)]
        next_step = (
            f"attach the policy {' or '.join(granting)}" if granting else "no policy of this collection grants it"
        )
        more = " or the bucket belongs to another account" if service == "s3" else ""
        return ProvisionError(
            f"AWS denies {action} {where}: {next_step}; a permission boundary, a service control policy{more} may deny it too. {text}"
        )
    if code in EXPIRED:
        return ProvisionError(
            f"AWS's credentials have expired ({code}): sign in again, then run again; what was made is found by its tags"
        )
    if code in UNKNOWN_KEY:
        return ProvisionError(
            f"AWS does not accept the credentials {where} ({code}): "
            "they are of another partition, deleted or mistyped, or the account has not opted in to the region"
        )
    if code in THROTTLED:
        return ProvisionError(
            f"AWS throttles {action} {where} also after retries with backoff: run again in a few minutes; the run goes on where it stopped"
        )
    if QUOTA.search(code):
        return ProvisionError(
            f"A quota of the account is reached {where} ({action}: {code}): {text} "
            "Ask for more in Service Quotas, or remove what is not needed; the next run goes on where this one stopped"
        )
    if is_taken(exc):
        return ProvisionError(
            f"The name is taken already {where} ({action}: {code}): {text} Choose another, or give that one this environment's tags"
        )
    if code in ("IllegalLocationConstraintException", "PermanentRedirect", "AuthorizationHeaderMalformed"):
        return ProvisionError(
            f"The bucket is in another region than {region} ({code}): {text} Set the region it is in, or choose another name"
        )
    if code in (
        "InvalidSnapshot.InUse",
        "InvalidDBSnapshotState",
        "InvalidDBInstanceState",
        "InvalidDBInstanceStateFault",
    ):
        return ProvisionError(
            f"The database is busy with something else {where} ({action}: {code}): {text} Wait until it is available, then run again"
        )
    kind = type(exc).__name__
    if kind in ("NoCredentialsError", "PartialCredentialsError", "CredentialRetrievalError", "ProfileNotFound"):
        return ProvisionError(f"There are no credentials for AWS ({text}): sign in, or set AWS_PROFILE")
    if kind in ("EndpointConnectionError", "ConnectTimeoutError", "ReadTimeoutError", "ConnectionClosedError"):
        return ProvisionError(
            f"AWS's {service} does not answer {where} ({text}): is the region's name right, and the network there?"
        )
    return ProvisionError(f"AWS refuses {action} {where} ({code or kind}): {text}")


def _text(exc: BaseException) -> str:
    response: Any = getattr(exc, "response", None)
    text = str(response.get("Error", {}).get("Message", "")) if isinstance(response, dict) else str(exc)
    # An encoded message says nothing to a reader, and is long.
    text = re.sub(r"Encoded authorization failure message: \S+", "", text).strip()
    return text if not text or text.endswith(".") else text + "."
