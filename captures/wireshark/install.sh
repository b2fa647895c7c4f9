#!/bin/sh
# Copies the Wireshark plugin into the user's personal plugin folder, in a folder of its own; `remove` takes it away again.
#
#   install.sh           Wireshark and tshark load it at their next start; safe to run again after a change
#   install.sh remove    removes what was installed, and nothing else
#
# Exit status: 0 done, 1 failed.
set -eu
here=$(cd "$(dirname "$0")" && pwd -P)

# Wireshark knows best where it looks; without tshark it is the folder it has had since version 2.5.
plugins=
if command -v tshark >/dev/null; then
    plugins=$(tshark -G folders 2>/dev/null | sed -n 's/^Personal Lua Plugins:[[:space:]]*//p')
fi
plugins=${plugins:-$HOME/.local/lib/wireshark/plugins}
folder=$plugins/multicast-lab

if [ "${1:-}" = remove ]; then
    rm -f "$folder"/lab_*.lua
    rmdir "$folder" 2>/dev/null || true
    echo "removed from $folder"
    exit 0
fi

mkdir -p "$folder"
# A file that an earlier version had and this one has not would still be loaded.
for installed in "$folder"/lab_*.lua; do
    [ -e "$here/${installed##*/}" ] || rm -f "$installed"
done
cp "$here"/lab_*.lua "$folder"
echo "installed in $folder"

if ! command -v tshark >/dev/null; then
    echo "Start Wireshark and look for MMCP in Help, About Wireshark, Plugins; the filter is: mmcp"
elif tshark -G fields 2>/dev/null | grep -q '[[:space:]]mmcp\.type[[:space:]]'; then
    echo "tshark has loaded it; to see for yourself: tshark -r FILE -Y mmcp"
else
    echo "but tshark does not load it: tshark -G fields says nothing of mmcp.type" >&2
    [ "$(id -u)" != 0 ] || echo "Wireshark 4.4 and later run no Lua plugins as root: be an ordinary user" >&2
    exit 1
fi
