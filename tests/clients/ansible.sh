#!/usr/bin/env bash
# A playbook of community.docker: every task twice where it declares a state, because the second run must change nothing.
# $1 is the folder of Ansible's programs. Prints one line for each task: its name and what came of it.
set -u
HERE=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")" && pwd)
# shellcheck source=/dev/null
source "$HERE/steps.sh"
export ANSIBLE_STDOUT_CALLBACK=ansible.posix.json ANSIBLE_LOCALHOST_WARNING=False ANSIBLE_INVENTORY_UNPARSED_WARNING=False
"$1/ansible-playbook" -i localhost, -c local -e "sequence=$SEQUENCE" -e "ansible_python_interpreter=$1/python" \
  "$HERE/ansible.yml" 2>/dev/null |
  "$1/python" -c '
import json, sys
for play in json.load(sys.stdin)["plays"]:
    for task in play["tasks"]:
        host = task["hosts"]["localhost"]
        said = host.get("stdout", host.get("msg", "")) if host.get("failed") or "stdout" in host else ""
        print(task["task"]["name"], "changed" if host.get("changed") else "ok", "failed" if host.get("failed") else "", said, sep="\t")
' | while IFS= read -r line; do plain <<<"${line//$'\t'/ TAB }" | sed 's/ TAB /\t/'; done
