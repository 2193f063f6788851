"""Harmony's table, as a file and as it is copied from the page."""

from hypothesis import given
from hypothesis import strategies as st

from steering.imports.harmony import read_harmony
from tests.imports.reading import KNOWN, holds_for_any_text, problems_of, rules_of

CSV = """\
Name,Groups/Members,Programs,Domains,Web Categories,Status
Meetings,Any,"zoom.exe, us.zoom.xos","zoom.us
zoom.com",Any,Enabled
Sales,"sales, bob@example.com",,crm.example 192.0.2.0/24,,Disabled
Banks,,,,"Banks, Weapons",
Warehouse,warehouse,,stock.example,,
Suffix,,,com,,
Everything,Any,Any,Any,Any,Enabled
"""


def test_a_file() -> None:
    found = read_harmony(CSV, KNOWN)
    assert rules_of(found) == [
        {"name": "Meetings", "programs": ["zoom.exe", "us.zoom.xos"], "domains": ["zoom.us", "zoom.com"]},
        {
            "name": "Sales",
            "enabled": False,
            "source": ["group:sales", "user:bob@example.com"],
            "domains": ["crm.example"],
            "addresses": ["192.0.2.0/24"],
        },
        {"name": "Banks", "categories": ["Banks"]},
    ]
    assert problems_of(found) == [
        (5, "Weapons"),
        (6, "Warehouse"),
        (6, "warehouse"),
        (7, "Suffix"),
        (7, "com"),
        (8, "Everything"),
    ]


def test_copied_text() -> None:
    found = read_harmony("Name\tSources\tPrograms\tDomains\tCategories\nZoom\t-\tzoom\tzoom.us\t-\n", KNOWN)
    assert rules_of(found) == [{"name": "Zoom", "programs": ["zoom"], "domains": ["zoom.us"]}]


def test_without_names_of_columns_nothing_is_taken() -> None:
    found = read_harmony("\nZoom,,zoom,zoom.us,\n", KNOWN)
    assert (rules_of(found), problems_of(found)) == ([], [(2, "Zoom, , zoom, zoom.us,")])


def test_a_column_that_is_not_known_is_told() -> None:
    found = read_harmony("Name;Domains;Logging\nZoom;zoom.us;on\n", KNOWN)
    assert rules_of(found) == [{"name": "Zoom", "domains": ["zoom.us"]}]
    assert problems_of(found) == [(1, "Logging")]


def test_a_row_with_too_many_cells_is_not_taken() -> None:
    found = read_harmony("name,domains\nx,a.example,b.example\n", KNOWN)
    assert (rules_of(found), problems_of(found)) == ([], [(2, "x, a.example, b.example")])


def test_a_condition_that_is_lost_costs_the_rule_and_not_the_condition() -> None:
    found = read_harmony("name,sources,domains,categories\nx,,com,Banks\ny,nobody,a.example,\n", KNOWN)
    assert rules_of(found) == [{"name": "x", "categories": ["Banks"]}]


words = st.sampled_from(
    ["name", "domains", "sources", "programs", ",", "\t", '"', "\n", "a.example", "com", "any", "0"]
)


@given(st.one_of(st.text(), st.lists(words).map("".join), st.lists(words).map(lambda w: "name,domains\n" + "".join(w))))
def test_any_text(text: str) -> None:
    holds_for_any_text(read_harmony, text)
