#!/usr/bin/env bash
# Opens the page of examples/todo, and the dashboard of examples/shop, in Chromium and does with them what a person would,
# while replicas and the gateway come and go. With an argument, `todo` or `dashboard`, only the one. Installs what the lock files name, and Chromium where it is missing; the last line says how many checks passed.
# With SCREENSHOTS=FOLDER, it leaves pictures of the page there.
set -euo pipefail
cd "$(dirname "$0")/../.."
. scripts/lib.sh

oldest=18 # nothing older has been tried

need_cargo
need node nodejs:nodejs:nodejs:node
need npm npm:npm:npm:node
need redis-server redis-server:redis:redis:redis
need chromium chromium:chromium:chromium:chromium
[ "$(node -p 'process.versions.node.split(".")[0]')" -ge "$oldest" ] || die "node is $(node -v): these checks need $oldest or newer"

cargo build --quiet --locked --features docs --example todo --example shop
programs=$(cd "${CARGO_TARGET_DIR:-target}/debug/examples" && pwd)

# install FOLDER: what npm leaves behind is younger than the lock file it installed.
install() {
  [ ! "$1/node_modules/.package-lock.json" -nt "$1/package-lock.json" ] || return 0
  (cd "$1" && npm ci --no-audit --no-fund --loglevel=error) >&2
}
install examples/todo/client
install tests/browser
exec node tests/browser/run.mjs "$programs/todo" "$programs/shop" "$(command -v chromium)" "$@"
