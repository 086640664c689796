# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations


class ModuleDocFragment:
    """Options of every module that works on a database's data."""

    DOCUMENTATION = r"""
options:
  login_db:
    description: The database.
    type: str
    required: true
  login_host:
    description: Its server; empty is the server's own socket on this host.
    type: str
    default: ""
  login_port:
    description: Port of the server.
    type: int
    default: 5432
  login_unix_socket:
    description: Folder of the socket that is used without O(login_host).
    type: path
    default: /var/run/postgresql
  login_user:
    description: Role to log in as; empty is the account the module runs as.
    type: str
    default: ""
  login_password:
    description: Its password.
    type: str
  session_role:
    description: Role to become, the owner of the tables; O(login_user) is a member of it. Empty when O(login_user) owns them itself.
    type: str
    default: ""
  ssl_mode:
    description: How far TLS is asked for when O(login_host) is given; V(verify-full) needs O(ca_cert).
    type: str
    choices: [disable, allow, prefer, require, verify-ca, verify-full]
    default: prefer
  ca_cert:
    description: File on this host with the certificate of the authority that signed the server's.
    type: path
    default: ""
  lock_timeout:
    description: Seconds to wait for a lock before giving up with nothing changed; V(0) waits for ever.
    type: float
    default: 10.0
  statement_timeout:
    description: Seconds one statement may take; V(0) is no limit.
    type: float
    default: 0.0
requirements:
  - psycopg 3.1 or later on the host (package python3-psycopg)
author:
  - plano.delivery contributors (@plano-delivery)
notes:
  - Runs on a host that reaches the database, with a self-hosted server as with RDS; it needs no superuser and no extension.
  - Keeps its own tables in the schema C(plano_delivery) of the database, which it makes when it first needs it.
"""

    CHANGE = r"""
options:
  change:
    description:
      - Who changes what and why, for the log in the database and the ledger on the host; what is left out is filled in on the controller
        (the run of the playbook, who runs it, the variable C(plano_reason)).
    type: dict
    default: {}
    suboptions:
      id:
        description: Id of the change.
        type: str
      actor:
        description: Who asks for it.
        type: str
      reason:
        description: Why.
        type: str
      commit:
        description: Git commit of the playbook.
        type: str
  version:
    description: Version of the application that works on the data now, to be kept with it.
    type: str
    default: ""
  server:
    description:
      - What monitoring calls the database's server (label C(database) of the metrics), so that they stand beside those of its exporter.
      - Left out, it is the inventory's name of the host that O(login_host) points to, or the first part of its name, which is the
        identifier of an RDS instance.
    type: str
    default: ""
"""

    PLACE = r"""
options:
  folder:
    description:
      - Folder of the checkpoints on this host; each database has a folder of its own in it. Only the account the module runs as may look
        into it (mode 0700).
    type: path
    default: /var/lib/plano/checkpoints
  jobs:
    description: How many tables are worked on at once; V(0) is one a processor, at most 4.
    type: int
    default: 0
  encryption:
    description: How the files of checkpoints are encrypted. Reading one back needs O(encryption.key_file) alone.
    type: dict
    default: {}
    suboptions:
      method:
        description:
          - V(age) encrypts for O(encryption.recipient), so that the host that makes checkpoints need not be able to read them (package age).
          - V(openssl) encrypts with AES-256-CTR and authenticates each encrypted file and the manifest with HMAC-SHA256.
        type: str
        choices: [none, age, openssl]
        default: none
      key_file:
        description: File on this host with age's identity, or with openssl's secret in its first line, at least 32 characters.
        type: path
        default: ""
      recipient:
        description: Public key for age; without it the one of O(encryption.key_file).
        type: str
        default: ""
  upload:
    description:
      - Where copies are kept as well, C(s3://bucket/prefix). A checkpoint that is no longer on this host is fetched from there.
      - Credentials and region are boto3's own, such as those of the instance's role.
    type: str
    default: ""
  s3_endpoint_url:
    description: Another server that speaks S3, with its scheme.
    type: str
    default: ""
"""
