# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What AWS refuses, in words an operator can act on."""

from __future__ import annotations

from dataclasses import dataclass

from ..engine.errors import EngineError

_EXPIRED = ("ExpiredToken", "ExpiredTokenException", "RequestExpired", "TokenRefreshRequired", "RequestTimeTooSkewed")
_UNKNOWN = (
    "InvalidAccessKeyId",
    "InvalidClientTokenId",
    "InvalidToken",
    "SignatureDoesNotMatch",
    "UnrecognizedClientException",
    "AuthFailure",
)
DENIED = ("AccessDenied", "AccessDeniedException", "AllAccessDisabled", "UnauthorizedOperation", "403")
_ELSEWHERE = ("PermanentRedirect", "TemporaryRedirect", "AuthorizationHeaderMalformed", "301")
_BUSY = ("SlowDown", "Throttling", "ThrottlingException", "TooManyRequestsException", "RequestLimitExceeded", "503")
_ABSENT = (
    "DBInstanceNotFound",
    "NoSuchKey",
    "ParameterNotFound",
    "ResourceNotFound",
    "ResourceNotFoundException",
    "TargetGroupNotFound",
    "404",
)


# Not a word of AWS: it was asked, and nothing came back.
UNANSWERED = "no answer"


class AwsError(EngineError):
    """AWS refused a call, or could not be asked; *code* is its own word for it, UNANSWERED when it was not reached, or empty."""

    def __init__(self, message: str, code: str = "") -> None:
        super().__init__(message)
        self.code = code

    @property
    def absent(self) -> bool:
        return self.code in _ABSENT

    @property
    def passing(self) -> bool:
        """Say whether the same call may pass a little later: it is neither refused for who calls, nor for where."""
        return bool(self.code) and self.code not in (*DENIED, *_EXPIRED, *_UNKNOWN, *_ELSEWHERE)

    @property
    def denied(self) -> bool:
        return self.code in DENIED


@dataclass(frozen=True)
class Call:
    """What was asked of AWS: the permission it needs, the policy in docs/iam that grants it, on what, and where."""

    action: str
    policy: str
    what: str
    resource: str
    region: str = ""
    if_denied: str = ""
    if_absent: str = ""

    def fault(self, code: str, said: str, caller: str = "") -> str:
        """Say what is wrong, where and what to do next, given AWS's *code* and what it *said*."""
        return f"{self.what}: {self._reason(code, said, caller)}"

    def unasked(self, why: str, said: object) -> str:
        """Say why AWS could not even be asked; *why* is one of the texts below."""
        return f"{self.what}: {why.format(said=said)}"

    def _reason(self, code: str, said: str, caller: str) -> str:
        place = f" in region {self.region}" if self.region else ""
        if code in _EXPIRED:
            return f"the AWS credentials of this controller have expired ({code}): get new ones, then run the same command again"
        if code in _UNKNOWN:
            return f"AWS does not know the credentials of this controller ({code}): look at AWS_PROFILE and AWS_ACCESS_KEY_ID"
        if code in DENIED:
            who = f" to {caller}" if caller else ""
            return f"{self.action} is not allowed{who}: the policy '{self.policy}' grants it, on {self.resource}{self.if_denied}"
        if code == "NoSuchBucket":
            return "there is no such bucket in any account: correct the name, or let the playbook provision make it"
        if code in _ELSEWHERE:
            return f"it is not{place or ' in this region'} ({said}): set AWS_REGION to where it is"
        if code in _ABSENT:
            return f"it does not exist{place}{self.if_absent}"
        if code in _BUSY:
            return f"AWS asks for fewer calls ({code}), also when it was asked again: wait a minute, then run the same command again"
        return f"{self.action} failed{place}: {said}"


NO_CREDENTIALS = (
    "this controller has no AWS credentials ({said}): set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; "
    "in a workflow, let its role be assumed first"
)
NO_REGION = "which region is meant is said nowhere ({said}): set AWS_REGION"
NOT_KNOWN = "boto3 on this controller cannot ask for that ({said}): install a newer one"
NO_ANSWER = "AWS does not answer ({said}): look at the network and at AWS_REGION, then run the same command again"


def unasked(said: str) -> str:
    """Return which of these fits what botocore *said*, when only its text is left of it."""
    lower = said.lower()
    if "region" in lower:
        return NO_REGION
    if "could not connect" in lower or "timeout" in lower or "connection" in lower:
        return NO_ANSWER
    return NO_CREDENTIALS
