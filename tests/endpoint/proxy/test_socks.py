"""SOCKS 5 as programs speak it, byte by byte."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steering.endpoint.proxy import socks
from steering.endpoint.proxy.request import Connect
from steering.policy import parse_host

NAME = b"\x05\x01\x00\x03\x0bwww.example\x01\xbb"
IPV4 = b"\x05\x01\x00\x01\xc0\x00\x02\x01\x00\x50"
IPV6 = b"\x05\x01\x00\x04" + bytes.fromhex("20010db8") + bytes(11) + b"\x01\x01\xbb"


@pytest.mark.parametrize(
    ("data", "size", "acceptable"),
    [
        (b"\x05\x01\x00", 3, True),
        (b"\x05\x02\x02\x00more", 4, True),
        (b"\x05\x01\x02", 3, False),
        (b"\x05\x00", 2, False),
        (b"\x05\xff" + bytes(range(1, 256)), 257, False),
    ],
)
def test_a_greeting(data: bytes, size: int, acceptable: bool) -> None:
    assert socks.parse_greeting(data) == socks.Greeting(size, acceptable)
    assert all(socks.parse_greeting(data[:cut]) is None for cut in range(size))


@pytest.mark.parametrize(
    ("data", "host", "port"), [(NAME, "www.example", 443), (IPV4, "192.0.2.1", 80), (IPV6, "2001:db8::1", 443)]
)
def test_a_request(data: bytes, host: str, port: int) -> None:
    assert socks.parse_request(data + b"more") == (Connect(host=parse_host(host), port=port), len(data))
    assert all(socks.parse_request(data[:cut]) is None for cut in range(len(data)))


@pytest.mark.parametrize(
    ("data", "reply"),
    [
        (b"\x04" + NAME[1:], socks.FAILED),
        (b"\x05\x02" + NAME[2:], socks.NO_COMMAND),
        (b"\x05\x03" + NAME[2:], socks.NO_COMMAND),
        (b"\x05\x01\x00\x02" + NAME[4:], socks.NO_ADDRESS),
        (NAME[:-2] + b"\0\0", socks.NOT_ALLOWED),
        (b"\x05\x01\x00\x03\x00\x00\x50", socks.NO_ADDRESS),
        (b"\x05\x01\x00\x03\x04a..b\x00\x50", socks.NO_ADDRESS),
        (b"\x05\x01\x00\x03\x02\xff\xff\x00\x50", socks.NO_ADDRESS),
    ],
)
def test_what_is_refused(data: bytes, reply: int) -> None:
    with pytest.raises(socks.SocksError) as caught:
        socks.parse_request(data)
    assert caught.value.reply == reply
    assert socks.reply(reply) == bytes((5, reply, 0, 1, 0, 0, 0, 0, 0, 0))


@given(st.binary(max_size=300))
def test_nothing_but_its_error_is_raised(data: bytes) -> None:
    socks.parse_greeting(data)
    try:
        found = socks.parse_request(data)
    except socks.SocksError:
        return
    assert found is None or found[1] <= len(data)
