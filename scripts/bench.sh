#!/usr/bin/env bash
# Measures Rachis, the limit of its design and its peers in turn, and prints one table of medians.
#
#   scripts/bench.sh                  everything; about 25 minutes
#   scripts/bench.sh calls --quick    one group, one short round
#   scripts/bench.sh --help           the groups and the options
#
# Installs what it needs, or says what to install. It does without wrk, nats-server, npm and valgrind, and says what was
# not measured then.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh

need node nodejs:nodejs:nodejs:node
case " $* " in *" --help "* | *" -h "*) exec node benches/run.mjs --help ;; esac
need_cargo
need redis-server redis-server:redis:redis:redis
same() { (need "$1" "$1:$1:$1:$1") || say "going on without $1"; }
same npm
same wrk
same nats-server
same valgrind
# A thousand nodes have four connections each.
ulimit -n "$(ulimit -Hn)" 2>/dev/null || true
exec node benches/run.mjs "$@"
