#!/usr/bin/env bash
# The first process of a node's namespaces: sets them up as a machine, then reaps orphans.
# Arguments: the node's folder, its hostname, its address, and its root if not the host's.
set -euo pipefail
dir=$1 name=$2 address=$3 root=${4:-}

# enter_root ROOT: from here on, the node sees ROOT (below its own layer, because others use ROOT as well), its folder
# and the kernel's file systems. It unmounts the host's root: runc pivots too, which the kernel does not allow after a
# plain chroot (pivot_root(2), EINVAL).
enter_root() {
  local engine=$dir/engine place lab
  lab=$(dirname "$dir")
  mkdir -p "$engine"/{lower,upper,work,root}
  mount -n --bind "$1" "$engine/lower"
  mount -n -t overlay overlay \
    -o "lowerdir=$engine/lower,upperdir=$engine/upper,workdir=$engine/work" "$engine/root"
  for place in /dev /proc /sys /tmp; do
    mount -n --rbind "$place" "$engine/root$place"
  done
  mkdir -p "$engine/root$lab"
  mount -n --bind "$lab" "$engine/root$lab"
  cd "$engine/root"
  # Stacked on each other with the old root on top, so that it needs no folder.
  pivot_root . .
  umount -n --lazy .
  cd /
}

# /proc is still the host's here, so this is the host's pid.
read -r pid _ </proc/self/stat
echo "$pid" >"$dir/init.pid.new"
mv "$dir/init.pid.new" "$dir/init.pid"

# The root may not contain the checkout.
exec 3<"$(dirname "$0")/no-names.pl"
[ -z "$root" ] || enter_root "$root"

# Containers may need shared propagation; it ends at this mount namespace, which unshare made private.
# Without -n, a /run/mount would remain on the host.
mount -n --make-rshared /
mount -n -t tmpfs -o mode=755 tmpfs /run
mount -t proc proc /proc
mkdir /run/lock

# A private layer over /etc: engines sharing /etc/docker would share one engine ID.
if [ -z "$root" ]; then
  mkdir -p "$dir/etc/upper" "$dir/etc/work"
  mount -t overlay overlay -o "lowerdir=/etc,upperdir=$dir/etc/upper,workdir=$dir/etc/work" /etc
fi
rm -rf /etc/docker /etc/resolv.conf /etc/hosts
mkdir /etc/docker
# Not 127.0.0.1, because the engine replaces loopback name servers with public ones in its containers.
echo "nameserver $address" >/etc/resolv.conf
printf '127.0.0.1 localhost\n%s %s\n' "$address" "$name" >/etc/hosts

hostname "$name"
ip link set lo up
LC_ALL=C perl /dev/fd/3 "$address" "$dir/init.ready" &
exec 3<&-
# As pid 1, bash reaps orphans while it waits.
wait "$!"
