#!/usr/bin/env bash
# Holds the switch's network namespace. Argument: the lab's folder.
set -euo pipefail
echo "$$" >"$1/switch.pid"
ip link set lo up
ip link add lan type bridge
ip link set lan up
# A firewall for routed packets must not filter frames between nodes, or the nodes cannot join.
if [ -e /proc/sys/net/bridge/bridge-nf-call-iptables ]; then
  echo 0 >/proc/sys/net/bridge/bridge-nf-call-iptables
  echo 0 >/proc/sys/net/bridge/bridge-nf-call-ip6tables
fi
touch "$1/switch.ready"
exec sleep infinity
