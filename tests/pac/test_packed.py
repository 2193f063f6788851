"""Packed names come out again, and the search in the template finds in them what the twin does."""

import json

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from steering import resources
from steering.pac.packed import MAX_SHARED, pack, reversed_key, unpack
from tests.pac.policies import around, real_looking_names

SEARCH = resources.pac_templates().joinpath("bulk.js.j2").read_text("utf-8")

# Few letters, so that names meet: as prefixes, as siblings, with what sorts around a dot.
labels = st.text("ab-_0", min_size=1, max_size=3) | st.sampled_from(["a" * 24, "a" * 25, "a" * 26, "a" * 27 + "b"])
names = st.lists(labels, min_size=1, max_size=4).map(".".join)
name_sets = st.sets(names, max_size=40)


def without_descendants(found: set[str]) -> set[str]:
    return {name for name in found if not any(name[i + 1 :] in found for i, c in enumerate(name) if c == ".")}


@pytest.mark.parametrize(
    ("names_", "per_block", "below_only", "blocks"),
    [
        ([], 16, [], []),
        (["example.com"], 16, [], ["com.example."]),
        (["example.com"], 16, ["example.com"], ["com.example.*"]),
        (["b.com", "a.com", "ab.com"], 16, [], ["com.a. Fb Eb"]),
        (["b.com", "a.com", "ab.com"], 16, ["ab.com"], ["com.a. Fb* Eb"]),
        (["b.com", "a.com", "ab.com"], 2, [], ["com.a. Fb", "com.b."]),
        (["a-b.com", "a.com"], 16, [], ["com.a-b. F"]),  # "-" sorts before the dot
        (["a.com", "b.a.com"], 16, [], ["com.a. F.b"]),
    ],
)
def test_blocks(names_: list[str], per_block: int, below_only: list[str], blocks: list[str]) -> None:
    assert pack(names_, per_block, below_only) == blocks


@pytest.mark.parametrize(("shared", "letter"), [(24, "Y"), (25, "Z"), (26, "Z")])
def test_shared_length_is_capped(shared: int, letter: str) -> None:
    assert MAX_SHARED == 25
    stem = "a" * (shared - 4)
    [block] = pack([f"{stem}a.com", f"{stem}b.com"], 16)
    head, entry = block.split(" ")
    assert (head, entry[0]) == (f"com.{stem}a.", letter)
    assert unpack([block]) == [f"{stem}a.com", f"{stem}b.com"]


@given(name_sets, st.integers(1, 7), st.data())
def test_unpack_gives_the_names_in_the_order_of_their_keys(
    found: set[str], per_block: int, data: st.DataObject
) -> None:
    below_only = set(data.draw(st.lists(st.sampled_from(sorted(found)), unique=True))) if found else set()
    expected = [f"*.{name}" if name in below_only else name for name in sorted(found, key=reversed_key)]
    assert unpack(pack(found, per_block, below_only)) == expected


class Search:
    """The function ``packed`` of the template, in QuickJS."""

    def __init__(self) -> None:
        import quickjs

        self._context = quickjs.Context()
        self._context.eval(SEARCH)

    def lengths(self, blocks: list[str], hosts: list[str], *, whole: bool) -> list[int]:
        arguments = f"{json.dumps(blocks)}, {json.dumps(hosts)}, {json.dumps(whole)}"
        found = self._context.eval(
            f"(function (b, h, w) {{ return h.map(function (x) {{ return packed(b, x, w); }}).join(); }})({arguments})"
        )
        return [int(n) for n in found.split(",")] if hosts else []


@pytest.fixture(scope="module")
def search() -> Search:
    return Search()


def ancestor_length(found: list[str], host: str) -> int:
    """What the search for the name or one above it must give, from the unpacked names."""
    for name in found:
        bare = name.removeprefix("*.")
        if host.endswith(f".{bare}") or host == name:
            return len(bare) + 1
    return 0


@pytest.mark.needs("quickjs")
@settings(max_examples=150, deadline=None)
@given(
    found=name_sets.map(without_descendants),
    hosts=st.lists(names, max_size=8),
    per_block=st.integers(1, 7),
    data=st.data(),
)
def test_search_for_an_ancestor(
    search: Search, found: set[str], hosts: list[str], per_block: int, data: st.DataObject
) -> None:
    below_only = set(data.draw(st.lists(st.sampled_from(sorted(found)), unique=True))) if found else set()
    blocks = pack(found, per_block, below_only)
    asked = [*hosts, *around(sorted(found)[:5])]
    asked = [host for host in asked if host]
    expected = [ancestor_length(unpack(blocks), host) for host in asked]
    assert search.lengths(blocks, asked, whole=False) == expected


@pytest.mark.needs("quickjs")
@settings(max_examples=150, deadline=None)
@given(found=name_sets, hosts=st.lists(names, max_size=8), per_block=st.integers(1, 7))
@example(found={"a", "a.a", "b.a", "a-.a"}, hosts=["a"], per_block=1)
@example(found={"a" * 27 + ".a", "a" * 27 + "b.a"}, hosts=["a" * 27 + "b.a"], per_block=7)
def test_search_for_the_name_itself(search: Search, found: set[str], hosts: list[str], per_block: int) -> None:
    asked = [*hosts, *sorted(found), *(host for host in around(sorted(found)[:5]) if host)]
    expected = [len(host) + 1 if host in found else 0 for host in asked]
    assert search.lengths(pack(found, per_block), asked, whole=True) == expected


@pytest.mark.needs("quickjs")
@pytest.mark.parametrize("per_block", [1, 2, 16, 64])
def test_every_real_looking_name_is_found_and_no_other(search: Search, per_block: int) -> None:
    everything = sorted(without_descendants(set(real_looking_names(4000, seed=per_block))))
    listed, others = everything[::2], everything[1::2]
    blocks = pack(listed, per_block)
    assert search.lengths(blocks, listed, whole=False) == [len(name) + 1 for name in listed]
    assert search.lengths(blocks, [f"a.b.{name}" for name in listed], whole=False) == [len(n) + 1 for n in listed]
    assert search.lengths(blocks, others, whole=False) == [0] * len(others)
