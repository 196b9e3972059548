# shellcheck shell=bash
# The switch: a bridge in its own network namespace, without the host's firewall and sysctls, with one veth to the host
# and one to each node. No namespace has a name, so all of them end with their processes.

start_switch() {
  ! ip link show "$TAG" >/dev/null 2>&1 || die "the link '$TAG' already exists: run 'lab down'"
  [ -z "$(ip -4 route show "$LAB_NET.0/24")" ] ||
    die "$LAB_NET.0/24 is already in use on this host: choose another LAB_NET"
  spawn switch unshare --net bash "$LAB_HOME/lib/switch-init.sh" "$LAB_DIR"
  wait_for 5 0 "the switch's namespace ($LAB_DIR/switch.log)" test -e "$LAB_DIR/switch.ready" || exit 1
  local switch
  switch=$(own_pid "$LAB_DIR/switch.pid")
  ip link add name "$TAG" type veth peer name host netns "$switch"
  in_switch ip link set host master lan up
  ip link set "$TAG" up
  ip address add "$LAB_NET.1/24" dev "$TAG"
}

in_switch() {
  local switch
  switch=$(own_pid "$LAB_DIR/switch.pid") || return 1
  nsenter --net="/proc/$switch/ns/net" "$@"
}

# plug_in I: connects a node to the switch.
plug_in() {
  local node=$1 switch init
  switch=$(own_pid "$LAB_DIR/switch.pid")
  init=$(own_pid "$(node_dir "$node")/init.pid")
  ip link add name "node$node" netns "$switch" type veth peer name eth0 netns "$init"
  in_switch ip link set "node$node" master lan up
  in_node "$node" ip link set eth0 up
  in_node "$node" ip address add "$(node_address "$node")/24" dev eth0
}
