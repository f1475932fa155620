#!/usr/bin/env bash
# Breaks a mesh of real processes in every way that docs/faults.md lists, compares what callers were told with a journal
# of what really ran, and prints a table. Ends with one line: N passed, N failed; exits 0 when none failed.
#
#   scripts/faults.sh               every row with the full numbers (about half an hour; wants two cores for itself)
#   scripts/faults.sh --short       few repeats and 150 calls/s (under six minutes)
#   scripts/faults.sh --row NAME    only this row, or those with NAME in theirs; may be repeated; --names lists them
#   scripts/faults.sh --soak 30m    mixed load with kills for that long, instead of rows: is memory flat?
#   scripts/faults.sh --out FILE    writes the table to FILE as well
#   scripts/faults.sh --release     builds with optimizations first; also --rate N, --repeats N and --seed N
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh

arguments=()
release=()
full=--full
while [ $# -gt 0 ]; do
  case "$1" in
    --help | -h) sed -n '2,10s/^# \{0,1\}//p' "$0"; exit 0 ;;
    --release) release=(--release) ;;
    --short) full=--short ;;
    *) arguments+=("$1") ;;
  esac
  shift
done

need_cargo
need redis-server redis-server:redis:redis:redis
need redis-sentinel redis-sentinel:redis:redis:redis
set +u # Old versions of bash take an empty array for an unset one.
say "building"
built=$(cargo test --locked "${release[@]}" --test faults --no-run 2>&1) || { say "$built"; die "the faults do not build"; }
program=$(sed -n 's/.*Executable tests\/faults\/main.rs (\(.*\))$/\1/p' <<<"$built")
# Nothing of the caller's own configuration shall have a part in this.
unset ${!DISTRIBUTION_@} ${!REDIS_@} RUST_LOG RUST_BACKTRACE
# Not by `cargo test`, whose own last line would hide ours.
exec "$program" "$full" "${arguments[@]}"
