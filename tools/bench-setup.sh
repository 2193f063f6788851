#!/usr/bin/env bash
# Installs what `make bench` measures beside us, and what loads it: as root on Debian by apt-get, and mitmproxy from
# PyPI into a virtual environment of its own (its pins clash with ours).  It never fails: a peer that is missing is
# named by the measurement, and its column stays empty.
set -uo pipefail
cd "$(dirname "$0")/.."
PYTHON=${PYTHON:-$(tools/find-python.sh)}
export PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"

# program or file that shows it is there : Debian package
needed=(
    gcc:gcc
    /usr/include/stdio.h:libc6-dev
    /usr/include/openssl/ssl.h:libssl-dev
    nginx:nginx-light
    /usr/lib/squid/security_file_certgen:squid-openssl
    haproxy:haproxy
    dnsmasq:dnsmasq-base
    unbound:unbound
    dnsdist:dnsdist
    dnsperf:dnsperf
    h2load:nghttp2-client
    wrk:wrk
    node:nodejs
    duk:duktape
)
. tools/install.sh
install_packages "what is measured" "${needed[@]}"

if [ ! -x .deps/mitmproxy/bin/mitmdump ]; then
    echo "installing mitmproxy into .deps/mitmproxy"
    { "$PYTHON" -m venv .deps/mitmproxy && .deps/mitmproxy/bin/pip install --quiet mitmproxy; } ||
        echo "mitmproxy could not be installed, so it will not be measured"
fi
exit 0
