# shellcheck shell=bash
# 'lab upgrade': another engine on a node. Like a machine that starts with new packages: the engine's data stays, with its
# images, its containers and its place in the Swarm.

lab_upgrade() {
  check_node "${1:-}"
  local node=$1 name=${2:-}
  [ -n "$name" ] || die "upgrade: name a Debian suite, or newest"
  make_roots "$name"
  if engine_signal "$node" TERM; then
    engine_signal "$node" CONT || true
    wait_for 40 "$node" "the engine of node$node to end" engine_has_ended "$node" || exit 1
  fi
  end_node "$node"
  give_root "$node" "$name"
  start_node "$node"
  plug_in "$node"
  start_engine "$node" || exit 1
}

# end_node I: ends the namespaces of a node, and what the node changed in its own root.
end_node() {
  local node=$1 dir init
  dir=$(node_dir "$node")
  init=$(own_pid "$dir/init.pid") || exit 1
  kill -KILL "$init"
  wait_for 20 "$node" "the processes of node$node to end" have_ended "$init" || exit 1
  # The kernel removes the link when it frees the network namespace.
  wait_for 20 "$node" "the cable of node$node to go" cable_is_gone "$node" || exit 1
  rm -rf "$dir/init.pid" "$dir/init.ready" "$dir/engine" "$dir/root" "$dir/docker.sock"
}

cable_is_gone() { ! in_switch ip link show "node$1"; }
