#!/usr/bin/env bash
# Runs Feathers applications on a mesh with the native module. The last line says how many checks passed.
# Arguments limit it to some files of checks/, e.g. `run.sh 1-calls`. With RELEASE set, the module is the one that users have.
set -euo pipefail
cd "$(dirname "$0")"
. ../../scripts/lib.sh

need redis-server redis-server:redis:redis:redis
RACHIS_TARBALL=$(./prepare.sh ${RELEASE:+--release})
export RACHIS_TARBALL
cd ../..
cargo build --quiet --locked --workspace --all-features --lib --example conformance --example hello
target=${CARGO_TARGET_DIR:-target}
target=$(cd "$target" && pwd)
export HELLO_BINARY=$target/debug/examples/hello
cd tests/node
exec node run.mjs "$target/debug/examples/conformance" "$@"
