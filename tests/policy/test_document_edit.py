"""A small change leaves the rest of the text as its author wrote it, and always a file that can be read."""

import json
from itertools import pairwise

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from steering.policy.document import read_document
from steering.policy.document_edit import set_enabled, with_rule
from steering.policy.errors import RulesError
from steering.policy.json_text import read_json
from steering.resources import starter_rules

FILE = """\
{
    "version": 1,
    "rules": [
        {
            "name": "one",
            "domains": ["a.example", "b.example"]
        },
        {"enabled": true, "name": "two", "domains": ["c.example"]}
    ]
}
"""
EDITS = [
    ("one", False, '            "name": "one",', '            "name": "one",\n            "enabled": false,'),
    ("one", True, '            "name": "one",', '            "name": "one",\n            "enabled": true,'),
    ("two", False, '{"enabled": true, "name": "two"', '{"enabled": false, "name": "two"'),
    ("two", True, '{"enabled": true, "name": "two"', '{"enabled": true, "name": "two"'),
]


@pytest.mark.parametrize(("name", "enabled", "before", "after"), EDITS)
def test_set_enabled(name: str, enabled: bool, before: str, after: str) -> None:
    assert set_enabled(FILE, name, enabled) == FILE.replace(before, after)


def test_a_rule_is_found_by_what_its_name_says_not_by_how_it_is_written() -> None:
    text = '{"rules":[{"domains":["a.example"],"name":"\\u00e4 \\"1\\""}]}'
    assert set_enabled(text, 'ä "1"', False) == text.replace('1\\""', '1\\"","enabled": false')


def test_texts_that_look_like_the_key_are_left_alone() -> None:
    text = '{"rules": [{"note": "\\"enabled\\": true, \\"name\\": \\"b\\"", "name": "b", "domains": ["enabled"]}]}'
    assert set_enabled(text, "b", False) == text.replace('"name": "b",', '"name": "b", "enabled": false,')


ADDED: dict[str, object] = {"name": "new", "domains": ["n.example"]}
WRITTEN = """\
        {
            "name": "new",
            "domains": [
                "n.example"
            ]
        }"""


def test_with_rule() -> None:
    last = '{"enabled": true, "name": "two", "domains": ["c.example"]}'
    assert with_rule(FILE, ADDED) == FILE.replace(last, f"{last},\n{WRITTEN}")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('{"rules": []}', '{"rules": [\n    {\n      "name": "new"\n    }\n  ]}'),
        ('{"rules": [ \n ]}', '{"rules": [\n  {\n   "name": "new"\n  }\n ]}'),
        ('{"rules": [{"name": "a"}]}', '{"rules": [{"name": "a"},\n    {\n      "name": "new"\n    }]}'),
        ('{\n\t"rules": []\n}\n', '{\n\t"rules": [\n\t\t{\n\t\t\t"name": "new"\n\t\t}\n\t]\n}\n'),
        ('{\r\n "rules": []\r\n}\r\n', '{\r\n "rules": [\r\n  {\r\n   "name": "new"\r\n  }\r\n ]\r\n}\r\n'),
    ],
)
def test_the_file_s_own_manner_is_kept(before: str, after: str) -> None:
    assert with_rule(before, {"name": "new"}) == after


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("{", "the file is no JSON; steering check says where"),
        ('{"rules": [],}', "the file is no JSON; steering check says where"),
        ('{"rules": [], "rules": []}', "the file is no JSON; steering check says where"),
        ("[]", "the file has no list of rules"),
        ("{}", "the file has no list of rules"),
        ('{"rules": {}}', "the file has no list of rules"),
    ],
)
def test_a_file_that_cannot_be_edited(source: str, message: str) -> None:
    with pytest.raises(RulesError) as caught:
        set_enabled(source, "a", False)
    assert str(caught.value) == message
    with pytest.raises(RulesError) as caught:
        with_rule(source, ADDED)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("zoom", "did you mean 'Bypass Zoom' or 'Zoom rooms'?"),
        ("bypass zoom", "did you mean 'Bypass Zoom'?"),
        ("Bypas Zoom", "did you mean 'Bypass Zoom'?"),
        ("Dropbox", "steering rules list shows all"),
        ("", "steering rules list shows all"),
    ],
)
def test_a_rule_that_is_not_there(name: str, advice: str) -> None:
    file = '{"rules": [{"name": "Bypass Zoom"}, {"name": "Zoom rooms"}, {"name": "other"}, {}, 5]}'
    with pytest.raises(RulesError) as caught:
        set_enabled(file, name, True)
    assert str(caught.value) == f"there is no rule named {name!r}; {advice}"


names = st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), min_size=1, max_size=8)
texts = st.text(st.characters(codec="utf-8"), max_size=12)
rules = st.fixed_dictionaries(
    {"name": names},
    optional={
        "enabled": st.booleans(),
        "note": texts,
        "domains": st.lists(st.sampled_from(["a.example", "=b.example"]), max_size=2),
        "programs": st.lists(st.just("zoom") | st.fixed_dictionaries({"signer": texts}), max_size=2),
    },
)
indents = st.sampled_from([None, 0, 1, 2, 4, "\t"])
separators = st.sampled_from([(",", ":"), (", ", ": "), (" ,\n", " :\t")])


@st.composite
def files(draw: st.DrawFn) -> str:
    document = {"version": 1, "rules": draw(st.lists(rules, max_size=4)), "groups": {"name": {}, "enabled": {}}}
    order = draw(st.permutations(list(document)))
    written = json.dumps(
        {key: document[key] for key in order},
        indent=draw(indents),
        separators=draw(separators),
        ensure_ascii=draw(st.booleans()),
    )
    ends = draw(st.sampled_from(["\n", "\r\n"]))
    around = st.sampled_from(["", " ", ends])
    return draw(around) + written.replace("\n", ends) + draw(around)


@given(files(), st.data(), st.booleans())
def test_enabling_changes_nothing_else(source: str, data: st.DataObject, enabled: bool) -> None:
    document = json.loads(source)
    assume(document["rules"])
    name = data.draw(st.sampled_from([rule["name"] for rule in document["rules"]]))
    edited = set_enabled(source, name, enabled)
    first = next(rule for rule in document["rules"] if rule["name"] == name)
    first["enabled"] = enabled
    read = read_json(edited)
    assert (read.value, read.faults) == (document, [])
    removed, put = difference(source, edited)
    assert len(removed) <= len("false")
    assert len("".join(put.split())) <= len(',"enabled":false')
    assert set_enabled(edited, name, enabled) == edited  # done once is done


def difference(before: str, after: str) -> tuple[str, str]:
    """What stands between the beginning and the end that both texts share."""
    start = shared(before, after)
    end = shared(before[start:][::-1], after[start:][::-1])
    return before[start : len(before) - end], after[start : len(after) - end]


def shared(one: str, other: str) -> int:
    return next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


@given(files(), rules)
def test_a_new_rule_comes_last_and_changes_nothing_else(source: str, rule: dict[str, object]) -> None:
    document = json.loads(source)
    edited = with_rule(source, rule)
    document["rules"].append(rule)
    read = read_json(edited)
    assert (read.value, read.faults) == (document, [])
    if len(document["rules"]) > 1:  # nothing but an insertion
        assert difference(source, edited)[0] == ""
    if "\r\n" in source:
        assert "\n" not in edited.replace("\r\n", "")  # still of one kind of line


@given(st.lists(st.tuples(st.integers(0, 15), st.booleans()), min_size=1, max_size=6))
def test_edits_of_the_shipped_file(edits: list[tuple[int, bool]]) -> None:
    text = starter_rules().read_text("utf-8")
    wanted = [rule["enabled"] for rule in json.loads(text)["rules"]]
    listed = [rule["name"] for rule in json.loads(text)["rules"]]
    versions = [text]
    for index, enabled in edits:
        versions.append(set_enabled(versions[-1], listed[index], enabled))
        wanted[index] = enabled
    assert [rule["enabled"] for rule in json.loads(versions[-1])["rules"]] == wanted
    for before, after in pairwise(versions):
        differing = [pair for pair in zip(before.splitlines(), after.splitlines(), strict=True) if pair[0] != pair[1]]
        assert len(differing) <= 1


def test_an_added_rule_is_enforced() -> None:
    reading = read_document(with_rule(FILE, ADDED))
    assert reading.rule_set is not None
    assert [rule.name for rule in reading.rule_set.rules] == ["one", "two", "new"]
