# shellcheck shell=bash
# Clients that are built from what the package registries serve: Go modules, Maven artifacts, and large Python packages.
# Sourced by `prepare`.

DOCKER_CLI=29.9.3
SWARMKIT=v2.1.3-0.20260828175525-ad0357aedfca
COMPOSE_5=5.6.0
TESTCONTAINERS_GO=0.45.0
DOCKER_JAVA=3.7.1
ANSIBLE=12.3.0

from_source() {
  docker_java
  testcontainers_go
  docker_cli_newest
  compose_5
  ansible
}

# go_source MODULE VERSION FOLDER: a copy of a module's source that can be changed.
go_source() {
  local from
  command -v go >/dev/null || return 1
  from=$(cd "$CACHE" && GOFLAGS=-mod=mod go mod download -json "$1@$2" 2>/dev/null | sed -n 's/^\t"Dir": "\(.*\)",$/\1/p')
  [ -n "$from" ] || return 1
  cp -r "$from" "$3"
  chmod -R u+w "$3"
}

# built NAME COMMAND...: runs it in the client's folder, with a log.
built() {
  local name=$1
  shift
  say "building $name (this takes some minutes, once)"
  (cd "$CACHE/$name" && nice "$@") >"$CACHE/$name/log" 2>&1 || {
    left_out "$name" "it does not build here ($CACHE/$name/log)"
    return 1
  }
}

docker_cli_newest() {
  local name=docker-cli-newest
  ! is_ready "$name" "$DOCKER_CLI" || return 0
  go_source github.com/docker/cli "v$DOCKER_CLI+incompatible" "$CACHE/$name/source" ||
    { left_out "$name" 'there is no Go, or no such module'; return; }
  # It keeps its requirements under other names.
  mv "$CACHE/$name/source/vendor.mod" "$CACHE/$name/source/go.mod"
  mv "$CACHE/$name/source/vendor.sum" "$CACHE/$name/source/go.sum"
  rm -rf "$CACHE/$name/source/vendor"
  # The module proxy does not serve the version that it names.
  (cd "$CACHE/$name/source" && go mod edit -replace "github.com/moby/swarmkit/v2=github.com/moby/swarmkit/v2@$SWARMKIT")
  built "$name" env CGO_ENABLED=0 GOFLAGS=-mod=mod go build -C source -o "$CACHE/$name/docker" \
    -ldflags "-X github.com/docker/cli/cli/version.Version=$DOCKER_CLI" ./cmd/docker || return 0
  ready "$name" "$DOCKER_CLI" env DOCKER="$CACHE/$name/docker" "$HERE/docker-cli.sh"
}

compose_5() {
  local name=compose-5
  ! is_ready "$name" "$COMPOSE_5" || return 0
  go_source github.com/docker/compose/v5 "v$COMPOSE_5" "$CACHE/$name/source" ||
    { left_out "$name" 'there is no Go, or no such module'; return; }
  built "$name" env CGO_ENABLED=0 go build -C source -o "$CACHE/$name/docker-compose" ./cmd || return 0
  ready "$name" "$COMPOSE_5" env COMPOSE="$CACHE/$name/docker-compose" DOCKER=/usr/bin/docker "$HERE/compose.sh"
}

# go_program NAME VERSION MODULE FOLDER: builds tests/clients/FOLDER/main.go against that module.
go_program() {
  local name=$1 version=$2 module=$3 folder=$4
  ! is_ready "$name" "$version" || return 0
  command -v go >/dev/null || { left_out "$name" 'there is no Go'; return; }
  cp "$HERE/$folder/main.go" "$CACHE/$name/"
  printf 'module sequence\n\ngo 1.26\n\nrequire %s v%s\n' "$module" "$version" >"$CACHE/$name/go.mod"
  built "$name" sh -c 'GOFLAGS=-mod=mod go mod tidy && CGO_ENABLED=0 go build -o program .' || return 0
  ready "$name" "$version" env TESTCONTAINERS_RYUK_DISABLED=true "$CACHE/$name/program"
}

testcontainers_go() {
  go_program testcontainers-go "$TESTCONTAINERS_GO" github.com/testcontainers/testcontainers-go testcontainers
}

docker_java() {
  local name=docker-java
  ! is_ready "$name" "$DOCKER_JAVA" || return 0
  command -v mvn >/dev/null || { left_out "$name" 'there is no Maven'; return; }
  cp -r "$HERE/java/." "$CACHE/$name/"
  built "$name" mvn --quiet --batch-mode "-Ddocker-java=$DOCKER_JAVA" package dependency:copy-dependencies || return 0
  ready "$name" "$DOCKER_JAVA" java -cp "$CACHE/$name/target/classes:$CACHE/$name/target/dependency/*" Sequence
}

ansible() {
  local name=ansible
  ! is_ready "$name" "$ANSIBLE" || return 0
  python3 -m venv "$CACHE/$name/venv" >/dev/null 2>&1 || { left_out "$name" 'there is no python3-venv'; return; }
  built "$name" venv/bin/python -m pip install --quiet --disable-pip-version-check "ansible==$ANSIBLE" docker requests ||
    return 0
  ready "$name" "$ANSIBLE" "$HERE/ansible.sh" "$CACHE/$name/venv/bin"
}
