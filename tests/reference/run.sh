#!/usr/bin/env bash
# Compares the gateway of examples/conformance with the packages whose behaviour it follows: generated inputs go to
# both, and what differs without being listed in docs/clients.md fails. Installs what the lock file names; the last line says
# how many checks passed. Arguments limit it to some files of checks/, e.g. `run.sh query`.
set -euo pipefail
cd "$(dirname "$0")/../.."
. scripts/lib.sh

need_cargo
need node nodejs:nodejs:nodejs:node
need npm npm:npm:npm:node
need redis-server redis-server:redis:redis:redis

cargo build --quiet --locked --features cli --example conformance
binary=${CARGO_TARGET_DIR:-target}/debug/examples/conformance
binary=$(cd "$(dirname "$binary")" && pwd)/conformance

cd tests/reference
# What npm leaves behind is younger than the lock file it installed.
if [ ! node_modules/.package-lock.json -nt package-lock.json ]; then
  npm ci --no-audit --no-fund --loglevel=error >&2
fi
exec node run.mjs "$binary" "$@"
