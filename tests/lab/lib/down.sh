# shellcheck shell=bash
# 'lab down': removes this lab and nothing else, even if it is incomplete or partly removed.

lab_down() {
  local started
  started=$(now_ms)
  thaw
  kill_own
  if ip link show "$TAG" >/dev/null 2>&1; then
    ip link delete "$TAG" || say "could not delete the link $TAG"
  fi
  wait_for 10 0 "the cgroups /$TAG to go" remove_cgroups || exit 1
  # All mounts are inside the nodes' namespaces. In case one is not, stay on one file system.
  wait_for 20 0 "$LAB_DIR to go" rm -rf --one-file-system "$LAB_DIR" || exit 1
  if [ -d "$LAB_ROOT" ]; then
    rmdir --ignore-fail-on-non-empty "$LAB_ROOT"
  fi
  say "lab '$LAB_NAME' is down after $(($(now_ms) - started)) ms"
}

# The processes with this lab's mark: those that hold its namespaces, and an 'up' that still runs. All others live in a
# process namespace below one of these and end with it.
own_processes() {
  grep -lszxF "SKEP_LAB_MARK=$LAB_DIR" /proc/[0-9]*/environ | cut -d/ -f3
}

kill_own() {
  local pids
  mapfile -t pids < <(own_processes)
  [ "${#pids[@]}" -gt 0 ] || return 0
  kill -KILL "${pids[@]}" 2>/dev/null || true
  wait_for 20 0 "the processes ${pids[*]} to end" have_ended "${pids[@]}" || exit 1
}

# An init becomes a zombie only when all processes of its namespace are gone.
have_ended() {
  local pid
  for pid in "$@"; do
    [ ! -e "/proc/$pid/stat" ] || grep -qs '^[0-9]* (.*) [ZX] ' "/proc/$pid/stat" || return 1
  done
}

# Cgroup v1 does not let a frozen (paused) container die.
thaw() {
  local state
  while IFS= read -r state; do
    echo THAWED >"$state" 2>/dev/null || true
  done < <(find "/sys/fs/cgroup/freezer/$TAG" -name freezer.state 2>/dev/null)
}

remove_cgroups() {
  local folder
  for folder in /sys/fs/cgroup/*/"$TAG" /sys/fs/cgroup/"$TAG"; do
    [ ! -d "$folder" ] || find "$folder" -depth -type d -exec rmdir {} +
  done
}
