#!/usr/bin/env bash
# Runs the official Feathers clients against examples/conformance: first in one process, then in two that share a Redis, then
# the checks of database adapters with SQLite, PostgreSQL and MariaDB, in one process and in two.
# Installs what the lock file names; the last line says how many checks passed. Arguments limit it to some files of
# checks/, e.g. `run.sh 1-rest 4-channels`.
set -euo pipefail
cd "$(dirname "$0")/../.."
. scripts/lib.sh

oldest=18 # nothing older has been tried

need_cargo
need node nodejs:nodejs:nodejs:node
need npm npm:npm:npm:node
need redis-server redis-server:redis:redis:redis
need mariadbd mariadb-server:mariadb-server:mariadb:mariadb
need_postgres
[ "$(node -p 'process.versions.node.split(".")[0]')" -ge "$oldest" ] || die "node is $(node -v): these checks need $oldest or newer"

cargo build --quiet --locked --features cli --example conformance
binary=${CARGO_TARGET_DIR:-target}/debug/examples/conformance
binary=$(cd "$(dirname "$binary")" && pwd)/conformance

cd tests/clients
# What npm leaves behind is younger than the lock file it installed.
if [ ! node_modules/.package-lock.json -nt package-lock.json ]; then
  npm ci --no-audit --no-fund --loglevel=error >&2
fi
exec node run.mjs "$binary" "$@"
