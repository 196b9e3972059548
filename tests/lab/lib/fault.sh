# shellcheck shell=bash
# 'lab fault': what goes wrong on real nodes, and what the lab can see of it.

lab_fault() {
  check_node "${1:-}"
  local node=$1
  case ${2:-} in
    # At the switch's end, as when a cable is pulled: the node keeps its addresses and routes.
    cut) in_switch ip link set "node$node" down ;;
    heal) in_switch ip link set "node$node" up ;;
    stop) engine_signal "$node" STOP || die "fault: no engine runs on node$node" ;;
    cont) engine_signal "$node" CONT || die "fault: no engine runs on node$node" ;;
    kill)
      engine_signal "$node" KILL || die "fault: no engine runs on node$node"
      wait_for 5 "$node" "the engine of node$node to be gone" engine_has_ended "$node" || exit 1
      ;;
    restart) restart_engine "$node" ;;
    *) die "fault: '${2:-}' is none of cut, heal, stop, cont, kill, restart" ;;
  esac
}

# As a service manager would: TERM, so that the engine stops its containers (which may take them 10 s each), then a
# fresh start. A stopped engine is woken for it, a dead one is just started.
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
