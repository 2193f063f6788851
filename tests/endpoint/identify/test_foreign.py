"""Binding, with the C library of this system."""

import ctypes

import pytest

from steering.endpoint.identify.foreign import bind


@pytest.mark.needs("linux")
def test_functions_are_called_as_the_table_says() -> None:
    functions = bind(ctypes.CDLL(None), {"abs": "i:i", "strlen": "q:p", "memcpy": "p:ppq"})
    room = ctypes.create_string_buffer(8)
    assert functions["abs"](-3) == 3
    assert functions["strlen"](ctypes.create_string_buffer(b"four")) == 4
    assert functions["memcpy"](room, ctypes.create_string_buffer(b"abc"), 4) == ctypes.addressof(room)
    assert room.value == b"abc"


@pytest.mark.needs("linux")
def test_a_function_that_is_not_there_is_named() -> None:
    with pytest.raises(OSError, match="no function no_such_function"):
        bind(ctypes.CDLL(None), {"no_such_function": "i:i"})
