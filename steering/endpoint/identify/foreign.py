"""Functions of another system's libraries, bound by a table of what they give and take.

One letter a value, as in ``windows_layouts.FUNCTIONS``: v nothing, i four bytes, q eight, p a pointer or handle.
"""

import ctypes
from collections.abc import Callable, Mapping

Function = Callable[..., int | None]
_KINDS = {"v": None, "i": ctypes.c_int32, "q": ctypes.c_uint64, "p": ctypes.c_void_p}


def bind(library: ctypes.CDLL, shapes: Mapping[str, str]) -> dict[str, Function]:
    """Raises OSError where a function is not in the library."""
    functions: dict[str, Function] = {}
    for name, shape in shapes.items():
        gives, _, takes = shape.partition(":")
        try:
            function = getattr(library, name)
        except AttributeError as exc:
            raise OSError(f"this system has no function {name}") from exc
        function.restype = _KINDS[gives]
        function.argtypes = [_KINDS[kind] for kind in takes]
        functions[name] = function
    return functions
