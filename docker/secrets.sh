#!/usr/bin/env bash
# Makes what the compose files read from docker/secrets: passwords, the ACL of Redis, and certificates for TLS. What is
# there already is kept; delete the folder to get new ones. Needs openssl.
set -euo pipefail
cd "$(dirname "$0")"
command -v openssl >/dev/null || { echo "error: openssl is missing: install it and try again" >&2; exit 1; }

# Only the owner gets in. The files themselves can be read by every user, since they are mounted as they are, and who reads
# them in a container is another user.
umask 022
mkdir -p secrets && chmod 700 secrets
cd secrets

# once FILE COMMAND...: fills a file unless it is there.
once() {
  local file=$1
  shift
  [ -s "$file" ] || { "$@" >"$file.new" && mv "$file.new" "$file"; }
}

random() { openssl rand -hex 24; }
text() { printf '%s\n' "$*"; }

once redis_password random
password=$(cat redis_password)
once redis_url text "redis://:$password@redis:6379"
once mesh_secret random
once users.acl text "user default on >$password ~* &* +@all"

# The rules of docs/security.md for a mesh of the namespace `rachis`, besides a user that only the health check has.
once tls_password random
mesh_rules() {
  sed -n '/^```acl mesh$/,/^```$/p' ../../docs/security.md | sed '1d;$d' | tr '\n' ' ' | sed "s/>PASSWORD/>$(cat tls_password)/; s/ *$//"
}
tls_users() {
  text "user default off"
  text "user health on nopass resetchannels -@all +ping"
  text "user rachis $(mesh_rules)"
}
once tls_users.acl tls_users

if [ ! -s redis.crt ] || [ ! -s ca.crt ]; then
  openssl req -x509 -newkey rsa:2048 -nodes -days 825 -subj "/CN=Rachis example CA" -keyout ca.key -out ca.crt 2>/dev/null
  openssl req -newkey rsa:2048 -nodes -subj "/CN=redis" -keyout redis.key -out redis.csr 2>/dev/null
  openssl x509 -req -in redis.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 825 -out redis.crt \
    -extfile <(printf 'subjectAltName=DNS:redis,DNS:localhost') 2>/dev/null
  rm -f redis.csr ca.srl
  # openssl makes keys readable by their owner alone.
  chmod 644 redis.key
  chmod 600 ca.key
fi
echo "docker/secrets is ready"
