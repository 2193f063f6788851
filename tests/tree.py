"""The modules of the product as they lie in the tree, and what each of them imports."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tests.kit import ROOT

# Folder that holds packages -> the packages in it that belong to the product.
PACKAGE_ROOTS = {".": ("steering",), "dns": ("steering_dns",), "inspector": ("steering_inspector",)}
OURS = tuple(package for packages in PACKAGE_ROOTS.values() for package in packages)


@dataclass(frozen=True, slots=True)
class Module:
    """name: dotted, a package by its own name.  path: relative to the checkout."""

    name: str
    path: Path
    is_package: bool

    def tree(self) -> ast.Module:
        return ast.parse((ROOT / self.path).read_text("utf-8"), str(self.path))


@cache
def modules() -> tuple[Module, ...]:
    return tuple(sorted(_find(), key=lambda module: module.name))


def _find() -> Iterator[Module]:
    for folder, packages in PACKAGE_ROOTS.items():
        for package in packages:
            for path in (ROOT / folder / package).rglob("*.py"):
                parts = path.relative_to(ROOT / folder).with_suffix("").parts
                is_package = parts[-1] == "__init__"
                yield Module(".".join(parts[:-1] if is_package else parts), path.relative_to(ROOT), is_package)


def imports(module: Module) -> Iterator[tuple[int, str]]:
    """Line and absolute dotted name of everything that the module imports, ``from a import b`` as ``a.b``.

    Imports for type checking alone count too: a type is a dependency.
    """
    for node in ast.walk(module.tree()):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(module, node)
            for alias in node.names:
                yield node.lineno, f"{base}.{alias.name}"


def _absolute(module: Module, node: ast.ImportFrom) -> str:
    if not node.level:
        return node.module or ""
    parts = module.name.split(".")
    up = node.level - (1 if module.is_package else 0)
    parts = parts[: len(parts) - up] if up else parts
    return ".".join([*parts, node.module] if node.module else parts)
