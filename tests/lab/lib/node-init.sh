#!/usr/bin/env bash
# The first process of a node's namespaces: makes them look like a machine of their own, then reaps orphans.
# Arguments: the node's folder, its hostname, its address, and the root it gets if not the host's.
set -euo pipefail
dir=$1 name=$2 address=$3 root=${4:-}

# enter_root ROOT: from here on, the node sees ROOT (below a layer of its own, for others use ROOT as well), its folder
# and what belongs to the kernel. The host's root is given up and not only hidden: runc pivots too, which after a plain
# chroot the kernel does not allow (pivot_root(2), EINVAL).
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
  # Onto each other, with the old root on top: no folder is needed for it.
  pivot_root . .
  umount -n --lazy .
  cd /
}

# /proc is still the host's here, so this is the pid that the host knows.
read -r pid _ </proc/self/stat
echo "$pid" >"$dir/init.pid.new"
mv "$dir/init.pid.new" "$dir/init.pid"

# A root need not have the checkout in it.
exec 3<"$(dirname "$0")/no-names.pl"
[ -z "$root" ] || enter_root "$root"

# Containers may ask for shared propagation; it ends at this mount namespace, which unshare made private.
# No -n would leave a /run/mount on the host.
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
# Not 127.0.0.1, because the engine replaces loopback name servers by public ones in its containers.
echo "nameserver $address" >/etc/resolv.conf
printf '127.0.0.1 localhost\n%s %s\n' "$address" "$name" >/etc/hosts

hostname "$name"
ip link set lo up
LC_ALL=C perl /dev/fd/3 "$address" "$dir/init.ready" &
exec 3<&-
# As pid 1, bash reaps whatever is left to it while it waits.
wait "$!"
