# shellcheck shell=bash
# The images that the suites pull, built from the lab's busybox. They are built once and kept as a registry's folder.

# Names on Docker Hub, and on localhost:5000.
HUB_IMAGES=(alpine:3.10 alpine:latest hello-world:latest node:alpine)
LOCAL_IMAGES=(alpine:latest hello-world:linux fussybeaver/uhttpd:latest)

# give_images: puts the images into the registry, and those that a suite expects on node1.
give_images() {
  local image made
  made=$(made_images)
  if [ ! -e "$made" ]; then
    lab docker 1 tag busybox:latest localhost:5000/library/busybox:latest
    lab docker 1 push --quiet localhost:5000/library/busybox:latest >/dev/null
    lab docker 1 rmi localhost:5000/library/busybox:latest >/dev/null
    for image in "${HUB_IMAGES[@]/#/library/}" "${LOCAL_IMAGES[@]}"; do make_image "$image"; done
    rm -rf "$CACHE"/images-*
    cp -a "$LAB_DIR/registry" "$made.new"
    mv "$made.new" "$made"
  fi
  for image in alpine:3.10 alpine:latest; do lab docker 1 pull --quiet "$image" >/dev/null; done
}

# A folder for these images; other images get another folder.
made_images() {
  local sum
  sum=$(declare -f make_image make_commands; echo "${HUB_IMAGES[@]}" "${LOCAL_IMAGES[@]}")
  sum=$(cksum <<<"$sum")
  echo "$CACHE/images-${sum%% *}"
}

make_image() {
  local image=localhost:5000/$1 command='["sh"]'
  [[ $1 != *uhttpd* ]] || command='["/usr/sbin/run_uhttpd","-f","-p","80","-h","/www"]'
  lab docker 1 create --name form busybox sh -c "$(make_commands "$1")" >/dev/null
  lab docker 1 start --attach form
  lab docker 1 commit --change "CMD $command" form "$image" >/dev/null
  lab docker 1 rm form >/dev/null
  lab docker 1 push --quiet "$image" >/dev/null
  # A pulled image has no parent, like those from Docker Hub.
  lab docker 1 rmi "$image" >/dev/null
}

# Creates the files that the suites expect in alpine and the others. The name makes each image unique; otherwise pruning
# one would prune them all.
make_commands() {
  cat <<SH
set -e
echo '$1' >/etc/image
mkdir -p /etc/config /usr/sbin /var/opt /www
echo 'postgres:x:70:70:postgres:/tmp:/bin/sh' >>/etc/passwd
echo 'postgres:x:70:' >>/etc/group
printf '\nconfig uhttpd main\n' >/etc/config/uhttpd
printf '#!/bin/sh\necho\necho Hello from Docker!\n' >/hello
printf '#!/bin/sh\nexec httpd "\$@"\n' >/usr/sbin/run_uhttpd
chmod 755 /hello /usr/sbin/run_uhttpd
SH
}
