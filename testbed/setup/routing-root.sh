#!/bin/bash
# The recipe of the routing root: one folder with the routing daemons of one Debian release, the tcpdump that records them and
# what else a network is made of, the same on every host.
#
#   routing-root.sh FOLDER     makes FOLDER, which must not exist; needs no privilege
#
# The folder's name in .lab carries the hash of this very file, so that any change here builds a new one.
# Packages are only extracted: no maintainer script runs, so the few files those would have written follow below, and
# packages that exclude each other on a host can lie side by side.
set -euo pipefail
umask 022

release=trixie
# tcpdump because captures are made as root of a user namespace too: Debian 12's refuses that, Ubuntu 24.04's crashes.
# nftables for links that lose, iproute2's tc and VDE's wirefilter for those that are slow: this way every host has the same, and
# one that needs no right on the host. dnsmasq, radvd and dhcpcd give and take addresses. ping shows what a link is.
packages=base-files,libc-bin,frr,smcroute,tcpdump,nftables,iproute2,vde2,dnsmasq-base,radvd,dhcpcd-base,iputils-ping
# It excludes frr and smcroute on a host, so it is not among what apt is asked to put together.
beside=pimd
# Given by name because a host of another distribution does not trust Debian's keys by itself.
keyring=/usr/share/keyrings/debian-archive-keyring.gpg

root=$1

# SC2016: the hook is run by mmdebstrap's own shell, $1 there is the folder.
# shellcheck disable=SC2016
# The check refuses chrootless as root because of maintainer scripts, and an extraction runs none.
mmdebstrap --mode=chrootless --skip=check/chrootless --variant=extract --include="$packages" --keyring="$keyring" \
    --extract-hook="cd \"\$1\"/var/cache/apt/archives && APT_CONFIG=\$MMDEBSTRAP_APT_CONFIG apt-get download $beside &&
        dpkg-deb --extract ${beside}_*.deb \"\$1\"" \
    --extract-hook='for archive in "$1"/var/cache/apt/archives/*.deb; do
        dpkg-deb --show --showformat="\${Package} \${Version} \${Architecture}\n" "$archive"; done >"$1/manifest"' \
    "$release" "$root"

# The daemons run as the sandbox's root, and vtysh insists on these names.
printf '%s\n' root:x:0:0:root:/root:/bin/sh >"$root/etc/passwd"
printf '%s\n' root:x:0: frr:x:100:root frrvty:x:101:root >"$root/etc/group"
mkdir -p "$root/etc/pam.d"
for service in frr other; do
    printf '%s\n' 'auth required pam_permit.so' 'account required pam_permit.so' >"$root/etc/pam.d/$service"
done

# A lab mounts a file system of its own over each of these.
mkdir -p "$root"/{run,proc,sys,dev,tmp,var/tmp,var/lib/frr,etc/frr}
: >"$root/etc/frr/vtysh.conf"

# Without a home vtysh has nowhere to leave its history in a folder that all labs share.
rmdir "$root/root"

# Whoever built it, anyone may run it, and nothing in it gives away a right.
if [ "$(id -u)" = 0 ]; then chown --recursive --no-dereference root:root "$root"; fi
find "$root/dev" -mindepth 1 -delete
find "$root" -type f -perm /6000 -exec chmod ug-s {} +
chmod --recursive a+rX,go-w,-t "$root"

for program in usr/bin/{vtysh,tcpdump,wirefilter,vde_plug,vde_plug2tap,ping} usr/lib/frr/{zebra,mgmtd,ospfd,ospf6d,pimd,pim6d} \
    usr/sbin/{smcrouted,smcroutectl,pimd,nft,tc,dnsmasq,radvd,dhcpcd}; do
    [ -x "$root/$program" ] || { echo "the packages brought no /$program" >&2; exit 1; }
done
LC_ALL=C sort -o "$root/manifest" "$root/manifest"
