#!/usr/bin/env bash
# Builds the native module and puts @rachis/feathers, with the packages that the checks need, into node_modules beside this.
# Prints the path of the tarball. With --release the module is built as users have it.
set -euo pipefail
cd "$(dirname "$0")/../.."
. scripts/lib.sh

oldest=20 # older ones have reached their end

need_cargo
need node nodejs:nodejs:nodejs:node
need npm npm:npm:npm:node
[ "$(node -p 'process.versions.node.split(".")[0]')" -ge "$oldest" ] || die "node is $(node -v): these checks need $oldest or newer"

library=
if [ "${1:-}" != --release ]; then
  # As the tests of Rust are built, so that nothing but these two is built anew.
  cargo build --quiet --locked --workspace --all-features --lib --example conformance --example hello >&2
  target=${CARGO_TARGET_DIR:-target}
  target=$(cd "$target" && pwd)
  library=$target/debug/librachis_node.so
  [ -f "$library" ] || library=$target/debug/librachis_node.dylib
fi

cd tests/node
# What npm leaves behind is younger than the lock file it installed.
if [ ! node_modules/.package-lock.json -nt package-lock.json ]; then
  npm ci --no-audit --no-fund --loglevel=error >&2
fi
# As npm installs the package, but for what it needs, which the lock file names.
tarball=$(LIBRARY=$library ../../scripts/node-package.sh)
package=node_modules/@rachis/feathers
rm -rf "$package"
mkdir -p "$package"
tar -xzf "$tarball" -C "$package" --strip-components 1
echo "$tarball"
