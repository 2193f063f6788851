# Sourced by the set-up scripts beside it: installs Debian packages that are not there, where that can be done.

# install_packages PURPOSE SIGN:PACKAGE ...   a sign is a program, or a file whose path may be a pattern
install_packages() {
    local purpose=$1 entry package missing=()
    shift
    for entry in "$@"; do
        _present "${entry%%:*}" || missing+=("${entry##*:}")
    done
    ((${#missing[@]})) || return 0
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
        echo "not installed, so some of $purpose will be left out: ${missing[*]}"
        return 0
    fi
    echo "installing for $purpose: ${missing[*]}"
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq || echo "apt-get update failed; going on with the lists that are there"
    # The servers are run by tests and measurements, as copies of their own: none is to start with its package.
    local policy=/usr/sbin/policy-rc.d placed=
    if [ ! -e "$policy" ] && printf '#!/bin/sh\nexit 101\n' >"$policy" && chmod 755 "$policy"; then
        placed=$policy
        trap 'rm -f "'"$placed"'"' EXIT
    fi
    local log
    log=$(mktemp)
    if ! _install "${missing[@]}" >"$log" 2>&1; then
        # One package that this release lacks must not keep the others out.
        for package in "${missing[@]}"; do
            _install "$package" >"$log" 2>&1 || { echo "could not install $package:"; tail -n 3 "$log"; }
        done
    fi
    rm -f "$log"
}

_install() {
    apt-get install -y -qq --no-install-recommends -o DPkg::Lock::Timeout=300 "$@"
}

_present() {
    case $1 in
    /*) compgen -G "$1" >/dev/null ;;
    *) command -v "$1" >/dev/null 2>&1 ;;
    esac
}
