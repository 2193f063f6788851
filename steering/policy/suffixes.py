"""The public suffix list: where the names that anybody can register begin.

The only place that imports it.  The list travels inside the package, so nothing is fetched.
"""

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
    return bool(_icann().publicsuffix(name) == name)


@cache
def _above_icann() -> frozenset[str]:
    """Names that are no suffix themselves, but hold some: ``telemark.no`` holds the suffix ``bø.telemark.no``."""
    above: set[str] = set()
    text = files("publicsuffixlist").joinpath("public_suffix_list.dat").read_text("utf-8")
    listed = text.partition("===END ICANN DOMAINS===")[0]
    for line in listed.splitlines():
        suffix = line.strip()
        if not suffix or suffix.startswith(("//", "!")):
            continue
        name = suffix.encode("idna").decode("ascii") if not suffix.isascii() else suffix
        while "." in name:
            name = name.partition(".")[2]
            above.add(name)
    return frozenset(name for name in above if not is_icann_suffix(name))


def holds_icann_suffix(name: str) -> bool:
    """Whether the public registers names below names below ``name``, as ``is_icann_suffix`` one level up."""
    return name in _above_icann()


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
