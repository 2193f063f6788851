"""``steering categories``: what there is, and where a host belongs."""

import json

import pytest

from steering.cli.categories import holding
from steering.policy import parse_host
from steering.policy.rules import CategoryTable
from tests.cli.runner import run

TABLE = CategoryTable(
    "v", {"News": frozenset({"news.example", "a.news.example"}), "Sport": frozenset({"a.news.example", "ball"})}
)


@pytest.mark.parametrize(
    ("host", "hits"),
    [
        ("news.example", [("News", "news.example")]),
        ("x.news.example", [("News", "news.example")]),
        ("x.a.news.example", [("News", "a.news.example"), ("Sport", "a.news.example")]),
        ("any.ball", [("Sport", "ball")]),
        ("xnews.example", []),
        ("example", []),
        ("127.1", []),
        ("192.0.2.1", []),
    ],
)
def test_the_nearest_entry_of_each(host: str, hits: list[tuple[str, str]]) -> None:
    assert holding(TABLE, parse_host(host)) == hits


def test_list() -> None:
    listed = json.loads(run("categories", "list", "--json").output)
    assert [c["name"] for c in listed["categories"]] == [
        "Financial Services", "Government", "Health and Medicine", "Legal",
    ]  # fmt: skip
    lines = run("categories", "list").output.splitlines()
    assert lines[-1] == f"version {listed['version']}"
    assert [line.split()[-2:] for line in lines[:-1]] == [
        [str(c["domains"]), "domains"] for c in listed["categories"]
    ]  # fmt: skip


def test_lookup() -> None:
    result = run("categories", "lookup", "https://www.PayPal.com/login")
    assert (result.exit_code, result.output) == (0, "www.paypal.com: Financial Services (paypal.com)\n")
    result = run("categories", "lookup", "example.com")
    assert (result.exit_code, result.output) == (0, "example.com: in no category\n")
    answer = json.loads(run("categories", "lookup", "curia.europa.eu", "--json").output)
    assert answer == {
        "host": "curia.europa.eu",
        "categories": [
            {"category": "Government", "entry": "europa.eu"},
            {"category": "Legal", "entry": "curia.europa.eu"},
        ],
        "version": json.loads(run("categories", "list", "--json").output)["version"],
    }


def test_what_is_no_host_is_wrong_use() -> None:
    for target in ("a b", "http://", ""):
        result = run("categories", "lookup", target)
        assert (result.exit_code, result.stdout, len(result.stderr.splitlines())) == (2, "", 1)
