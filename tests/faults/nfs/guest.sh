#!/bin/sh
# The first process of a guest: role, number and out come from the kernel's command line.
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /mnt
mkdir -p /mnt/out /mnt/pools /mnt/modules/lib /mnt/tmp
ln -s /usr/lib/uml/modules /mnt/modules/lib/modules
mount -t hostfs none /mnt/out -o "$out"
set -a
. /mnt/out/environment
TMPDIR=/mnt/tmp HOME=/mnt/tmp PYTHONDONTWRITEBYTECODE=1 ROLE=$role
set +a
hostname "$role"
ip link set lo up
ip address add "10.77.0.$number/24" dev eth0
ip link set eth0 up
cd /mnt/tmp || exit
case $role in
server)
    modprobe -d /mnt/modules nfsd || exit
    mount -t tmpfs tmpfs /var/lib/nfs
    mkdir -p /var/lib/nfs/v4recovery /var/lib/nfs/sm /var/lib/nfs/rpc_pipefs
    touch /var/lib/nfs/etab /var/lib/nfs/rmtab
    mount -t nfsd nfsd /proc/fs/nfsd
    mount -t ext4 /dev/ubda /mnt/pools
    chmod 777 /mnt/pools
    echo 10 > /proc/fs/nfsd/nfsv4leasetime
    echo 10 > /proc/fs/nfsd/nfsv4gracetime
    exportfs -i -o rw,sync,no_root_squash,no_subtree_check,fsid=0 '10.77.0.0/24:/mnt/pools'
    rpc.nfsd -N 3 -V 4.2 4
    rpc.mountd -N 3 --foreground &
    touch /mnt/out/server/ready
    while :; do sleep 1000; done
    ;;
client*)
    modprobe -d /mnt/modules nfsv4 || exit
    until [ -e /mnt/out/server/ready ]; do sleep 0.5; done
    until mount.nfs4 10.77.0.1:/ /mnt/pools -o vers=4.2; do sleep 1; done
    uname -r > "/mnt/out/$role/kernel"
    grep /mnt/pools /proc/mounts > "/mnt/out/$role/mount"
    "$PYTHON" -m tests.faults.nfs.client
    touch "/mnt/out/$role/ended"
    while :; do sleep 1000; done
    ;;
esac
