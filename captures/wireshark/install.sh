#!/bin/sh
# Copies the Wireshark plugin into the user's personal plugin folder, in a folder of its own; `remove` takes it away again.
# It is what protocols share, which lies here, and what lies in the rooms beside: ROOM/lab_ROOM.lua is the protocol ROOM.
#
#   install.sh           Wireshark and tshark load it at their next start; safe to run again after a change
#   install.sh remove    removes what was installed, and nothing else
#
# Exit status: 0 done, 1 failed.
set -eu
rooms=$(cd "$(dirname "$0")/.." && pwd -P)

# Wireshark knows best where it looks; without tshark it is the folder it has had since version 2.5.
plugins=
if command -v tshark >/dev/null; then
    plugins=$(tshark -G folders 2>/dev/null | sed -n 's/^Personal Lua Plugins:[[:space:]]*//p')
fi
plugins=${plugins:-$HOME/.local/lib/wireshark/plugins}
folder=$plugins/multicast-lab

# A file that an earlier version had and this one has not would still be loaded.
rm -f "$folder"/lab_*.lua
if [ "${1:-}" = remove ]; then
    rmdir "$folder" 2>/dev/null || true
    echo "removed from $folder"
    exit 0
fi

mkdir -p "$folder"
cp "$rooms"/*/lab_*.lua "$folder"
echo "installed in $folder"

filters=
for room in "$rooms"/*; do
    [ ! -e "$room/lab_${room##*/}.lua" ] || filters="$filters ${room##*/}"
done
if ! command -v tshark >/dev/null; then
    echo "Start Wireshark and look for lab_ in Help, About Wireshark, Plugins; the filters are:$filters"
    exit 0
fi
known=$(tshark -G protocols 2>/dev/null | cut -f 3)
for filter in $filters; do
    if ! echo "$known" | grep -qx "$filter"; then
        echo "but tshark does not load it: tshark -G protocols says nothing of $filter" >&2
        [ "$(id -u)" != 0 ] || echo "Wireshark 4.4 and later run no Lua plugins as root: be an ordinary user" >&2
        exit 1
    fi
done
echo "tshark has loaded it; the filters are:$filters"
