"""A service for the tests of this part: its facts, and its CA."""

import ssl
import time
from dataclasses import replace
from functools import cache
from ipaddress import ip_address

from cryptography.hazmat.primitives.serialization import Encoding

from steering.deploy.facts import Ca, Facts, Given, Installed, Listen, facts_of
from steering.deploy.render import files_of
from steering.deploy.targets import TARGETS
from steering_inspector.authority import Authority, new_authority

# What a name, a token or a title could be made of by somebody who means harm, or by accident.
HOSTILE = (
    "it's",
    'a"b',
    "a`reboot`b",
    "$(reboot)",
    "${HOME} $HOME %PATH% !x",
    "back\\slash\\",
    "a;b{c}d#e",
    "a,b",
    "</string><key>x</key>",
    "]]> <!-- &amp; &#0;",
    '"}, {"x": "',
    "-----END CERTIFICATE-----",
    "\u2019; Remove-Item C:\\",
    "caf\u00e9 \u65e5\u672c \U0001f600",
    " blanks ",
    "-n --help",
    "{{ f.ca }} {% raw %}",
)
CONTROLS = ("a\nb", "a\r\nb", "a\tb", "a\0b", "\x1b[2J", "a\u2028b", "a\x7fb", "a\x85b")


@cache
def ca() -> Ca:
    authority = new_authority(time.time(), name="Steering inspection CA")
    pem = authority.certificate.public_bytes(Encoding.PEM).decode("ascii")
    return Ca(pem=pem, der=ssl.PEM_cert_to_DER_cert(pem))


GIVEN = Given(
    base_url="http://steering.corp.example",
    control=ip_address("192.0.2.5"),
    dns=ip_address("192.0.2.6"),
    dns_port=53,
    proxies=("proxy.corp.example:3128", "proxy2.corp.example:3128"),
    internal_zones=("corp.example", "lab.example"),
    addresses=("192.0.2.5", "2001:db8::5"),
    resolvers=("192.0.2.6", "192.0.2.7", "2001:db8::6"),
    organisation="Example & Sons",
    installed=Installed(
        program="/opt/steering/bin/steering",
        config="/etc/steering/steering.toml",
        state="/var/lib/steering",
        listens=(
            Listen(host=ip_address("192.0.2.5"), port=80),
            Listen(host=ip_address("2001:db8::5"), port=443),
            Listen(host=ip_address("192.0.2.6"), port=53, datagram=True),
            Listen(host=ip_address("192.0.2.6"), port=53),
        ),
    ),
)


@cache
def rotated() -> tuple[Authority, Authority]:
    """The authority of ``ca()`` is another; these two are for what signs: the one in use, and the one before."""
    now = time.time()
    return new_authority(now, name="Steering inspection CA"), new_authority(now, name="Steering inspection CA")


def during_a_rotation() -> Facts:
    new, old = (Ca.of(authority.certificate.public_bytes(Encoding.DER)) for authority in rotated())
    return replace(facts(), ca=new, ca_before=old)


def facts(given: Given = GIVEN) -> Facts:
    return facts_of(replace(given, ca=ca()))


def made(name: str, file: str, given: Given = GIVEN) -> str:
    """One file of a target."""
    return files_of(TARGETS[name], facts(given))[file]
