#!/usr/bin/env bash
# The first process of a node's namespaces: makes them look like a machine of their own, then reaps orphans.
# Arguments: the node's folder, its hostname, its address.
set -euo pipefail
dir=$1 name=$2 address=$3

# /proc is still the host's here, so this is the pid that the host knows.
read -r pid _ </proc/self/stat
echo "$pid" >"$dir/init.pid.new"
mv "$dir/init.pid.new" "$dir/init.pid"

# Containers may ask for shared propagation; it ends at this mount namespace, which unshare made private.
# No -n would leave a /run/mount on the host.
mount -n --make-rshared /
mount -n -t tmpfs -o mode=755 tmpfs /run
mount -t proc proc /proc
mkdir /run/lock

# A private layer over /etc: engines sharing /etc/docker would share one engine ID.
mkdir -p "$dir/etc/upper" "$dir/etc/work"
mount -t overlay overlay -o "lowerdir=/etc,upperdir=$dir/etc/upper,workdir=$dir/etc/work" /etc
rm -rf /etc/docker /etc/resolv.conf /etc/hosts
mkdir /etc/docker
# Not 127.0.0.1, because the engine replaces loopback name servers by public ones in its containers.
echo "nameserver $address" >/etc/resolv.conf
printf '127.0.0.1 localhost\n%s %s\n' "$address" "$name" >/etc/hosts

hostname "$name"
ip link set lo up
perl "$(dirname "$0")/no-names.pl" "$address" "$dir/init.ready" &
# As pid 1, bash reaps whatever is left to it while it waits.
wait "$!"
