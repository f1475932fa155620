#!/usr/bin/env bash
# A todo list on your machine: Redis, a gateway with a page, and two replicas of a service, to play with and to kill.
# Needs a Rust toolchain; installs redis-server and curl when they are missing. With npm, the page uses the official
# Feathers client, without it plain HTTP. Ctrl-C ends everything it started.
#
#   scripts/demo.sh           runs until Ctrl-C
#   scripts/demo.sh --check   does by itself what a person would try, one line per step; exits 0 when all went well
set -euo pipefail

case "${1-}" in
  "" | --check) mode=${1-} ;;
  *) sed -n '2,8s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
esac
cd "$(dirname "$0")/.."
. scripts/lib.sh

work=$(mktemp -d)
started=()       # pids of everything that runs
started_pid=     # pid of what `start` started last
token=           # of the user who is logged in

# start LOG COMMAND...: runs a command in the background, away from any distribution.toml, and in a process group of its
# own, so that Ctrl-C in the terminal reaches this script alone, which ends things in order.
start() {
  local log=$work/$1
  shift
  set -m
  (cd "$work" && exec "$@") >>"$log" 2>&1 </dev/null &
  started_pid=$!
  set +m
  started+=("$started_pid")
}

# end SIGNAL PID: ends a process that `start` started and waits until it is gone.
end() {
  kill "-$1" "$2" 2>/dev/null || true
  wait "$2" 2>/dev/null || true
}

clean_up() {
  local code=$? pid at
  trap '' INT TERM
  trap - EXIT
  set +u # Old versions of bash take an empty array for an unset one.
  for pid in "${started[@]:1}"; do kill -TERM "$pid" 2>/dev/null || true; done
  # Those that leave say so in Redis, so it goes last.
  for pid in "${started[@]:1}" "${started[@]:0:1}"; do
    kill -TERM "$pid" 2>/dev/null || true
    for at in $(seq 150); do
      kill -0 "$pid" 2>/dev/null || break
      [ "$at" -lt 150 ] || kill -KILL "$pid" 2>/dev/null || true
      sleep 0.1
    done
    wait "$pid" 2>/dev/null || true
  done
  rm -rf "$work"
  exit "$code"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# eventually SECONDS WHAT COMMAND...: waits until a command succeeds.
eventually() {
  local deadline=$((SECONDS + $1)) what=$2
  shift 2
  until "$@"; do
    [ "$SECONDS" -lt "$deadline" ] || fail "waited in vain until $what"
    sleep 0.1
  done
}

fail() {
  local log
  for log in redis gateway replica-1 replica-2 replica-3; do
    [ -s "$work/$log" ] && { say "--- the last lines of $log"; tail -n 15 "$work/$log" >&2; }
  done
  die "$*"
}

# ---- Starting --------------------------------------------------------------------------------------------------------

start_redis() {
  local attempt
  for attempt in 1 2 3 4 5; do
    redis_port=$(free_port)
    start redis redis-server --port "$redis_port" --bind 127.0.0.1 --save "" --appendonly no --daemonize no
    for _ in $(seq 100); do
      # Someone else may have taken the port since it was free.
      kill -0 "$started_pid" 2>/dev/null || break
      if grep -q 'Ready to accept connections' "$work/redis"; then redis=redis://127.0.0.1:$redis_port; return 0; fi
      sleep 0.1
    done
    end TERM "$started_pid"
    started=()
  done
  fail "redis-server does not start"
}

start_replica() { start "replica-$1" "$program" service --redis "$redis"; }
address_is_known() { url=$(sed -n 's/^gateway on //p' "$work/gateway"); [ -n "$url" ]; }

# ---- Asking ----------------------------------------------------------------------------------------------------------

# ask VERB PATH [JSON]: makes a request, with the token if there is one; leaves its status and body in $status and $body.
ask() {
  local verb=$1 path=$2 reply
  local arguments=(-s -m 30 --noproxy '*' -X "$verb" -H 'Accept: application/json' -w '\n%{http_code}')
  if [ -n "$token" ]; then arguments+=(-H "Authorization: Bearer $token"); fi
  if [ $# -gt 2 ]; then arguments+=(-H 'Content-Type: application/json' -d "$3"); fi
  reply=$(curl "${arguments[@]}" "$url$path") || true
  status=${reply##*$'\n'}
  body=${reply%$'\n'*}
}

# expect STATUS TEXT: what the last request must have brought.
expect() {
  [ "$status" = "$1" ] || fail "expected status $1, got $status: $body"
  case "$body" in *"$2"*) ;; *) fail "expected a reply with $2, got: $body" ;; esac
}

# field NAME: a number in the last body.
field() { printf '%s' "$body" | sed -n "s/.*\"$1\":\([0-9][0-9]*\).*/\1/p"; }

# log_in: leaves a token in $token.
login='{"strategy":"local","email":"user@test.com","password":"user"}'
log_in() {
  ask POST /authentication "$login"
  expect 201 '"email":"user@test.com"'
  token=$(printf '%s' "$body" | sed -n 's/.*"accessToken":"\([^"]*\)".*/\1/p')
}

healthy() { ask GET /distribution/healthcheck; [ "$status" = 200 ] && [[ "$body" == *'"todos":true'* ]]; }
unhealthy() { ask GET /distribution/healthcheck; [ "$status" = 503 ] && [[ "$body" == *'"todos":false'* ]]; }
answered_by() { ask GET /todos; [ "$status" = 200 ] && [ "$(field replica)" = "$1" ]; }

# ---- Run -------------------------------------------------------------------------------------------------------------

need_cargo
need redis-server redis-server:redis:redis:redis
need curl curl:curl:curl:curl

# The development profile, since a release build takes several times as long, and without the command line tool and
# TLS, which the example does not need.
say "building (the first time takes a minute or two)"
cargo build --locked --example todo --features docs >&2 || die "the example does not build"
target=$(cargo metadata --locked --no-deps --format-version 1 | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')
program=$target/debug/examples/todo

# Nothing of the caller's own configuration shall have a part in this.
unset ${!DISTRIBUTION_@} ${!REDIS_@} COTE_DELAY COTE_LOG TODO_SECRET START_DELAY PUBLICATION_DELAY HEARTBEAT_INTERVAL PORT
# Shorter than the default of 20 s, so that one sees what happens when no answer comes.
export DISTRIBUTION_TIMEOUT=5s

if ! command -v npm >/dev/null; then
  say "there is no npm, so the page does without the official Feathers client"
elif [ ! examples/todo/client/node_modules/.package-lock.json -nt examples/todo/client/package-lock.json ]; then
  say "installing the official Feathers client for the page"
  (cd examples/todo/client && npm ci --no-audit --no-fund --loglevel=error) >&2 || say "that failed; the page does without"
fi

say "starting Redis, a gateway and two replicas"
start_redis
start gateway "$program" gateway --redis "$redis" --port 0
gateway=$started_pid
start_replica 1
first=$started_pid
start_replica 2
second=$started_pid
eventually 30 "the gateway listens" address_is_known
eventually 30 "the gateway finds the todos" healthy
ask GET /todos
expect 401 '"name":"NotAuthenticated"'
log_in
eventually 30 "the first replica answers" answered_by "$first"
eventually 30 "the second replica answers" answered_by "$second"

check() {
  local id call
  say "ok: a call without a login was refused (401), and user@test.com logged in"
  say "ok: the gateway found both replicas ($first and $second) by itself"

  ask POST /todos '{"text":"Write a demo"}'
  expect 201 '"text":"Write a demo"'
  id=$(field id)
  ask GET "/todos/$id"
  expect 200 '"done":false'
  ask PATCH "/todos/$id" '{"done":true}'
  expect 200 '"done":true'
  ask GET /todos
  expect 200 '"text":"Write a demo"'
  say "ok: created todo $id, changed it and found it in the list"

  eventually 30 "the first replica answers" answered_by "$first"
  eventually 30 "the second replica answers" answered_by "$second"
  expect 200 '"text":"Write a demo"'
  say "ok: both replicas answer, with the same list"

  end KILL "$first"
  for call in 1 2 3 4 5 6 7 8 9 10; do
    ask GET /todos
    expect 200 '"text":"Write a demo"'
    ask POST /todos "{\"text\":\"After the kill, $call\"}"
    expect 201 "After the kill, $call"
    [ "$(field replica)" = "$second" ] || fail "a dead replica answered: $body"
  done
  say "ok: replica $first was killed (SIGKILL), and every one of 20 calls after it succeeded"

  end TERM "$second"
  eventually 30 "the service counts as unhealthy" unhealthy
  say "ok: replica $second was stopped, and the service counts as unhealthy"
  ask GET /todos
  expect 408 '"name":"Timeout"'
  expect 408 '"outcome":"never ran"'
  say "ok: a call that no replica takes ends in a Timeout (408) and never runs"

  start_replica 3
  eventually 30 "the service is healthy again" healthy
  ask GET /todos
  expect 200 '"text":"Write a demo"'
  [ "$(field replica)" = "$started_pid" ] || fail "not the new replica answered: $body"
  say "ok: a new replica ($started_pid) was found, and the list is still there"
}

if [ "$mode" = --check ]; then
  check
  say "the demo works"
  exit 0
fi

cat <<TEXT

  The page:   $url/
  The gateway is process $gateway, the replicas are $first and $second.

  Log in there as user@test.com with the password "user", or in another terminal:
    curl $url/todos                      # refused: no login yet
    curl $url/authentication -H 'Content-Type: application/json' -d '$login'

  Its reply has an accessToken, as this one, which is good for a day:
    token=$token
    curl $url/todos -H "Authorization: Bearer \$token"
    curl $url/todos -H "Authorization: Bearer \$token" -H 'Content-Type: application/json' -d '{"text":"Try Rachis"}'
    curl -X PATCH $url/todos/1 -H "Authorization: Bearer \$token" -H 'Content-Type: application/json' -d '{"done":true}'
    curl "$url/todos?done=true" -H "Authorization: Bearer \$token"
    curl -N $url/events -H "Authorization: Bearer \$token"    # what happens, as it happens
    curl $url/distribution/healthcheck

  Kill a replica: the other one goes on, nothing is lost.
    kill -9 $first
  Kill both: calls wait for a replica, and after 5 s end in a Timeout.
    kill $first $second
  Start another one: it is found at once.
    $program service --redis $redis

  Ctrl-C ends everything that was started here.
TEXT
wait "$gateway"
fail "the gateway ended"
