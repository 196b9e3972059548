# shellcheck shell=bash
# 'lab up', 'lab status' and 'lab env': all nodes as one cluster.

lab_up() {
  local nodes=3 managers=1 engines=()
  while [ $# -gt 0 ]; do
    case $1 in
      --nodes | --managers | --engines) [ $# -ge 2 ] || die "up: $1 needs a value" ;;&
      --nodes) nodes=$2; shift 2 ;;
      --managers) managers=$2; shift 2 ;;
      --engines) IFS=, read -ra engines <<<"$2"; shift 2 ;;
      --standalone) nodes=1 managers=0; shift ;;
      *) die "up: unknown option '$1'" ;;
    esac
  done
  [[ $nodes =~ ^[1-9][0-9]?$ ]] || die "up: --nodes must be 1 to 99, not '$nodes'"
  [[ $managers =~ ^[0-9]$ && $managers -le $nodes ]] ||
    die "up: --managers must be 0 to 9 and at most the number of nodes, not '$managers'"
  [ ${#engines[@]} -le "$nodes" ] || die "up: there are more engines (${engines[*]}) than nodes ($nodes)"
  check_programs
  make_roots "${engines[@]}"
  mkdir -p "$LAB_ROOT"
  # mkdir is the lock: if two commands start the same lab at once, one fails here.
  mkdir "$LAB_DIR" 2>/dev/null ||
    die "lab '$LAB_NAME' is already up, completely or partly ($LAB_DIR): use it, or run 'lab down' first"
  trap 'lab_up_failed' EXIT
  local started
  started=$(now_ms)
  echo "$LAB_NET" >"$LAB_DIR/net"
  echo "$nodes" >"$LAB_DIR/nodes"
  echo "$managers" >"$LAB_DIR/managers"
  mkdir "$LAB_DIR/docker-config"
  give_roots "${engines[@]}"

  start_switch
  each_node boot_node || exit 1
  give_busybox &
  local busybox=$!
  [ "$managers" = 0 ] || join_all
  wait "$busybox" || die "could not import busybox:latest"
  trap - EXIT
  say "lab '$LAB_NAME' is up: $nodes node(s) at $(node_address 1)… after $(($(now_ms) - started)) ms"
}

lab_up_failed() {
  say "'up' failed; the incomplete lab remains for inspection. 'lab down' removes it."
}

check_programs() {
  local program
  for program in "$DOCKER" "$DOCKERD" containerd runc ip iptables nsenter unshare setsid busybox perl tar curl; do
    command -v "$program" >/dev/null || die "the program '$program' is missing (see tests/lab/README.md)"
  done
}

lab_engines() {
  local engines
  IFS=, read -ra engines <<<"${1:-}"
  [ ${#engines[@]} -gt 0 ] || die "engines: name at least one Debian suite"
  make_roots "${engines[@]}"
}

# make_roots SUITE...: runs before the lab exists, so that a missing engine leaves no lab to remove.
make_roots() {
  local suite others=()
  for suite in "$@"; do
    is_own "$suite" || others+=("$suite")
  done
  [ ${#others[@]} -eq 0 ] || "$LAB_HOME/engine-root" "${others[@]}" >/dev/null || die "not every engine is available"
}

# give_roots SUITE...: assigns the roots to the nodes in order. Nodes without one keep the host's.
give_roots() {
  local node=0 suite
  for suite in "$@"; do
    node=$((node + 1))
    mkdir "$(node_dir "$node")"
    give_root "$node" "$suite"
  done
}

# give_root I SUITE
give_root() {
  is_own "$2" || "$LAB_HOME/engine-root" "$2" >"$(node_dir "$1")/root" || exit 1
}

# is_own SUITE: whether this machine runs this suite with Debian's own engine.
is_own() {
  # shellcheck source=/dev/null
  [ "$1" = "$(. /etc/os-release && [ "$ID" = debian ] && echo "$VERSION_CODENAME")" ] &&
    [ "$(command -v "$DOCKERD")" -ef /usr/sbin/dockerd ]
}

boot_node() {
  start_node "$1"
  plug_in "$1" || return 1
  start_engine "$1"
}

join_all() {
  local nodes managers leader node manager_token worker_token
  nodes=$(node_count)
  managers=$(cat "$LAB_DIR/managers")
  leader=$(node_address 1)
  docker_within 30 1 swarm init --advertise-addr "$leader" >/dev/null || { show_log 1; exit 1; }
  manager_token=$(docker_within 10 1 swarm join-token -q manager)
  worker_token=$(docker_within 10 1 swarm join-token -q worker)
  # Managers join one after the other: each changes the quorum that the next one needs.
  for node in $(seq 2 "$managers"); do
    join_one "$manager_token" "$node" || exit 1
  done
  local pids=() pid
  for node in $(seq $((managers + 1)) "$nodes"); do
    join_one "$worker_token" "$node" &
    pids+=("$!")
  done
  for pid in "${pids[@]}"; do
    wait "$pid" || exit 1
  done
  wait_for 20 1 "all $nodes nodes to be ready in the Swarm" all_ready || {
    docker_within 5 1 node ls >&2
    exit 1
  }
}

join_one() {
  local token=$1 node=$2
  docker_within 40 "$node" swarm join --token "$token" \
    --advertise-addr "$(node_address "$node")" "$(node_address 1):2377" >/dev/null ||
    { say "node$node could not join the Swarm"; show_log "$node"; return 1; }
}

all_ready() {
  [ "$(docker_within 5 1 node ls --format '{{.Status}}' | grep -c '^Ready$')" = "$(node_count)" ]
}

lab_status() {
  local node
  printf 'lab %s in %s\n' "$LAB_NAME" "$LAB_DIR"
  for node in $(seq "$(node_count)"); do
    printf 'node%s  %-14s  cable %-4s  engine %s\n' "$node" "$(node_address "$node")" \
      "$(cable_state "$node")" "$(engine_state "$node")"
  done
  [ "$(cat "$LAB_DIR/managers")" = 0 ] || docker_within 10 1 node ls ||
    say "node1 could not list the Swarm's nodes"
}

lab_env() {
  local node addresses=() sockets=()
  for node in $(seq "$(node_count)"); do
    addresses+=("$(node_address "$node")")
    sockets+=("$(node_socket "$node")")
  done
  printf "%s='%s'\n" LAB_NAME "$LAB_NAME" LAB_DIR "$LAB_DIR" \
    LAB_NODES "$(node_count)" LAB_MANAGERS "$(cat "$LAB_DIR/managers")" \
    LAB_HOST_ADDRESS "$LAB_NET.1" LAB_ADDRESSES "${addresses[*]}" LAB_SOCKETS "${sockets[*]}" \
    LAB_SECRET_FILE "$LAB_DIR/secret"
  for node in $(seq "$(node_count)"); do
    printf "%s='%s'\n" "LAB_NODE${node}_ADDRESS" "$(node_address "$node")" \
      "LAB_NODE${node}_SOCKET" "$(node_socket "$node")"
  done
}

lab_docker() {
  check_node "${1:-}"
  docker_on "$@"
}

lab_exec() {
  check_node "${1:-}"
  [ $# -ge 2 ] || die "exec: name a command"
  in_node "$@"
}
