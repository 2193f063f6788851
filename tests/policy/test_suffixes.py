"""Where the names that anybody can register begin, by the public suffix list inside the package."""

from importlib.resources import files

import pytest
from publicsuffixlist import PublicSuffixList

from steering.policy.suffixes import (
    has_known_tld,
    holds_icann_suffix,
    holds_private_suffix,
    is_icann_suffix,
    private_suffix,
    registrable,
)

# name: whether it is an ICANN suffix, whether it is none and holds some, its registrable part
ICANN = [
    ("com", True, False, None),
    ("co.uk", True, False, None),
    ("uk", True, False, None),  # it holds co.uk, but is a suffix itself
    ("gov.uk", True, False, None),
    ("example.com", False, False, "example.com"),
    ("a.example.co.uk", False, False, "example.co.uk"),
    ("telemark.no", False, True, "telemark.no"),
    ("xn--b-5ga.telemark.no", True, False, None),  # bø.telemark.no
    ("ck", True, False, None),  # *.ck
    ("any.ck", True, False, None),
    ("www.ck", False, False, "www.ck"),  # !www.ck
    ("kawasaki.jp", True, False, None),
    ("city.kawasaki.jp", False, False, "city.kawasaki.jp"),
    ("github.io", False, False, "github.io"),  # a private suffix is its owner's registrable name
    ("unknown-tld", True, False, None),
]


@pytest.mark.parametrize(("name", "suffix", "holds", "registered"), ICANN)
def test_icann(name: str, suffix: bool, holds: bool, registered: str | None) -> None:
    assert (is_icann_suffix(name), holds_icann_suffix(name), registrable(name)) == (suffix, holds, registered)


LIST = files("publicsuffixlist").joinpath("public_suffix_list.dat").read_text("utf-8")


def test_every_listed_name_and_what_is_around_it() -> None:
    """By the list's own reading, which is slow."""
    slowly = PublicSuffixList(only_icann=True)
    lines = [line.strip() for line in LIST.splitlines()]
    names = [line.lstrip("!*.").encode("idna").decode() for line in lines if line and not line.startswith("//")]
    assert len(names) > 9000
    for listed in names:
        for name in (listed, f"a.{listed}", f"a.b.{listed}", f"a-{listed}", listed.partition(".")[2] or listed):
            assert is_icann_suffix(name) == (slowly.publicsuffix(name) == name), name


@pytest.mark.parametrize(
    ("name", "suffix", "holds"),
    [
        ("github.io", "github.io", False),
        ("cloudfront.net", "cloudfront.net", False),
        ("blob.core.windows.net", "blob.core.windows.net", False),
        ("windows.net", None, True),
        ("amazonaws.com", None, True),
        ("digitaloceanspaces.com", "digitaloceanspaces.com", True),  # *.digitaloceanspaces.com
        ("me.github.io", None, False),
        ("example.com", None, False),
        ("com", None, False),
        ("co.uk", None, False),
    ],
)
def test_private(name: str, suffix: str | None, holds: bool) -> None:
    assert (private_suffix(name), holds_private_suffix(name)) == (suffix, holds)


@pytest.mark.parametrize(
    ("name", "known"), [("com", True), ("java.comm", False), ("a.co.uk", True), ("xn--p1ai", True), ("local", False)]
)
def test_known_tlds(name: str, known: bool) -> None:
    assert has_known_tld(name) is known
