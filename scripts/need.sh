# Sourced: what the scripts that run something need.

say() { printf '%s: %s\n' "$0" "$*" >&2; }

as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo -- "$@"; fi; }

# need COMMAND PACKAGE
need() {
    if command -v "$1" >/dev/null; then return; fi
    say "installing $2, for $1"
    if [ -z "${updated:-}" ]; then
        as_root apt-get update -q >&2 || say "apt-get update failed; trying with the lists that are there"
        updated=yes
    fi
    if as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$2" </dev/null >&2 &&
        command -v "$1" >/dev/null; then return; fi
    say "the tests need $1 and it could not be installed: as root, apt-get install $2"
    exit 1
}
