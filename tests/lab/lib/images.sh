# shellcheck shell=bash
# Images without a registry: built on one node and loaded on the others, so that an image has the same id everywhere.

# give_busybox: creates busybox:latest on every node from the host's static busybox.
give_busybox() {
  local root=$LAB_DIR/busybox tar=$LAB_DIR/busybox.tar program applet
  program=$(command -v busybox)
  mkdir -p "$root"/{bin,etc,proc,sys,dev,root,tmp,var,usr/bin,usr/sbin}
  chmod 1777 "$root/tmp"
  cp "$(readlink -f "$program")" "$root/bin/busybox"
  for applet in $("$program" --list); do
    [ "$applet" = busybox ] || ln -s busybox "$root/bin/$applet"
  done
  ln -s /bin/env "$root/usr/bin/env"
  printf 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/tmp:/bin/false\n' >"$root/etc/passwd"
  # Without it, the static C library looks for missing plug-ins, and wget crashes.
  echo 'hosts: files dns' >"$root/etc/nsswitch.conf"
  printf 'root:x:0:\nnogroup:x:65534:\n' >"$root/etc/group"
  tar -C "$root" --owner=0 --group=0 -c . |
    docker_within 30 1 import --change 'CMD ["sh"]' --change 'ENV PATH=/bin:/usr/bin:/usr/sbin' - busybox:latest \
      >/dev/null
  spread_image busybox:latest "$tar"
  rm -rf "$root" "$tar"
}

# spread_image IMAGE TAR: copies an image from node 1 to the others through the file TAR.
spread_image() {
  [ "$(node_count)" -gt 1 ] || return 0
  docker_within 60 1 save -o "$2" "$1"
  each_node load_elsewhere "$2"
}

load_elsewhere() { [ "$2" = 1 ] || load_on "$@"; }

load_on() { docker_within 120 "$2" load -q -i "$1" >/dev/null; }

lab_load() {
  [ -r "${1:-}" ] || die "load: cannot read the file '${1:-}'"
  each_node load_on "$1" || die "load: not every node could load $1"
}

# lab_image BINARY. A dynamic program would not start in an image FROM scratch, and Docker would only report "no such file
# or directory" for an existing file. The name of the loader is at the start of an ELF file.
lab_image() {
  [[ -f ${1:-} && -x $1 ]] || die "image: '${1:-}' is not an executable file"
  ! head -c 4096 "$1" | LC_ALL=C grep -aqE '/ld-(linux|musl)' ||
    die "image: $1 is not static; build it with 'make build'"
  local context=$LAB_DIR/image
  rm -rf "$context"
  mkdir "$context"
  cp "$1" "$context/skep"
  DOCKER_BUILDKIT=1 docker_within 120 1 build --progress plain --build-arg SOURCE=prebuilt \
    --tag skep:latest --file "$REPO/docker/Dockerfile" "$context" >"$context.log" 2>&1 ||
    { cat "$context.log" >&2; die "image: the build on node1 failed"; }
  spread_image skep:latest "$LAB_DIR/skep.tar" || die "image: not every node could load skep:latest"
  rm -rf "$context" "$LAB_DIR/skep.tar"
  docker_within 10 1 image inspect --format 'skep:latest is {{.Id}}, {{.Size}} bytes' skep:latest
}
