#!/usr/bin/env bash
# Builds the native module and runs Feathers applications on a mesh with it. The last line says how many checks passed.
# Arguments limit it to some files of checks/, e.g. `run.sh 1-calls`.
set -euo pipefail
cd "$(dirname "$0")/../.."
. scripts/lib.sh

oldest=20 # older ones have reached their end

need_cargo
need node nodejs:nodejs:nodejs:node
need npm npm:npm:npm:node
need redis-server redis-server:redis:redis:redis
[ "$(node -p 'process.versions.node.split(".")[0]')" -ge "$oldest" ] || die "node is $(node -v): these checks need $oldest or newer"

# As the tests of Rust are built, so that nothing but these two is built anew.
cargo build --quiet --locked --workspace --all-features --lib --example conformance
target=${CARGO_TARGET_DIR:-target}
target=$(cd "$target" && pwd)

cd tests/node
# What npm leaves behind is younger than the lock file it installed.
if [ ! node_modules/.package-lock.json -nt package-lock.json ]; then
  npm ci --no-audit --no-fund --loglevel=error >&2
fi
# As npm installs the package, but for what it needs, which the lock file names.
library=$target/debug/librachis_node.so
[ -f "$library" ] || library=$target/debug/librachis_node.dylib
tarball=$(LIBRARY=$library ../../scripts/node-package.sh)
package=node_modules/@rachis/feathers
rm -rf "$package"
mkdir -p "$package"
tar -xzf "$tarball" -C "$package" --strip-components 1
export RACHIS_TARBALL=$tarball
exec node run.mjs "$target/debug/examples/conformance" "$@"
