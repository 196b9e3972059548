# shellcheck shell=bash
# The switch: a bridge in a network namespace of its own, where the host's firewall and sysctls do not reach, with one
# veth to the host and one to each node. No namespace has a name, so all of it vanishes with the processes in it.

start_switch() {
  ! ip link show "$TAG" >/dev/null 2>&1 || die "a link '$TAG' exists already: run 'lab down'"
  [ -z "$(ip -4 route show "$LAB_NET.0/24")" ] ||
    die "$LAB_NET.0/24 is in use on this host already: choose another LAB_NET"
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

# plug_in I: the cable between the switch and a node.
plug_in() {
  local node=$1 switch init
  switch=$(own_pid "$LAB_DIR/switch.pid")
  init=$(own_pid "$(node_dir "$node")/init.pid")
  ip link add name "node$node" netns "$switch" type veth peer name eth0 netns "$init"
  in_switch ip link set "node$node" master lan up
  in_node "$node" ip link set eth0 up
  in_node "$node" ip address add "$(node_address "$node")/24" dev eth0
}
