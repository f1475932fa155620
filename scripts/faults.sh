#!/usr/bin/env bash
# Breaks a mesh of real processes in every way that docs/faults.md lists, compares what callers were told with a journal
# of what really ran, and prints a table; before that, explores schedules, each of which follows from a seed. Ends with one
# line: N passed, N failed; exits 0 when none failed.
#
#   scripts/faults.sh               every row with the full numbers (about half an hour; wants two cores for itself)
#   scripts/faults.sh --short       few repeats and 150 calls/s (under seven minutes)
#   scripts/faults.sh --row NAME    only this row, or those with NAME in theirs; may be repeated; --names lists them
#   scripts/faults.sh --soak 30m    mixed load with kills for that long, instead of rows: is memory flat?
#   scripts/faults.sh --out FILE    writes the table to FILE as well
#   scripts/faults.sh --release     builds with optimizations first; also --rate N, --repeats N and --seed N
#   scripts/faults.sh --schedules   only schedules, 2,000 of them; also --count N, --first SEED, --time 40s
#   scripts/faults.sh --schedule N  only the schedule of this seed; --without 0,2 leaves out faults, --tell prints its trace
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh

arguments=()
release=()
full=--full
what=all
while [ $# -gt 0 ]; do
  case "$1" in
    --help | -h) sed -n '2,15s/^# \{0,1\}//p' "$0"; exit 0 ;;
    --release) release=(--release) ;;
    --short) full=--short ;;
    --schedules) what=schedules ;;
    --schedule) what=schedules; arguments+=(--seed) ;;
    # Each of these asks for rows, or tells of them.
    --row | --names | --soak | --rate | --repeats) what=faults; arguments+=("$1") ;;
    *) arguments+=("$1") ;;
  esac
  shift
done

need_cargo
need redis-server redis-server:redis:redis:redis
need redis-sentinel redis-sentinel:redis:redis:redis
set +u # Old versions of bash take an empty array for an unset one.
say "building"
built=$(cargo test --features cli --locked "${release[@]}" --test faults --test schedules --no-run 2>&1) || { say "$built"; die "the faults do not build"; }
# program NAME: where cargo has put it.
program() { sed -n "s/.*Executable tests\/$1\/main.rs (\(.*\))\$/\1/p" <<<"$built"; }
# Nothing of the caller's own configuration shall have a part in this.
unset ${!DISTRIBUTION_@} ${!REDIS_@} RUST_LOG RUST_BACKTRACE
# Not by `cargo test`, whose own last line would hide ours.
case $what in
  schedules) exec "$(program schedules)" "$full" "${arguments[@]}" ;;
  faults) exec "$(program faults)" "$full" "${arguments[@]}" ;;
esac
schedules="0 passed, 0 failed"
# They need a clock that is put in front of the C library's.
if [ "$(uname)" = Linux ]; then schedules=$("$(program schedules)" "$full" | tail -1) || true; fi
rows=$("$(program faults)" "$full" "${arguments[@]}") || true
printf '%s\n' "$rows" | sed '$d'
awk '{ good += $1; bad += $3 } END { print good + 0 " passed, " bad + 0 " failed"; exit !(good > 0 && bad == 0) }' \
  <<<"$schedules
$(tail -1 <<<"$rows")"
