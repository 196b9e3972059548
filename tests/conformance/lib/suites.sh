# shellcheck shell=bash
# Runs each suite. A run writes lines of "outcome TAB test TAB reason" to a file. An optional file names the tests to run,
# one per line.

# The time limit of a test, so that a hanging test is a single failure.
TEST_SECONDS=90

# at SOCKET COMMAND...: runs COMMAND with SOCKET as the engine, also at /var/run/docker.sock, and without the caller's own
# Docker settings.
at() {
  local socket=$1 home=$LAB_DIR/home
  shift
  mkdir -p "$home"
  # shellcheck disable=SC2016
  unshare --mount sh -c 'mount -n -t tmpfs tmpfs /run && ln -s "$0" /run/docker.sock && exec "$@"' "$socket" \
    env -i PATH="$PATH" HOME="$home" LANG=C.UTF-8 DOCKER_HOST="unix://$socket" DOCKER_TEST_API_VERSION="$API" "$@"
}

# suite_docker-py PART SOCKET RESULT [ONLY]
suite_docker-py() {
  local part=$1 socket=$2 result=$3 only=${4:-} arguments=() folder=tests/integration
  if [ -n "$only" ]; then
    mapfile -t arguments < <(sed "s|^|$folder/|" "$only")
  else
    # These use programs on the client's side, not an engine.
    arguments=("$folder" --ignore "$folder/credentials" --ignore "$folder/context_api_test.py")
    # These need their own swarm, from its creation to its end.
    [ "$part" = standalone ] ||
      arguments+=(--ignore "$folder/api_swarm_test.py" --ignore "$folder/models_swarm_test.py"
        --ignore "$folder/models_nodes_test.py"
        --deselect "$folder/api_network_test.py::TestNetworks::test_create_network_ingress")
  fi
  (cd "$DOCKER_PY_TESTS" && at "$socket" PYTHONPATH="$HERE" PYTHONDONTWRITEBYTECODE=1 \
    CONFORMANCE_PART="$part" CONFORMANCE_RESULT="$result" \
    timeout 2400 "$PYTHON" -m pytest -p pytest_conformance -q --timeout "$TEST_SECONDS" "${arguments[@]}") \
    >"${result%.tsv}.log" 2>&1 || true
  [ -s "$result" ] || { tail -n 20 "${result%.tsv}.log" >&2; die "docker-py's tests did not run"; }
}

# suite_bollard PART SOCKET RESULT [ONLY]: each test in its own process, because the test runner has no time limit.
suite_bollard() {
  local part=$1 socket=$2 result=$3 only=${4:-} program path test
  : >"${result%.tsv}.log"
  : >"$result"
  # Most tests about swarms need one with a single node, and one needs none.
  [ "$part" = swarm ] || single_swarm init --advertise-addr "$LAB_NODE1_ADDRESS"
  while read -r program path; do
    while read -r test; do
      [ -z "$only" ] || grep -qxF "$program::$test" "$only" || continue
      if [ "$program" = swarm_test ]; then
        [ "$part" = standalone ] || continue
        single_swarm leave --force
      fi
      one_of_bollard "$socket" "$program" "$path" "$test" >>"$result" 2>>"${result%.tsv}.log"
      [ "$program" != swarm_test ] || single_swarm init --advertise-addr "$LAB_NODE1_ADDRESS"
    done < <("$path" --list --format terse | sed -n 's/: test$//p')
  done <"$BOLLARD_TESTS"
}

single_swarm() {
  local state
  state=$(lab docker 1 info --format '{{.Swarm.LocalNodeState}}')
  case "$1 $state" in
    "init inactive" | "leave active") lab docker 1 swarm "$@" >/dev/null ;;
  esac
}

one_of_bollard() {
  local socket=$1 program=$2 path=$3 test=$4 output code=0 outcome reason=
  output=$(cd "$BOLLARD_SOURCE" && at "$socket" RUST_BACKTRACE=0 timeout --kill-after 5 "$TEST_SECONDS" \
    "$path" --exact "$test" --nocapture </dev/null 2>&1) || code=$?
  case $code in
    0) outcome=passed ;;
    124 | 137) outcome=failed reason="took longer than $TEST_SECONDS s" ;;
    *) outcome=failed reason=$(grep -m 1 -A 1 'panicked at' <<<"$output" | tr '\n\t' '  ' | cut -c1-300) ;;
  esac
  ! grep -q '^test result: ok.* 1 ignored' <<<"$output" || outcome=skipped
  printf '%s\t%s\t%s\n' "$outcome" "$program::$test" "$reason"
  if [ "$outcome" = failed ]; then
    printf '=== %s::%s\n%s\n' "$program" "$test" "$output" >&2
    sweep
  fi
}

# Objects of a failed test would make others fail, which use the same names or count objects.
sweep() {
  sweep_of container "ps --all"
  [ "$(lab docker 1 info --format '{{.Swarm.ControlAvailable}}')" = false ] || sweep_of service "service ls"
}

# sweep_of KIND LIST: removes all on node1 except the lab's own.
sweep_of() {
  local kind=$1 list object ours
  read -ra list <<<"$2"
  ours=$(for label in conformance com.docker.stack.namespace; do
    lab docker 1 "${list[@]}" --quiet --filter "label=$label"
  done)
  for object in $(lab docker 1 "${list[@]}" --quiet); do
    grep -qxF "$object" <<<"$ours" || remove "$kind" "$object" >/dev/null
  done
}

remove() {
  case $1 in
    container) lab docker 1 container rm --force --volumes "$2" ;;
    service) lab docker 1 service rm "$2" ;;
  esac
}
