"""How each format writes a value, so that no value can end its place and become syntax.

Every function returns ``Quoted``, the only thing that a template may print.  What a format cannot hold at all raises
Unquotable: nothing is dropped or changed in silence.
"""

import json as json_text
import re
import shlex
from base64 import b64encode
from collections.abc import Callable, Mapping
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import NoReturn

Address = IPv4Address | IPv6Address

_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?", re.ASCII)
_PEM = re.compile(
    r"(-----BEGIN CERTIFICATE-----\n([A-Za-z0-9+/]{1,64}\n)*[A-Za-z0-9+/]{0,62}={0,2}\n-----END CERTIFICATE-----\n)+",
    re.ASCII,
)
_PLAIN_WORD = re.compile(r"[A-Za-z0-9/._%:,@+=-]+", re.ASCII)
# PowerShell takes the typographic quotes for the plain one.
_POWERSHELL_QUOTES = "'\u2018\u2019\u201a\u201b"
# XML 1.0, 2.2: what no document may hold, not even as a reference.
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_DNSMASQ_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t", "\r": "\\r", "\b": "\\b", "\x1b": "\\e"}


class Unquotable(ValueError):
    """A value that a format cannot hold.  The text says which."""


class Quoted(str):
    """Text that is whole in its format."""

    __slots__ = ()


def json(value: object) -> Quoted:
    """A JSON value, in ASCII.  Kea, Chrome, Firefox, Intune, Docker."""
    return Quoted(json_text.dumps(value, ensure_ascii=True, allow_nan=False))


def dhcpd(text: str) -> Quoted:
    """A quoted string of dhcpd.conf(5): octal for what is not plain."""
    _refuse_nul(text, "dhcpd.conf")
    plain = (chr(b) if 0x20 <= b < 0x7F and b not in b'"\\' else f"\\{b:03o}" for b in _utf8(text))
    return Quoted('"' + "".join(plain) + '"')


def dnsmasq(text: str) -> Quoted:
    """A quoted string of a dnsmasq.conf: within quotes neither a comma nor a # ends anything."""
    parts = [_DNSMASQ_ESCAPES.get(c, c) for c in text]
    if any(len(part) == 1 and _is_control(part) for part in parts):
        _cannot("dnsmasq.conf", text)
    return Quoted('"' + "".join(parts) + '"')


def powershell(text: str) -> Quoted:
    """A verbatim string: nothing is expanded, only quotes are doubled."""
    _refuse_nul(text, "PowerShell")
    return Quoted("'" + "".join(c * 2 if c in _POWERSHELL_QUOTES else c for c in text) + "'")


def routeros(text: str) -> Quoted:
    r"""A quoted string of RouterOS: ``\XX`` for what its scripts could expand."""
    plain = (chr(b) if (chr(b).isalnum() and b < 0x80) or b in b" :/._-'" else f"\\{b:02X}" for b in _utf8(text))
    return Quoted('"' + "".join(plain) + '"')


def routeros_option(text: str) -> Quoted:
    """A text as the value of a DHCP option, which has quotes of its own within those of the script."""
    if "'" in text:
        _cannot("a DHCP option of RouterOS", text)
    return routeros(f"'{text}'")


def name(text: str) -> Quoted:
    """A name in a zone file or a resolver's settings: letters, digits, "-" and "_" alone, without the last dot."""
    if len(text) > 253 or not all(_LABEL.fullmatch(label) for label in text.split(".")):
        _cannot("a DNS name", text)
    return Quoted(text)


def address(value: Address | str) -> Quoted:
    try:
        return Quoted(ip_address(str(value)).compressed if "%" not in str(value) else _cannot("an address", str(value)))
    except ValueError:
        _cannot("an address", str(value))


def xml(text: str) -> Quoted:
    """Character data or an attribute."""
    if _NOT_XML.search(text):
        _cannot("XML", text)
    for character, reference in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ('"', "&quot;"), ("'", "&apos;")):
        text = text.replace(character, reference)
    # A bare carriage return would come back as a line feed (XML 1.0, 2.11).
    return Quoted(text.replace("\r", "&#13;"))


def sh(text: str) -> Quoted:
    _refuse_nul(text, "a shell script")
    return Quoted(shlex.quote(text))


def export(text: str) -> Quoted:
    """Within double quotes, for a line that shells read, and people."""
    if any(map(_is_control, text)):
        _cannot("an environment file", text)
    return Quoted('"' + "".join("\\" + c if c in '\\"$`' else c for c in text) + '"')


def environment_d(text: str) -> Quoted:
    """environment.d(5): variables are expanded after the backslashes are gone, so a "$" is written twice."""
    return Quoted(export(text).replace("\\$", "$$"))


def unit(text: str) -> Quoted:
    """A word of a systemd unit (systemd.syntax(7), systemd.unit(5)): % begins a specifier, a backslash an escape."""
    if any(map(_is_control, text)) or not text:
        _cannot("a systemd unit", text)
    doubled = text.replace("%", "%%")
    if _PLAIN_WORD.fullmatch(text):
        return Quoted(doubled)
    return Quoted('"' + "".join("\\" + c if c in '\\"' else c for c in doubled) + '"')


def unit_argument(text: str) -> Quoted:
    """The same behind the program of an ExecStart=, where $ begins a variable."""
    return Quoted(unit(text).replace("$", "$$"))


def gvariant(text: str) -> Quoted:
    """A string of GVariant's text form, as dconf and gsettings read it."""
    _refuse_nul(text, "GVariant")
    plain = ("\\" + c if c in "\\'" else f"\\u{ord(c):04x}" if _is_control(c) else c for c in text)
    return Quoted("'" + "".join(plain) + "'")


def kconfig(text: str) -> Quoted:
    """A value of KDE's settings files; spaces at the ends would be stripped."""
    escapes = {"\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}
    parts = [escapes.get(c, c) for c in text]
    if any(len(part) == 1 and _is_control(part) for part in parts):
        _cannot("KDE's settings", text)
    for end in (0, -1):
        if parts and parts[end] == " ":
            parts[end] = "\\s"
    return Quoted("".join(parts))


def reg(text: str) -> Quoted:
    """A REG_SZ of a registry file."""
    if any(map(_is_control, text)):
        _cannot("a registry file", text)
    return Quoted('"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"')


def pem(text: str) -> Quoted:
    """Certificates and nothing else, so that a here-document ends where it should."""
    if not _PEM.fullmatch(text):
        _cannot("a PEM file of certificates", text)
    return Quoted(text)


def base64(content: bytes) -> Quoted:
    return Quoted(b64encode(content).decode("ascii"))


def words(text: str) -> Quoted:
    """A sentence of ours, in a page for people."""
    if any(map(_is_control, text)):
        _cannot("a line of text", text)
    return Quoted(text)


FILTERS: Mapping[str, Callable[..., Quoted]] = {
    function.__name__: function
    for function in (
        json,
        dhcpd,
        dnsmasq,
        powershell,
        routeros,
        routeros_option,
        name,
        address,
        xml,
        sh,
        export,
        environment_d,
        unit,
        unit_argument,
        gvariant,
        kconfig,
        reg,
        pem,
        base64,
        words,
    )
}


def _utf8(text: str) -> bytes:
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError:
        _cannot("UTF-8", text)


def _is_control(character: str) -> bool:
    """C0, DEL, C1, line and paragraph separators, half a surrogate pair."""
    code = ord(character)
    return code < 0x20 or 0x7F <= code < 0xA0 or code in (0x2028, 0x2029) or 0xD800 <= code < 0xE000


def _refuse_nul(text: str, where: str) -> None:
    if "\0" in text:
        _cannot(where, text)
    _utf8(text)


def _cannot(where: str, text: str) -> NoReturn:
    shown = text if len(text) <= 80 else text[:77] + "..."
    raise Unquotable(f"{where} cannot hold {shown!a}")
