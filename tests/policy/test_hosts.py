"""Every way in which a host is written comes to one form, or is refused with the reason."""

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steering.policy.errors import HostError
from steering.policy.hosts import MAX_NAME, MAX_TEXT, Host, ends_in_number, normalise_name, parse_host

NAMES = [
    ("example.com", "example.com"),
    ("US02WEB.ZOOM.US.", "us02web.zoom.us"),
    (" example.com\t", "example.com"),
    ("localhost", "localhost"),
    ("_dmarc.example.com", "_dmarc.example.com"),
    ("a--b.example", "a--b.example"),
    ("bücher.example", "xn--bcher-kva.example"),
    ("BÜCHER.example", "xn--bcher-kva.example"),
    ("XN--BCHER-KVA.example", "xn--bcher-kva.example"),
    ("bu\u0308cher.example", "xn--bcher-kva.example"),  # u and a combining diaeresis
    ("faß.example", "xn--fa-hia.example"),  # non-transitional: not fass.example
    ("例え.テスト", "xn--r8jz45g.xn--zckzah"),
    ("example。com", "example.com"),  # the ideographic full stop
    ("ｅｘａｍｐｌｅ．ｃｏｍ", "example.com"),  # full width, as an input method leaves it
    ("exam\u00adple.com", "example.com"),  # a soft hyphen, which nobody sees
    ("1.example", "1.example"),
    ("4chan.example", "4chan.example"),
    ("0x7f.example", "0x7f.example"),
    ("example.0xg", "example.0xg"),
    ("1e3", "1e3"),
]


@pytest.mark.parametrize(("text", "name"), NAMES)
def test_names(text: str, name: str) -> None:
    assert parse_host(text) == Host(name)
    assert parse_host(text).is_name


ADDRESSES = [
    ("203.0.113.5", "203.0.113.5"),
    ("203.0.113.5.", "203.0.113.5"),
    ("２０３.0.113.5", "203.0.113.5"),  # browsers map full-width digits before they look
    ("::1", "::1"),
    ("[::1]", "::1"),
    ("[2001:DB8:0::5]", "2001:db8::5"),
    ("[::FFFF:203.0.113.5]", "::ffff:203.0.113.5"),
]


@pytest.mark.parametrize(("text", "address"), ADDRESSES)
def test_addresses(text: str, address: str) -> None:
    host = parse_host(text)
    assert (host.address, host.text, host.numeric, host.is_name) == (
        ip_address(address),
        str(ip_address(address)),
        False,
        False,
    )


@pytest.mark.parametrize(
    "text", ["127.1", "0x7f.1", "2130706433", "0x7f000001", "0x", "0177.0.0.1", "1.2.3", "1.2.3.4.5", "256.1.1.1",
             "example.1", "example.0x7F", "example.0x", "01.2.3.4", "１２７.１"],
)  # fmt: skip
def test_old_notations_are_neither_names_nor_addresses(text: str) -> None:
    host = parse_host(text)
    assert (host.address, host.numeric, host.is_name) == (None, True, False)


REFUSED = [
    ("", "'' is empty"),
    (" ", "' ' is empty"),
    (".", "'.' is empty"),
    ("a..b", "'a..b' has an empty label (two dots in a row, or a dot at the start)"),
    (".example.com", "'.example.com' has an empty label (two dots in a row, or a dot at the start)"),
    ("example.com..", "'example.com..' has an empty label (two dots in a row, or a dot at the start)"),
    ("exa mple.com", "'exa mple.com' holds ' ', which no host name has"),
    ("example.com/", "'example.com/' holds '/', which no host name has"),
    ("user@example.com", "'user@example.com' holds '@', which no host name has"),
    ("*.example.com", "'*.example.com' holds '*', which no host name has"),
    ("example.com\x00", "'example.com\\x00' holds '\\x00', which no host name has"),
    ("a\nb.example", "'a\\nb.example' holds '\\n', which no host name has"),
    ("example.com:443", "'example.com:443' is not an address; write a host without scheme, port or path"),
    ("[::1", "'[::1' is not an address; write a host without scheme, port or path"),
    ("[::1]:443", "'[::1]:443' is not an address; write a host without scheme, port or path"),
    ("[203.0.113.5]", "'[203.0.113.5]' is not an address; write a host without scheme, port or path"),
    ("[fe80::1%eth0]", "'[fe80::1%eth0]' carries a zone id, which means nothing beyond one machine"),
]


@pytest.mark.parametrize(("text", "reason"), REFUSED)
def test_refused(text: str, reason: str) -> None:
    with pytest.raises(HostError) as caught:
        parse_host(text)
    assert str(caught.value) == reason


@pytest.mark.parametrize("text", ["bü cher.example", "＊.example.com", "ex＠mple.com", "a．．b", "\u200d.example"])
def test_refused_by_idna(text: str) -> None:
    with pytest.raises(HostError):
        parse_host(text)


@pytest.mark.parametrize(("length", "fits"), [(62, True), (63, True), (64, False)])
def test_the_limit_of_a_label(length: int, fits: bool) -> None:
    assert accepted("a" * length + ".example") is fits


@pytest.mark.parametrize(("length", "fits"), [(MAX_NAME - 1, True), (MAX_NAME, True), (MAX_NAME + 1, False)])
def test_the_limit_of_a_name(length: int, fits: bool) -> None:
    name = ".".join(["a" * (length - 204), *["b" * 49] * 4, "com"])
    assert len(name) == length
    assert accepted(name) is fits
    assert accepted(name + ".") is fits  # the dot of the root does not count


@pytest.mark.parametrize(("length", "fits"), [(MAX_TEXT - 1, True), (MAX_TEXT, True), (MAX_TEXT + 1, False)])
def test_the_limit_of_a_text(length: int, fits: bool) -> None:
    assert accepted("example.com".rjust(length)) is fits


def accepted(text: str) -> bool:
    try:
        parse_host(text)
    except HostError:
        return False
    return True


@given(st.text(max_size=40) | st.text(alphabet="aA1.xX-[]:ß。\u00ad", max_size=30))
def test_normalising_is_done_once_and_for_all(text: str) -> None:
    try:
        host = parse_host(text)
    except HostError:
        return
    assert parse_host(host.text) == host
    assert host.text.isascii()
    assert host.text == host.text.lower().strip()
    assert host.address is not None or normalise_name(host.text) == host.text


@given(st.ip_addresses())
def test_every_address_is_one(address: object) -> None:
    assert parse_host(str(address)).address == address


@pytest.mark.parametrize(
    ("name", "numeric"),
    [("1", True), ("a.1", True), ("a.0x", True), ("a.0xfg", False), ("a.1a", False), ("1.a", False)],
)
def test_ends_in_number(name: str, numeric: bool) -> None:
    assert ends_in_number(name) is numeric


def test_a_host_is_shown_as_its_text() -> None:
    assert str(parse_host("[2001:DB8::1]")) == "2001:db8::1"
