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
    kdig:knot-dnsutils
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
    podman:podman
    runc:runc
    /usr/lib/podman/netavark:netavark
    /usr/lib/podman/aardvark-dns:aardvark-dns
    iptables:iptables
    debootstrap:debootstrap
)

. tools/install.sh
install_packages "the tests" "${needed[@]}"

# acorn judges whether a generated PAC is ES3.
if [ ! -f .deps/node_modules/acorn/package.json ] && command -v npm >/dev/null; then
    npm install --silent --no-audit --no-fund --prefix .deps acorn@8 ||
        echo "npm could not install acorn, so some tests will be left out"
fi
# The base of the container image that the tests build: this Debian with its Python, from the archive that apt uses.
make_base() {
    local folder=.deps/container codename mirror
    codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
    mirror=$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' "Codename: $codename" | head -n 1)
    rm -rf "$folder/rootfs" && mkdir -p "$folder" &&
        debootstrap --variant=minbase --include=binutils,ca-certificates,python3,python3-venv \
            "$codename" "$folder/rootfs" "$mirror" >"$folder/debootstrap.log" 2>&1 &&
        rm -rf "$folder"/rootfs/var/cache/apt/archives/*.deb "$folder"/rootfs/var/lib/apt/lists/* &&
        tar -C "$folder/rootfs" --exclude='./proc/*' --exclude='./sys/*' --exclude='./dev/*' -cf "$folder/base.part" . &&
        mv "$folder/base.part" "$folder/base.tar"
    local code=$?
    rm -rf --one-file-system "$folder/rootfs"
    return $code
}
if [ ! -f .deps/container/base.tar ] && [ "$(id -u)" = 0 ] && command -v debootstrap >/dev/null; then
    echo "making a base for containers, once (a minute)"
    make_base || { echo "no base could be made for containers:"; tail -n 3 .deps/container/debootstrap.log; }
fi
exit 0
