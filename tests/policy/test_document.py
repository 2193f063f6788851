"""Every problem of a rules file at once, each in its place, in words; and nothing but that, whatever the file."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steering.policy import CategoryTable, RulesError, compile_policy
from steering.policy.document import as_line, load_document, read_document
from steering.resources import starter_rules
from tests.policy.work import calls

TABLE = CategoryTable(
    "1",
    {name: frozenset({"law.example"}) for name in ("Legal", "Government", "Health and Medicine", "Financial Services")},
)

BROKEN = """\
{
  "version": 2,
  "groups": {"sales": {"networks": ["10.1.0.0/99"], "members": []}},
  "rules": [
    {"name": "a", "action": "allow", "domain": ["x"], "enabled": 1,
     "programs": [3, {"nam": "x"}, "", "*.exe", "C:\\\\x.exe"]},
    {"name": "a", "domains": ["com", ".x.com", "http://x/", "1.2.3.4", "a..b"], "categories": ["law"],
     "source": ["group:q", "10.1.2.3/16"], "expires_at": "2026-02-30T00:00:00Z", "not_before": "2026-01-01"},
    {"name": "c"},
    "text",
    {"name": "e", "domains": ["e.example",], "expires_at": null, "expires_at": "2026-12-31T00:00:00Z"}
  ]
}
"""

EXPECTED = [
    ("2:14", "unknown-value", "/version"),
    ("3:37", "value", "/groups/sales/networks/0"),
    ("3:53", "unknown-key", "/groups/sales/members"),
    ("5:29", "unknown-value", "/rules/0/action"),
    ("5:38", "unknown-key", "/rules/0/domain"),
    ("5:66", "type", "/rules/0/enabled"),
    ("6:19", "type", "/rules/0/programs/0"),
    ("6:23", "unknown-key", "/rules/0/programs/1/nam"),
    ("6:36", "empty", "/rules/0/programs/2"),
    ("7:14", "value", "/rules/1/name"),
    ("7:31", "value", "/rules/1/domains/0"),
    ("7:38", "value", "/rules/1/domains/1"),
    ("7:48", "value", "/rules/1/domains/2"),
    ("7:61", "value", "/rules/1/domains/3"),
    ("7:72", "value", "/rules/1/domains/4"),
    ("7:96", "value", "/rules/1/categories/0"),
    ("8:17", "value", "/rules/1/source/0"),
    ("8:28", "value", "/rules/1/source/1"),
    ("8:58", "time", "/rules/1/expires_at"),
    ("8:96", "time", "/rules/1/not_before"),
    ("9:5", "value", "/rules/2"),
    ("10:5", "type", "/rules/3"),
    ("11:42", "trailing-comma", ""),
    ("11:66", "duplicate-key", ""),
]


def test_every_problem_of_a_file_in_its_place() -> None:
    reading = read_document(BROKEN, TABLE)
    assert reading.rule_set is None
    assert [(f"{f.line}:{f.column}", f.code, f.json_pointer) for f in reading.findings] == EXPECTED


@pytest.mark.parametrize(
    ("document", "line"),
    [
        ("[]", "1:1 error: the file must be an object, in braces"),
        ("{}", "1:1 error: the key 'rules' is missing (/rules)"),
        ('{"rules": 3}', "1:11 error: 'rules' must be a list, in square brackets (/rules)"),
        ('{"rules": [], "rule": 1}', "1:15 error: there is no key 'rule' here; did you mean 'rules'? (/rule)"),
        (
            '{"rules": [{"name": "a", "domains": ["b.example"], "action": "deny"}]}',
            "1:62 error: 'action' must be 'bypass', 'inspect' or 'block'; did you mean 'block'? (/rules/0/action)",
        ),
        (
            '{"rules": [{"name": "a", "domains": ["b.example"], "expires_at": "1700000000"}]}',
            "1:66 error: '1700000000' is no time with a time zone; write it as 2026-12-31T18:00:00Z "
            "(/rules/0/expires_at)",
        ),
        (
            '{"rules": [{"name": "a"}]}',
            "1:12 error: 'a' has no condition at all and would switch inspection off for everything; "
            "give it a destination, a program or a source (/rules/0)",
        ),
        (
            '{"rules": [{"name": "a\\u001b[2J", "domains": ["b.example"]}]}',
            "1:21 error: a name cannot hold line breaks or control characters (/rules/0/name)",
        ),
        ('{"rules": [], "\\u001b[2J": 1}', "1:15 error: there is no key '\\x1b[2J' here; known keys: $schema, version, "
         "groups, rules (/\\x1b[2J)"),
    ],
)  # fmt: skip
def test_words(document: str, line: str) -> None:
    assert [as_line(finding) for finding in read_document(document, TABLE).findings] == [line]


def test_load_raises_with_every_finding() -> None:
    with pytest.raises(RulesError) as caught:
        load_document(BROKEN, TABLE)
    assert len(caught.value.findings) == len(EXPECTED)
    assert len(str(caught.value).splitlines()) == len(EXPECTED)


def test_the_starter_rules_are_read() -> None:
    assert len(load_document(starter_rules().read_bytes(), TABLE).rules) == 16


@pytest.mark.parametrize(("length", "codes"), [(199, []), (200, []), (201, ["too-long"])])
def test_the_limit_of_a_name(length: int, codes: list[str]) -> None:
    document = json.dumps({"rules": [{"name": "n" * length, "domains": ["a.example"]}]})
    assert [finding.code for finding in read_document(document).findings] == codes


def many(count: int) -> bytes:
    domains = [f"host{i}.example{i % 999}.com" for i in range(count)]
    return json.dumps({"rules": [{"name": "many", "domains": domains}]}, indent=1).encode()


def test_a_hundred_thousand_domains_are_read_and_compiled() -> None:
    reading = read_document(many(100_000))
    assert reading.rule_set is not None
    assert sum(1 for name, _ in compile_policy(reading.rule_set).names() if name.startswith("host")) == 100_000


def test_reading_and_compiling_take_work_in_proportion_to_the_names() -> None:
    def work(count: int) -> int:
        source = many(count)
        return calls(lambda: compile_policy(load_document(source))).total()

    work(10)  # what is made once: the public suffix list, patterns
    few = work(1000)
    assert work(4000) <= 4 * few


STARTER = starter_rules().read_text()
FRAGMENTS = [
    "{", "}", "[", "]", ",", ":", '"', "null", "true", "-1", "1e400", '"\\ud800"', "\ufeff", "\x00", "\\", "//", "NaN",
    '{"name": "x"}', '"2026-12-31T00:00:00Z"', '"group:x"', '"user:"', "[[[[", '"*.*.com"', '"=*"', '"::ffff:1.2.3.4"',
    '"0001-01-01T00:00:00+23:59"', '"9999-12-31T23:59:60Z"', '"programs": [{}],', '"addresses": ["::/0"],', '"\u3002"',
    '"expires_at": "0001-01-01T00:00:00+14:00",', '"\U000e0001.example"', '"xn--a.example"', '"\u00ad"', '"-.example"',
]  # fmt: skip
PLACES = st.integers(0, len(STARTER))
MUTATIONS = st.lists(st.tuples(PLACES, st.integers(0, 12), st.sampled_from(["", *FRAGMENTS])), min_size=1, max_size=4)


def mutated(mutations: list[tuple[int, int, str]]) -> str:
    text = STARTER
    for start, length, put in mutations:
        text = text[:start] + put + text[start + length :]
    return text


@settings(max_examples=400, deadline=None)
@given(MUTATIONS)
def test_garbage_is_findings_or_a_policy_and_never_an_exception(mutations: list[tuple[int, int, str]]) -> None:
    reading = read_document(mutated(mutations), TABLE)
    assert (reading.rule_set is None) == bool(reading.findings)
    for finding in reading.findings:
        assert finding.line >= 1
        assert finding.column >= 1
        assert as_line(finding).isprintable()


leaves = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.text(max_size=8),
    st.sampled_from(["example.com", "10.0.0.0/8", "user:a"]),
)
KEYS = ["name", "enabled", "action", "source", "programs", "domains", "categories", "addresses", "expires_at", "path"]
anything = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=5)
)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.dictionaries(st.sampled_from(KEYS), anything, max_size=6) | anything, max_size=3), anything)
def test_wrong_shapes_are_findings(rules: object, groups: object) -> None:
    reading = read_document(json.dumps({"rules": rules, "groups": groups}), TABLE)
    assert (reading.rule_set is None) == bool(reading.findings)
