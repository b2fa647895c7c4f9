#!/bin/bash
# Runs parts of the test suite and says how each went: run.sh PART…
#
#   lint    formatter, linter, types                     fast    tests that need no namespaces, on all cores
#   labs    tests that make namespaces, side by side     alone   those that must have the machine for themselves
#   long    more combinations of labs, millions of inputs    bench   measurements
#
# All parts run even if an earlier one failed. Exit status: 0 if every part passed, else 1.
# PYTEST_ARGS, if set, goes to pytest as it is.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 2

python=$PWD/.venv/bin/python
read -ra more <<<"${PYTEST_ARGS:-}"
# Through a pipe pytest cannot see the terminal.
colour=no
[ ! -t 1 ] || colour=yes

part_lint() {
    local status=0
    "$python" -m ruff format --check --quiet . || { status=1; echo 'not formatted as above: .venv/bin/python -m ruff format .'; }
    "$python" -m ruff check --quiet . || status=1
    "$python" -m mypy || status=1
    return $status
}
tests() { "$python" -m pytest -q "--color=$colour" "$@" ${more[@]+"${more[@]}"}; }
part_fast() { tests -n auto -m 'not lab and not bench and not long'; }
# A lab waits half of its time. Tests that share something costly say so with xdist_group.
beside=$(($(nproc) + 1))
mapfile -t elsewhere < <(grep -rlE --include='test_*.py' 'mark\.lab\b' tests)
part_labs() { tests -n "$beside" --dist loadgroup -m 'lab and not alone and not long' tests/labs "${elsewhere[@]}"; }
part_alone() { tests -m 'alone and not long' tests/labs; }
part_long() {
    local status=0
    tests -n auto -m 'long and not lab' || status=1
    tests -n "$beside" --dist loadgroup -m 'long and not alone' tests/labs || status=1
    tests -m 'long and alone' tests/labs || status=1
    return $status
}
part_bench() { tests -m bench -s; }

output=$(mktemp)
trap 'rm -f "$output"' EXIT
failed=0
summary=()
for part in "$@"; do
    printf '== %s\n' "$part"
    began=$SECONDS
    if "part_$part" 2>&1 | tee "$output"; then verdict=passed; else verdict=FAILED failed=1; fi
    summary+=("$(printf '%-6s %-6s %4d s   %s' "$part" "$verdict" $((SECONDS - began)) "$(tail -n 1 "$output")")")
done
printf '==\n'
printf '%s\n' "${summary[@]}"
exit $failed
