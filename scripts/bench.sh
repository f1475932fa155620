#!/usr/bin/env bash
# Measures Rachis, the limit of its design, and its peers in one run, and prints tables of medians.
#
#   scripts/bench.sh                     everything (about 25 minutes)
#   scripts/bench.sh calls http          some sections: calls http events discovery idle large gateway
#     --rounds N       rounds of each contestant (3)
#     --seconds N      seconds of each measurement (3)
#     --no-peers       Rachis and the limit alone
#     --write          puts the tables into docs/performance.md
#
# Installs what it needs: redis-server, wrk, nats-server, Node.js and the peers' packages.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh

rounds=3 seconds=3 peers=yes write=null only=() fleets='[10,100,1000]'
while [ $# -gt 0 ]; do
  case "$1" in
    --rounds) rounds=$2; shift ;;
    --seconds) seconds=$2; shift ;;
    --no-peers) peers= ;;
    --write) write='"docs/performance.md"' ;;
    calls | http | events | discovery | idle | large | gateway) only+=("\"$1\"") ;;
    *) sed -n '2,11s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
  esac
  shift
done

need_cargo
need redis-server redis-server:redis:redis:redis
need redis-cli redis-tools:redis:redis:redis
need wrk wrk:wrk:wrk:wrk
need node nodejs:nodejs:nodejs:node
need npm npm:npm:npm:node

target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
say "== building"
cargo build --release --locked --quiet --bin rachis
mesh=$(cargo bench --locked --no-run --bench mesh --message-format=json 2>/dev/null |
  sed -n 's/.*"executable":"\([^"]*\/mesh-[^"]*\)".*/\1/p' | tail -n 1)
[ -x "$mesh" ] || die "the benchmark was not built: try cargo bench --no-run --bench mesh"
build() { cargo build --release --locked --quiet --manifest-path "benches/$1/Cargo.toml" --target-dir "$target/bench-$1"; }
build limit
programs="\"mesh\":\"$mesh\",\"rachis\":\"$target/release/rachis\",\"limit\":\"$target/bench-limit/release/limit\""
if [ -n "$peers" ]; then
  need nats-server nats-server:nats-server:nats-server:nats-server
  build nats
  if [ ! benches/peers/node_modules/.package-lock.json -nt benches/peers/package-lock.json ]; then
    (cd benches/peers && npm ci --no-audit --no-fund --loglevel=error >&2)
  fi
  programs+=",\"nats\":\"$target/bench-nats/release/nats-bench\",\"peers\":\"$PWD/benches/peers\""
fi

only=$(IFS=,; echo "${only[*]}")
ulimit -n "$(ulimit -Hn)" 2>/dev/null || true
exec node benches/run.mjs "{$programs,\"rounds\":$rounds,\"seconds\":$seconds,\"only\":[$only],\"fleets\":$fleets,\"write\":$write}"
