# shellcheck shell=bash
# One node: its namespaces and its engine.

# spawn NAME COMMAND...: starts a process that outlives this command and inherits the mark of 'lab up' (see lab).
spawn() {
  local name=$1
  shift
  setsid "$@" </dev/null >>"$LAB_DIR/$name.log" 2>&1 &
}

# start_node I: creates the namespaces, with a process that waits in them. The process namespace guarantees the cleanup:
# when its init dies, the kernel ends engine, shims and containers, and their mounts go with the last of them.
start_node() {
  local node=$1 dir
  dir=$(node_dir "$node")
  mkdir -p "$dir"
  spawn "node$node/init" unshare --mount --uts --net --pid --fork --kill-child \
    bash "$LAB_HOME/lib/node-init.sh" "$dir" "node$node" "$(node_address "$node")" "$(node_root "$node")"
  wait_for 5 0 "the namespaces of node$node ($dir/init.log)" test -e "$dir/init.ready" || exit 1
}

# node_root I: the node's own root, empty if it uses the host's.
node_root() {
  local file
  file=$(node_dir "$1")/root
  [ ! -e "$file" ] || cat "$file"
}

# node_dockerd I: the engine's program on a node.
node_dockerd() { if [ -n "$(node_root "$1")" ]; then echo dockerd; else echo "$DOCKERD"; fi; }

# in_node I COMMAND...: runs inside a node's namespaces.
in_node() {
  local init
  init=$(own_pid "$(node_dir "$1")/init.pid") || return 1
  shift
  nsenter --target "$init" --mount --uts --net --pid -- "$@"
}

# start_engine I: starts dockerd and waits until it answers or has ended.
start_engine() {
  local node=$1 dir ended
  dir=$(node_dir "$node")
  ended=$dir/engine.ended
  rm -f "$ended"
  # Forked inside, it becomes a child of the node's init, like a daemon.
  # shellcheck disable=SC2016,SC2086 # for that shell; several options
  in_node "$node" setsid --fork sh -c '"$@"; echo "$?" >"$0"' "$ended" "$(node_dockerd "$node")" \
    ${LAB_DOCKERD_OPTIONS:-} \
    --data-root "$dir/data" --pidfile /run/docker.pid \
    -H unix:///var/run/docker.sock -H "unix://$dir/docker.sock" \
    --exec-opt native.cgroupdriver=cgroupfs --cgroup-parent "/$TAG/node$node" \
    </dev/null >>"$dir/dockerd.log" 2>&1
  # The containers of a killed engine still run, and the next engine stops them first, which takes 10 s each.
  wait_for 60 "$node" "the engine of node$node to answer" engine_has_news "$node" || return 1
  if [ -e "$ended" ]; then
    say "the engine of node$node ended with status $(cat "$ended")"
    show_log "$node"
    return 1
  fi
}

engine_has_news() { engine_has_ended "$1" || engine_answers "$1"; }

# engine_has_ended I: whether the engine has ended and its exit status is written, so that it cannot be mistaken for that
# of the next engine.
engine_has_ended() { [ -e "$(node_dir "$1")/engine.ended" ]; }

# engine_answers I: without the CLI, because an engine may be too new for it.
engine_answers() {
  curl --silent --fail --max-time 5 --output /dev/null --unix-socket "$(node_socket "$1")" http://docker/_ping
}

# engine_signal I SIGNAL: looks the pid up and signals it inside the node's own process namespace, so that it cannot be a
# process outside the node. Fails if no engine runs.
engine_signal() {
  # shellcheck disable=SC2016
  in_node "$1" sh -c '
    pid=$(cat /run/docker.pid 2>/dev/null) && [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = "$2" ] &&
      kill -s "$1" "$pid"' sh "$2" "$(basename "$(node_dockerd "$1")" | cut -c1-15)" 2>/dev/null
}

engine_is_gone() { ! engine_signal "$1" 0; }
