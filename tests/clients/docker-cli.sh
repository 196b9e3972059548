#!/usr/bin/env bash
# What people do with the docker CLI, from the first look to the last removal. $DOCKER is the program, $SEQUENCE the
# name of everything that it makes.
set -u
# shellcheck source=/dev/null
source "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/steps.sh"

docker() { command "${DOCKER:-docker}" "$@"; }
name=$SEQUENCE
label=sequence=$name
image=127.0.0.1:5000/$name
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

containers() { docker ps -a --filter "label=$label" --format '{{.Names}} {{.State}}' | sort; }
images() { docker images "$@" --format '{{.Repository}}:{{.Tag}}' | sort; }

step 'version' docker version --format '{{.Client.Version}}'
step 'look: nothing' containers
step 'look: no container' docker container inspect "$name"
step 'look: no image' docker image inspect "$image/pulled:1"
step 'look: no volume' docker volume inspect "$name"
step 'look: no network' docker network inspect "$name"
step 'look: no object' docker inspect "$name"

act 'pull' docker pull "$image/pulled:1"
step 'pull: no such tag' docker pull -q "$image/pulled:none"
step 'images' images "$image/pulled"
step 'image inspect' docker image inspect --format '{{.RepoTags}} {{.Config.Labels.name}} {{.Config.Labels.tag}}' "$image/pulled:1"

printf 'FROM busybox\nARG WORD\nCOPY file /file\nRUN echo "$WORD" >/word\nLABEL %s\n' "$label" >"$folder/Dockerfile"
echo content >"$folder/file"
export DOCKER_BUILDKIT=0
act 'build' docker build --build-arg WORD=hello -t "$name/built" "$folder"
printf 'FROM busybox\nRUN exit 3\n' >"$folder/Failing"
build_fails() { docker build -f "$folder/Failing" "$folder" | grep -c 'Step 2/2'; return "${PIPESTATUS[0]}"; }
step 'build: fails' build_fails
unset DOCKER_BUILDKIT
step 'images: built' images --filter "label=$label"
step 'history' docker history --format '{{.CreatedBy}}' "$name/built"
step 'tag' docker tag "$name/built" "$name/tagged:1"

step 'network create' docker network create --label "$label" "$name"
step 'network create: again' docker network create --label "$label" "$name"
step 'volume create' docker volume create --label "$label" "$name"
step 'network inspect' docker network inspect --format '{{.Name}} {{.Driver}} {{.Labels.sequence}}' "$name"
step 'volume inspect' docker volume inspect --format '{{.Name}} {{.Driver}} {{.Labels.sequence}}' "$name"

step 'create' docker create --name "$name" --label "$label" --network "$name" --volume "$name:/data" \
  --stop-signal KILL --publish 127.0.0.1::80 --env GREETING=hello "$name/built" \
  sh -c 'echo ready; echo problem >&2; exec sleep 86400'
step 'create: again' docker create --name "$name" "$name/built"
step 'look: created' containers
step 'start' docker start "$name"
step 'look: running' containers
step 'inspect' docker inspect --format '{{.Name}} {{.State.Status}} {{.Config.Image}} {{range .Mounts}}{{.Name}}{{end}}' "$name"
step 'port' docker port "$name"
step 'exec' docker exec "$name" sh -c 'cat /file /word; echo "$GREETING"; echo kept >/data/file'
exec_fails() {
  docker exec "$name" sh -c 'echo out; echo err >&2; exit 7' 2>&1 | sort
  return "${PIPESTATUS[0]}"
}
step 'exec: exit code' exec_fails
step 'exec: no such program' docker exec "$name" /none
exec_input() { printf 'from outside' | docker exec -i "$name" cat; }
step 'exec: input' exec_input
step 'logs' until_it_is $'problem\nready' bash -c '"$0" logs "$1" 2>&1 | sort' "${DOCKER:-docker}" "$name"
# Of the two streams, either may be the last.
logs_tail() { docker logs --tail 1 --timestamps "$name" 2>&1 | sed 's/ .*//'; }
step 'logs --tail' logs_tail
top() { docker top "$name" -o pid,comm | awk 'NR > 1 { print $2 }'; }
step 'top' top
act 'stats' docker stats --no-stream "$name"
step 'cp: in' docker cp "$folder/file" "$name:/copied"
step 'exec: the copy' docker exec "$name" cat /copied
cp_out() { docker cp "$name:/copied" - | tar -tf -; }
step 'cp: out' cp_out
step 'cp: no such file' docker cp "$name:/none" "$folder"
changes() { docker diff "$name" | sort; }
step 'diff' changes
step 'update' docker update --restart on-failure:3 "$name"
step 'pause' docker pause "$name"
step 'look: paused' containers
step 'exec: paused' docker exec "$name" true
step 'unpause' docker unpause "$name"
step 'rename' docker rename "$name" "$name-renamed"
step 'rename: back' docker rename "$name-renamed" "$name"
step 'restart' docker restart "$name"
step 'network disconnect' docker network disconnect "$name" "$name"
step 'network connect' docker network connect --alias other "$name" "$name"
step 'commit' docker commit "$name" "$name/committed"

step 'run: a second one' docker run --detach --name "$name-2" --label "$label" --network "$name" --volumes-from "$name" \
  --stop-signal KILL busybox sleep 86400
step 'exec: the volume of both' docker exec "$name-2" cat /data/file
act 'exec: the other by name' docker exec "$name-2" ping -c 1 -W 5 "$name"
step 'run: exit code' docker run --rm --label "$label" --network "container:$name" busybox sh -c 'echo out; exit 5'
run_input() { printf 'from outside' | docker run --rm -i --label "$label" busybox cat; }
step 'run: input' run_input
run_pulls() { docker run --rm --label "$label" "$image/run:1" echo pulled 2>/dev/null; }
step 'run: pulls' run_pulls
step 'run: no such image' docker run --rm "$image/run:none" true
step 'look: two' containers

load() { docker save "$name/built" >"$folder/image.tar" && docker load -q -i "$folder/image.tar"; }
step 'save, load' load
import() { docker export "$name" | docker import - "$name/imported" && docker run --rm "$name/imported" cat /file; }
step 'export, import' import
# An engine remembers the last 256 events only, so these are new.
events() {
  docker rename "$name" "$name-renamed" && docker rename "$name-renamed" "$name"
  docker events --since 10m --until 0s --filter "container=$name" --filter event=rename --filter type=container \
    --format '{{.Action}}' | tail -n 2
}
step 'events' events

step 'remove: a running one' docker rm "$name"
step 'volume rm: in use' docker volume rm "$name"
network_in_use() { docker network rm "$name" >/dev/null 2>&1; }
step 'network rm: in use' network_in_use
step 'kill' docker kill "$name-2"
step 'wait' docker wait "$name-2"
step 'stop' docker stop "$name"
step 'look: stopped' containers
step 'start: again' docker start "$name"
step 'stop: again' docker stop "$name" "$name-2"
step 'rm' docker rm "$name" "$name-2"
step 'rm: again' docker rm "$name"
step 'network rm' docker network rm "$name"
step 'volume rm' docker volume rm "$name"
act 'rmi' docker rmi "$name/built" "$name/tagged:1" "$name/committed" "$name/imported" "$image/pulled:1" "$image/run:1"
step 'rmi: again' docker rmi "$name/built"
step 'look: nothing is left' containers
step 'images: none is left' images --filter "label=$label"

printf 'from a person' >"$folder/config"
step 'config create' docker config create --label "$label" "$name" "$folder/config"
step 'config inspect' docker config inspect --format '{{.Spec.Name}} {{.Spec.Labels.sequence}}' "$name"
act 'service create' docker service create --quiet --no-resolve-image --name "$name" --label "$label" \
  --container-label "$label" --constraint node.role==manager --endpoint-mode dnsrr --replicas 1 --stop-signal KILL \
  --config "source=$name,target=/config" busybox sleep 86400
replicas() { docker service ls --filter "name=$name" --format '{{.Replicas}}'; }
step 'service ls' until_it_is 1/1 replicas
act 'service scale' docker service scale "$name=2"
step 'service ls: scaled' until_it_is 2/2 replicas
step 'service ps' docker service ps --filter desired-state=running --format '{{.Name}} {{.Node}} {{.DesiredState}}' "$name"
act 'service update' docker service update --quiet --no-resolve-image --env-add A=b --update-delay 0s "$name"
step 'service inspect' docker service inspect --format '{{.Spec.TaskTemplate.ContainerSpec.Env}} {{.Spec.Mode.Replicated.Replicas}}' "$name"
tasks() { docker ps --filter "label=$label" --format '{{.State}}' | sort | uniq -c | awk '{print $1, $2}'; }
step 'look: its containers' until_it_is '2 running' tasks
step 'service rm' docker service rm "$name"
step 'service rm: again' docker service rm "$name"
step 'look: no containers' until_it_is '' containers
step 'config rm' docker config rm "$name"
