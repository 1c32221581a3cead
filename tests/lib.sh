# Shared by the scripts in tests/: where things are cached, and how a step is announced and timed. Sourced.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
if [ "$(id -u)" = 0 ]; then
  export TENANTRY_CACHE=${TENANTRY_CACHE:-/var/cache/tenantry}
else
  export TENANTRY_CACHE=${TENANTRY_CACHE:-$HOME/.cache/tenantry}
fi
# Outside the clone, so that clean clones share what was compiled.
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$TENANTRY_CACHE/target}
export TENANTRY_BIN=$CARGO_TARGET_DIR/x86_64-unknown-linux-gnu/${TENANTRY_PROFILE_DIR:-debug}
export PATH=$TENANTRY_BIN:$TENANTRY_CACHE/bin:$PATH
mkdir -p "$TENANTRY_CACHE"

# Clones share what was compiled, and cargo tells them apart by the age of their files only: what another clone
# compiled last would be taken for this one's. So its own sources count as changed then; dependencies are not touched.
# Two clones that compile at the same time need a CARGO_TARGET_DIR each.
if [ "$(cat "$CARGO_TARGET_DIR/.clone" 2>/dev/null)" != "$root" ]; then
  mkdir -p "$CARGO_TARGET_DIR"
  find "$root"/{core,api,plan,database,operator,agent,cli} -name '*.rs' -exec touch {} + ||
    printf 'warning: what another clone compiled may be taken for this one'"'"'s\n' >&2
  printf '%s\n' "$root" >"$CARGO_TARGET_DIR/.clone"
fi

# Which part of the calls fails where only some are sampled: another one for each commit, and the same for one commit.
commit=$(git -C "$root" rev-parse HEAD 2>/dev/null || true)
export TENANTRY_FAULTS_PART=${TENANTRY_FAULTS_PART:-$((16#${commit:0:6}0 / 16))}

# say TEXT: what happens now.
say() { printf '==> %s\n' "$*" >&2; }

# apt WORDS...: apt-get, one at a time: images are built beside the compilers, and both may need packages.
apt() { DEBIAN_FRONTEND=noninteractive flock "$TENANTRY_CACHE/.apt-lock" apt-get "$@" >&2; }

# need PROGRAM PACKAGE...: installs Debian packages when a program is missing, or says what is missing.
need() {
  local program=$1
  shift
  if command -v "$program" >/dev/null 2>&1 || [ -e "$program" ]; then return 0; fi
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    say "installing $*"
    if [ ! -e "$TENANTRY_CACHE/.apt-updated" ]; then apt update -q && touch "$TENANTRY_CACHE/.apt-updated"; fi
    apt install -y -q --no-install-recommends "$@"
  else
    printf 'error: %s is missing\n  install it: apt-get install %s\n' "$program" "$*" >&2
    exit 1
  fi
}

# step NAME COMMAND...: runs a step and prints how long it took.
step() {
  local name=$1 start=$SECONDS
  shift
  say "$name"
  if "$@"; then
    printf '    %s: %s s\n' "$name" "$((SECONDS - start))" >&2
  else
    local code=$?
    printf '    %s: FAILED after %s s\n' "$name" "$((SECONDS - start))" >&2
    return $code
  fi
}
