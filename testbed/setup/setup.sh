#!/bin/bash
# Makes this machine able to run the labs, and is quick to find that it already is.
#
#   setup.sh          Debian packages, .venv, routing root: all a lab needs
#   setup.sh test     the same, and what the tests need besides
#
# Exit status: 0 ready, 1 something failed (message and log say what), 2 a person has to do something first.
#
# What it makes carries a stamp or a name with a hash of what it was made from; nothing is believed to be there because a
# past run said so. Folders are made under another name and renamed when they are whole, so a set-up that was killed half
# way leaves nothing that looks whole, and the next one removes the pieces.
set -euo pipefail
umask 022

project=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P)
recipes=$project/testbed/setup
state=$project/.lab
environment=$project/.venv
log=$state/setup.log
python=/usr/bin/python3

# Settings of the caller's own Python must not leak into the project's.
unset VIRTUAL_ENV PYTHONPATH PYTHONHOME PYTHONSTARTUP PIP_TARGET PIP_PREFIX PIP_ROOT PIP_REQUIRE_VIRTUALENV PIP_CONSTRAINT
export PYTHONNOUSERSITE=1 PIP_USER=0 PIP_DISABLE_PIP_VERSION_CHECK=1

# Whoever called may have files open. mmdebstrap opens one for apt's shell, which knows only numbers below ten.
for descriptor in /proc/$$/fd/*; do
    descriptor=${descriptor##*/}
    ((descriptor <= 2 || descriptor == 255)) || exec {descriptor}>&-  # 255: this script
done

say() { printf 'set-up: %s\n' "$*" >&2; }

# fail STATUS WHAT REMEDY
fail() {
    printf 'set-up: %s\n        %s\n' "$2" "$3" >&2
    exit "$1"
}

# logged WHAT COMMAND...: runs COMMAND with its output in the log; says how long it took, or what went wrong and where.
logged() {
    local what=$1 began=$SECONDS status=0 output reason
    shift
    say "$what …"
    printf '\n=== %s: %s\n' "$what" "$*" >>"$log"
    "$@" >>"$log" 2>&1 </dev/null || status=$?
    if [ "$status" = 0 ]; then
        say "$what: done in $((SECONDS - began)) s"
        return
    fi
    # Of all that was said, a line about the usual causes, else the first error, else the last line.
    output=$(awk '/^=== /{said=""} {said=said $0 "\n"} END{printf "%s", said}' "$log" | sed 1d)
    reason=$(grep -iEm 1 'temporary failure|resolv|unreachable|refused|timed out|certificate|no space|denied' <<<"$output" ||
        grep -Em 1 '^(E|ERROR|error|fatal):' <<<"$output" || grep -v '^ *$' <<<"$output" | tail -n 1 || true)
    reason=${reason#"${reason%%[![:space:]]*}"}
    say "$what: failed with exit status $status: ${reason:0:300}"
    say "the whole output is in ${log#"$project"/}. It takes a network and 300 MB of disk; the same command goes on from here."
    exit 1
}

# listed FILE...: the names in package lists.
listed() { sed -e 's/#.*//' -e 's/[[:space:]]//g' -e '/^$/d' "$@"; }

# --- Debian packages --------------------------------------------------------------------------------------------------

package_lists=("$recipes/debian-main.txt")
if [ "${1:-}" = test ]; then
    package_lists+=("$recipes/debian-test.txt")
    # Ubuntu has its browser as a snap only; apt-get would stop at the name.
    [ "$(. /etc/os-release && echo "$ID")" != debian ] || package_lists+=("$recipes/debian-test-browser.txt")
fi

missing_packages() {
    local wanted
    mapfile -t wanted < <(listed "${package_lists[@]}")
    # dpkg-query complains about names it never heard of, which are the very ones looked for.
    LC_ALL=C comm -23 <(printf '%s\n' "${wanted[@]}" | LC_ALL=C sort -u) \
        <({ dpkg-query --show --showformat='${Package} ${db:Status-Status}\n' "${wanted[@]}" 2>/dev/null || true; } |
            sed -n 's/ installed$//p' | LC_ALL=C sort -u)
}

install_packages() {
    local missing=("$@") as_root=()
    local install=(apt-get install --yes --no-install-recommends "${missing[@]}")
    if [ "$(id -u)" != 0 ]; then
        if command -v sudo >/dev/null && { sudo -n true 2>/dev/null || [ -t 0 ]; }; then
            as_root=(sudo)
            say "Debian packages are missing (${missing[*]}); installing them is the only step that uses sudo"
            sudo -v || fail 2 "sudo refused" "Run as root: apt-get update && ${install[*]}"
        else
            fail 2 "Debian packages are missing, and installing them takes root. Run this as root, then the same again:" \
                "apt-get update && ${install[*]}"
        fi
    fi
    # DEBIAN_FRONTEND: no package may stop to ask. Lock::Timeout: an automatic upgrade may be running.
    as_root+=(env DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8)
    logged "reading the lists of Debian packages" "${as_root[@]}" apt-get update --quiet -o DPkg::Lock::Timeout=300
    logged "installing Debian packages: ${missing[*]}" "${as_root[@]}" "${install[@]}" --quiet -o DPkg::Lock::Timeout=300
}

# --- Python environment -----------------------------------------------------------------------------------------------

# environment_key LOCK_FILE: stands for all that an environment made now would be made of.
environment_key() {
    { "$python" -I -c 'import sys; print(sys.version, sys.executable)'; cat "$1" "$recipes/environment.sh"; } |
        sha256sum | cut -c 1-12
}

# The environment's stamp: "main KEY", perhaps "test KEY", then one line "have PATH" for every file or folder that was
# installed, so that one somebody removed is noticed.
stamp=$environment/.set-up

environment_ready() {
    local entry
    [ -x "$environment/bin/python" ] && [ -f "$stamp" ] || return 1
    grep -qx "main $(environment_key "$project/requirements.lock")" "$stamp" || return 1
    [ "${1:-}" != test ] || grep -qx "test $(environment_key "$project/requirements-test.lock")" "$stamp" || return 1
    while read -r entry; do
        [ -e "$environment/$entry" ] || return 1
    done < <(sed -n 's/^have //p' "$stamp")
}

build_environment() {
    local making=$project/.venv.making lock=$project/requirements.lock keys
    keys="main $(environment_key "$lock")"
    # Who had the tests' packages keeps them.
    if [ "${1:-}" = test ] || grep -q '^test ' "$stamp" 2>/dev/null; then
        lock=$project/requirements-test.lock
        keys+=$'\n'"test $(environment_key "$lock")"
    fi
    rm -rf "$making" "$project/.venv.old"
    logged "Python packages of ${lock##*/} into .venv ($("$python" -I --version))" \
        "$recipes/environment.sh" "$making" "$environment" "$lock"
    { echo "$keys"; (cd "$making" && printf 'have %s\n' lib/python3*/site-packages/*); } >"$making/${stamp##*/}"
    if [ -e "$environment" ]; then mv "$environment" "$project/.venv.old"; fi
    mv "$making" "$environment"
    rm -rf "$project/.venv.old"
}

# --- commands ---------------------------------------------------------------------------------------------------------

commands=(agents captures testbed)

# entry_point NAME: a script that is `python -m NAME` from any folder. It finds the project by where it is itself; -P: what lies in
# the working folder is not taken for a module of ours.
entry_point() {
    printf '%s\n' '#!/bin/sh' \
        'project=$(dirname "$(dirname "$(dirname "$(readlink -f "$0")")")")' \
        'export PYTHONNOUSERSITE=1 PYTHONPATH="$project${PYTHONPATH:+:$PYTHONPATH}"' \
        "exec \"\$project/.venv/bin/python\" -P -m $1 \"\$@\""
}

commands_ready() {
    local name
    for name in "${commands[@]}"; do
        [ -x "$environment/bin/$name" ] && cmp -s "$environment/bin/$name" <(entry_point "$name") || return 1
    done
}

write_commands() {
    local name
    for name in "${commands[@]}"; do
        entry_point "$name" >"$environment/bin/.$name.making"
        chmod 755 "$environment/bin/.$name.making"
        mv "$environment/bin/.$name.making" "$environment/bin/$name"
    done
}

# --- routing root -----------------------------------------------------------------------------------------------------

routing_root=$state/routing-$(sha256sum "$recipes/routing-root.sh" | cut -c 1-12)

# testbed/setup/__init__.py asks the same.
routing_root_ready() { [ -f "$routing_root/manifest" ] && [ -x "$routing_root/usr/lib/frr/pimd" ] && [ -d "$routing_root/run" ]; }

build_routing_root() {
    local making=$state/making-routing-root
    rm -rf "$making"
    logged "routing daemons into ${routing_root#"$project"/}" "$recipes/routing-root.sh" "$making"
    rm -rf "$routing_root"
    mv "$making" "$routing_root"
    say "routing daemons: $(grep -E '^(frr|smcroute) ' "$routing_root/manifest" | cut -d ' ' -f 1,2 | paste -sd ,)"
}

remove_old_routing_roots() {
    local old
    for old in "$state"/routing-*; do
        [ "$old" != "$routing_root" ] && [ -d "$old" ] || continue
        if readlink /proc/[0-9]*/root 2>/dev/null | grep -qxF "$old"; then
            say "a lab still runs from ${old#"$project"/}, made by an earlier recipe; it stays for now"
        else
            rm -rf "$old" || say "could not remove ${old#"$project"/}, which nothing needs any more"
        fi
    done
}

# --- all of it --------------------------------------------------------------------------------------------------------

ready() { [ -z "$(missing_packages)" ] && environment_ready "$@" && commands_ready && routing_root_ready; }

main() {
    local missing
    case "$*" in '' | test) ;; *) fail 2 "unknown argument: $*" "usage: ${BASH_SOURCE[0]} [test]" ;; esac
    command -v apt-get >/dev/null && command -v dpkg-query >/dev/null ||
        fail 2 "this system has no apt-get" "The labs need Debian 12, Debian 13 or Ubuntu 24.04; the Vagrantfile brings one up."
    # Python's venv takes no path with the first, apt none with the others.
    case $project in *[:\"\\]* | *$'\n'*)
        fail 2 "the path $project has a colon, a double quote, a backslash or a line break" "Move the project, or rename the folder." ;;
    esac
    if ready "$@"; then return; fi

    mkdir -p "$state" 2>/dev/null && [ -w "$state" ] && [ -w "$project" ] ||
        fail 2 "$project is not writable for $(id -un), and the set-up is not complete" \
            "Run make setup once as the user the folder belongs to ($(stat -c %U "$project"))."
    # Opened for reading: the file may be another user's.
    [ -e "$state/set-up.lock" ] || : >"$state/set-up.lock"
    exec 9<"$state/set-up.lock"
    if ! flock --nonblock 9; then
        say "another set-up of this folder is at work; waiting for it …"
        flock 9
        if ready "$@"; then return; fi
    fi
    rm -f "$log"
    trap 'rm -rf "$project/.venv.making" "$state/making-routing-root"' EXIT

    mapfile -t missing < <(missing_packages)
    # Without 9: a service that a package starts must not hold the lock for ever.
    if [ "${#missing[@]}" != 0 ]; then (install_packages "${missing[@]}") 9>&-; fi
    if ! environment_ready "$@"; then build_environment "$@"; fi
    if ! commands_ready; then write_commands; fi
    if ! routing_root_ready; then build_routing_root; fi
    remove_old_routing_roots
    ready "$@" || fail 1 "the set-up ran through, and yet something is missing" "See ${log#"$project"/}."
    say "ready (${SECONDS} s)"
}

main "$@"
