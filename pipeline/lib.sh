# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# What the steps of the pipeline share. Each of them runs in the root of the repository that is delivered, and takes everything from
# its environment: what comes from outside is data there, never a part of a command.
# shellcheck shell=bash
set -euo pipefail

collection=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"; [[ -z ${SSH_AGENT_PID:-} ]] || kill "$SSH_AGENT_PID"' EXIT

fail() {
  # GitHub shows such a line at the top of the run.
  printf '::error::%s\n' "$*" >&2
  exit 1
}

# need NAME...: each must have a value. A secret that nobody handed over is empty, and nothing says so.
need() {
  local name
  for name in "$@"; do
    [[ -n ${!name:-} ]] || fail "$name is empty: docs/delivery.md says where it comes from."
  done
}

# matches NAME PATTERN WHAT
matches() {
  [[ ${!1} =~ ^($2)$ ]] || fail "$1 '${!1}' is not $3."
}

# output NAME VALUE: for the steps and jobs after this one.
output() {
  printf '%s=%s\n' "$1" "$2" >>"${GITHUB_OUTPUT:-/dev/stdout}"
}

# load_key NAME: the private key goes from the variable to an agent, not into a file, an argument, or the environment of what follows.
load_key() {
  need "$1"
  eval "$(ssh-agent -s)" >/dev/null
  # A secret's last newline is easily lost, and ssh-add insists on it.
  printf '%s\n' "${!1}" | ssh-add -q - || fail "$1 is no private SSH key without passphrase."
  unset "$1"
}

# variables NAME=VALUE...: print the path of a file that hands them to ansible-playbook. Whatever is in them is text: unless told, Ansible
# would take what a person typed for a template, and a template may read secrets. YAML's !unsafe would make a number of version "1.10".
variables() {
  local file
  file=$(mktemp -p "$scratch" XXXXXXXX.json)
  python3 -c '
import json, sys
pairs = (item.split("=", 1) for item in sys.argv[1:])
print(json.dumps({name: {"__ansible_unsafe": value} for name, value in pairs}))
' "$@" >"$file"
  printf '%s' "$file"
}

# The inventory, and the way to its hosts: with the keys that are pinned beside it, and none that a host shows today. A file of options
# holds for a jump host too, and leaves ansible_ssh_common_args to the inventory. Sets $beside, the folder of the inventory.
inventory() {
  need INVENTORY
  [[ -e $INVENTORY ]] || fail "INVENTORY '$INVENTORY' is not in this repository."
  INVENTORY=$(realpath -- "$INVENTORY")
  beside=$INVENTORY
  [[ -d $INVENTORY ]] || beside=$(dirname -- "$INVENTORY")
  [[ -s $beside/known_hosts ]] || fail "$beside/known_hosts is missing: pin the keys of the hosts there (docs/delivery.md)."
  [[ -z ${VAULT_PASSWORD:-} ]] || export ANSIBLE_VAULT_PASSWORD_FILE=$collection/pipeline/vault_password
  printf '%s\n' "StrictHostKeyChecking yes" "UserKnownHostsFile \"$beside/known_hosts\"" "GlobalKnownHostsFile /dev/null" \
    "ServerAliveInterval 5" "ServerAliveCountMax 6" >"$scratch/ssh_config"
  export ANSIBLE_SSH_ARGS="-F $scratch/ssh_config -o ControlMaster=auto -o ControlPersist=60s"
}

# play NAME ARGUMENT...
play() {
  local name=$1
  shift
  # The collection lies in ansible_collections/plano/delivery, where the checkout put it.
  ANSIBLE_CONFIG=$collection/ansible.cfg ANSIBLE_COLLECTIONS_PATH=$(cd -- "$collection/../../.." && pwd) \
    ansible-playbook "$@" "plano.delivery.$name"
}

# The id that every ledger gets for this run, so that it can be taken back by it.
change_id() {
  need GITHUB_RUN_ID
  printf 'github-%s-%s' "$GITHUB_RUN_ID" "${GITHUB_RUN_ATTEMPT:-1}"
}
