# shellcheck shell=bash
# The lab of a suite, new each time because suites leave objects behind. Its agents also run while the suite uses the
# engine directly, so that both ways find the same objects.

# place_up PART: with the newest engine if its name ends so. Sets SOCKET_DIRECT and SOCKET_AGENT, the two ways to node1's engine.
place_up() {
  local to name kind=${1%-newest} engine=()
  case $kind in
    swarm) name=conf ;;
    standalone) name=confalone ;;
  esac
  [ "$1" = "$kind" ] || engine=(--engines newest)
  # Two runs would remove each other's lab, so the second one waits.
  exec 9>"$CACHE/$name.lock"
  flock 9
  LAB_NAME=$name
  place_down
  if [ "$kind" = swarm ]; then
    [ ${#engine[@]} = 0 ] || engine[1]=newest,newest,newest
    lab up --nodes 3 --managers 1 "${engine[@]}"
  else
    lab up --standalone "${engine[@]}"
  fi
  eval "$(lab env)"
  start_registries
  give_images
  lab image "$SKEP" >/dev/null
  "deploy_$kind"
  to=https://$LAB_NODE1_ADDRESS:9001
  wait_for "the agents to be ready" agents_ready "$to"
  SOCKET_DIRECT=$LAB_NODE1_SOCKET
  SOCKET_AGENT=$LAB_DIR/agent.sock
  # 'lab down' finds it by the mark and ends it with the lab.
  SKEP_LAB_MARK=$LAB_DIR setsid "$SKEP" connect --to "$to" --secret-file "$LAB_SECRET_FILE" \
    --listen "unix://$SOCKET_AGENT" </dev/null >"$LAB_DIR/connect.log" 2>&1 9>&- &
  disown
  wait_for "skep connect ($LAB_DIR/connect.log)" "$DOCKER" -H "unix://$SOCKET_AGENT" version
  ENGINE=$(lab docker 1 version --format '{{.Server.Version}}')
  API=$(lab docker 1 version --format '{{.Server.APIVersion}}')
}

place_down() { [ -z "$LAB_NAME" ] || lab down; }

lab() {
  # The node's own registry is the engine's mirror of Docker Hub.
  LAB_DOCKERD_OPTIONS='--registry-mirror http://127.0.0.1:5000' "$HERE/../lab/lab" "$@" 2>"$RESULTS/$LAB_NAME.log" 9>&- ||
    { cat "$RESULTS/$LAB_NAME.log" >&2; die "lab $1 failed"; }
}

deploy_swarm() {
  lab deploy
  # Objects on other nodes, which the suite finds only through an agent.
  local node
  for node in 2 3; do
    lab docker "$node" run --detach --name "elsewhere$node" --label conformance --volume "elsewhere$node:/data" \
      busybox sleep 86400 >/dev/null
  done
}

deploy_standalone() {
  local etc=$LAB_DIR/etc
  LAB_SECRET_FILE=$etc/secret
  mkdir "$etc"
  (umask 077 && "$SKEP" secret >"$etc/secret")
  printf 'cluster: { mode: off, secret_file: /etc/skep/secret }\n' >"$etc/skep.yaml"
  lab docker 1 run --detach --name agent --label conformance --read-only --publish 9001:9001 \
    --volume /var/run/docker.sock:/var/run/docker.sock --volume "$etc:/etc/skep:ro" --volume state:/var/lib/skep \
    skep:latest serve --config /etc/skep/skep.yaml >/dev/null
}

agents_ready() { # TO
  [ "$("$SKEP" nodes --to "$1" --secret-file "$LAB_SECRET_FILE" | grep -cE ' (ready|standalone) ')" = "$LAB_NODES" ]
}

# A registry in every node, as "localhost:5000" and as the engines' mirror, all with one folder of this lab.
start_registries() {
  local node config=$LAB_DIR/registry.yml
  mkdir "$LAB_DIR/registry"
  [ ! -e "$(made_images)" ] || cp -a "$(made_images)/." "$LAB_DIR/registry"
  cat >"$config" <<YAML
version: 0.1
log: { level: warn }
storage:
  filesystem: { rootdirectory: $LAB_DIR/registry }
  maintenance: { uploadpurging: { enabled: false } }
  delete: { enabled: true }
http: { addr: "127.0.0.1:5000" }
YAML
  for node in $(seq "$LAB_NODES"); do
    # As a child of the node's init, it ends with the node.
    # shellcheck disable=SC2016
    lab exec "$node" setsid --fork sh -c 'exec "$@" </dev/null >"$0" 2>&1' "$LAB_DIR/node$node/registry.log" \
      "$REGISTRY" serve "$config"
    wait_for "the registry of node$node" lab exec "$node" curl --silent --fail http://127.0.0.1:5000/v2/
  done
}
