"""Imports run one way, and what is called pure does no I/O.

policy <- {formats, streams, process} <- {pac, endpoint, catalog, steering_dns, steering_inspector} <- control <- cli
"""

import ast
from collections.abc import Iterator
from fnmatch import fnmatchcase

import pytest

from tests.tree import OURS, Module, imports, modules

# Part -> the parts of the product that it may import, besides itself.  No enforcement point knows another.
MAY_IMPORT: dict[str, frozenset[str]] = {
    "steering.policy": frozenset(),
    "steering.resources": frozenset(),
    "steering.catalog": frozenset({"steering.policy", "steering.resources"}),
    "steering.pac": frozenset({"steering.policy", "steering.resources"}),
    "steering.formats": frozenset({"steering.policy"}),
    "steering.deploy": frozenset({"steering.policy", "steering.resources", "steering.formats"}),
    "steering.imports": frozenset({"steering.policy"}),
    "steering.streams": frozenset(),
    "steering.process": frozenset({"steering.policy"}),
    "steering.endpoint": frozenset(
        {"steering.policy", "steering.resources", "steering.formats", "steering.streams", "steering.process"}
    ),
    "steering_dns": frozenset({"steering.policy", "steering.streams"}),
    "steering_inspector": frozenset({"steering.policy", "steering.formats", "steering.streams"}),
    "steering.control": frozenset(
        {
            "steering.policy",
            "steering.formats",
            "steering.streams",
            "steering.process",
            "steering.resources",
            "steering.catalog",
            "steering.pac",
            "steering.deploy",
            "steering.endpoint",
            "steering_dns",
            "steering_inspector",
        }
    ),
    "steering.cli": frozenset(
        {
            "steering.policy",
            "steering.formats",
            "steering.imports",
            "steering.streams",
            "steering.process",
            "steering.resources",
            "steering.catalog",
            "steering.pac",
            "steering.deploy",
            "steering.endpoint",
            "steering_dns",
            "steering_inspector",
            "steering.control",
        }
    ),
    "steering": frozenset(),
    "steering.probe": frozenset(),
    "steering.__main__": frozenset({"steering.cli"}),
}

# Modules that decide and do nothing else: bytes and values in, values out.  The clock comes in as an argument.
PURE = (
    "steering.policy",
    "steering.policy.*",
    "steering.formats.*",
    "steering.imports.*",
    "steering.pac.plan",
    "steering.deploy.*",
    "steering.endpoint.identify.identity",
    "steering.endpoint.identify.wanted",
    "steering.endpoint.identify.layouts",
    "steering.endpoint.identify.windows_layouts",
    "steering.endpoint.identify.windows_tables",
    "steering.endpoint.identify.windows_paths",
    "steering.endpoint.identify.darwin_layouts",
    "steering.endpoint.identify.darwin_sockets",
    "steering.endpoint.capture.rules",
    "steering.endpoint.decide",
    "steering.endpoint.proxy.answers",
    "steering.endpoint.proxy.body",
    "steering.endpoint.proxy.onerequest",
    "steering.endpoint.proxy.own",
    "steering.endpoint.proxy.request",
    "steering.endpoint.proxy.socks",
    "steering.endpoint.findings",
    "steering.endpoint.install.actions",
    "steering.endpoint.install.edits",
    "steering_dns.views",
    "steering_dns.answer",
    "steering_dns.cache",
    "steering_dns.doh",
    "steering_dns.http1",
    "steering_dns.http2",
    "steering_dns.wire",
    "steering_inspector.conversation",
    "steering_inspector.attested",
    "steering_inspector.authority",
    "steering_inspector.request",
)

IMPURE = frozenset(
    {
        "aiohttp",
        "asyncio",
        "ctypes",
        "fcntl",
        "glob",
        "io",
        "logging",
        "multiprocessing",
        "os",
        "pathlib",
        "random",
        "requests",
        "secrets",
        "select",
        "selectors",
        "shutil",
        "signal",
        "socket",
        "socketserver",
        "ssl",
        "structlog",
        "subprocess",
        "sys",
        "tempfile",
        "threading",
        "time",
        "urllib.request",
        "uvloop",
        "watchfiles",
    }
)

# datetime and date have clocks of their own.
CLOCKS = frozenset({"now", "utcnow", "today"})


# Inside a pure package, but not of it: module -> why.
SHELLS = {"steering.policy.schema": "prints the JSON Schema when run as a program"}


def part_of(name: str) -> str | None:
    """The longest part that holds the dotted name, None for what is not ours."""
    if name.split(".")[0] not in OURS:
        return None
    return max((part for part in MAY_IMPORT if name == part or name.startswith(part + ".")), key=len)


def pure_modules() -> list[Module]:
    return [m for m in modules() if m.name not in SHELLS and any(fnmatchcase(m.name, pattern) for pattern in PURE)]


def test_every_part_of_the_tree_has_a_place_in_the_order() -> None:
    parts = {
        ".".join(m.name.split(".")[:2]) if m.name.startswith("steering.") else m.name.split(".")[0] for m in modules()
    }
    assert parts <= set(MAY_IMPORT), "add the new part to MAY_IMPORT, lowest layer first"


@pytest.mark.parametrize("part", sorted(MAY_IMPORT))
def test_imports_run_one_way(part: str) -> None:
    wrong = [
        f"{module.path}:{line} imports {name}"
        for module in modules()
        if part_of(module.name) == part
        for line, name in imports(module)
        if (target := part_of(name)) not in (None, part) and target not in MAY_IMPORT[part]
    ]
    assert wrong == []


def test_the_order_has_no_circle() -> None:
    settled: set[str] = set()
    while len(settled) < len(MAY_IMPORT):
        ready = {part for part, below in MAY_IMPORT.items() if below <= settled} - settled
        assert ready, f"a circle among {sorted(set(MAY_IMPORT) - settled)}"
        settled |= ready


def test_pure_modules_exist() -> None:
    found = {pattern for pattern in PURE for module in modules() if fnmatchcase(module.name, pattern)}
    assert found == set(PURE), "a module was renamed: keep the table true"


def _impurities(module: Module) -> Iterator[str]:
    for line, name in imports(module):
        parts = name.split(".")
        if any(".".join(parts[: i + 1]) in IMPURE for i in range(len(parts))) and name != "pathlib.PurePosixPath":
            yield f"{module.path}:{line} imports {name}"
    for node in ast.walk(module.tree()):
        if isinstance(node, ast.Call):
            called = node.func
            if isinstance(called, ast.Name) and called.id in ("open", "print", "input"):
                yield f"{module.path}:{node.lineno} calls {called.id}()"
            if isinstance(called, ast.Attribute) and called.attr in CLOCKS:
                yield f"{module.path}:{node.lineno} reads a clock: .{called.attr}()"


def test_pure_modules_do_no_io_and_read_no_clock() -> None:
    assert [line for module in pure_modules() for line in _impurities(module)] == []


def test_the_packages_of_others_are_imported_in_one_place_each() -> None:
    """Heavy or replaceable dependencies stand behind one module of ours."""
    alone = {"publicsuffixlist": 1, "idna": 1, "uvloop": 1, "watchfiles": 1}
    users = {
        package: {m.name for m in modules() for _, name in imports(m) if name.split(".")[0] == package}
        for package in alone
    }
    assert {p: sorted(u) for p, u in users.items() if len(u) > alone[p]} == {}
