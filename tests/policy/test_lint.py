"""The warnings and notes of ``steering check``, whole, for a file that deserves each of them once."""

import json

import pytest

from steering.catalog import load_categories
from steering.policy.document import Reading, as_line, read_document
from steering.policy.lint import lint
from steering.policy.rules import RuleSet
from steering.resources import starter_rules
from tests.policy.work import calls

NOW = 1_775_000_000.0  # 2026-03-31


def read(*rules: dict[str, object], groups: object = None) -> tuple[Reading, RuleSet]:
    named = [{"name": f"r{i}", **rule} for i, rule in enumerate(rules)]
    reading = read_document(json.dumps({"groups": groups or {}, "rules": named}), load_categories())
    assert reading.rule_set is not None, reading.findings
    return reading, reading.rule_set


def found(*rules: dict[str, object], groups: object = None) -> list[tuple[str, str]]:
    return [(f.code, f.json_pointer) for f in lint(read(*rules, groups=groups)[1], NOW)]


def starter() -> tuple[Reading, RuleSet]:
    reading = read_document(starter_rules().read_bytes(), load_categories())
    assert reading.rule_set is not None
    return reading, reading.rule_set


def test_the_oddities_of_the_preconfigured_rules() -> None:
    reading, rules = starter()
    assert [as_line(f).partition(" ")[2] for f in reading.placed(lint(rules, NOW, shipped=rules))] == [
        "warning: disabling this changes nothing for 'settings-win.data.microsoft.com', because 'data.microsoft.com' "
        "in rule 'Bypass OneDrive - Pre-configured' covers it (/rules/1/domains/1)",
        "warning: disabling this changes nothing for 'vortex-win.data.microsoft.com', because 'data.microsoft.com' "
        "in rule 'Bypass OneDrive - Pre-configured' covers it (/rules/1/domains/2)",
        "warning: 'sls.update.microsoft.com' changes nothing: 'update.microsoft.com' in the same rule covers it "
        "(/rules/1/domains/6)",
        "warning: disabling this changes nothing for 'login.live.com', because 'login.live.com' in rule "
        "'Bypass Microsoft updates - Pre-configured' covers it (/rules/8/domains/2)",
        "warning: 'p24-keyvalueservice.icloud.com' changes nothing: 'icloud.com' in the same rule covers it "
        "(/rules/11/domains/0)",
        "warning: 'akadns.net' bypasses names of many owners: 'akadns.net' is Akamai's DNS zone for its customers; "
        "name the hosts that the application needs (/rules/11/domains/11)",
    ]


DOMAIN: dict[str, object] = {"domains": ["zoom.us"]}


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ([DOMAIN], []),
        ([{"domains": ["zoom.us", "ZOOM.us."]}], [("duplicate", "/rules/0/domains/1")]),
        ([{**DOMAIN, "source": ["10.1.0.0/16", "10.1.0.0/16"]}], [("duplicate", "/rules/0/source/1")]),
        ([{**DOMAIN, "expires_at": "2026-03-31T23:33:20Z"}], [("expired", "/rules/0/expires_at")]),
        ([{**DOMAIN, "expires_at": "2026-03-31T23:33:21Z"}], []),
        ([{**DOMAIN, "enabled": False, "expires_at": "2020-01-01T00:00:00Z"}], []),
        ([{**DOMAIN, "source": ["user:ann"]}], [("user-condition", "/rules/0/source/0")]),
        ([{"domains": ["cloudfront.net"]}], [("shared-suffix", "/rules/0/domains/0")]),
        ([{"domains": ["*.github.io"]}], [("shared-suffix", "/rules/0/domains/0")]),
        ([{"domains": ["a-*.blob.core.windows.net"]}], [("shared-suffix", "/rules/0/domains/0")]),
        ([{"domains": ["=cloudfront.net", "d111.cloudfront.net"]}], []),
        ([{"action": "inspect", "domains": ["cloudfront.net"]}], []),
        ([{"domains": ["sjremetrics.java.comm"]}], [("unknown-tld", "/rules/0/domains/0")]),
        ([{"domains": ["nas.local"]}], [("reserved", "/rules/0/domains/0")]),
        ([{"domains": ["=captive.apple.com"]}], [("reserved", "/rules/0/domains/0")]),
        ([{"domains": ["captive.apple.com"]}], []),
        ([{"action": "inspect", "domains": ["=com"]}], [("reserved", "/rules/0/domains/0")]),
        ([{"action": "inspect", "domains": ["=localhost"]}],
         [("reserved", "/rules/0/domains/0")]),
        ([{"action": "inspect", "domains": ["com"]}], []),
        ([{"domains": ["windows.net"]}], [("shared-suffix", "/rules/0/domains/0")]),
        ([{"domains": ["digitaloceanspaces.com"]}], [("shared-suffix", "/rules/0/domains/0")]),
        ([{"addresses": ["10.1.2.0/24"]}], [("reserved", "/rules/0/addresses/0")]),
        ([{"addresses": ["203.0.113.0/24"]}], []),
        ([{**DOMAIN, "programs": ["python3.12"]}], [("interpreter", "/rules/0/programs/0")]),
        ([{**DOMAIN, "programs": ["windows:Java.EXE"]}], [("interpreter", "/rules/0/programs/0")]),
        ([{**DOMAIN, "programs": [{"name": "java", "path": "/opt/app/**"}]}], []),
        ([{**DOMAIN, "programs": ["macos:com.*"]}], [("wide-family", "/rules/0/programs/0")]),
        ([{**DOMAIN, "programs": ["com.docker.*"]}], []),
        ([{**DOMAIN, "programs": [{"root_owned": True}]}], [("wide-program", "/rules/0/programs/0")]),
        ([{**DOMAIN, "programs": [{"root_owned": True, "path": "/opt/zoom/**"}]}], []),
        ([{**DOMAIN, "source": ["10.0.0.0/8", "10.1.0.0/16", "11.0.0.0/16"]}], [("covered", "/rules/0/source/1")]),
        ([{"addresses": ["203.0.113.5", "203.0.113.0/24"]}], [("covered", "/rules/0/addresses/0")]),
        ([{**DOMAIN, "action": "inspect", "source": ["10.1.0.0/16"]}], []),
        ([{**DOMAIN, "programs": ["linux:fourteen-chars"]}], []),
        ([{**DOMAIN, "programs": ["linux:fifteen-letters"]}], [("long-linux-name", "/rules/0/programs/0")]),
        ([{**DOMAIN, "programs": ["com.example.application"]}], []),
        ([DOMAIN, {"action": "block", "programs": ["curl"]}], [("withdraws", "/rules/1")]),
        ([DOMAIN, {"action": "inspect"}],
         [("inspects-all", "/rules/1"), ("overruled-rule", "/rules/0")]),
        ([DOMAIN, {"action": "inspect", "source": ["10.1.0.0/16"]}], [("no-destination", "/rules/1")]),
        ([{**DOMAIN, "preconfigured": True}], []),
    ],
    ids=str,
)  # fmt: skip
def test_findings(rules: list[dict[str, object]], expected: list[tuple[str, str]]) -> None:
    assert found(*rules) == expected


def test_groups() -> None:
    groups = {"empty": {}, "people": {"users": ["ann"]}, "site": {"networks": ["10.1.0.0/16"]}}
    rule = {**DOMAIN, "source": ["group:empty", "group:people", "group:site"]}
    assert found(rule, groups=groups) == [("empty-group", "/rules/0/source/0"), ("user-condition", "/rules/0/source/1")]


def test_the_number_of_bypasses_withdrawn() -> None:
    rules: list[dict[str, object]] = [DOMAIN, {"domains": ["a.example"]}, {"domains": ["b.a.example"]}]
    stricter: dict[str, object] = {"action": "inspect", "source": ["user:ann"], "domains": ["a.example"]}
    messages = [f.message for f in lint(read(*rules, stricter)[1], NOW) if f.code == "withdraws"]
    assert messages == [
        "points that cannot see what this rule asks for (pac, dns, inspector) withdraw every bypass that it could "
        "override: 2 of 3 bypass rules"
    ]


def test_an_edited_preconfigured_rule() -> None:
    _, shipped = starter()
    zoom = "Bypass Zoom - Pre-configured"
    own: dict[str, object] = {"preconfigured": True, "domains": ["zoom.us"]}
    cases = {
        "as shipped": {**own, "name": zoom},
        "disabled": {**own, "name": zoom, "enabled": False},
        "edited": {**own, "name": zoom, "domains": ["zoom.us", "zoom.com"]},
        "invented": {**own, "name": "Bypass mine"},
    }
    codes = {case: [f.code for f in lint(read(rule)[1], NOW, shipped=shipped)] for case, rule in cases.items()}
    assert codes == {"as shipped": [], "disabled": [], "edited": ["preconfigured"], "invented": ["preconfigured"]}


def test_the_work_is_in_proportion_to_the_names() -> None:
    def work(count: int) -> int:
        domains = [f"host{i}.example{i % 99}.com" for i in range(count)]
        _, rules = read({"domains": domains}, {"action": "block", "programs": ["curl"]})
        return calls(lambda: lint(rules, NOW)).total()

    work(10)  # what is made once: the public suffix list, patterns
    few = work(1000)
    assert work(4000) <= 4 * few
