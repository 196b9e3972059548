# shellcheck shell=bash
# 'lab deploy': deploys the agent as an operator would, with docker/stack.yml (and the changes in stack.lab.yml).

lab_deploy() {
  local stack=${1:-$REPO/docker/stack.yml}
  [ -r "$stack" ] || die "deploy: cannot read the stack file '$stack'"
  [ "$(cat "$LAB_DIR/managers")" != 0 ] || die "deploy: lab '$LAB_NAME' is not a Swarm (it was created with --standalone)"
  each_node has_image "${SKEP_IMAGE:-skep:latest}" || die "deploy: run 'lab image BINARY' or 'lab load IMAGE.tar' first"
  remove_stack
  make_secret
  docker_within 30 1 stack deploy --resolve-image never -c "$stack" -c "$LAB_HOME/stack.lab.yml" skep \
    >"$LAB_DIR/deploy.log" 2>&1 ||
    { cat "$LAB_DIR/deploy.log" >&2; die "deploy: docker stack deploy failed"; }
  wait_for 60 1 "a healthy task of skep_agent on each of the $(node_count) nodes" agents_run || {
    explain_tasks
    exit 1
  }
}

has_image() {
  docker_within 5 "$2" image inspect "$1" >/dev/null 2>&1 || { say "there is no image $1 on node$2"; return 1; }
}

# Removes the old stack, because the Swarm does not notice a new image skep:latest and refuses a changed config.
remove_stack() {
  [ -n "$(docker_within 10 1 stack services -q skep 2>/dev/null)" ] || return 0
  docker_within 30 1 stack rm skep >/dev/null 2>&1 || die "deploy: docker stack rm failed"
  wait_for 40 1 "the tasks of the old stack to end" each_node stack_is_gone || exit 1
}

stack_is_gone() {
  local label=label=com.docker.stack.namespace=skep
  [ -z "$(docker_within 5 "$1" ps -aq --filter "$label")" ] &&
    [ -z "$(docker_within 5 "$1" network ls -q --filter "$label")" ]
}

# The Swarm never shows a secret again, so a copy stays in the lab's folder for the clients' use.
make_secret() {
  [ ! -e "$LAB_DIR/secret" ] || return 0
  (umask 077 && head -c 32 /dev/urandom | base64 -w 0 >"$LAB_DIR/secret.new")
  docker_within 10 1 secret create skep_secret "$LAB_DIR/secret.new" >/dev/null ||
    die "deploy: could not create the secret skep_secret"
  mv "$LAB_DIR/secret.new" "$LAB_DIR/secret"
}

agents_run() {
  [ "$(docker_within 5 1 service ps skep_agent --filter desired-state=running --format '{{.CurrentState}}' |
    grep -c '^Running')" = "$(node_count)" ]
}

explain_tasks() {
  docker_within 10 1 service ps --no-trunc skep_agent >&2
  each_node show_agent || true
}

show_agent() {
  local container
  container=$(docker_within 5 "$1" ps -aq --latest --filter label=com.docker.swarm.service.name=skep_agent)
  [ -n "$container" ] || { say "node$1 has no container of skep_agent"; return 0; }
  say "node$1, container $container: $(docker_within 5 "$1" inspect --format \
    '{{.State.Status}}, exit code {{.State.ExitCode}} {{.State.Error}}, health {{json .State.Health}}' "$container")"
  docker_within 5 "$1" logs --tail 20 "$container" 2>&1 | sed "s/^/node$1: /" >&2
}
