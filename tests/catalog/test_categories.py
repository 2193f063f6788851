"""The category tables: what ships, and what a file that cannot be used is answered with."""

import json
from pathlib import Path

import pytest

from steering.catalog import CatalogError, Category, load_categories, load_category_files
from steering.catalog import categories as module
from steering.catalog.categories import table
from steering.policy import Flow, compile_policy, parse_host
from steering.policy.domains import parse_domain
from steering.policy.model import Action, RulesModel
from steering.policy.rules import read_rules
from steering.resources import starter_rules

SHIPPED = {
    "Financial Services": ("paypal.com", "www.paypal.com", "sparkasse.de", "any.bank"),
    "Government": ("www.irs.gov", "bund.de", "www.gov.uk", "army.mil"),
    "Health and Medicine": ("nhs.uk", "my.clevelandclinic.org", "www.aok.de"),
    "Legal": ("brak.de", "www.lexisnexis.com", "uscourts.gov"),
}
FOLDER = Path(module.__file__).with_name("categories")


def a_category(**changes: object) -> Category:
    base = {"name": "News", "version": "1", "sources": ["ours"], "domains": ["news.example"]}
    return Category.model_validate(base | changes)


def test_the_four_of_the_shipped_rule() -> None:
    wanted = next(r for r in json.loads(starter_rules().read_bytes())["rules"] if r.get("categories"))["categories"]
    assert wanted == list(SHIPPED)
    assert set(load_categories().domains) == set(SHIPPED)


def test_enabled_the_shipped_rule_does_something() -> None:
    document = json.loads(starter_rules().read_bytes())
    for rule in document["rules"]:
        rule["enabled"] = bool(rule.get("categories"))
    rule_set, problems = read_rules(RulesModel.model_validate(document), load_categories())
    assert rule_set is not None, problems
    policy = compile_policy(rule_set)
    for names in SHIPPED.values():
        for name in names:
            assert policy.decide(Flow(host=parse_host(name)), 0).action is Action.BYPASS, name
    for name in ("example.com", "notpaypal.com", "bank.example", "gov.example"):
        assert policy.decide(Flow(host=parse_host(name)), 0).action is Action.INSPECT, name


@pytest.mark.parametrize("category", load_category_files(FOLDER), ids=lambda category: category.name)
def test_every_file_is_in_order_and_names_its_sources(category: Category) -> None:
    assert category.domains == sorted(set(category.domains))
    assert category.sources and category.description and category.version
    assert len(category.domains) >= 50
    names = set(category.domains)
    covered = [n for n in names if any(".".join(n.split(".")[i:]) in names for i in range(1, n.count(".") + 1))]
    assert covered == []
    assert [n for n in names if parse_domain(n).name != n] == []


def test_a_later_one_of_the_same_name_replaces() -> None:
    made = table([a_category(), a_category(name="NEWS", domains=["other.example", "Bücher.example"])])
    assert made.domains == {"NEWS": frozenset({"other.example", "xn--bcher-kva.example"})}


def test_the_version_changes_with_the_content_alone() -> None:
    one = table([a_category(domains=["a.example", "b.example"])]).version
    assert table([a_category(domains=["b.example", "a.example"], version="2")]).version == one
    assert table([a_category(domains=["b.example"])]).version != one
    assert table([a_category(name="Other", domains=["a.example", "b.example"])]).version != one


@pytest.mark.parametrize("entry", ["*.x.example", "=x.example", "https://x.example", "a b", ""])
def test_only_plain_names(entry: str) -> None:
    with pytest.raises(CatalogError, match="category 'News'"):
        table([a_category(domains=[entry])])


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "bad.json: /: "),
        (b"\xff\xfe\x00", "bad.json: /: "),
        (b"[]", "bad.json: /: "),
        (b'{"name": "x"}', "bad.json: /version: Field required"),
        (b'{"name": "x", "version": "1", "sources": [], "domains": []}', "bad.json: /sources: "),
        (b'{"name": "x", "version": "1", "sources": ["s"], "domains": [1]}', "bad.json: /domains/0: "),
        (b'{"name": "x", "version": "1", "sources": ["s"], "domains": [], "more": 1}', "bad.json: /more: "),
    ],
    ids=["empty", "binary", "list", "incomplete", "unsourced", "number", "unknown-key"],
)
def test_a_bad_file_says_its_name_and_its_place(content: bytes, says: str, tmp_path: Path) -> None:
    (tmp_path / "bad.json").write_bytes(content)
    with pytest.raises(CatalogError) as caught:
        load_category_files(tmp_path)
    assert str(caught.value).startswith(says)


def test_a_file_too_large_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = a_category().model_dump_json().encode()
    (tmp_path / "a.json").write_bytes(content)
    monkeypatch.setattr(module, "MAX_FILE_BYTES", len(content))
    assert load_category_files(tmp_path) == [a_category()]
    monkeypatch.setattr(module, "MAX_FILE_BYTES", len(content) - 1)
    with pytest.raises(CatalogError, match=r"a\.json is larger"):
        load_category_files(tmp_path)
