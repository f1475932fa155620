#!/usr/bin/env bash
# Feeds every fuzz target for SECONDS (default 600) and prints one table.
# scripts/fuzz.sh [SECONDS] [TARGET...]; JOBS=2 runs two targets at a time (default 1).
# Installs cargo-fuzz where it is missing. A crash is kept in fuzz/artifacts/TARGET, and the exit code says so.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh

seconds=${1:-600}
shift || true
all=(frames registry query_strings filters config_toml config_env)
[ $# -eq 0 ] && set -- "${all[@]}"

need_cargo
need c++ g++:gcc-c++:g++:gcc
command -v cargo-fuzz >/dev/null || { say "installing cargo-fuzz"; cargo install cargo-fuzz --locked --quiet >&2; }
command -v cargo-fuzz >/dev/null || PATH="${CARGO_HOME:-$HOME/.cargo}/bin:$PATH"

# Coverage is an unstable flag of the compiler; with this, a stable one takes it. No sanitizer: there is no unsafe code
# in the crate for one to judge, and without it three times as many inputs are tried.
export RUSTC_BOOTSTRAP=1
say "building"
cargo fuzz build --sanitizer none >&2
programs=fuzz/target/$(rustc -vV | sed -n 's/^host: //p')/release
SEEDS=fuzz/corpus "$programs/seeds" -runs=1 2>/dev/null

logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT
# An input that takes ten seconds, or memory without end, counts as a crash.
run() {
  mkdir -p "fuzz/corpus/$1" "fuzz/artifacts/$1"
  nice -n 19 "$programs/$1" -max_total_time="$seconds" -max_len=8192 -timeout=10 -rss_limit_mb=512 \
    -print_final_stats=1 -artifact_prefix="fuzz/artifacts/$1/" "fuzz/corpus/$1" >"$logs/$1" 2>&1 || touch "$logs/$1.crashed"
}
export -f run
export programs seconds logs
printf '%s\n' "$@" | xargs -P "${JOBS:-1}" -I{} bash -c 'run {}'

code=0
printf '%-14s %14s %8s %8s\n' target executions exec/s crashes
for target in "$@"; do
  stat() { sed -n "s/^stat::$1: *//p" "$logs/$target"; }
  crashes=0
  if [ -e "$logs/$target.crashed" ]; then
    crashes=1 code=1
    tail -n 40 "$logs/$target" >&2
  fi
  printf '%-14s %14s %8s %8s\n' "$target" "$(stat number_of_executed_units)" "$(stat average_exec_per_sec)" "$crashes"
done
exit $code
