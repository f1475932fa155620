#!/usr/bin/env bash
# Runs every check of the project and ends with one line: N passed, N failed.
# Installs what the checks need (redis-server, PostgreSQL, MariaDB, Node.js, Chromium). Each test binary starts its own Redis.
set -uo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh

# Each step builds once; what a second build would be faster by takes twice the disk of everything else.
export CARGO_INCREMENTAL=0

passed=0
failed=0
log=$(mktemp)
trap 'rm -f "$log"' EXIT

# check NAME COMMAND...: one check, good or bad by its exit code.
check() {
  local name=$1 start=$SECONDS
  shift
  say "== $name"
  if "$@" >"$log" 2>&1; then
    passed=$((passed + 1))
    say "   ok ($((SECONDS - start)) s)"
  else
    failed=$((failed + 1))
    cat "$log" >&2
    say "   FAILED: $name"
  fi
}

# tests NAME COMMAND...: a test run, counted by what it prints; a run that ends badly without a failed test counts as
# one failure.
tests() {
  local name=$1 start=$SECONDS code good bad
  shift
  say "== $name"
  "$@" 2>&1 | tee "$log" | grep -vE '^\s*(test .* ok|PASS .*|stdout ───|test result: ok.*|running [0-9]+ tests?|)$' >&2
  code=${PIPESTATUS[0]}
  read -r good bad < <(count <"$log")
  [ "$code" -ne 0 ] && [ "$bad" -eq 0 ] && bad=1
  [ "$code" -eq 0 ] && [ "$good" -eq 0 ] && { say "   $name ran no test"; bad=1; }
  passed=$((passed + good))
  failed=$((failed + bad))
  say "   $good passed, $bad failed ($((SECONDS - start)) s)"
}

# Adds up the closing lines of cargo test, nextest and our own scripts.
count() {
  sed -E 's/\x1b\[[0-9;]*m//g' | awk '
    /^test result:/ { good += $4; bad += $6 }
    /Summary \[/ { for (i = 2; i <= NF; i++) { if ($i ~ /^passed/) good += $(i-1); if ($i ~ /^failed/) bad += $(i-1) } }
    /^[0-9]+ passed, [0-9]+ failed/ { good += $1; bad += $3 }
    END { print good + 0, bad + 0 }'
}

# What a service needs: neither Redis nor HTTP, nor sockets of a runtime.
core_is_without_io() {
  local tree
  tree=$(cargo tree --locked --package rachis-core --edges normal --prefix none) || return 1
  ! grep -E '^(axum|hyper|mio|redis|socket2) ' <<<"$tree"
}

need_cargo
need redis-server redis-server:redis:redis:redis
need redis-sentinel redis-sentinel:redis:redis:redis
need mariadbd mariadb-server:mariadb-server:mariadb:mariadb
need_postgres
need openssl openssl:openssl:openssl:openssl
need node nodejs:nodejs:nodejs:node
need npm npm:npm:npm:node

check "format" cargo fmt --check
check "clippy" cargo clippy --workspace --all-targets --all-features --locked -- -D warnings
check "clippy, library alone" cargo clippy --lib --locked -- -D warnings
check "rachis-core does no I/O" core_is_without_io
check "clippy, services without a mesh" cargo clippy --package rachis-core --lib --locked -- -D warnings
if cargo nextest --version >/dev/null 2>&1; then
  # What a busy machine made late is tried again, and is listed as flaky.
  tests "tests" cargo nextest run --workspace --all-features --locked --no-fail-fast --retries 2 --status-level retry
else
  tests "tests" cargo test --workspace --all-features --locked --no-fail-fast --lib --bins --tests
fi
tests "documentation examples" cargo test --workspace --all-features --locked --doc
tests "clients" tests/clients/run.sh
tests "node" tests/node/run.sh
tests "reference implementations" tests/reference/run.sh
tests "browser" tests/browser/run.sh
check "table of the benchmarks" node --test benches/table.test.mjs
tests "faults" scripts/faults.sh --short
check "demo" scripts/demo.sh --check
tests "deployment" scripts/deploy-check.sh --fast
check "documentation" env RUSTDOCFLAGS="-D warnings" cargo doc --workspace --all-features --locked --no-deps --document-private-items

check "book" scripts/book.sh

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
