#!/usr/bin/python
# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: release
short_description: Release a component on a host, proven or reverted
version_added: 0.1.0
author:
  - plano.delivery contributors (@plano-delivery)
description:
  - Brings an artifact and its rendered configuration to the host, switches to it, proves that it serves, and confirms it.
    Whatever fails on the way leaves or brings back the release that served before.
  - Templates are rendered on the controller. The switch runs on the host in a transient systemd unit of its own, so losing
    the controller or the connection never leaves half a switch.
  - With O(state=rolled_back) a component returns to an earlier confirmed release, from what is on the host's disk.
attributes:
  check_mode:
    support: full
    description: Says what a real run would do, from the ledger and the disk of the host.
  diff_mode:
    support: full
    description: Shows the current release and each configuration file before and after; secrets are never part of it.
options:
  component:
    description: What is released. Mandatory, except when O(revert_change) or O(state=reverted) takes back everything a change did.
    type: str
  state:
    description:
      - Whether to release what is described, or to go back.
      - V(rolled_back) is a person's verdict, the release that is left is rejected.
      - V(reverted) takes back everything this very change did on the host, because it was not good on another host. What it left may
        be deployed again, and what nothing stood before stays, with a warning.
    type: str
    choices: [present, rolled_back, reverted]
    default: present
  artifact:
    description: The immutable file to release. Without it the release is configuration only.
    type: dict
    suboptions:
      version:
        description: Exact version; moving names such as V(latest) are refused.
        type: str
        required: true
      sha256:
        description: Digest of the file; any other bytes are refused. 64 lower-case hexadecimal digits.
        type: str
      sources:
        description:
          - URLs tried in turn. V(file:) is a file on the controller, V(http:) and V(https:) are fetched by the host,
            V(s3:) is presigned on the controller (boto3) and fetched by the host.
        type: list
        elements: str
      build:
        description: V(python) builds a virtual environment from the artifact's C(wheels/) and C(requirements.txt), offline.
        type: str
        choices: [none, python]
        default: none
      format:
        description: V(tar) is unpacked (plain, gzip, bzip2 or xz), V(file) is kept as it is.
        type: str
        choices: [tar, file]
        default: tar
      strip:
        description: Leading path components to drop when unpacking.
        type: int
        default: 0
      signature:
        description:
          - SSH signature, as C(ssh-keygen -Y sign -n artifact@plano.delivery) prints it, over the three lines C(component NAME),
            C(version VERSION) and C(sha256 DIGEST) of this artifact.
          - The host checks it before it fetches anything; C(docs/signatures.md) tells how to sign.
        type: str
      local:
        description: Set by the action plugin when the artifact comes from the controller.
        type: bool
        default: false
      uploaded:
        description: Set by the action plugin, the path on the host it copied the artifact to.
        type: str
  allowed_signers:
    description:
      - Who may sign artifacts, as text of the file that C(man ssh-keygen) describes under ALLOWED SIGNERS. A signature is
        checked whenever this is given.
    type: str
    default: ""
  require_signature:
    description: Refuse an artifact without a good signature, also one that is on the host already.
    type: bool
    default: false
  version:
    description: Name of a configuration-only release, as shown by the status.
    type: str
  files:
    description: The configuration inside the release.
    type: list
    elements: dict
    default: []
    suboptions:
      dest:
        description: Path inside the release.
        type: str
        required: true
      src:
        description: Template on the controller, looked up as by M(ansible.builtin.template).
        type: str
      content:
        description: The text itself, instead of O(files[].src).
        type: str
      mode:
        description: Octal mode, quoted.
        type: str
        default: "0644"
  links:
    description: Absolute path to path inside the release; the engine keeps a symlink there to the current release.
      A file that stood there is kept beside it with the suffix C(.plano-saved).
    type: dict
    default: {}
  secrets:
    description: Name to value. Kept outside the release, readable by root only, for C(LoadCredential=NAME:@SECRETS@/NAME).
    type: dict
    default: {}
  validate:
    description: Commands, as lists of words, that must accept the staged release before the switch.
    type: list
    elements: list
    default: []
  migrate:
    description: Brings the database schema forward, from the new release, before the switch; keys C(argv), C(environment),
      C(credentials).
    type: dict
  activation:
    description:
      - How the release begins to serve. Key C(strategy) is one of V(bluegreen), V(restart), V(reload) and V(none).
        Other keys are C(unit), C(unit_file), C(commands), C(withdraw), C(restart_when), C(start_timeout), C(soak_seconds) (seconds), and for
        V(bluegreen) C(ports), C(proxy), C(drain_seconds), C(bake_seconds).
      - With V(reload), a process that was started in another way is restarted instead, when the unit sets C(PLANO_UNIT=@UNIT@).
      - With V(restart), C(state_files) names files that a newer artifact converts. They are copied while the service is stopped, and put
        back when the old artifact comes back; what the newer one made of them is kept.
    type: dict
    default: {}
  health:
    description:
      - Checks of C(type) V(http), V(tcp) or V(command) that prove the release. No evidence is failure.
      - For V(http), C(status), C(expect) (pairs of a JSON body) and C(match) (a regular expression) say what must be answered.
        C(ca) is a file with the only certificates believed, C(user) and C(password_file), for example below C(@SECRETS@), are
        sent as basic authentication.
      - For V(command), C(argv) must succeed within C(timeout) seconds (30), and its output must match the regular expression C(stdout).
      - With C(only) V(change) a check is asked during a change alone. It is for what depends on others, such as a database that an
        exporter reads - what such a check would find later is not the release's fault, so C(plano status) and a run that changes
        nothing do not ask it.
    type: list
    elements: dict
    default: []
  confirm_within:
    description: Seconds within which the controller must come back over a new connection, or the change is reverted.
      V(0) does not ask for that.
    type: int
    default: 0
  keep:
    description: Confirmed releases to keep for rollbacks. Current and the one before it always stay.
    type: int
    default: 5
  allow_rejected:
    description: Allow a release that was rolled back before.
    type: bool
    default: false
  to:
    description: Version or release id to roll back to; without it the last confirmed release before the current one.
    type: str
  revert_change:
    description: Id of a change; every component of this host that it changed goes back to what served before it.
    type: str
  change:
    description: Identity of this run, C(id), C(actor), C(reason), C(commit). The action plugin fills it in.
    type: dict
    default: {}
  confirm:
    description: Set by the action plugin when it comes back to confirm an attempt.
    type: str
  pin_file:
    description: File on the controller where a rollback writes the version it went to. Used by the action plugin.
    type: path
"""

EXAMPLES = r"""
- name: Release the configuration of HAProxy, reloaded without losing a connection
  plano.delivery.release:
    component: haproxy
    version: "1"
    files:
      - src: haproxy.cfg.j2
        dest: config/haproxy.cfg
    links:
      /etc/haproxy/haproxy.cfg: config/haproxy.cfg
    validate:
      - [haproxy, -c, -f, "@RELEASE@/config/haproxy.cfg"]
    activation:
      strategy: reload
      unit: haproxy.service
    health:
      - type: tcp
        port: 8080

- name: Go back to the last confirmed release
  plano.delivery.release:
    component: backend
    state: rolled_back
"""

RETURN = r"""
status:
  description: How it ended.
  type: str
  returned: always
  sample: confirmed
release:
  description: Id of the release, equal on all hosts.
  type: str
  returned: when one component is concerned
version:
  description: Version of the release.
  type: str
  returned: when one component is concerned
previous:
  description: Id of the release that served before.
  type: str
  returned: when one component is concerned
signer:
  description: Who signed the artifact, RV(ignore:principal) and RV(ignore:key); null when nobody had to.
  type: dict
  returned: when O(state=present)
  sample: {principal: release@example.com, key: "SHA256:zqpv31EDlEGGzYVaVww+nltwwEMnx2MkZ+w1RhGrDz0"}
phases:
  description: Seconds of each phase.
  type: dict
  returned: always
  sample: {switch: 0.004}
rolled_back:
  description: One item a component, with RV(ignore:release), RV(ignore:previous) and RV(ignore:status).
  type: list
  returned: when O(state=rolled_back) or O(state=reverted)
"""

import os

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.plano.delivery.plugins.module_utils import _release
from ansible_collections.plano.delivery.plugins.module_utils.engine import fs
from ansible_collections.plano.delivery.plugins.module_utils.engine.errors import EngineError

GOOD = ("confirmed", "unchanged", "planned", "waiting")


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "component": {"type": "str"},
            "state": {"type": "str", "choices": ["present", "rolled_back", "reverted"], "default": "present"},
            "artifact": {
                "type": "dict",
                "options": {
                    "version": {"type": "str", "required": True},
                    "sha256": {"type": "str"},
                    "sources": {"type": "list", "elements": "str"},
                    "build": {"type": "str", "choices": ["none", "python"], "default": "none"},
                    "format": {"type": "str", "choices": ["tar", "file"], "default": "tar"},
                    "strip": {"type": "int", "default": 0},
                    "signature": {"type": "str"},
                    "local": {"type": "bool", "default": False},
                    "uploaded": {"type": "str"},
                },
            },
            "allowed_signers": {"type": "str", "default": ""},
            "require_signature": {"type": "bool", "default": False},
            "version": {"type": "str"},
            "files": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {
                    "dest": {"type": "str", "required": True},
                    "src": {"type": "str"},
                    "content": {"type": "str"},
                    "mode": {"type": "str", "default": "0644"},
                },
            },
            "links": {"type": "dict", "default": {}},
            "secrets": {"type": "dict", "default": {}, "no_log": True},
            "validate": {"type": "list", "elements": "list", "default": []},
            "migrate": {"type": "dict"},
            "activation": {"type": "dict", "default": {}},
            "health": {"type": "list", "elements": "dict", "default": []},
            "confirm_within": {"type": "int", "default": 0},
            "keep": {"type": "int", "default": 5},
            "allow_rejected": {"type": "bool", "default": False},
            "to": {"type": "str"},
            "revert_change": {"type": "str"},
            "change": {"type": "dict", "default": {}},
            "confirm": {"type": "str"},
            "pin_file": {"type": "path"},
        },
        required_if=[
            ("state", "present", ["component"]),
            ("state", "rolled_back", ["component", "revert_change"], True),
        ],
        supports_check_mode=True,
    )
    params = module.params
    os.umask(fs.UMASK)
    try:
        if params["confirm"]:
            result = _release.confirm(params)
        elif params["state"] == "rolled_back":
            result = _release.rolled_back(params, module.check_mode)
        elif params["state"] == "reverted":
            result = _release.reverted(params, module.check_mode)
        else:
            result = _release.present(params, module.check_mode)
    except (EngineError, OSError) as exc:
        module.fail_json(msg=str(exc))
    message = result.pop("message", "")
    for warning in result.pop("warnings", []):
        module.warn(warning)
    if result["status"] not in GOOD:
        name = result.get("component") or params["component"]
        module.fail_json(msg=f"{name} {result.get('version') or ''}: {result['status']}: {message}", **result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
