"""Run ansible-playbook and write down what its release tasks send to the hosts.

    capture.py FOLDER ARGUMENTS...      (the arguments of ansible-playbook; with --check nothing is changed)

FOLDER gets HOST-COMPONENT-VERSION.json for each task: the module's arguments as the action plugin made them, secrets
included, so that a fault test sends just what a deploy sends, without the two seconds that a playbook takes.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from ansible.cli.playbook import PlaybookCLI
from ansible.plugins.action import ActionBase

FOLDER = Path(sys.argv.pop(1))
send = ActionBase._execute_module


def write_down(self: ActionBase, module_name: str | None = None, module_args: Any = None, **options: Any) -> Any:
    if module_name == "plano.delivery.release":
        version = (module_args.get("artifact") or {}).get("version") or module_args.get("version")
        path = FOLDER / f"{options['task_vars']['inventory_hostname']}-{module_args['component']}-{version}.json"
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as out:
            json.dump(module_args, out)
    return send(self, module_name=module_name, module_args=module_args, **options)


ActionBase._execute_module = write_down
PlaybookCLI.cli_executor(["ansible-playbook", *sys.argv[1:]])
