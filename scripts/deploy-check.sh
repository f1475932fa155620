#!/usr/bin/env bash
# Checks everything that deploys: images, compose files, Kubernetes manifests, the AWS template, workflows, links.
# One line for each check, and `N passed, N failed, N skipped` at the end; what a skipped check would want is said.
#
#   scripts/deploy-check.sh           validators, then for real: builds the images, runs every compose file and plays its
#                                     story under light load. Half an hour, most of it the build
#   scripts/deploy-check.sh --fast    validators only; the first time it installs them into a cache folder
#
# Variables:
#   RACHIS_DOCKER_UP     a command that starts a Docker engine where none runs; its last line, `export DOCKER_HOST=...`, is obeyed
#   RACHIS_DOCKER_DOWN   a command that ends what that one started
#   RACHIS_STORIES       which compose files to play, e.g. "compose.yaml compose.tls.yaml"; by default all
#   RACHIS_CHECK_URLS    set to anything: follow links to other sites, too
#   RACHIS_TOOLS         the cache folder
set -uo pipefail

case "${1-}" in
  "" | --fast) mode=${1-} ;;
  *) sed -n '2,15s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
esac
cd "$(dirname "$0")/.." || exit 1
. scripts/lib.sh

passed=0
failed=0
skipped=0
work=$(mktemp -d)
tools=${RACHIS_TOOLS:-${XDG_CACHE_HOME:-$HOME/.cache}/rachis-deploy-check}
log=$work/log
engine_is_ours=

clean_up() {
  local code=$?
  trap - EXIT
  [ -z "$engine_is_ours" ] || [ -z "${RACHIS_DOCKER_DOWN-}" ] || bash -c "$RACHIS_DOCKER_DOWN" >&2 || true
  rm -rf "$work"
  exit "$code"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

ok() {
  passed=$((passed + 1))
  say "ok    $*"
}

bad() {
  failed=$((failed + 1))
  say "FAILED $*"
}

# skip WHAT WHY: for what can not be had here; never silent.
skip() {
  skipped=$((skipped + 1))
  say "SKIPPED $1: $2"
}

# check NAME COMMAND...: one check, good or bad by its exit code; what it printed is shown when it is bad.
check() {
  local name=$1
  shift
  if "$@" >"$log" 2>&1; then ok "$name"; else
    tail -n 60 "$log" >&2
    bad "$name"
  fi
}

have() { command -v "$1" >/dev/null 2>&1; }

. scripts/deploy/validate.sh
. scripts/deploy/stories.sh

install_tools
validate
if [ "$mode" != --fast ]; then
  if engine; then
    build_images
    play
  fi
fi

echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
