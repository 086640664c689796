#!/usr/bin/python
# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# The work is done on the controller by the action plugin of the same name.

from __future__ import annotations

DOCUMENTATION = r"""
module: artifact
short_description: Publish an artifact in S3, once and for all
version_added: 0.1.0
author:
  - plano.delivery contributors (@plano-delivery)
description:
  - Puts a file to C(s3://BUCKET/PREFIX/COMPONENT/COMPONENT-VERSION.EXT) and returns its entry for the catalog C(plano_artifacts).
  - What is published never changes. The same bytes again are no change; other bytes for the same version are refused, also under another
    extension. Between two publishers at once S3 itself decides, by a conditional write.
  - The sha256 is sent as S3's own checksum, so that a file that changes while it is sent is refused, and kept with the signature as metadata
    of the object.
  - Runs on the controller, whatever host the task is for, with the AWS credentials that boto3 finds there (V(AWS_PROFILE), V(AWS_REGION)
    and their like). Above 64 MB the file is sent in parts, and how far that is is told as it goes.
extends_documentation_fragment:
  - ansible.builtin.action_common_attributes
  - ansible.builtin.action_common_attributes.flow
  - plano.delivery.artifacts
attributes:
  action:
    support: full
  async:
    support: none
  bypass_host_loop:
    support: none
  check_mode:
    support: full
  diff_mode:
    support: full
  platform:
    platforms: all
options:
  state:
    description: An artifact can only be published; nothing here takes one away.
    type: str
    choices: [present]
    default: present
  component:
    description: What it is a version of.
    type: str
    required: true
  version:
    description: An exact version; moving names such as V(latest) are refused.
    type: str
    required: true
  path:
    description: The file on the controller. An archive is checked as the hosts will check it.
    type: path
    required: true
  build:
    description: How a host builds it, see the module M(plano.delivery.release).
    type: str
    choices: [none, python]
    default: none
  format:
    description: Whether it is an archive to be unpacked or a file to be kept as it is.
    type: str
    choices: [tar, file]
    default: tar
  strip:
    description: How many leading directories of the archive's names are dropped.
    type: int
    default: 0
  signing_key:
    description:
      - A private SSH key without passphrase, or a public one whose other half is in ssh-agent or on a token, to sign with.
      - Mutually exclusive with O(signature).
    type: path
  signature:
    description: A signature that was made elsewhere, as C(ssh-keygen -Y sign) printed it.
    type: str
  allowed_signers:
    description: Who may sign, as C(release_allowed_signers); what another key signed, or for another version, is not published.
    type: str
    default: ''
  encryption:
    description: How S3 encrypts the object; as the bucket says when this is not given.
    type: str
    choices: [AES256, 'aws:kms']
  kms_key:
    description: The key of O(encryption=aws:kms); the account's own key for S3 when it is not given.
    type: str
  catalog_file:
    description:
      - A file of variables on the controller, such as C(group_vars/all/artifacts.yml), into which the entry is put in order of versions.
        Everything else in it stays as it is written, comments too.
    type: path
"""

EXAMPLES = r"""
- name: Publish the backend, signed, and pin it in dev
  plano.delivery.artifact:
    bucket: example-artifacts
    component: backend
    version: 1.4.2
    path: dist/backend-1.4.2.tar.gz
    build: python
    signing_key: signing_key
    catalog_file: inventories/dev/group_vars/all/artifacts.yml
  register: published

- name: Show what is to be pinned elsewhere
  ansible.builtin.debug:
    msg: "{{ published.catalog }}"
"""

RETURN = r"""
url:
  description: Where the artifact is.
  returned: success
  type: str
  sample: s3://example-artifacts/backend/backend-1.4.2.tar.gz
sha256:
  description: Its digest.
  returned: success
  type: str
size:
  description: Its size in bytes.
  returned: success
  type: int
entry:
  description: Its entry for C(plano_artifacts).
  returned: success
  type: dict
  sample:
    version: 1.4.2
    sha256: 7d1a54127b222502f5b79b5fb0803061152a44f92b37e23c6527baf665d4da9a
    sources: ["s3://example-artifacts/backend/backend-1.4.2.tar.gz"]
    build: python
catalog:
  description: The same as text, ready to be pasted.
  returned: success
  type: str
encryption:
  description: How the object is encrypted, as S3 says; empty in check mode.
  returned: success
  type: str
  sample: aws:kms
version_id:
  description: The object's version, where the bucket keeps versions.
  returned: success
  type: str
"""
