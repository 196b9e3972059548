# shellcheck shell=bash
# 'lab fault': causes faults of real nodes, and shows the state of cables and engines.

lab_fault() {
  check_node "${1:-}"
  local node=$1
  case ${2:-} in
    # At the switch's end, like a pulled cable: the node keeps its addresses and routes.
    cut) in_switch ip link set "node$node" down ;;
    heal) in_switch ip link set "node$node" up ;;
    stop) engine_signal "$node" STOP || die "fault: no engine runs on node$node" ;;
    cont) engine_signal "$node" CONT || die "fault: no engine runs on node$node" ;;
    kill)
      engine_signal "$node" KILL || die "fault: no engine runs on node$node"
      wait_for 5 "$node" "the engine of node$node to be gone" engine_has_ended "$node" || exit 1
      ;;
    restart) restart_engine "$node" ;;
    *) die "fault: '${2:-}' is not one of cut, heal, stop, cont, kill, restart" ;;
  esac
}

# Like a service manager: TERM, so that the engine stops its containers (up to 10 s each), then a new start. A stopped
# engine is continued first; a dead one is only started.
restart_engine() {
  local node=$1
  if engine_signal "$node" TERM; then
    engine_signal "$node" CONT || true
    wait_for 40 "$node" "the engine of node$node to end" engine_has_ended "$node" || exit 1
  fi
  start_engine "$node" || exit 1
}

cable_state() {
  if in_switch ip link show "node$1" 2>/dev/null | grep -q '[<,]UP[,>]'; then echo in; else echo out; fi
}

engine_state() {
  # shellcheck disable=SC2016
  if engine_is_gone "$1"; then
    echo dead
  elif in_node "$1" sh -c 'grep -q "^State:.*stopped" "/proc/$(cat /run/docker.pid)/status"'; then
    echo stopped
  elif engine_answers "$1"; then
    echo answers
  else
    echo silent
  fi
}
