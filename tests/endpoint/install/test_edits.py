"""What becomes of files that others write too: whole contents in named cases, and that undo loses nothing."""

import json
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steering.endpoint.install.edits import Block, Change, EditError, IniValues, JsonValues, Whole

BLOCK = Block(lines=("[http]", "\tsslCAInfo = x"))
MARKED = "# begin steering endpoint, do not edit\n[http]\n\tsslCAInfo = x\n# end steering endpoint\n"
POLICY = JsonValues(values='{"policies": {"Proxy": {"Mode": "autoConfig"}, "Certificates": {"Install": ["/ca.pem"]}}}')
KDE = IniValues(section="Proxy Settings", values=(("Proxy Config Script", "http://p"), ("ProxyType", "2")))


@dataclass(frozen=True, slots=True)
class Case:
    """since: what others make of it after ours came, None for nothing.  left: after ours was taken from that."""

    change: Change
    old: str | None
    new: str
    since: str
    left: str | None


def _json(value: Any) -> str:
    return json.dumps(value, indent=2) + "\n"


CASES = {
    "a file of ours": Case(Whole(content="ours\n"), None, "ours\n", "changed\n", None),
    "a file of ours in another's place": Case(Whole(content="ours\n"), "theirs\n", "ours\n", "changed\n", "theirs\n"),
    "a block, no file": Case(BLOCK, None, MARKED, MARKED, None),
    "a block, no file, others' lines since": Case(BLOCK, None, MARKED, "a\n" + MARKED + "b\n", "a\nb\n"),
    "a block after others' lines": Case(BLOCK, "a\n", "a\n" + MARKED, "a\n" + MARKED + "b\n", "a\nb\n"),
    "a block after an unended line": Case(BLOCK, "a", "a\n" + MARKED, "a2\n" + MARKED, "a2\n"),
    "a block in a file that needs a beginning": Case(
        Block(lines=("ours",), opening="first\n"),
        None,
        "first\n# begin steering endpoint, do not edit\nours\n# end steering endpoint\n",
        "first\n# begin steering endpoint, do not edit\nours\n# end steering endpoint\n",
        None,
    ),
    "an older block of ours": Case(
        BLOCK,
        "a\n# begin steering endpoint, do not edit\nold\n# end steering endpoint\nb\n",
        "a\nb\n" + MARKED,
        "a\nb\n" + MARKED,
        "a\nb\n",
    ),
    "JSON, no file": Case(
        POLICY,
        None,
        _json({"policies": {"Proxy": {"Mode": "autoConfig"}, "Certificates": {"Install": ["/ca.pem"]}}}),
        _json({"policies": {"Proxy": {"Mode": "autoConfig"}, "Certificates": {"Install": ["/ca.pem"]}, "New": 1}}),
        _json({"policies": {"New": 1}}),
    ),
    "JSON beside others' values": Case(
        POLICY,
        _json({"policies": {"Proxy": {"Mode": "none", "Locked": True}, "Certificates": {"Install": ["/theirs.pem"]}}}),
        _json(
            {
                "policies": {
                    "Proxy": {"Mode": "autoConfig", "Locked": True},
                    "Certificates": {"Install": ["/theirs.pem", "/ca.pem"]},
                }
            }
        ),
        _json(
            {
                "policies": {
                    "Proxy": {"Mode": "autoConfig", "Locked": False},
                    "Certificates": {"Install": ["/theirs.pem", "/ca.pem", "/new.pem"]},
                }
            }
        ),
        _json(
            {
                "policies": {
                    "Proxy": {"Mode": "none", "Locked": False},
                    "Certificates": {"Install": ["/theirs.pem", "/new.pem"]},
                }
            }
        ),
    ),
    "JSON that others have set otherwise since": Case(
        POLICY,
        _json({"policies": {}}),
        _json({"policies": {"Proxy": {"Mode": "autoConfig"}, "Certificates": {"Install": ["/ca.pem"]}}}),
        _json({"policies": {"Proxy": {"Mode": "manual"}}}),
        _json({"policies": {"Proxy": {"Mode": "manual"}}}),
    ),
    "INI, no file": Case(
        KDE,
        None,
        "[Proxy Settings]\nProxy Config Script=http://p\nProxyType=2\n",
        "[Proxy Settings]\nProxy Config Script=http://p\nProxyType=2\n",
        None,
    ),
    "INI beside others' lines": Case(
        KDE,
        "[A]\nx=1\n\n[Proxy Settings]\nProxyType=0\nNoProxyFor=y\n\n[B]\nProxyType=9\n",
        "[A]\nx=1\n\n[Proxy Settings]\nProxyType=2\nNoProxyFor=y\nProxy Config Script=http://p\n\n[B]\nProxyType=9\n",
        "[A]\nx=2\n\n[Proxy Settings]\nProxyType=2\nNoProxyFor=z\nProxy Config Script=http://p\n\n[B]\nProxyType=9\n",
        "[A]\nx=2\n\n[Proxy Settings]\nProxyType=0\nNoProxyFor=z\n\n[B]\nProxyType=9\n",
    ),
    "INI that others have set otherwise since": Case(
        KDE,
        "[Proxy Settings]\nProxyType=0\n",
        "[Proxy Settings]\nProxyType=2\nProxy Config Script=http://p\n",
        "[Proxy Settings]\nProxyType=4\nProxy Config Script=http://p\n",
        "[Proxy Settings]\nProxyType=4\n",
    ),
}


def _encoded(text: str | None) -> bytes | None:
    return None if text is None else text.encode()


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_put_and_take(case: Case) -> None:
    new = case.change.put(_encoded(case.old))
    assert new == case.new.encode()
    assert case.change.put(new) == new, "a second time changes nothing"
    assert case.change.take(case.since.encode(), _encoded(case.old)) == _encoded(case.left)


REFUSED = {
    "JSON with an error": (POLICY, b'{"policies": {,}}', "no JSON"),
    "JSON that is a list": (POLICY, b"[]", "no JSON object"),
    "a block without its end": (BLOCK, b"# begin steering endpoint, do not edit\nx\n", "does not end"),
    "bytes that are no text": (BLOCK, b"\xff\xfe", "UTF-8"),
}


@pytest.mark.parametrize(("change", "old", "why"), REFUSED.values(), ids=REFUSED.keys())
def test_what_would_do_harm_is_refused(change: Change, old: bytes, why: str) -> None:
    with pytest.raises(EditError, match=why):
        change.put(old)


def test_others_layout_stays_where_nothing_is_lacking() -> None:
    old = b'{"policies":{"Proxy":{"Mode":"autoConfig"},"Certificates":{"Install":["/ca.pem"]}}}'
    assert POLICY.put(old) == old


leaves = st.none() | st.booleans() | st.integers() | st.text(max_size=3)
values = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3)
)
objects = st.dictionaries(st.sampled_from("abc"), values, max_size=3)


@given(old=objects, ours=objects)
def test_json_is_put_idempotently_and_taken_exactly(old: dict[str, Any], ours: dict[str, Any]) -> None:
    change, before = JsonValues(values=json.dumps(ours)), json.dumps(old).encode()
    new = change.put(before)
    assert change.put(new) == new
    left = change.take(new, before)
    assert left is not None
    assert json.loads(left) == old


lines = st.lists(st.sampled_from(("[P]", "[Q]", "k=1", "k=9", "l=2", "other=3", "", "# c")), max_size=8)


@given(old=lines)
def test_ini_is_put_idempotently_and_taken_without_loss(old: list[str]) -> None:
    change, before = IniValues(section="P", values=(("k", "9"), ("l", "9"))), "".join(f"{x}\n" for x in old).encode()
    new = change.put(before)
    assert change.put(new) == new
    assert (change.take(new, before) or b"").splitlines() == before.splitlines()
