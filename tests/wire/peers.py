"""Programs that fetch a URL through the proxy, each with a TLS library of its own, and say who signed what they saw.

Every peer is a function of a world and a host; it fetches ``https://HOST/`` through the explicit proxy.
"""

import json
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from tests.wire.world import PAC_URL, PROXY, World

PROXY_ADDRESS = PROXY.removeprefix("http://")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """issuer: common name of whoever signed the certificate that the program verified.  text: the body."""

    issuer: str
    text: str


class Peer(Protocol):
    def __call__(self, world: World, host: str) -> Fetched: ...


def issuer_in(text: str) -> str:
    """From the words of openssl and curl: ``issuer=O = X, CN = Y``, ``issuer: O=X; CN=Y``, ``issuer: CN=Y,O=X``."""
    line = re.search(r"issuer[=:](.*)", text)
    name = line and re.search(r"CN ?= ?([^,;\n]+)", line[1])
    return name[1].strip() if name else ""


def openssl(world: World, host: str) -> Fetched:
    ended = world.command(
        "openssl", "s_client", "-proxy", PROXY_ADDRESS, "-connect", f"{host}:443", "-servername", host,
        "-CAfile", world.both_cas, "-verify_return_error", "-ign_eof",
        given=f"GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode(),
    )  # fmt: skip
    assert "Verify return code: 0 (ok)" in ended.out, ended
    return Fetched(issuer=issuer_in(ended.out), text=ended.out)


def curl(world: World, host: str) -> Fetched:
    ended = world.curl("-v", "-x", PROXY, f"https://{host}/")
    assert ended.code == 0, ended.err
    return Fetched(issuer=issuer_in(ended.err), text=ended.out)


_REQUESTS = """
import json, sys, requests
url, proxy, bundle = sys.argv[1:]
with requests.get(url, proxies={"https": proxy}, verify=bundle, stream=True, timeout=20) as response:
    certificate = response.raw.connection.sock.getpeercert()
    issuer = dict(pair for part in certificate["issuer"] for pair in part)["commonName"]
    print(json.dumps({"issuer": issuer, "text": response.text}))
"""


def python_requests(world: World, host: str) -> Fetched:
    ended = world.command(sys.executable, "-c", _REQUESTS, f"https://{host}/", PROXY, world.both_cas)
    assert ended.code == 0, ended.err
    return Fetched(**json.loads(ended.out))


_NODE = """
const http = require('http'), tls = require('tls'), fs = require('fs'), https = require('https');
const [host, proxyHost, proxyPort, bundle] = process.argv.slice(1);
const connect = http.request({host: proxyHost, port: proxyPort, method: 'CONNECT', path: host + ':443'});
connect.on('connect', (answer, socket) => {
  if (answer.statusCode !== 200) throw new Error('CONNECT: ' + answer.statusCode);
  const secured = tls.connect({socket, servername: host, ca: fs.readFileSync(bundle)}, () => {
    const issuer = secured.getPeerCertificate().issuer.CN;
    const agent = new https.Agent();
    agent.createConnection = () => secured;
    https.get({host, agent}, (response) => {
      let text = '';
      response.on('data', (data) => text += data);
      response.on('end', () => { console.log(JSON.stringify({issuer, text})); secured.destroy(); });
    });
  });
});
connect.end();
"""


def node(world: World, host: str) -> Fetched:
    ended = world.command("node", "-e", _NODE, "--", host, *PROXY_ADDRESS.split(":"), world.both_cas)
    assert ended.code == 0, ended.err
    return Fetched(**json.loads(ended.out))


def git_environment(world: World) -> Mapping[str, str]:
    """Git as on a machine that has no configuration but ours."""
    return {
        "HOME": str(world.service.folder),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_SSL_CAINFO": str(world.both_cas),
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_CURL_VERBOSE": "1",
        "https_proxy": PROXY,
    }


def git_clone(world: World, host: str, repository: str, into: Path) -> Fetched:
    """text: the log of what was cloned."""
    environment = git_environment(world)
    ended = world.command("git", "clone", f"https://{host}{repository}", into, environment=environment)
    assert ended.code == 0, ended.err
    log = world.command("git", "-C", into, "log", "--format=%s", environment=environment)
    return Fetched(issuer=issuer_in(ended.err), text=log.out)


PEERS: Mapping[str, Peer] = {"openssl": openssl, "curl": curl, "requests": python_requests, "node": node}


_RUN_PAC = """
const [url, host] = process.argv.slice(1);
eval(require('fs').readFileSync(0, 'utf8') + ';console.log(FindProxyForURL(url, host))');
"""


def pac_returns(world: World, host: str, source: str) -> str:
    """What the PAC that a client at ``source`` is served says of ``host``, run by Node."""
    pac = world.curl("--interface", source, PAC_URL).out
    ended = world.command("node", "-e", _RUN_PAC, "--", f"https://{host}/", host, given=pac.encode())
    assert ended.code == 0, ended.err
    return ended.out.strip()
