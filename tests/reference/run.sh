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
need python3 python3:python3:python3:python3

cargo build --quiet --locked --features cli --bin rachis --example conformance --example todo
built=$(cd "${CARGO_TARGET_DIR:-target}/debug" && pwd)
binary=$built/examples/conformance
export TODO_BINARY=$built/examples/todo RACHIS_BINARY=$built/rachis

cd tests/reference
# What npm leaves behind is younger than the lock file it installed.
if [ ! node_modules/.package-lock.json -nt package-lock.json ]; then
  npm ci --no-audit --no-fund --loglevel=error >&2
fi
# The tools in Python have an environment of their own, as new as the list of what is in it.
if [ ! .venv/installed -nt openapi/requirements.txt ]; then
  python3 -m venv .venv || { (need python3-venv python3-venv:python3:python3:python3) || true; python3 -m venv --clear .venv; } >&2
  .venv/bin/pip install --quiet --disable-pip-version-check -r openapi/requirements.txt >&2
  touch .venv/installed
fi
export PYTHON_BIN=$PWD/.venv/bin
exec node run.mjs "$binary" "$@"
