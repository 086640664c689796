# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options of the modules that publish and list artifacts."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  bucket:
    description: The bucket's name, without dots.
    type: str
    required: true
  prefix:
    description: What the keys in the bucket begin with.
    type: str
    default: ''
  bucket_owner:
    description:
      - The account that the bucket must belong to; the caller's own when it is not given.
      - Names of buckets are the whole world's, so a mistyped one may be a stranger's.
    type: str
  region:
    description: The bucket's region; as AWS's own tools find it when it is not given.
    type: str
requirements:
  - boto3 on the controller
"""
