#!/usr/bin/env bash
# Builds the book out of docs/ into target/book. Installs mdbook where it is missing. Its Rust programs are compiled by
# `cargo test --doc`.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh

need_cargo
PATH="${CARGO_HOME:-$HOME/.cargo}/bin:$PATH"
if ! command -v mdbook >/dev/null; then
  say "installing mdbook"
  cargo install mdbook --locked --quiet --no-default-features --version "^0.5" >&2
fi
mdbook build
# A page that no chapter names is not in the book.
for page in docs/*.md docs/decisions/*.md; do
  page=${page#docs/}
  [ "$page" = SUMMARY.md ] || grep -qF "($page)" docs/SUMMARY.md || die "docs/$page is missing in docs/SUMMARY.md"
done
