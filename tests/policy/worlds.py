"""Small worlds in which rules and flows meet often: strategies shared by the engine's properties."""

from ipaddress import ip_address

from hypothesis import strategies as st

from steering.policy import UNSEEN, Action, CategoryTable, Flow, Program, RuleSet, RulesModel, System, parse_host
from steering.policy.rules import rule_set

CATEGORIES = CategoryTable("test", {"Legal": frozenset({"law.example", "b.example"}), "Empty": frozenset()})
GROUPS = {"sales": {"networks": ["10.1.0.0/16"], "users": ["ann"]}, "none": {}, "people": {"users": ["bob"]}}
DOMAINS = [
    "example.com", "*.example.com", "=example.com", "a.example.com", "*.a.example.com", "=a.example.com",
    "api-*.example.com", "*.x*.example.com", "b.example", "law.example", "*.com.example", "*-a.*.example.com",
    "b.*.example.com",
]  # fmt: skip
HOSTS = [
    "example.com", "a.example.com", "b.a.example.com", "api-1.example.com", "b.api-1.example.com", "xa.example.com",
    "c.xa.example.com", "q-a.b.example.com", "b.example", "x.law.example", "notexample.com", "other.net",
    "203.0.113.5", "[2001:db8::5]", "[::ffff:203.0.113.5]", "10.9.9.9", "127.1", "localhost", "printer.local",
    "captive.apple.com", "mask.icloud.com", "single",
]  # fmt: skip
ADDRESSES = ["203.0.113.0/24", "203.0.113.5", "2001:db8::/32", "::ffff:203.0.113.0/120"]
SOURCES = [
    "10.1.0.0/16",
    "10.1.2.3",
    "192.0.2.0/24",
    "2001:db8::/64",
    "user:ann",
    "user:Bob",
    *(f"group:{g}" for g in GROUPS),
]
PROGRAMS: list[object] = [
    "zoom.exe", "us.zoom.xos", "linux:zoom", "zoom", "com.zoom.*", {"name": "zoom", "path": "/usr/bin/*"},
    {"signer": "Zoom"},
]  # fmt: skip
TIMES = ["2026-01-01T00:00:00Z", "2026-06-01T00:00:00Z", "2026-12-31T00:00:00+02:00"]
INSTANTS = [1_760_000_000.0, 1_767_225_600.0, 1_767_225_599.5, 1_775_000_000.0, 1_780_272_000.0, 1_800_000_000.0]


def some(values: list[object] | list[str]) -> st.SearchStrategy[list[object]]:
    return st.one_of(st.just([]), st.lists(st.sampled_from(list(values)), max_size=3))


@st.composite
def rules(draw: st.DrawFn) -> dict[str, object]:
    begins, ends = draw(st.sampled_from([(None, None), (None, None), (0, None), (None, 1), (0, 1), (1, 2)]))
    rule: dict[str, object] = {
        "name": draw(st.uuids().map(str)),
        "enabled": draw(st.sampled_from([True, True, True, False])),
        "action": draw(st.sampled_from([a.value for a in Action])),
        "source": draw(some(SOURCES)),
        "programs": draw(some(PROGRAMS)),
        "domains": draw(some(DOMAINS)),
        "categories": draw(some(["Legal", "Empty"])),
        "addresses": draw(some(ADDRESSES)),
    }
    if begins is not None:
        rule["not_before"] = TIMES[begins]
    if ends is not None:
        rule["expires_at"] = TIMES[ends]
    if not any(rule[k] for k in ("source", "programs", "domains", "categories", "addresses")):
        rule["domains"] = ["example.com"]
    return rule


rule_lists = st.lists(rules(), max_size=6)


def compiled_from(documents: list[dict[str, object]]) -> RuleSet:
    return rule_set(RulesModel.model_validate({"groups": GROUPS, "rules": documents}), CATEGORIES)


programs = st.builds(
    Program,
    system=st.sampled_from([*System, None]),
    names=st.sampled_from([("zoom.exe",), ("us.zoom.xos", "com.zoom.helper"), ("zoom",), ("ZOOM",), ("other",)]),
    path=st.sampled_from([None, "/usr/bin/zoom", "/tmp/zoom"]),
    signer=st.sampled_from([None, "", "Zoom"]),
)
addresses = st.sampled_from(["10.1.2.3", "10.2.0.1", "192.0.2.7", "2001:db8::9", "::ffff:10.1.2.3"]).map(ip_address)
full_flows = st.builds(
    Flow,
    host=st.sampled_from(HOSTS).map(parse_host),
    source=addresses,
    user=st.sampled_from(["ann", "BOB", "eve", None]),
    program=st.one_of(programs, st.none()),
)
flows = st.builds(
    Flow,
    host=st.sampled_from(HOSTS).map(parse_host),
    source=st.one_of(addresses, st.just(UNSEEN)),
    user=st.sampled_from(["ann", "BOB", "eve", None, UNSEEN]),
    groups=st.sampled_from([frozenset(), frozenset({"sales"}), frozenset({"none"})]),
    program=st.one_of(programs, st.none(), st.just(UNSEEN)),
)
instants = st.sampled_from(INSTANTS)
