"""Whatever a value holds, each format reads back that value and nothing else, or it is refused."""

import ast
import json as json_text
import plistlib
import re
import shutil
import subprocess
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steering.formats import quoting
from steering.formats.quoting import Unquotable
from tests.deploy.ground import CONTROLS, HOSTILE, ca


def octal(quoted: str) -> str:
    """dhcpd.conf(5)."""
    assert re.fullmatch(r'"([ !#-\[\]-~]|\\[0-7]{3})*"', quoted)
    return re.sub(r"\\([0-7]{3})", lambda m: chr(int(m[1], 8)), quoted[1:-1]).encode("latin-1").decode("utf-8")


def verbatim(quoted: str) -> str:
    """PowerShell: the string ends at a quote, of whatever form, that is not doubled."""
    quotes = "'\u2018\u2019\u201a\u201b"
    assert re.fullmatch(rf"'([^{quotes}]|([{quotes}])\2)*'", quoted)
    return re.sub(rf"([{quotes}])\1", r"\1", quoted[1:-1])


def hexadecimal(quoted: str) -> str:
    """RouterOS."""
    assert re.fullmatch(r"""\"([A-Za-z0-9 :/._'-]|\\[0-9A-F]{2})*\"""", quoted)
    raw = re.sub(r"\\([0-9A-F]{2})", lambda m: chr(int(m[1], 16)), quoted[1:-1])
    return raw.encode("latin-1").decode("utf-8")


def backslashed(quoted: str) -> str:
    """dnsmasq's and KDE's own reading: a table of letters behind a backslash."""
    letters = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "e": "\x1b", "s": " ", "\\": "\\", '"': '"'}
    return re.sub(r"\\(.)", lambda m: letters[m[1]], quoted)


def in_quotes(quoted: str) -> str:
    assert re.fullmatch(r'"([^"\\\n]|\\.)*"', quoted)
    return backslashed(quoted[1:-1])


def registry(quoted: str) -> str:
    assert re.fullmatch(r'"([^"\\\n]|\\["\\])*"', quoted)
    return re.sub(r'\\(["\\])', r"\1", quoted[1:-1])


def word(quoted: str) -> str:
    """systemd's: quotes anywhere, backslashes also within them, specifiers."""
    inner = quoted[1:-1] if quoted.startswith('"') else quoted
    assert re.fullmatch(r'([^"\\ %]|%%)+' if inner is quoted else r'([^"\\%]|%%|\\["\\])*', inner)
    return re.sub(r'\\(["\\])', r"\1", inner).replace("%%", "%")


def argument(quoted: str) -> str:
    assert re.fullmatch(r"([^$]|\$\$)*", quoted)
    return word(quoted.replace("$$", "$"))


def by_shell(quoted: str) -> str:
    code = f"printf %s {quoted}"
    return subprocess.run(["/bin/sh", "-c", code], capture_output=True, check=True).stdout.decode("utf-8")


def element(quoted: str) -> str:
    return ElementTree.fromstring(f"<x>{quoted}</x>").text or ""


def plist(quoted: str) -> str:
    value: str = plistlib.loads(f'<plist version="1.0"><string>{quoted}</string></plist>'.encode())
    return value


READ: dict[str, Callable[[str], object]] = {
    "json": json_text.loads,
    "dhcpd": octal,
    "dnsmasq": in_quotes,
    "powershell": verbatim,
    "routeros": hexadecimal,
    "xml": element,
    "gvariant": ast.literal_eval,  # the same escapes
    "kconfig": backslashed,
    "reg": registry,
    "unit": word,
    "unit_argument": argument,
}
BY_PROGRAM: dict[str, Callable[[str], object]] = {"sh": by_shell, "export": by_shell, "xml": plist}


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("filter_name", READ)
def test_a_hostile_value_comes_back_whole(filter_name: str, text: str) -> None:
    assert READ[filter_name](quoting.FILTERS[filter_name](text)) == text


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("filter_name", BY_PROGRAM)
def test_a_hostile_value_comes_back_whole_from_what_reads_it(filter_name: str, text: str) -> None:
    assert BY_PROGRAM[filter_name](quoting.FILTERS[filter_name](text)) == text


@pytest.mark.parametrize("filter_name", READ)
@given(text=st.text(max_size=40) | st.sampled_from(CONTROLS))
def test_any_value_comes_back_whole_or_is_refused(filter_name: str, text: str) -> None:
    try:
        quoted = quoting.FILTERS[filter_name](text)
    except Unquotable:
        return
    assert READ[filter_name](quoted) == text


# Format -> which of CONTROLS it cannot hold.
REFUSES = {
    "json": (),
    "dhcpd": ("a\0b",),
    "dnsmasq": ("a\0b", "a\u2028b", "a\x7fb", "a\x85b"),
    "powershell": ("a\0b",),
    "routeros": (),
    "xml": ("a\0b", "\x1b[2J"),
    "sh": ("a\0b",),
    "export": CONTROLS,
    "environment_d": CONTROLS,
    "gvariant": ("a\0b",),
    "kconfig": ("a\0b", "\x1b[2J", "a\u2028b", "a\x7fb", "a\x85b"),
    "reg": CONTROLS,
    "unit": CONTROLS,
    "unit_argument": CONTROLS,
    "words": CONTROLS,
}


@pytest.mark.parametrize("filter_name", REFUSES)
def test_what_a_format_cannot_hold_is_refused(filter_name: str) -> None:
    def refused(text: str) -> bool:
        try:
            quoting.FILTERS[filter_name](text)
        except Unquotable:
            return True
        return False

    assert tuple(text for text in CONTROLS if refused(text)) == REFUSES[filter_name]


@pytest.mark.parametrize("filter_name", sorted(set(REFUSES) - {"json"}))
def test_half_a_character_is_refused(filter_name: str) -> None:
    if filter_name == "gvariant":
        return  # refused as NUL is: its test is that of UTF-8
    with pytest.raises(Unquotable):
        quoting.FILTERS[filter_name]("\ud800")


@pytest.mark.parametrize(
    "text", [*HOSTILE, *CONTROLS, "", ".", "a..b", "-a", "a-", "a" * 64, "A", ".".join(["a"] * 128)]
)
def test_a_name_is_a_name(text: str) -> None:
    with pytest.raises(Unquotable):
        quoting.name(text)


@pytest.mark.parametrize("text", ["wpad", "_a.b-c.example", "a" * 63, ".".join(["a"] * 127)])
def test_names(text: str) -> None:
    assert quoting.name(text) == text


@pytest.mark.parametrize("text", [*HOSTILE, "192.0.2.1;", "192.0.2.0/24", "fe80::1%eth0", "fe80::1%;x"])
def test_an_address_is_an_address(text: str) -> None:
    with pytest.raises(Unquotable):
        quoting.address(text)


def test_addresses() -> None:
    assert (quoting.address("192.0.2.1"), quoting.address("2001:DB8:0::1")) == ("192.0.2.1", "2001:db8::1")


def test_an_option_of_routeros_has_quotes_of_its_own() -> None:
    assert quoting.routeros_option("http://a/x$y") == "\"'http://a/x\\24y'\""
    with pytest.raises(Unquotable):
        quoting.routeros_option("it's")


def test_a_certificate_and_nothing_else() -> None:
    assert quoting.pem(ca().pem) == ca().pem
    for text in (
        "",
        "x" + ca().pem,
        ca().pem + "END\n",
        ca().pem.replace("\n", "\r\n"),
        ca().pem.rstrip("\n"),
        *HOSTILE,
    ):
        with pytest.raises(Unquotable):
            quoting.pem(text)


def test_systemd_expands_behind_backslashes() -> None:
    """test_checked has systemd itself read every hostile value."""
    assert quoting.environment_d('a$b\\$"`') == '"a$$b\\\\$$\\"\\`"'


def test_base64() -> None:
    assert quoting.base64(b"\xfb\xff") == "+/8="


def test_every_filter_is_tried() -> None:
    others = {"name", "address", "routeros_option", "pem", "base64"}
    assert set(READ) | set(BY_PROGRAM) | set(REFUSES) | others == set(quoting.FILTERS)


@pytest.mark.needs("dnsmasq")
def test_dnsmasq_takes_hostile_values(tmp_path: Path) -> None:
    lines = "".join(f"dhcp-option=252,{quoting.dnsmasq(text)}\n" for text in (*HOSTILE, "a\nb"))
    file = tmp_path / "dnsmasq.conf"
    file.write_text(lines)
    done = subprocess.run([shutil.which("dnsmasq") or "", "--test", "-C", file], capture_output=True, text=True)
    assert (done.returncode, done.stderr.strip()) == (0, "dnsmasq: syntax check OK.")
