"""A chart shows what the rows say, to scale, in light, dark and words."""

import xml.etree.ElementTree as ElementTree

from bench.charts import BAR, Group, chart, groups
from bench.report import Row

ROWS: list[Row] = [
    {"what": "kept alive", "one": "request", "server": "steering", "CPU us": 50, "p50 us": 1},
    {"what": "kept alive", "one": "request", "server": "<squid>", "CPU us": 200},
    {"what": "kept alive", "one": "request", "server": "broken", "a second": "failed"},
    {"what": "memory", "one": "worker", "server": "steering", "MB": 45.5},
    {"what": "rates alone", "one": "request", "server": "steering", "a second": 5},
    {"other": "columns", "CPU us": 1},
]
GROUPS = [
    Group(title="kept alive: CPU us a request", bars=(("steering", 50), ("<squid>", 200))),
    Group(title="memory: MB", bars=(("steering", 45.5),)),
]


def test_groups_are_the_cases_with_something_to_draw() -> None:
    assert groups(ROWS) == GROUPS


def test_bars_are_to_the_scale_of_the_longest_of_their_group() -> None:
    picture = ElementTree.fromstring(chart("a & b", GROUPS))
    found = [(e.get("class"), float(e.get("width", 0))) for e in picture.iter() if e.get("class") in ("ours", "peer")]
    assert found == [("ours", BAR / 4), ("peer", BAR), ("ours", BAR)]
    texts = [element.text for element in picture.iter() if element.tag.endswith("text")]
    assert texts == [
        "kept alive: CPU us a request",
        *("steering", "50", "<squid>", "200"),
        *("memory: MB", "steering", "45.5"),
    ]


def test_it_is_readable_in_both_modes_and_without_eyes() -> None:
    text = chart("a & b", GROUPS)
    told = {element.tag.rpartition("}")[2]: element.text for element in ElementTree.fromstring(text)}
    assert told["title"] == "a & b"
    assert told["desc"] == "kept alive: CPU us a request: steering 50, <squid> 200; memory: MB: steering 45.5"
    assert "prefers-color-scheme: dark" in text


def test_nothing_at_all_is_drawn_as_such() -> None:
    group = Group(title="x", bars=(("steering", 0),))
    assert 'width="1"' in chart("t", [group])
