"""Records by layout: what is built is read."""

import struct

import pytest

from steering.endpoint.identify.layouts import Layout

LAYOUT = Layout(name="x", headers=(), size=12, members={"a": (0, "I"), "b": (6, "h"), "c": (8, "4s")})


def test_what_is_built_is_read() -> None:
    record = LAYOUT.build({"a": 0xFFFFFFFF, "b": -2, "c": b"abcd"})
    assert record == b"\xff\xff\xff\xff\0\0\xfe\xffabcd"
    assert (LAYOUT.number("a", record), LAYOUT.number("b", b"xx" + record, 2)) == (0xFFFFFFFF, -2)
    assert LAYOUT.octets("c", record) == b"abcd"


def test_what_is_not_given_is_zero() -> None:
    assert LAYOUT.build({}) == bytes(12)


def test_a_record_that_is_cut_is_an_error() -> None:
    with pytest.raises(struct.error):
        LAYOUT.number("b", bytes(7))
    assert LAYOUT.octets("c", bytes(10)) == bytes(2)
