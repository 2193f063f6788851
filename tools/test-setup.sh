#!/usr/bin/env bash
# Installs the programs that the tests use as independent peers: browsers, JavaScript engines, dig, curl ...
# As root on Debian by apt-get, and acorn by npm into .deps; elsewhere it does what it can.  It never fails:
# tests/conftest.py says at the end of the run what was left out and why, and in CI that is a failure.
set -uo pipefail
cd "$(dirname "$0")/.."

# program or file that shows it is there : Debian package
needed=(
    chromium:chromium
    firefox-esr:firefox-esr
    dig:bind9-dnsutils
    duk:duktape
    /usr/lib/libpacparser.so.1:libpacparser1
    jsc:libjavascriptcoregtk-4.0-bin
    openssl:openssl
    curl:curl
    git:git
    node:nodejs
    npm:npm
    certutil:libnss3-tools
    ps:procps
    ip:iproute2
    unshare:util-linux
    nft:nftables
    update-ca-certificates:ca-certificates
    systemd-analyze:systemd
    /usr/lib/*/gio/modules/libdconfsettings.so:dconf-gsettings-backend
    /usr/share/glib-2.0/schemas/org.gnome.system.proxy.gschema.xml:gsettings-desktop-schemas
    gsettings:libglib2.0-bin
    dbus-run-session:dbus-daemon
    keytool:openjdk-17-jdk-headless
    kea-dhcp4:kea-dhcp4-server
    dhcpd:isc-dhcp-server
    dnsmasq:dnsmasq-base
    named-checkconf:bind9-utils
    unbound-checkconf:unbound
    busybox:busybox
)

present() {
    case $1 in
    /*) compgen -G "$1" >/dev/null ;;
    *) command -v "$1" >/dev/null 2>&1 ;;
    esac
}

missing=()
for entry in "${needed[@]}"; do
    present "${entry%%:*}" || missing+=("${entry##*:}")
done

if ((${#missing[@]})); then
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        echo "installing for the tests: ${missing[*]}"
        export DEBIAN_FRONTEND=noninteractive
        apt-get update -qq || echo "apt-get update failed; going on with the lists that are there"
        # Of the servers only the checkers are run, and copies of them by tests: none is to start with its package.
        policy=/usr/sbin/policy-rc.d
        placed=
        if [ ! -e "$policy" ] && printf '#!/bin/sh\nexit 101\n' >"$policy" && chmod 755 "$policy"; then
            placed=$policy
        fi
        trap '[ -z "$placed" ] || rm -f "$placed"' EXIT
        log=$(mktemp)
        if ! apt-get install -y -qq --no-install-recommends -o DPkg::Lock::Timeout=300 "${missing[@]}" >"$log" 2>&1; then
            # One package that this release lacks must not keep the others out.
            for package in "${missing[@]}"; do
                apt-get install -y -qq --no-install-recommends -o DPkg::Lock::Timeout=300 "$package" >"$log" 2>&1 ||
                    { echo "could not install $package:"; tail -n 3 "$log"; }
            done
        fi
        rm -f "$log"
    else
        echo "not installed, so some tests will be left out: ${missing[*]}"
    fi
fi

# acorn judges whether a generated PAC is ES3.
if [ ! -f .deps/node_modules/acorn/package.json ] && command -v npm >/dev/null; then
    npm install --silent --no-audit --no-fund --prefix .deps acorn@8 ||
        echo "npm could not install acorn, so some tests will be left out"
fi
exit 0
