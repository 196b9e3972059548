#!/usr/bin/env bash
# The life of a Docker Compose project: look, pull, build, up, exec, logs, change, scale, stop, down. $COMPOSE is the
# program, $DOCKER a docker CLI to look with, $SEQUENCE the name of the project.
set -u
# shellcheck source=/dev/null
source "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/steps.sh"

name=$SEQUENCE
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
export GREETING=hello DOCKER_BUILDKIT=0 COMPOSE_DOCKER_CLI_BUILD=0 COMPOSE_ANSI=never COMPOSE_PROGRESS=plain

# The words of $COMPOSE may be two: `docker compose`.
compose() { $COMPOSE -p "$name" -f "$folder/compose.yml" "$@"; }
docker() { command "${DOCKER:-docker}" "$@"; }
project=label=com.docker.compose.project=$name
containers() { docker ps -a --filter "$project" --format '{{.Names}} {{.State}}' | tr _ - | sort; }
running() { docker ps --filter "$project" --filter "label=com.docker.compose.service=$1" --format x | wc -l; }
objects() {
  docker network ls --filter "$project" --format '{{.Name}} {{.Driver}}' | sort
  docker volume ls --filter "$project" --format '{{.Name}}' | sort
}
greeting() { docker inspect --format '{{.Config.Env}}' "$(docker ps -q --filter "$project" --filter label=com.docker.compose.service=web | head -n 1)" | grep -o 'GREETING=[a-z]*'; }

cat >"$folder/compose.yml" <<TEXT
version: "3.8"
services:
  db:
    image: 127.0.0.1:5000/$name/db:1
    command: sh -c "echo database; exec sleep 86400"
    stop_signal: KILL
    volumes: ["data:/data"]
    networks:
      back: { aliases: [database] }
  web:
    build: { context: ., args: { WORD: built } }
    image: $name/web
    command: sh -c "echo ready; exec sleep 86400"
    stop_signal: KILL
    depends_on: [db]
    environment: { GREETING: "\$GREETING" }
    volumes: ["data:/data"]
    networks: [back, front]
    ports: ["80"]
networks:
  back: {}
  front: {}
volumes:
  data: {}
TEXT
printf 'FROM busybox\nARG WORD\nRUN echo "$WORD" >/built\n' >"$folder/Dockerfile"

act 'config' compose config
step 'look: nothing' compose ps -q
step 'exec: nothing runs' bash -c '"$@" >/dev/null 2>&1' - $COMPOSE -p "$name" -f "$folder/compose.yml" exec -T web true
act 'pull' compose pull db
act 'build' compose build
act 'up' compose up -d
step 'look: up' containers
step 'objects' objects
step 'ps' compose ps --services
step 'ps -q' bash -c '"$@" | wc -l' - $COMPOSE -p "$name" -f "$folder/compose.yml" ps -q
step 'images' bash -c '"$@" | grep -c "$0"' "$name" $COMPOSE -p "$name" -f "$folder/compose.yml" images
step 'exec' compose exec -T web sh -c 'cat /built; echo $GREETING; echo kept >/data/file'
step 'exec: another service' compose exec -T db cat /data/file
step 'exec: exit code' compose exec -T web sh -c 'exit 7'
act 'exec: by name' compose exec -T web ping -c 1 -W 5 database
logs() { compose logs --no-color web | grep -o ready; }
step 'logs' until_it_is ready logs
act 'top' compose top
port() { compose port web 80 | grep -o '^0.0.0.0:'; }
step 'port' port
act 'up: no change' compose up -d
step 'look: the same' containers
export GREETING=bye
act 'up: a change' compose up -d
step 'look: changed' containers
step 'inspect: the change' greeting
step 'exec: data is kept' compose exec -T web cat /data/file
act 'up: scale' compose up -d --scale web=3
step 'look: three' until_it_is 3 running web
act 'up: scale down' compose up -d --scale web=1
step 'look: one' until_it_is 1 running web
act 'pause' compose pause db
act 'unpause' compose unpause db
act 'restart' compose restart db
act 'stop' compose stop
step 'look: stopped' containers
act 'start' compose start
step 'look: started' containers
step 'run' bash -c '"$@" 2>/dev/null' - $COMPOSE -p "$name" -f "$folder/compose.yml" run --rm -T web sh -c 'cat /built /data/file'
act 'run: exit code' compose run --rm -T --no-deps web sh -c 'exit 5'
act 'up: recreate' compose up -d --force-recreate
step 'look: recreated' containers
act 'kill' compose kill web
act 'rm' compose rm -f web
step 'look: without web' containers
act 'up: again' compose up -d
act 'down' compose down
step 'look: down' containers
step 'objects: the volume stays' objects
act 'up: after down' compose up -d
step 'exec: data of before' compose exec -T web cat /data/file
act 'down: everything' compose down -v --rmi all --remove-orphans
step 'look: nothing is left' containers
step 'objects: nothing is left' objects
images() { docker images --format '{{.Repository}}' | grep -c "$name"; }
step 'images: none is left' images
