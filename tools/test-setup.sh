#!/usr/bin/env bash
# Installs the programs that the tests use as independent peers: browsers, JavaScript engines, dig, curl ...
# As root on Debian by apt-get, and acorn by npm into .deps; elsewhere it does what it can.  It never fails:
# tests/conftest.py says at the end of the run what was left out and why, and in CI that is a failure.
set -uo pipefail
cd "$(dirname "$0")/.."
export PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"

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
    gcc:gcc
    /usr/include/stdio.h:libc6-dev
    /usr/include/openssl/ssl.h:libssl-dev
    nginx:nginx-light
)

. tools/install.sh
install_packages "the tests" "${needed[@]}"

# acorn judges whether a generated PAC is ES3.
if [ ! -f .deps/node_modules/acorn/package.json ] && command -v npm >/dev/null; then
    npm install --silent --no-audit --no-fund --prefix .deps acorn@8 ||
        echo "npm could not install acorn, so some tests will be left out"
fi
exit 0
