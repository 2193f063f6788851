"""ClientHellos of real clients and of nobody: cut anywhere, damaged anywhere, too large, in too many records."""

import socket
import ssl
import subprocess
from collections.abc import Sequence
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steering.formats.clienthello import (
    MAX_HELLO_BYTES,
    MAX_RECORDS,
    ClientHello,
    HelloError,
    MalformedHello,
    NotTls,
    parse_client_hello,
)

GREASE = 0x3A3A
ECH = 0xFE0D


def python_hello(server_name: str | None, alpn: Sequence[str] = ("h2", "http/1.1")) -> bytes:
    """What OpenSSL writes by way of Python's ssl."""
    context = ssl.create_default_context()
    context.check_hostname = False
    if alpn:
        context.set_alpn_protocols(list(alpn))
    out = ssl.MemoryBIO()
    tls = context.wrap_bio(ssl.MemoryBIO(), out, server_hostname=server_name)
    with pytest.raises(ssl.SSLWantReadError):
        tls.do_handshake()
    return out.read()


def u16(number: int) -> bytes:
    return number.to_bytes(2, "big")


def vector(data: bytes, length_bytes: int = 2) -> bytes:
    return len(data).to_bytes(length_bytes, "big") + data


def extension(kind: int, data: bytes) -> bytes:
    return u16(kind) + vector(data)


def sni(name: bytes, kind: int = 0) -> bytes:
    return extension(0, vector(bytes((kind,)) + vector(name)))


def alpn(*protocols: bytes) -> bytes:
    return extension(16, vector(b"".join(vector(p, 1) for p in protocols)))


def message(
    *extensions: bytes,
    ciphers: bytes = b"\x13\x01",
    session: bytes = b"",
    compression: bytes = b"\x00",
    behind: bytes = b"",
) -> bytes:
    """A ClientHello message written by hand."""
    body = b"\x03\x03" + bytes(32) + vector(session, 1) + vector(ciphers) + vector(compression, 1)
    if extensions:
        body += vector(b"".join(extensions))
    return b"\x01" + vector(body + behind, 3)


def records(handshake: bytes, size: int = 16384) -> bytes:
    parts = [handshake[at : at + size] for at in range(0, len(handshake), size)]
    return b"".join(b"\x16\x03\x01" + vector(part) for part in parts)


def hello(*extensions: bytes) -> bytes:
    return records(message(*extensions))


def parsed(data: bytes) -> ClientHello:
    found = parse_client_hello(data)
    assert found is not None
    return found


@pytest.mark.parametrize(
    "name", ["www.example", "a-b.xn--bcher-kva.example", "x" * 63 + ".example", "under_score.example"]
)
@pytest.mark.parametrize("protocols", [(), ("http/1.1",), ("h2", "http/1.1"), ("h2",)])
def test_a_hello_of_openssl(name: str, protocols: tuple[str, ...]) -> None:
    found = parsed(python_hello(name, protocols))
    assert found.sni == name
    assert found.alpn == tuple(p.encode() for p in protocols)
    assert found.offers_http1 == (not protocols or "http/1.1" in protocols)
    assert max(found.versions) == 0x0304 and not found.has_ech


def test_without_sni_and_with_an_address_for_one() -> None:
    assert parsed(python_hello(None)).sni is None
    assert parsed(python_hello("192.0.2.1")).sni is None  # RFC 6066 3: OpenSSL sends none


@pytest.mark.needs("openssl", "curl")
@pytest.mark.parametrize("program", ["openssl", "curl"])
def test_a_hello_from_the_wire(program: str) -> None:
    """The bytes that a program sends to a listener that never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        where = f"127.0.0.1:{port}"
        commands = {
            "openssl": ["openssl", "s_client", "-connect", where, "-servername", "www.example", "-alpn", "h2"],
            "curl": ["curl", "-sS", "--resolve", f"www.example:{port}:127.0.0.1", f"https://www.example:{port}/"],
        }
        quiet = subprocess.DEVNULL
        process = subprocess.Popen(commands[program], stdin=quiet, stdout=quiet, stderr=quiet)
        try:
            listener.settimeout(20)
            peer, _ = listener.accept()
            with peer:
                peer.settimeout(20)
                data = b""
                while (found := parse_client_hello(data)) is None:
                    got = peer.recv(65536)
                    assert got
                    data += got
        finally:
            process.kill()
            process.wait()
    assert found.sni == "www.example"
    assert b"h2" in found.alpn


def test_byte_by_byte_it_is_incomplete_until_it_is_complete() -> None:
    data = python_hello("www.example")
    assert [n for n in range(len(data)) if parse_client_hello(data[:n]) is not None] == []
    assert parsed(data) == parsed(data + b"what follows is not looked at")


@pytest.mark.parametrize("size", [40, 100, 511, 16384])
def test_a_hello_in_several_records_reads_the_same(size: int) -> None:
    whole = python_hello("www.example")
    cut = records(whole[5:], size)
    assert parsed(cut) == parsed(whole)
    assert [n for n in range(len(cut)) if parse_client_hello(cut[:n]) is not None] == []


@pytest.mark.parametrize(("count", "fits"), [(MAX_RECORDS - 1, True), (MAX_RECORDS, True), (MAX_RECORDS + 1, False)])
def test_records_at_the_limit(count: int, fits: bool) -> None:
    handshake = message(sni(b"www.example"), extension(21, bytes(2 * MAX_RECORDS)))
    data = b"".join(b"\x16\x03\x01" + vector(bytes((byte,))) for byte in handshake[: count - 1])
    data += b"\x16\x03\x01" + vector(handshake[count - 1 :])
    if fits:
        assert parsed(data).sni == "www.example"
    else:
        with pytest.raises(MalformedHello, match="records"):
            parse_client_hello(data)


@pytest.mark.parametrize(("extra", "fits"), [(-1, True), (0, True), (1, False)])
def test_a_hello_at_the_limit(extra: int, fits: bool) -> None:
    """The message with its four bytes of header; records come on top."""
    filler = 30000
    small = len(message(extension(21, bytes(filler)), extension(22, b"")))
    handshake = message(extension(21, bytes(filler)), extension(22, bytes(MAX_HELLO_BYTES - small + extra)))
    assert len(handshake) == MAX_HELLO_BYTES + extra
    if fits:
        # The record headers count for nothing here, and the last byte completes it.
        data = records(handshake)
        assert parse_client_hello(data[:-1]) is None
        assert parsed(data).extensions == (21, 22)
    else:
        with pytest.raises(MalformedHello, match="bytes"):
            parse_client_hello(records(handshake)[:9])


@pytest.mark.parametrize(("size", "fits"), [(16639, True), (16640, True), (16641, False), (0, False)])
def test_a_record_at_the_limit(size: int, fits: bool) -> None:
    start = b"\x16\x03\x01" + u16(size) + b"\x01\x00\xff\x00"
    if fits:
        assert parse_client_hello(start) is None
    else:
        with pytest.raises(MalformedHello, match="record"):
            parse_client_hello(start)


def test_grease_is_left_out_and_ech_is_seen() -> None:
    found = parsed(
        records(
            message(
                extension(GREASE, b""),
                sni(b"outer.example"),
                extension(43, b"\x06" + u16(0x0A0A) + u16(0x0304) + u16(0x0303)),
                extension(ECH, bytes(200)),
                extension(0xFAFA, b"\x00"),
                ciphers=u16(0xCACA) + b"\x13\x01",
            )
        )
    )
    assert found == ClientHello(
        sni="outer.example",
        alpn=(),
        versions=(0x0304, 0x0303),
        ciphers=(0x1301,),
        extensions=(0, 43, ECH),
        signature_algorithms=(),
    )
    assert found.has_ech


def test_an_old_client_without_extensions() -> None:
    found = parsed(hello())
    assert (found.sni, found.alpn, found.versions, found.offers_http1) == (None, (), (0x0303,), True)


NOT_TLS = [
    b"GET / HTTP/1.1\r\n",
    b"SSH-2.0-OpenSSH\r\n",
    b"\x00",
    b"\x15\x03\x01\x00\x02\x02\x28",  # an alert
    b"\x17\x03\x03\x00\x10",
    b"\x16\x02",
    b"\x16\x7f",
    b"\x80\x2e\x01\x03\x01",  # SSL 2
]


@pytest.mark.parametrize("data", NOT_TLS)
def test_what_is_no_tls(data: bytes) -> None:
    with pytest.raises(NotTls):
        parse_client_hello(data)


MALFORMED: dict[str, bytes] = {
    "another handshake message": records(b"\x02" + message()[1:]),
    "another record in between": records(message(), 20)[:25] + b"\x17\x03\x03\x00\x01a",
    "too short": records(b"\x01" + vector(bytes(33), 3)),
    "a session id of 33 bytes": records(message(session=bytes(33))),
    "an odd list of ciphers": records(message(ciphers=b"\x13\x01\x00")),
    "no compression": records(message(compression=b"")),
    "bytes behind the extensions": records(message(sni(b"a.example"), behind=b"\x00")),
    "an extension cut off": hello(b"\x00\x00\x00"),
    "an extension past the end": hello(u16(0) + u16(9) + b"abc"),
    "an extension twice": hello(sni(b"a.example"), sni(b"b.example")),
    "an empty list of names": hello(extension(0, vector(b""))),
    "two names": hello(extension(0, vector(b"\x00" + vector(b"a.example") + b"\x00" + vector(b"b.example")))),
    "bytes behind the names": hello(extension(0, vector(b"\x00" + vector(b"a.example")) + b"x")),
    "a name of another type": hello(sni(b"a.example", kind=1)),
    "an empty name": hello(sni(b"")),
    "a name with NUL": hello(sni(b"a.example\x00.b.example")),
    "a name with a slash": hello(sni(b"a/b.example")),
    "a name with a blank": hello(sni(b"a.example ")),
    "a name that is no ASCII": hello(sni("bücher.example".encode())),
    "a name of 256 characters": hello(sni(b"a" * 256)),
    "an IPv6 address for a name": hello(sni(b"[::1]")),
    "ALPN without a protocol": hello(alpn()),
    "an empty protocol": hello(alpn(b"")),
    "bytes behind ALPN": hello(extension(16, vector(vector(b"h2", 1)) + b"x")),
    "ALPN past the end": hello(extension(16, b"\x00\x09\x02h2")),
    "an odd list of versions": hello(extension(43, b"\x03\x03\x04\x00")),
    "odd signature algorithms": hello(extension(13, b"\x00\x03\x04\x03\x08")),
}  # fmt: skip


@pytest.mark.parametrize("name", MALFORMED)
def test_what_cannot_be_understood(name: str) -> None:
    with pytest.raises(MalformedHello):
        parse_client_hello(MALFORMED[name])


def test_a_name_of_255_characters_is_left_to_whoever_reads_names() -> None:
    assert parsed(hello(sni(b"a" * 255))).sni == "a" * 255


@given(st.binary(max_size=300))
@settings(max_examples=300, deadline=None)
def test_any_bytes_are_incomplete_read_or_refused(data: bytes) -> None:
    for start in (data, b"\x16\x03\x01" + data, records(b"\x01" + vector(data, 3))):
        with suppress(HelloError):
            parse_client_hello(start)


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_a_damaged_hello_is_incomplete_read_or_refused(data: st.DataObject) -> None:
    whole = bytearray(REAL)
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(whole)))
    try:
        found = parse_client_hello(bytes(whole[:cut]))
    except HelloError:
        return
    if found is not None:
        assert found.sni is None or (found.sni.isascii() and "\0" not in found.sni)
        assert len(found.fingerprint) == 36


REAL = python_hello("www.example")


@given(st.lists(st.integers(1, 400), min_size=1, max_size=20))
def test_however_it_is_cut_into_records_it_reads_the_same(sizes: list[int]) -> None:
    handshake, cut, at = REAL[5:], b"", 0
    for size in sizes:
        part = handshake[at : at + size]
        if part:
            cut += b"\x16\x03\x01" + vector(part)
        at += size
    if at < len(handshake):
        cut += b"\x16\x03\x01" + vector(handshake[at:])
    assert parsed(cut) == parsed(REAL)


def test_the_fingerprint_is_ja4() -> None:
    """The example of JA4's own description."""
    ciphers = "1301 1302 1303 c02b c02f c02c c030 cca9 cca8 c013 c014 009c 009d 002f 0035"
    kinds = "001b 0000 0033 0010 4469 0017 002d 000d 0005 0023 0012 002b ff01 000b 000a 0015"
    algorithms = "0403 0804 0401 0503 0805 0501 0806 0601"

    def numbers(text: str) -> tuple[int, ...]:
        return tuple(int(word, 16) for word in text.split())

    found = ClientHello(
        sni="www.example",
        alpn=(b"h2", b"http/1.1"),
        versions=(0x0304, 0x0303),
        ciphers=numbers(ciphers),
        extensions=numbers(kinds),
        signature_algorithms=numbers(algorithms),
    )
    assert found.fingerprint == "t13d1516h2_8daaf6152771_e5627efa2ab1"


@pytest.mark.parametrize(
    ("protocols", "expected"),
    [((), "00"), ((b"h2",), "h2"), ((b"http/1.1", b"h2"), "h1"), ((b"x",), "xx"), ((b"\xab\xcd",), "ad")],
)
def test_the_fingerprint_shows_the_ends_of_the_first_protocol(protocols: tuple[bytes, ...], expected: str) -> None:
    found = ClientHello(
        sni=None, alpn=protocols, versions=(0x0303,), ciphers=(), extensions=(), signature_algorithms=()
    )
    assert found.fingerprint == f"t12i0000{expected}_000000000000_000000000000"


def test_free_of_grease_two_hellos_of_one_client_have_one_fingerprint() -> None:
    assert parsed(python_hello("a.example")).fingerprint == parsed(python_hello("b.example")).fingerprint
    assert parsed(python_hello("a.example")).fingerprint != parsed(python_hello("a.example", ("http/1.1",))).fingerprint
