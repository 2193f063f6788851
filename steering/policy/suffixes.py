"""The public suffix list: where the names that anybody can register begin.

The only place that imports it.  The list travels inside the package, so nothing is fetched.
"""

from collections.abc import Iterator
from functools import cache
from importlib.resources import files

from publicsuffixlist import PublicSuffixList


@cache
def _icann() -> PublicSuffixList:
    return PublicSuffixList(only_icann=True)


@cache
def _all() -> PublicSuffixList:
    return PublicSuffixList()


@cache
def _strict() -> PublicSuffixList:
    return PublicSuffixList(accept_unknown=False, only_icann=True)


def is_icann_suffix(name: str) -> bool:
    """Whether ``name`` itself is a suffix under which the public registers names (``com``, ``co.uk``)."""
    if "." in name and name not in _icann_names() and f"*.{name.partition('.')[2]}" not in _icann_names():
        return False  # as nearly every name; the list's own reading takes ten times as long
    return bool(_icann().publicsuffix(name) == name)


@cache
def _icann_names() -> frozenset[str]:
    """What stands in the list: names, wildcards (``*.ck``) and what they are made of, exceptions (``!www.ck``)."""
    listed = frozenset(map(_a_labels, _suffixes(_listed()[0])))
    return listed | {suffix.removeprefix("*.") for suffix in listed}


def _suffixes(listed: str) -> Iterator[str]:
    for line in listed.splitlines():
        suffix = line.strip()
        if suffix and not suffix.startswith("//"):
            yield suffix


def _a_labels(suffix: str) -> str:
    return suffix if suffix.isascii() else suffix.encode("idna").decode("ascii")


@cache
def _listed() -> tuple[str, str]:
    """The list's ICANN part and its private part."""
    text = files("publicsuffixlist").joinpath("public_suffix_list.dat").read_text("utf-8")
    icann, _, private = text.partition("===END ICANN DOMAINS===")
    return icann, private


def _above(listed: str) -> frozenset[str]:
    """Names that are no ICANN suffix themselves, but hold a listed one."""
    above: set[str] = set()
    for suffix in _suffixes(listed):
        if suffix.startswith("!"):
            continue
        name = _a_labels(suffix)
        while "." in name:
            name = name.partition(".")[2]
            above.add(name)
    return frozenset(name for name in above if not is_icann_suffix(name))


@cache
def _above_icann() -> frozenset[str]:
    return _above(_listed()[0])


@cache
def _above_private() -> frozenset[str]:
    return _above(_listed()[1])


def holds_icann_suffix(name: str) -> bool:
    """Whether ``name`` is no suffix, but holds some: ``telemark.no`` holds the suffix ``bø.telemark.no``."""
    return name in _above_icann()


def holds_private_suffix(name: str) -> bool:
    """Whether names below ``name`` are private suffixes: ``amazonaws.com`` holds ``s3.amazonaws.com``."""
    return name in _above_private()


def registrable(name: str) -> str | None:
    """The registrable part of ``name`` under ICANN suffixes (``a.b.example.co.uk`` -> ``example.co.uk``), or None."""
    found = _icann().privatesuffix(name)
    return str(found) if found else None


def private_suffix(name: str) -> str | None:
    """The private public suffix (``cloudfront.net``) that ``name`` is, or None: different owners live below it."""
    return name if not is_icann_suffix(name) and _all().publicsuffix(name) == name else None


def has_known_tld(name: str) -> bool:
    """Whether the last label is in the list; an unknown one is usually a typing error."""
    return _strict().publicsuffix(name) is not None
