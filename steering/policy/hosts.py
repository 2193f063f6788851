"""What a flow is addressed to: a domain name or an address, in the one form all points compare.

Every point normalises through ``parse_host``, so none can disagree about case, a
trailing dot, IDNA or an address in disguise.
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address

import idna

from steering.policy.errors import HostError

Address = IPv4Address | IPv6Address

MAX_NAME = 253  # RFC 1035 2.3.4: 255 octets on the wire
MAX_TEXT = 4 * MAX_NAME  # before normalising: what is remembered is bounded too, whatever surrounds the name
_NAME = re.compile(r"[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*")
# WHATWG URL "ends in a number": resolvers read such a name as an address in an old notation (127.1, 0x7f.1).
_NUMERIC_END = re.compile(r"(?:^|\.)(?:[0-9]+|0x[0-9a-f]*)$")


@dataclass(frozen=True, slots=True)
class Host:
    """A normalised host.

    text: lower-case A-labels without a trailing dot, or the canonical text of the address (IPv6 without brackets).
    address: set for an address literal; such a host matches no domain.
    numeric: the name ends in a number without being an address (``127.1``): it matches no domain and no address.
    """

    text: str
    address: Address | None = None
    numeric: bool = False

    def __str__(self) -> str:
        return self.text

    @property
    def is_name(self) -> bool:
        return self.address is None and not self.numeric


def parse_host(text: str) -> Host:
    """Normalise a host as it came from a URL, an SNI, a CONNECT authority (without port) or a DNS question.

    Raises HostError with the reason.  IPv6 may stand in brackets; a zone id is refused.
    """
    if len(text) > MAX_TEXT:
        raise HostError(f"{text[:60]!r}... is longer than {MAX_NAME} characters")
    return _parse(text)


@lru_cache(maxsize=65536)
def _parse(text: str) -> Host:
    if "[" in text or ":" in text:
        return _parse_ipv6(text)
    name = normalise_name(text)
    if not _NUMERIC_END.search(name):
        return Host(name)
    try:
        return Host(name, IPv4Address(name))
    except ValueError:
        return Host(name, numeric=True)


def normalise_name(text: str) -> str:
    """Lower-case A-labels of a domain name: trimmed, one trailing dot dropped, UTS 46 non-transitional.

    Raises HostError.  Underscores are kept (they are common in DNS); whether the name is an address in
    disguise is for ``parse_host`` to say.
    """
    name = text.strip()
    if not name.isascii():
        name = _to_a_labels(name)
    name = name.lower()
    if name.endswith("."):
        name = name[:-1]
    if _NAME.fullmatch(name) and len(name) <= MAX_NAME:
        return name
    raise HostError(_why_not_a_name(text, name))


def ends_in_number(name: str) -> bool:
    """Whether resolvers would read the name as an address (WHATWG URL, "ends in a number checker")."""
    return _NUMERIC_END.search(name) is not None


def _to_a_labels(name: str) -> str:
    try:
        return idna.encode(name, uts46=True, transitional=False).decode("ascii")
    except (idna.IDNAError, UnicodeError) as exc:
        raise HostError(f"{name!r} is not a valid internationalised name: {exc}") from exc


def _parse_ipv6(text: str) -> Host:
    inner = text.strip()
    if inner.startswith("[") and inner.endswith("]") and ":" in inner:  # RFC 3986 3.2.2: brackets hold IPv6 alone
        inner = inner[1:-1]
    if "%" in inner:
        raise HostError(f"{text!r} carries a zone id, which means nothing beyond one machine")
    try:
        address = ip_address(inner)
    except ValueError as exc:
        raise HostError(f"{text!r} is not an address; write a host without scheme, port or path") from exc
    return Host(str(address), address)


def _why_not_a_name(text: str, name: str) -> str:
    if not name:
        return f"{text!r} is empty"
    if len(name) > MAX_NAME:
        return f"{text[:60]!r}... is longer than {MAX_NAME} characters"
    for label in name.split("."):
        if not label:
            return f"{text!r} has an empty label (two dots in a row, or a dot at the start)"
        if len(label) > 63:
            return f"the label {label[:30]!r}... is longer than 63 characters"
    bad = sorted(set(re.findall(r"[^a-z0-9_.-]", name)))
    return f"{text!r} holds {', '.join(map(repr, bad))}, which no host name has"
