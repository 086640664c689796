# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""moto's server, with what AWS does and moto 5.2.5 does not: each gap is a shim with a name, and none of them is anywhere but in the tests."""

from __future__ import annotations

import sys
from typing import Any

from moto.s3.exceptions import S3AccessDeniedError
from moto.s3.responses import S3Response
from moto.server import main


def bucket_of_another_account_is_refused() -> None:
    """AWS refuses a bucket that does not belong to the account that x-amz-expected-bucket-owner names; moto does not look at it."""
    authorize = S3Response._authenticate_and_authorize_s3_action

    def judge(self: S3Response, *arguments: Any, **named: Any) -> None:
        authorize(self, *arguments, **named)
        wanted = self.headers.get("x-amz-expected-bucket-owner")
        if wanted and self.backend.get_bucket(self.bucket_name).account_id != wanted:
            raise S3AccessDeniedError

    S3Response._authenticate_and_authorize_s3_action = judge


SHIMS = (bucket_of_another_account_is_refused,)


def install() -> None:
    for shim in SHIMS:
        shim()


if __name__ == "__main__":
    install()
    main(sys.argv[1:])
