# What the scripts share. Source it; it runs nothing by itself.

say() { printf '%s\n' "$*" >&2; }
die() { say "error: $*"; exit 1; }

# as_root COMMAND...: runs it as root, by sudo where there is one; fails where neither is possible.
as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"
  elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then sudo "$@"
  else return 1; fi
}

# need COMMAND PACKAGE: installs a package when its command is missing. PACKAGE is `apt:dnf:apk:brew`.
need() {
  local command=$1 names=$2 apt dnf apk brew
  command -v "$command" >/dev/null && return 0
  IFS=: read -r apt dnf apk brew <<<"$names"
  say "installing $command"
  if command -v apt-get >/dev/null; then
    as_root apt-get update -qq >&2 && as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$apt" >&2 || true
  elif command -v dnf >/dev/null; then as_root dnf install -y -q "$dnf" >&2 || true
  elif command -v apk >/dev/null; then as_root apk add -q "$apk" >&2 || true
  elif command -v brew >/dev/null; then brew install -q "$brew" >&2 || true
  fi
  command -v "$command" >/dev/null ||
    die "$command is missing: install it (Debian, Ubuntu: apt install $apt; Fedora: dnf install $dnf; Alpine: apk add $apk; macOS: brew install $brew) and try again"
}

# need_postgres: Debian and its kin keep the server away from the path, where `need` would look for it.
need_postgres() {
  ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1 && return 0
  (need postgres postgresql:postgresql-server:postgresql:postgresql 2>/dev/null) ||
    ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1 ||
    die "PostgreSQL is missing: install its server (Debian, Ubuntu: apt install postgresql) and try again"
}

need_cargo() {
  command -v cargo >/dev/null || { [ -f "$HOME/.cargo/env" ] && . "$HOME/.cargo/env"; }
  command -v cargo >/dev/null || die "cargo is missing: install a Rust toolchain, 1.94 or newer"
  # The TLS library is C.
  need cc gcc:gcc:build-base:gcc
}

# free_port: prints a TCP port of the loopback interface that is free now, below those that the system gives
# for any: one of them may be taken by the time it is used.
free_port() {
  local port
  for _ in $(seq 50); do
    port=$((10000 + RANDOM % 20000))
    if ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then echo "$port"; return 0; fi
  done
  die "no free port found"
}
