# What scripts/deploy-check.sh, which sources this, does for real: images, and a story for each compose file.

# Of our own, so that no other containers and images are touched.
image=rachis:deploy-check
todo_image=rachis-todo:deploy-check
node_image=rachis-node:deploy-check
project=
compose_file=
port=
loader=

# ---- Engine and images -------------------------------------------------------------------------------------------------

engine() {
  local told
  if ! docker info >/dev/null 2>&1 && [ -n "${RACHIS_DOCKER_UP-}" ]; then
    say "starting a Docker engine"
    if told=$(bash -c "$RACHIS_DOCKER_UP" 2>"$log"); then
      engine_is_ours=yes
      told=$(grep -E '^export DOCKER_HOST=' <<<"$told" | tail -n 1)
      [ -z "$told" ] || export "DOCKER_HOST=${told#export DOCKER_HOST=}"
    else
      tail -n 5 "$log" >&2
    fi
  fi
  if ! docker info >/dev/null 2>&1; then
    skip "EVERYTHING FOR REAL: images, compose files and their stories" "no Docker engine answers (docker info); start one, or set RACHIS_DOCKER_UP to a command that does"
    return 1
  fi
  if ! docker compose version >/dev/null 2>&1; then
    skip "EVERYTHING FOR REAL: images, compose files and their stories" "docker compose, version 2, is missing"
    return 1
  fi
}

# The host's network, since build containers of some engines have none of their own.
build() { docker build --network host -f docker/Dockerfile "$@" . ; }

build_images() {
  local pull
  check "image: gateway is built" build --target gateway -t "$image" --build-arg VERSION="$(version)" || return
  check "image: todo is built" build --target todo -t "$todo_image"
  check "image: a change of code leaves the layer of dependencies in the cache" dependencies_are_cached
  pull=$(docker save "$image" | gzip -c | wc -c)
  check "image: under 25 MB to pull ($((pull / 1000000)) MB; unpacked $(megabytes "$image"))" test "$pull" -lt 25000000
  check "image: runs as a numeric user that is not root" test "$(inspect .Config.User)" = 65532:65532
  check "image: the program itself is process 1" test "$(inspect '(json .Config.Entrypoint)')" = '["/usr/local/bin/rachis"]'
  check "image: health is asked by rachis health" test "$(inspect '(json .Config.Healthcheck.Test)')" = '["CMD","/usr/local/bin/rachis","health"]'
  check "image: says what it is" test "$(inspect '(index .Config.Labels "org.opencontainers.image.version")')" = "$(version)"
  check "image: rachis runs" docker run --rm --network none "$image" --version
  check "image: has no shell" no_shell
  check "binary: runs on a bare Debian" on_bare_debian
}

version() { sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1; }
inspect() { docker image inspect -f "{{$1}}" "$image" 2>/dev/null; }
megabytes() { docker image inspect -f '{{.Size}}' "$1" 2>/dev/null | awk '{ printf "%.1f MB", $1 / 1000000 }'; }
no_shell() { ! docker run --rm --network none --entrypoint sh "$image" -c true; }

# A build from a copy with one changed source file, as far as the dependencies.
dependencies_are_cached() {
  local copy=$work/copy
  mkdir -p "$copy"
  git ls-files -z --cached --others --exclude-standard | xargs -0 cp --parents -t "$copy" || return 1
  echo "// changed" >>"$copy/src/lib.rs"
  docker build --progress plain --network host -f "$copy/docker/Dockerfile" --target dependencies "$copy" >"$work/cached" 2>&1 || { cat "$work/cached"; return 1; }
  grep -A1 'dependencies .*cargo build' "$work/cached" | grep -q CACHED
}

on_bare_debian() {
  local container code
  container=$(docker create "$image") || return 1
  docker cp "$container:/usr/local/bin/rachis" "$work/rachis" && docker rm "$container" >/dev/null || return 1
  container=$(docker create --network none debian:bookworm-slim /rachis --version) || return 1
  docker cp "$work/rachis" "$container:/rachis" && docker start -a "$container"
  code=$?
  docker rm "$container" >/dev/null
  return "$code"
}

# ---- A compose project -------------------------------------------------------------------------------------------------

compose() {
  RACHIS_IMAGE=$image RACHIS_TODO_IMAGE=$todo_image RACHIS_NODE_IMAGE=$node_image RACHIS_PORT=$port docker compose -p "$project" -f "docker/$compose_file" "$@"
}

# container SERVICE [N]: its name.
container() { echo "$project-$1-${2:-1}"; }

# run_story FILE FUNCTION: brings the project up, plays, and takes it down whatever happened.
run_story() {
  compose_file=$1
  port=$(free_port)
  project=rachis-check-$port
  local name=$1
  if compose up -d --wait --no-build >"$log" 2>&1; then
    ok "$name: comes up, each part after what it needs is healthy"
    "$2"
  else
    tail -n 20 "$log" >&2
    compose logs --tail 30 >&2
    bad "$name: comes up, each part after what it needs is healthy"
  fi
  [ -z "$loader" ] || end_load >/dev/null
  compose down -v --timeout 15 >/dev/null 2>&1
}

# One line for each step of a story; what went wrong is followed by the logs of the nodes.
step() {
  local name="$compose_file: $1"
  shift
  if "$@" >"$log" 2>&1; then ok "$name"; else
    tail -n 30 "$log" >&2
    compose logs --no-color --tail 5 2>&1 | cut -c1-300 >&2
    bad "$name"
  fi
}

# eventually SECONDS COMMAND...: waits until a command succeeds.
eventually() {
  local deadline=$((SECONDS + $1))
  shift
  until "$@" >/dev/null 2>&1; do
    [ "$SECONDS" -lt "$deadline" ] || { say "waited in vain for: $*"; return 1; }
    sleep 0.2
  done
}

# ask STATUS TEXT CURL_ARGUMENTS...: a request, and what it must bring; the last argument is the path.
ask() {
  local status=$1 text=$2 reply path=${*: -1}
  shift 2
  reply=$(curl -s -m 40 --noproxy '*' -H 'Accept: application/json' -w '\n%{http_code}' "${@:1:$#-1}" "http://127.0.0.1:$port$path")
  [ "${reply##*$'\n'}" = "$status" ] && [[ "$reply" == *"$text"* ]] || { say "expected $status with $text, got: $reply"; return 1; }
}

json=(-H 'Content-Type: application/json')
health=/distribution/healthcheck
load_log=
start_load() {
  load_log=$work/load-$RANDOM
  "$python/python" scripts/deploy/load.py "http://127.0.0.1:$port" "$@" >"$load_log" 2>"$load_log.failed" &
  loader=$!
  # A busy machine takes a while to start it.
  eventually 30 grep -q started "$load_log"
}
end_load() {
  local code
  kill -TERM "$loader" 2>/dev/null
  wait "$loader"
  code=$?
  loader=
  return "$code"
}

# under_load NAME COMMAND...: does something while calls go on, and a moment longer; none may fail.
under_load() {
  local what=$1 name start=$SECONDS
  shift
  start_load "${load[@]}"
  "$@" >"$log" 2>&1 || { say "could not be done: $*"; cat "$log" >&2; }
  sleep 3
  if end_load; then ok "$compose_file: $what: $(tail -n 1 "$load_log")"; else
    head -n 5 "$load_log.failed" >&2
    compose logs --no-color --tail 5 gateway 2>&1 | cut -c1-300 >&2
    bad "$compose_file: $what: $(tail -n 1 "$load_log")"
  fi
  return 0
}

freeze() {
  docker pause "$1" && sleep "$2"
  docker unpause "$1"
}
cut_off() {
  docker network disconnect "${project}_mesh" "$1" && sleep "$2"
  docker network connect "${project}_mesh" "$1"
}
stop_and_start() { docker stop "$1" && sleep 2 && docker start "$1"; }
kill_and_start() { docker kill "$1" && sleep 8 && docker start "$1"; }
# exited CONTAINER CODE
exited() { [ "$(docker inspect -f '{{.State.ExitCode}}' "$1")" = "$2" ]; }
up() { ask 200 "\"$1\":true" $health; }
hardened() {
  local one
  for one in $(compose ps -q); do
    [ "$(docker inspect -f '{{.HostConfig.ReadonlyRootfs}} {{.HostConfig.CapDrop}}' "$one")" = "true [ALL]" ] || return 1
  done
}
# nodes COUNT: how many nodes the mesh has, by the command line in the gateway.
nodes() { [ "$(docker exec "$(container gateway)" /usr/local/bin/rachis nodes --json | grep -o '"id"' | wc -l)" = "$1" ]; }

play() {
  local file
  if [ ! -x "$python/python" ]; then skip "the stories of the compose files" "python3 is missing"; return; fi
  need curl curl:curl:curl:curl
  docker/secrets.sh >"$log" 2>&1 || { cat "$log" >&2; bad "docker/secrets.sh"; return; }
  for file in ${RACHIS_STORIES:-compose.yaml compose.tls.yaml compose.sentinel.yaml compose.cluster.yaml compose.node.yaml}; do
    case $file in
      compose.yaml) run_story "$file" play_todos ;;
      compose.tls.yaml) run_story "$file" play_tls ;;
      compose.sentinel.yaml) run_story "$file" play_sentinel ;;
      compose.cluster.yaml) run_story "$file" play_cluster ;;
      compose.node.yaml) node_image_is_built && run_story "$file" play_node ;;
      *) bad "$file: has no story" ;;
    esac
  done
}

# ---- compose.yaml: stop one replica, stop both, start again --------------------------------------------------------------

play_todos() {
  local first second waiting
  first=$(container todos 1)
  second=$(container todos 2)
  local load=(/todos /todos '{"text":"under load"}')
  step "every container is read-only and has no capabilities" hardened
  step "three nodes found each other" eventually 15 nodes 3
  step "a todo is created" ask 201 '"text":"Deploy it"' "${json[@]}" -d '{"text":"Deploy it"}' /todos
  step "and found" ask 200 '"text":"Deploy it"' /todos
  step "nothing but the gateway can be reached from outside" only_the_gateway
  step "no secret is in any environment" no_secret_in_sight

  under_load "one replica is stopped and started" stop_and_start "$second"
  step "the stopped replica ended by itself, within its grace" eventually 15 up todos
  under_load "one replica is killed and comes back" kill_and_start "$first"
  under_load "one replica is frozen for 9 s" freeze "$second" 9
  under_load "one replica is cut off from the network for 9 s" cut_off "$first" 9

  load=(/todos)
  # Half of the time a call has; those with a key are refused while Redis is away, so they rest.
  under_load "Redis is frozen for 5 s" freeze "$(container redis)" 5
  docker pause "$(container redis)" >/dev/null
  sleep 8
  step "without Redis, the gateway is alive" ask 200 alive /livez
  step "and ready, but says that it is degraded" ask 200 degraded /readyz
  docker unpause "$(container redis)" >/dev/null
  step "with Redis, it is ready again" eventually 15 ask 200 '"ready"' /readyz
  # Without load: the todos themselves are in this Redis, so a call that runs just then fails by its own store. The story
  # of compose.tls.yaml does it under load.
  docker restart -t 1 "$(container redis)" >/dev/null
  step "Redis is restarted and has lost everything: all three nodes have announced themselves anew" eventually 15 nodes 3

  docker stop "$first" "$second" >/dev/null
  step "both replicas are stopped, and ended well" eval 'exited "$first" 0 && exited "$second" 0'
  step "without a replica, the service counts as unhealthy" eventually 15 ask 503 '"todos":false' $health
  (ask 200 '"data"' /todos) >"$work/waiting" 2>&1 &
  waiting=$!
  sleep 3
  docker start "$first" "$second" >/dev/null
  step "a call that began while none was up waited for one" wait "$waiting"
  step "started again, the service is healthy" eventually 30 up todos
  docker stop "$(container gateway)" >/dev/null
  step "the gateway ends well" exited "$(container gateway)" 0
}

only_the_gateway() {
  [ "$(docker ps --filter "name=$project" --format '{{.Ports}}' | grep -c '0.0.0.0\|\[::\]')" = 0 ] || { say "a port is open to the world"; return 1; }
  [ "$(docker ps --filter "name=$project" --format '{{.Ports}}' | grep -c '127.0.0.1')" = 1 ]
}
no_secret_in_sight() {
  local password
  password=$(cat docker/secrets/redis_password)
  ! compose ps -q | xargs docker inspect | grep -q "$password" && ! compose logs 2>&1 | grep -q "$password"
}

# ---- compose.tls.yaml: TLS, and a user that may touch the mesh alone --------------------------------------------------------

# redis_cli ARGUMENTS...: as the user of the mesh, from inside the container of Redis.
redis_cli() {
  docker exec "$(container redis)" sh -c 'REDISCLI_AUTH=$(cat /run/secrets/tls_password) exec redis-cli --tls --cacert /run/secrets/ca.crt -p 6380 --user rachis "$@"' _ "$@"
}
denied() { redis_cli "$@" 2>&1 | grep -q NOPERM; }
# rachis ARGUMENTS...: the command line, as another node of the same network.
rachis() {
  docker run --rm --network "${project}_mesh" -v "$PWD/docker/secrets/ca.crt:/ca.crt:ro" -v "$PWD/docker/secrets/tls_password:/password:ro" \
    -e REDIS_URL=rediss://redis:6380 -e REDIS_USERNAME=rachis -e REDIS_PASSWORD_FILE=/password -e DISTRIBUTION__REDIS__CA_FILE=/ca.crt "${more[@]}" "$image" "$@" 2>&1
}
refused_with() {
  local text=$1 said
  shift
  said=$(rachis "$@") && { say "it was not refused: $said"; return 1; }
  grep -qi "$text" <<<"$said" || { say "$said"; return 1; }
}

play_tls() {
  local load=(/greetings/Ada /greetings '{"name":"Ada"}') more=()
  step "every container is read-only and has no capabilities" hardened
  step "a call goes through" eventually 15 ask 200 'Hello, Ada!' /greetings/Ada
  step "the command line sees three nodes over TLS" eval 'rachis nodes --json | grep -o "\"id\"" | wc -l | grep -qx 3'
  under_load "one replica is killed and comes back" kill_and_start "$(container greetings 1)"
  # Calls with a key are refused while Redis is away, so only those without are made.
  load=(/greetings/Ada)
  under_load "Redis is restarted and has lost everything" docker restart -t 1 "$(container redis)"
  step "the user of the mesh may not touch other keys" denied set elsewhere 1
  step "nor hear other channels" denied subscribe elsewhere
  step "nor use commands the mesh does not need" denied flushall
  step "nor see which users there are" denied acl list
  step "a mesh of another namespace can not be joined, and it says why" refused_with "forbids its user what a node of 'other' has to do (NOPERM" nodes --namespace other --connect-timeout 3s
  more=(-e REDIS_URL=redis://redis:6380 -e DISTRIBUTION__REDIS__CA_FILE=)
  step "a client without TLS is refused" refused_with 'No connection' nodes --connect-timeout 3s
  more=(-e DISTRIBUTION__REDIS__CA_FILE=)
  step "a client that does not know the authority refuses the server" refused_with certificate nodes --connect-timeout 3s
  more=(-e REDIS_PASSWORD_FILE= -e REDIS_PASSWORD=wrong-on-purpose)
  step "a wrong password is refused" refused_with 'refuses the login' nodes --connect-timeout 3s
  step "and is not repeated in the error" eval '! rachis nodes --connect-timeout 3s | grep -q wrong-on-purpose'
}

# ---- compose.sentinel.yaml: the master dies --------------------------------------------------------------------------------

master_of_sentinel() { docker exec "$(container sentinel-2)" redis-cli -p 26379 sentinel get-master-addr-by-name mesh | head -n 1; }
address() { docker inspect -f "{{(index .NetworkSettings.Networks \"${project}_mesh\").IPAddress}}" "$1"; }
another_master() { [ -n "$(master_of_sentinel)" ] && [ "$(master_of_sentinel)" != "$1" ]; }

lose_the_master() {
  local old
  old=$(address "$(container redis-1)")
  docker kill "$(container redis-1)"
  eventually 30 another_master "$old"
}
follows() { docker exec "$(container "$1")" redis-cli role | grep -q '^slave'; }

play_sentinel() {
  local load=(/greetings/Ada)
  step "a call goes through" eventually 15 ask 200 'Hello, Ada!' /greetings/Ada
  under_load "one replica of the service is killed and comes back" kill_and_start "$(container greetings 1)"
  under_load "the master is killed, and another takes over" lose_the_master
  step "there is another master" another_master "$(address "$(container redis-1)")"
  step "calls that may run once go through" eventually 10 ask 201 'Hello, Bob!' "${json[@]}" -d '{"name":"Bob"}' /greetings
  under_load "the old master comes back" docker start "$(container redis-1)"
  step "and follows the new one" eventually 30 follows redis-1
  under_load "a sentinel is killed" docker kill "$(container sentinel-1)"
}

# ---- compose.cluster.yaml: a server dies -----------------------------------------------------------------------------------

# The server that holds the registry, which every node needs; any other one points to it.
whose_registry() {
  local server
  for server in redis-1 redis-2 redis-3 redis-4 redis-5 redis-6; do
    if docker exec "$(container "$server")" redis-cli get 'rachis:{mesh}:epoch' 2>/dev/null | grep -qE '^"?[0-9]+"?$'; then
      echo "$server"
      return
    fi
  done
  return 1
}

lose_a_server() {
  docker kill "$(container "$1")"
  eventually 30 took_over "$1"
}
# Another server answers for the registry.
took_over() {
  local now
  now=$(whose_registry) && [ "$now" != "$1" ]
}

play_cluster() {
  local load=(/greetings/Ada) server
  step "a call goes through" eventually 15 ask 200 'Hello, Ada!' /greetings/Ada
  under_load "one replica of the service is killed and comes back" kill_and_start "$(container greetings 1)"
  server=$(whose_registry)
  under_load "the server of the registry ($server) is killed, and its replica takes over" lose_a_server "$server"
  step "calls that may run once go through" eventually 15 ask 201 'Hello, Bob!' "${json[@]}" -d '{"name":"Bob"}' /greetings
  step "all nodes are still there" eventually 15 nodes 3
}

# ---- compose.node.yaml: a gateway in Node.js, a replica in Rust and one in Node.js ------------------------------------------

# Its base, with Node.js, is not among those that every engine here has.
node_image_is_built() {
  if ! docker image inspect node:22-bookworm-slim >/dev/null 2>&1 && ! docker pull -q node:22-bookworm-slim >"$log" 2>&1; then
    skip "compose.node.yaml" "the image node:22-bookworm-slim can not be had: $(tail -n 1 "$log")"
    return 1
  fi
  check "image: Node.js is built" docker build --network host -f docker/node.Dockerfile -t "$node_image" .
  docker image inspect "$node_image" >/dev/null 2>&1
}

play_node() {
  local load=(/greetings/Ada /greetings '{"name":"Ada"}') rust node
  rust=$(container greetings)
  node=$(container greetings-js)
  step "every container is read-only and has no capabilities" hardened
  step "a call goes through" eventually 15 ask 200 'Hello, Ada!' /greetings/Ada
  under_load "the replica in Rust is stopped and started" stop_and_start "$rust"
  under_load "the replica in Node.js is stopped and started" stop_and_start "$node"
  step "it ended by itself, within its grace" eventually 15 up greetings
  under_load "the replica in Rust is killed and comes back" kill_and_start "$rust"
  under_load "the replica in Node.js is killed and comes back" kill_and_start "$node"
  under_load "the replica in Node.js is frozen for 9 s" freeze "$node" 9
}
