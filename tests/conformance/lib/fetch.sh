# shellcheck shell=bash
# Fetches third-party test suites and the programs that run them, into $CACHE and not into the repository.

# The last source package of docker-py on PyPI that contains tests. They run with the newest library.
DOCKER_PY=docker-6.1.3
DOCKER_PY_SHA256=aa6d17830045ba5ef0168d5eaa34d37beeb113948c413affe1d5991fc11f9a20
BOLLARD=bollard-0.21.1
BOLLARD_SHA256=dbe8358268799ebb3e4df23cb9d47f4c72bbc4f5247e2fa6a1bf7b6c0baea220

fetch_all() {
  mkdir -p "$CACHE"
  fetch_registry
  fetch_python
  ! wanted docker-py || fetch_docker_py
  ! wanted bollard || fetch_bollard
}

# Debian's registry, unpacked and not installed: the installation would start it as a service on this machine.
fetch_registry() {
  REGISTRY=$(PATH=$PATH:$CACHE/registry/usr/bin command -v docker-registry || true)
  [ -z "$REGISTRY" ] || return 0
  command -v apt-get >/dev/null || die "there is no docker-registry here (a Debian package, or 'registry' of Distribution)"
  say "fetching docker-registry"
  local folder=$CACHE/registry.new
  rm -rf "$folder"
  mkdir "$folder"
  (cd "$folder" && apt-get -o APT::Sandbox::User=root download -qq docker-registry && dpkg -x docker-registry_*.deb .) ||
    die "could not get Debian's package docker-registry; 'apt-get update' may help"
  mv "$folder" "$CACHE/registry"
  REGISTRY=$CACHE/registry/usr/bin/docker-registry
}

fetch_python() {
  PYTHON=$CACHE/venv/bin/python
  [ -x "$PYTHON" ] || python3 -m venv "$CACHE/venv" ||
    { rm -rf "$CACHE/venv"; die "could not make a Python environment (Debian: python3-venv)"; }
  "$PYTHON" -m pip install --quiet --disable-pip-version-check --upgrade docker paramiko pytest pytest-timeout || {
    "$PYTHON" -c 'import docker, paramiko, pytest, pytest_timeout' || die "pip could not install docker-py and pytest"
    say "pip could not check for newer versions: using the installed ones"
  }
  DOCKER_PY_VERSION=$("$PYTHON" -c 'import docker; print(docker.__version__)')
}

fetch_docker_py() {
  DOCKER_PY_TESTS=$CACHE/$DOCKER_PY
  [ ! -d "$DOCKER_PY_TESTS" ] || return 0
  say "fetching $DOCKER_PY"
  "$PYTHON" -m pip download --quiet --disable-pip-version-check --no-deps --no-binary :all: --dest "$CACHE" \
    "${DOCKER_PY/-/==}" || die "pip could not fetch $DOCKER_PY"
  unpack "$DOCKER_PY.tar.gz" "$DOCKER_PY_SHA256" "$DOCKER_PY"
  # The tests must import the installed library instead.
  rm -rf "$DOCKER_PY_TESTS/docker"
}

fetch_bollard() {
  BOLLARD_SOURCE=$CACHE/$BOLLARD
  if [ ! -d "$BOLLARD_SOURCE" ]; then
    say "fetching $BOLLARD"
    curl --silent --show-error --fail --output "$CACHE/$BOLLARD.crate" \
      "https://static.crates.io/crates/bollard/$BOLLARD.crate" || die "curl could not fetch $BOLLARD"
    unpack "$BOLLARD.crate" "$BOLLARD_SHA256" "$BOLLARD"
    # Its folder is inside this repository, but it must not join the workspace.
    printf '\n[workspace]\n' >>"$BOLLARD_SOURCE/Cargo.toml"
  fi
  BOLLARD_TESTS=$CACHE/bollard.tests
  [ ! -s "$BOLLARD_TESTS" ] || return 0
  say "building the tests of $BOLLARD (this takes some minutes, once)"
  local log=$CACHE/bollard.log
  (cd "$BOLLARD_SOURCE" && RUSTFLAGS='' CARGO_TARGET_DIR=$CACHE/bollard nice cargo test --tests --no-run --locked \
    --features buildkit,chrono,test_swarm,test_websocket) >"$log" 2>&1 ||
    { tail -n 30 "$log" >&2; die "could not build the tests of $BOLLARD"; }
  # "Executable tests/NAME.rs (PATH)"
  sed -n 's/^ *Executable tests\/\(.*\)\.rs (\(.*\))$/\1 \2/p' "$log" >"$BOLLARD_TESTS.new"
  [ -s "$BOLLARD_TESTS.new" ] || die "cargo named no test program of $BOLLARD, see $log"
  mv "$BOLLARD_TESTS.new" "$BOLLARD_TESTS"
}

# unpack FILE SHA256 FOLDER
unpack() {
  echo "$2  $CACHE/$1" | sha256sum --check --quiet || { rm -f "$CACHE/$1"; die "$1 has the wrong checksum"; }
  rm -rf "${CACHE:?}/$3"
  tar -xf "$CACHE/$1" -C "$CACHE"
  rm "$CACHE/$1"
}
