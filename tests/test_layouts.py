"""Structures, constants and functions of Windows and macOS are those of the platforms' own headers.

The wheel ``ziglang`` carries the headers of both systems and a compiler that reads them on any system: it compiles
assertions made from the tables that the endpoint helper reads memory by.  What a header says is no proof that a
running system does so; the helper's self-test is for that.
"""

import os
import re
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import replace
from importlib.util import find_spec
from itertools import chain
from pathlib import Path
from struct import calcsize
from uuid import UUID

import pytest

from steering.endpoint.identify import darwin_layouts, windows_layouts
from steering.endpoint.identify.layouts import Layout

WINDOWS = "x86_64-windows-gnu"
TARGETS = {
    WINDOWS: ("#define _WIN32_WINNT 0x0A00\n#define NTDDI_VERSION 0x0A000000\n", windows_layouts),
    "x86_64-macos": ("", darwin_layouts),
    "aarch64-macos": ("", darwin_layouts),
}


def included(headers: Iterable[str]) -> str:
    return "".join(f"#include <{header}>\n" for header in dict.fromkeys(headers))


def layout_text(layouts: Iterable[Layout], constants: Mapping[str, int]) -> str:
    """C that compiles only where the tables are right."""
    layouts = tuple(layouts)
    lines = [included(chain(("stddef.h",), *(layout.headers for layout in layouts)))]
    for layout in layouts:
        lines.append(f'_Static_assert(sizeof({layout.name}) == {layout.size}, "sizeof {layout.name}");')
        for member, (offset, form) in layout.members.items():
            size = calcsize("<" + form)
            lines.append(f'_Static_assert(offsetof({layout.name}, {member}) == {offset}, "{member} lies elsewhere");')
            lines.append(f'_Static_assert(sizeof((({layout.name} *)0)->{member}) == {size}, "size of {member}");')
    lines += [f'_Static_assert((long long)({name}) == {value}, "{name}");' for name, value in constants.items()]
    return "\n".join(lines) + "\n"


# The shape of a function type as a list of numbers: a size, pointers from 100 on, nothing 0.
_SHAPES = """
template<class T> struct Code { static constexpr int value = sizeof(T); };
template<class T> struct Code<T *> { static constexpr int value = 100 + sizeof(T *); };
template<class T> struct Code<T &> { static constexpr int value = 100 + sizeof(T *); };
template<> struct Code<void> { static constexpr int value = 0; };
template<int... codes> struct List {};
template<class F> struct Shape;
template<class R, class... A> struct Shape<R(A...)> { using type = List<Code<R>::value, Code<A>::value...>; };
template<class R, class... A> struct Shape<R(A...) noexcept> : Shape<R(A...)> {};
template<class A, class B> constexpr bool same = false;
template<class A> constexpr bool same<A, A> = true;
"""
_CODES = {"v": 0, "i": 4, "q": 8, "p": 108}


def function_text(headers: Iterable[str], functions: Mapping[str, str]) -> str:
    """C++ that compiles only where the functions give and take what the tables say."""
    lines = [included(headers), _SHAPES]
    for name, shape in functions.items():
        codes = ", ".join(str(_CODES[kind]) for kind in shape.replace(":", ""))
        lines.append(f'static_assert(same<Shape<decltype({name})>::type, List<{codes}>>, "{name}");')
    return "\n".join(lines) + "\n"


def compiled(source: str, target: str, suffix: str, folder: Path) -> str:
    """What the compiler has to say against ``source``: "" for nothing."""
    path = folder / f"assertions{suffix}"
    path.write_text(source, "utf-8")
    caches = {"ZIG_GLOBAL_CACHE_DIR": str(folder / "global"), "ZIG_LOCAL_CACHE_DIR": str(folder / "local")}
    compiler = "cc" if suffix == ".c" else "c++"
    output = ("-c", "-w", "-o", str(folder / "assertions.o"))  # without -c it builds a C library to link with
    command = [sys.executable, "-m", "ziglang", compiler, "-target", target, *output, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **caches}, timeout=300)
    return done.stderr if done.returncode else ""


@pytest.mark.needs("ziglang")
@pytest.mark.parametrize("target", TARGETS)
def test_structures_and_constants_are_those_of_the_headers(target: str, tmp_path: Path) -> None:
    defines, tables = TARGETS[target]
    source = defines + included(tables.FUNCTION_HEADERS) + layout_text(tables.LAYOUTS, tables.CONSTANTS)
    assert compiled(source, target, ".c", tmp_path) == ""


WRONG = {
    "a size": replace(windows_layouts.FILETIME, size=12),
    "an offset": replace(windows_layouts.FILETIME, members={"dwHighDateTime": (0, "I")}),
    "the size of a member": replace(windows_layouts.FILETIME, members={"dwHighDateTime": (4, "H")}),
}


@pytest.mark.needs("ziglang")
@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_table_is_found_out(case: str, tmp_path: Path) -> None:
    assert "static assertion failed" in compiled(layout_text([WRONG[case]], {}), WINDOWS, ".c", tmp_path)


@pytest.mark.needs("ziglang")
def test_a_wrong_constant_or_function_is_found_out(tmp_path: Path) -> None:
    wrong = layout_text([windows_layouts.FILETIME], {"PROCESS_NAME_NATIVE": 2})
    assert "static assertion failed" in compiled(wrong, WINDOWS, ".c", tmp_path)
    for shape in ("i:i", "i:pp", "q:p"):
        assert "static assertion failed" in compiled(
            function_text(["windows.h"], {"CloseHandle": shape}), WINDOWS, ".cc", tmp_path
        )


@pytest.mark.needs("ziglang")
@pytest.mark.parametrize("target", TARGETS)
def test_functions_give_and_take_what_the_headers_say(target: str, tmp_path: Path) -> None:
    defines, tables = TARGETS[target]
    if target == WINDOWS:
        functions = {name: shape for library in windows_layouts.FUNCTIONS.values() for name, shape in library.items()}
    else:
        functions = dict(darwin_layouts.FUNCTIONS)
    assert compiled(defines + function_text(tables.FUNCTION_HEADERS, functions), target, ".cc", tmp_path) == ""


@pytest.mark.needs("ziglang")
def test_identifiers_are_those_of_the_headers() -> None:
    found = find_spec("ziglang")
    assert found and found.origin
    headers = Path(found.origin).parent / "lib" / "libc" / "include" / "any-windows-any"
    folders = (headers / "knownfolders.h").read_text("utf-8", "replace")
    known = {name: guid(text) for name, text in re.findall(r"DEFINE_KNOWN_FOLDER \((\w+), (.*?)\)", folders)}
    wanted = {name: UUID(text) for name, text in windows_layouts.KNOWN_FOLDERS.items()}
    assert {name: known[name] for name in wanted} == wanted
    action = re.search(r"WINTRUST_ACTION_GENERIC_VERIFY_V2 \{(.*)\}", (headers / "softpub.h").read_text("utf-8"))
    assert action and guid(action[1]) == UUID(windows_layouts.GENERIC_VERIFY_V2)


def guid(initialiser: str) -> UUID:
    """Of ``0x905e63b6, 0xc1bf, ...`` as C writes it."""
    first, second, third, *rest = (int(number, 16) for number in re.findall(r"0x[0-9a-f]+", initialiser))
    return UUID(bytes=first.to_bytes(4, "big") + second.to_bytes(2, "big") + third.to_bytes(2, "big") + bytes(rest))
