#!/usr/bin/env bash
# Makes the npm package of bindings/node and prints the path of its tarball, which `npm install FILE` takes.
#
#   scripts/node-package.sh             @rachis/feathers with the native module for this machine in it
#   scripts/node-package.sh --native    @rachis/feathers-PLATFORM: the native module alone, as a release has it
#   scripts/node-package.sh --main      @rachis/feathers without one, with those of all platforms as optional dependencies
#
# No package has an install script, and none needs a compiler. LIBRARY names a native module that is built already. TARGET
# names another Rust target than this machine's, and PLATFORM how its package is called, e.g. linux-x64-musl.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh

# As bindings/node/lib/native.js looks for them: os, processor, C library.
platforms="linux-x64-gnu linux-arm64-gnu linux-x64-musl linux-arm64-musl darwin-x64 darwin-arm64 win32-x64-msvc"

what=whole
for argument in "$@"; do
  case $argument in
    --native) what=native ;;
    --main) what=main ;;
    *) die "unknown argument $argument: see the head of $0" ;;
  esac
done

need node nodejs:nodejs:nodejs:node
need npm npm:npm:npm:node
target=${CARGO_TARGET_DIR:-target}
mkdir -p "$target/npm"
target=$(cd "$target" && pwd)
platform=${PLATFORM:-$(node -p 'require("./bindings/node/lib/native.js").platform()')}
stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT

# library: builds the native module and prints where it is.
library() {
  [ -n "${LIBRARY:-}" ] && { echo "$LIBRARY"; return 0; }
  need_cargo
  # A function whose output is taken goes on after a failure, and would find what an earlier build has left.
  cargo build --quiet --locked --release --package rachis-node --features tls,aws ${TARGET:+--target "$TARGET"} >&2 ||
    die "the native module does not build"
  local folder=$target/${TARGET:+$TARGET/}release name
  for name in librachis_node.so librachis_node.dylib rachis_node.dll; do
    [ -f "$folder/$name" ] && { echo "$folder/$name"; return 0; }
  done
  die "the build left no library in $folder"
}

# field NAME: a field of the package's description.
field() { node -p "require('./bindings/node/package.json').$1"; }

case $what in
  native)
    built=$(library)
    cp "$built" "$stage/rachis.node"
    IFS=- read -r os cpu libc <<<"$platform"
    case $libc in
      gnu) libc='"libc": ["glibc"],' ;;
      musl) libc='"libc": ["musl"],' ;;
      *) libc= ;;
    esac
    cat >"$stage/package.json" <<JSON
{
  "name": "@rachis/feathers-$platform",
  "version": "$(field version)",
  "description": "The native module of @rachis/feathers for $platform",
  "license": "$(field license)",
  "main": "rachis.node",
  "files": ["rachis.node"],
  "os": ["$os"],
  "cpu": ["$cpu"],
  $libc
  "engines": { "node": ">=20" }
}
JSON
    ;;
  whole | main)
    cp -r bindings/node/{package.json,README.md,index.mjs,index.d.ts,index.d.mts,lib} "$stage"
    if [ "$what" = whole ]; then
      built=$(library)
      mkdir "$stage/prebuilt"
      cp "$built" "$stage/prebuilt/rachis.$platform.node"
    else
      PLATFORMS=$platforms node - "$stage/package.json" <<'JS'
const fs = require('node:fs')
const [file] = process.argv.slice(2)
const description = JSON.parse(fs.readFileSync(file, 'utf8'))
description.optionalDependencies = Object.fromEntries(
  process.env.PLATFORMS.split(' ').map((platform) => [`@rachis/feathers-${platform}`, description.version]))
fs.writeFileSync(file, JSON.stringify(description, null, 2))
JS
    fi
    ;;
esac
cp LICENSE "$stage"
name=$(cd "$stage" && npm pack --silent --pack-destination "$target/npm")
echo "$target/npm/$name"
