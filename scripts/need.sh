# Sourced by scripts that need other programs.

say() { printf '%s: %s\n' "$0" "$*" >&2; }

as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo -- "$@"; fi; }

# install_package PACKAGE
install_package() {
    say "installing $1"
    if [ -z "${updated:-}" ]; then
        as_root apt-get update -q >&2 || say "apt-get update failed; trying with the lists that are there"
        updated=yes
    fi
    if as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$1" </dev/null >&2
    then return; fi
    say "$1 is needed and could not be installed: as root, apt-get install $1"
    exit 1
}

# need COMMAND PACKAGE
need() {
    if command -v "$1" >/dev/null; then return; fi
    install_package "$2"
    if command -v "$1" >/dev/null; then return; fi
    say "the tests need $1, and the package $2 did not bring it"
    exit 1
}
