# shellcheck shell=bash
# Shared by all parts of the lab: names, errors, bounded waits. Nothing here
# changes the machine.
# shellcheck disable=SC2034 # used by the other parts

LAB_NAME=${LAB_NAME:-test}
LAB_ROOT=${LAB_ROOT:-/var/tmp/skep-lab}
LAB_DIR=$LAB_ROOT/$LAB_NAME
# One name for the host's end of the veth and for the parent of all cgroups.
TAG=skep-$LAB_NAME
DOCKERD=${DOCKERD:-dockerd}
# Debian's CLI includes a BuildKit client; others may need the buildx plug-in.
if [ -z "${DOCKER:-}" ]; then
  DOCKER=docker
  [ ! -x /usr/bin/docker ] || DOCKER=/usr/bin/docker
fi

die() {
  printf 'lab: %s\n' "$*" >&2
  exit 1
}

say() {
  printf 'lab: %s\n' "$*" >&2
}

check_settings() {
  # An interface name has at most 15 bytes, of which "skep-" takes 5.
  [[ $LAB_NAME =~ ^[a-z][a-z0-9]{0,9}$ ]] ||
    die "LAB_NAME is '$LAB_NAME'; it must be a letter and up to 9 letters or digits"
  [[ $LAB_ROOT =~ ^/[A-Za-z0-9._/-]+$ ]] ||
    die "LAB_ROOT is '$LAB_ROOT'; it must be an absolute path of plain characters"
  # sun_path has 108 bytes with the final NUL.
  [ $((${#LAB_DIR} + 20)) -lt 108 ] || die "LAB_ROOT is too long for a socket's path: $LAB_ROOT"
  [ "$(id -u)" = 0 ] || die "the lab must run as root: it creates namespaces and bridges"
  LAB_NET=${LAB_NET:-$(default_net)}
}

# A running lab keeps its network. Otherwise the name decides, so that a lab's addresses stay the same.
default_net() {
  if [ -e "$LAB_DIR/net" ]; then
    cat "$LAB_DIR/net"
    return
  fi
  local sum
  case $LAB_NAME in
    test) echo 10.213.1 ;;
    demo) echo 10.213.2 ;;
    *)
      sum=$(printf %s "$LAB_NAME" | cksum)
      echo "10.213.$((3 + ${sum%% *} % 250))"
      ;;
  esac
}

node_count() { cat "$LAB_DIR/nodes"; }
node_dir() { echo "$LAB_DIR/node$1"; }
node_address() { echo "$LAB_NET.$((10 + $1))"; }
node_socket() { echo "$LAB_DIR/node$1/docker.sock"; }

# own_pid FILE: the pid in it, unless that process is gone or, after a restart of the machine, does not belong to the lab.
own_pid() {
  local pid
  pid=$(cat "$1") || return 1
  grep -qszxF "SKEP_LAB_MARK=$LAB_DIR" "/proc/$pid/environ" ||
    { say "the process that $1 names is gone: run 'lab down', then 'lab up'"; return 1; }
  echo "$pid"
}

# check_node I: dies unless I is a node of this lab.
check_node() {
  local count
  count=$(node_count)
  [[ ${1:-} =~ ^[1-9][0-9]?$ && $1 -le $count ]] ||
    die "'${1:-}' is not a node of lab '$LAB_NAME', which has the nodes 1 to $count"
}

# docker_on I ARGS...: the CLI against one engine, without the caller's own docker settings.
docker_on() { docker_within 0 "$@"; }

# docker_within SECONDS I ARGS...: the same with a time limit (0: none).
docker_within() {
  local seconds=$1 node=$2
  shift 2
  # In the foreground; otherwise an interactive command would stop when it reads the terminal.
  timeout --foreground "$seconds" \
    env -u DOCKER_HOST -u DOCKER_CONTEXT -u DOCKER_TLS -u DOCKER_TLS_VERIFY -u DOCKER_CERT_PATH -u DOCKER_API_VERSION \
    DOCKER_CONFIG="$LAB_DIR/docker-config" "$DOCKER" -H "unix://$(node_socket "$node")" "$@"
}

# each_node COMMAND...: runs COMMAND for all nodes at once, with the node's number as last argument. Fails if one fails.
each_node() {
  local node pid failed=0
  local -A pids=()
  for node in $(seq "$(node_count)"); do
    "$@" "$node" &
    pids[$node]=$!
  done
  for node in "${!pids[@]}"; do
    pid=${pids[$node]}
    wait "$pid" || { say "node$node: '$*' failed"; failed=1; }
  done
  return "$failed"
}

# wait_for SECONDS NODE WHAT COMMAND...: polls until COMMAND succeeds. On failure prints the condition and the end of the
# engine's log of NODE (0: no log).
wait_for() {
  local seconds=$1 node=$2 what=$3 deadline
  shift 3
  deadline=$(($(now_ms) + seconds * 1000))
  until "$@" >/dev/null 2>&1; do
    if [ "$(now_ms)" -ge "$deadline" ]; then
      say "timed out after ${seconds}s waiting for: $what"
      [ "$node" = 0 ] || show_log "$node"
      return 1
    fi
    sleep 0.1
  done
}

now_ms() { echo $((${EPOCHREALTIME/[^0-9]/} / 1000)); }

show_log() {
  local log
  log=$(node_dir "$1")/dockerd.log
  [ -e "$log" ] || { say "node$1 has no engine log yet"; return 0; }
  say "the end of $log:"
  # Without IPVS in the kernel, engines log many lines about its parameters.
  grep -v 'reading the kernel parameter' "$log" | tail -n 25 >&2 || true
}
