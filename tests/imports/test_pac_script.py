"""PACs written by hand, and that no rule made of one bypasses what the PAC itself, run by an engine, does not."""

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from steering.imports.imported import Imported
from steering.imports.pac_script import read_pac
from steering.policy import Action, Flow, Policy, compile_policy, parse_host
from steering.policy.model import RulesModel
from steering.policy.reserved import ReservedSettings
from steering.policy.rules import rule_set
from tests.imports.reading import KNOWN, holds_for_any_text, problems_of, rules_of
from tests.pac.engines import Batch, ask

PAC = """\
// Bypasses, kept by hand since 2009
var proxy = "PROXY proxy.corp.example:3128; PROXY proxy2.corp.example:3128";
var meetings = [
  "zoom.us",
  "webex.com"
];
var exact = { "login.pinned.example": 1, "off.example": 0 };

function FindProxyForURL(url, host) {
  host = host.toLowerCase();
  if (isPlainHostName(host) || dnsDomainIs(host, ".corp.example"))
    return "DIRECT";
  if (host == "upload.vendor.example") { return proxy; }
  if (shExpMatch(host, "*.vendor.example") ||
      host == "vendor.example" ||
      url.substring(0, 4) == "ftp:")
    return "DIRECT";
  for (var i = 0; i < meetings.length; i++) {
    if (host == meetings[i] || dnsDomainIs(host, "." + meetings[i])) return "DIRECT";
  }
  if (exact[host]) return "DIRECT";
  if (isInNet(host, "10.0.0.0", "255.0.0.0")) return "DIRECT";
  if (/bank/.test(host)) return "DIRECT";
  if (dnsDomainIs(host, ".ads.example")) return "PROXY 127.0.0.1:9";
  return proxy + "; DIRECT";
}
"""


def test_a_file() -> None:
    found = read_pac(PAC, KNOWN)
    assert rules_of(found) == [
        {
            "name": "list.txt",
            "domains": ["*.corp.example", "vendor.example", "zoom.us", "webex.com", "=login.pinned.example"],
            "addresses": ["10.0.0.0/8"],
        },
        {"name": "list.txt: exceptions", "action": "inspect", "domains": ["=upload.vendor.example"]},
    ]
    assert problems_of(found) == [
        (11, "isPlainHostName"),
        (16, 'url.substring(0, 4) == "ftp:")'),
        (23, "if (/bank/.test(host)) return \"DIRECT\";"),
        (24, 'if (dnsDomainIs(host, ".ads.example")) return "PROXY 127.0.0.1:9";'),
    ]  # fmt: skip


def function(body: str, before: str = "") -> str:
    return f"{before}\nfunction FindProxyForURL(url, host) {{\n{body}\n}}\n"


DIRECT_A = 'if (host == "a.example") return "DIRECT"; return "PROXY p:1";'
NOTHING = [
    "",
    "function FindProxyForURL(url) { return 'DIRECT'; }",
    function('return "DIRECT";'),
    function(f'if (secret(host)) return "PROXY p:1"; {DIRECT_A}'),
    function(f'switch (host) {{ case "a.example": return "PROXY p:1"; }} {DIRECT_A}'),
    function(f'if (dnsDomainIs(host, "a.example")) {{ if (url) return "PROXY p:1"; }} {DIRECT_A}'),
    function(f'if (shExpMatch(host, "*a*e")) return "PROXY p:1"; {DIRECT_A}'),
    function(f'return "PROXY p:1"; {DIRECT_A}'),
    function(f'host = "x"; {DIRECT_A}'),
    function(f"while (url) {{ host *= 2; }} {DIRECT_A}"),
    function(f"while (url) {{ [host] = url; }} {DIRECT_A}"),
    function(f"[host] = url; {DIRECT_A}"),
    function('var r = "PROXY p:1"; if (url) r = "DIRECT"; if (host == "a.example") return r; return "PROXY p:1";'),
    function('var l = ["a.example"]; l.push(url); if (l.includes(host)) return "DIRECT";'),
    function('if (dnsDomainIs(host, ".a.example")) return "DIRECT";', "function dnsDomainIs(a, b) { return 1; }"),
    function('if (dnsDomainIs(host, ".a.example")) return "DIRECT";', "var dnsDomainIs = mine;"),
    function(
        'dnsDomainIs(host, 1); if (dnsDomainIs(host, ".a.example")) return "DIRECT";',
        "function dnsDomainIs(a, b) { return 1; } function f(h) { return dnsDomainIs(h, 2); }",
    ),
    function('f(); if (host == n) return "DIRECT";', 'var n = "a.example"; function f() { n = "b.example"; }'),
    function('if (l[0] == host) return "DIRECT"; l = ["b.example"]; return "PROXY p:1";', 'var l = ["a.example"];'),
    function('if (l[0] == host) return "DIRECT"; l.pop(); return "PROXY p:1";', 'var l = ["a.example"];'),
    function('if (host == "a.example") return "DIRECT; PROXY p:1"; return "PROXY p:1";'),
    function('if (host != "a.example") return "PROXY p:1"; return "DIRECT";'),
]


@pytest.mark.parametrize("text", NOTHING)
def test_nothing_is_guessed(text: str) -> None:
    found = read_pac(text, KNOWN)
    assert rules_of(found) == []
    assert found.problems or "return \"PROXY p:1\"; if" in text  # fmt: skip


def test_an_earlier_bypass_may_lose_to_an_exception_and_this_is_told() -> None:
    found = read_pac(
        function(
            'if (host == "x.a.example") return "DIRECT";\n'
            'if (dnsDomainIs(host, ".x.a.example") || host == "x.a.example") return "PROXY p:1";\n'
            'if (dnsDomainIs(host, ".a.example")) return "DIRECT";\nreturn "PROXY p:1";'
        ),
        KNOWN,
    )
    assert [rule["domains"] for rule in rules_of(found)] == [["=x.a.example", "*.a.example"], ["x.a.example"]]
    assert (3, "x.a.example") in problems_of(found)


@pytest.mark.parametrize(
    "loop", ["for (var k in l) if (l[k] == host)", "for (var i = 0; i < l.length; i++) if (host == l[i])"]
)
def test_a_list_outside_of_the_function(loop: str) -> None:
    found = read_pac(function(f'{loop} return "DIRECT"; return "PROXY p:1";', 'var l = ["a.example"];'), KNOWN)
    assert (rules_of(found), found.problems) == ([{"name": "list.txt", "domains": ["=a.example"]}], ())


# The same PACs run by an engine

HELPERS = """
function dnsDomainIs(h, d) { return h.length >= d.length && h.substring(h.length - d.length) == d; }
function localHostOrDomainIs(h, d) { return h == d || d.lastIndexOf(h + ".", 0) == 0; }
function isPlainHostName(h) { return h.search("\\\\.") == -1; }
function shExpMatch(s, p) {
  p = p.replace(/\\./g, "\\\\.").replace(/\\*/g, ".*").replace(/\\?/g, ".");
  return new RegExp("^" + p + "$").test(s);
}
function dnsResolve(h) { return /^\\d+(\\.\\d+){3}$/.test(h) ? h : null; }
function number(a) { var p = a.split("."); return ((p[0] << 24) | (p[1] << 16) | (p[2] << 8) | p[3]); }
function isInNet(h, n, m) { h = h && dnsResolve(h); return !!h && (number(h) & number(m)) == (number(n) & number(m)); }
"""
HOSTS = (
    "a.example", "x.a.example", "y.x.a.example", "nota.example", "b.example", "x.b.example", "api-1.b.example",
    "q.api-1.b.example", "notx.a.example", "c.example", "example", "zoom.us", "us.zoom.us", "10.1.2.3", "10.2.2.3",
    "192.0.2.7", "www.c.example",
)  # fmt: skip
LITERALS = st.sampled_from(
    ["a.example", ".a.example", "x.a.example", ".x.a.example", "b.example", ".b.example", "api-*.b.example",
     "*.b.example", "*a.example", "zoom.us", "*.us", "10.1.*", "10.*", "A.example", "c.example", "*c.example", "",
     "*.c.*", "www.c.example", "example"]
)  # fmt: skip
CONDITIONS = st.one_of(
    st.builds('dnsDomainIs(host, "{}")'.format, LITERALS),
    st.builds('shExpMatch(host, "{}")'.format, LITERALS),
    st.builds('host == "{}"'.format, LITERALS),
    st.builds('localHostOrDomainIs(host, "{}")'.format, LITERALS),
    st.builds('isInNet(host, "10.{}.0.0", "255.{}.0.0")'.format, st.integers(0, 2), st.sampled_from([0, 255])),
    st.builds('["{}", "{}"].indexOf(host) >= 0'.format, LITERALS, LITERALS),
    st.builds('!dnsDomainIs(host, "{}")'.format, LITERALS),
    st.builds('list[0] == host || dnsDomainIs(host, "." + "{}")'.format, LITERALS),
    st.builds('host.length > 8 && dnsDomainIs(host, "{}")'.format, LITERALS),
)
RESULTS = st.sampled_from(['"DIRECT"', '"DIRECT"', '"PROXY p:1"', "given", 'given + "; DIRECT"', '"DIRECT; PROXY p:1"'])
TESTS = st.lists(CONDITIONS, min_size=1, max_size=3).map(" || ".join)
STATEMENTS = st.one_of(
    st.builds("if ({}) return {};".format, TESTS, RESULTS),
    st.builds("if ({}) {{ return {}; }} else if ({}) return {};".format, TESTS, RESULTS, TESTS, RESULTS),
    st.builds("for (var i = 0; i < list.length; i++) {{ if (dnsDomainIs(host, list[i])) return {}; }}".format, RESULTS),
    st.builds("for (var k in list) if (list[k] == host) return {};".format, RESULTS),
    st.builds("if ({}) {{ if ({}) return {}; }}".format, TESTS, TESTS, RESULTS),
    st.builds("if ({}) given = {};".format, TESTS, RESULTS),
    st.builds('list = ["{}"];'.format, LITERALS),
    st.builds('list.push("{}");'.format, LITERALS),
    st.builds('switch (host) {{ case "{}": return {}; }}'.format, LITERALS, RESULTS),
    st.builds("while (host.length > 100) {{ host = {}; }}".format, RESULTS),
    st.builds("if (/b/.test(host)) return {};".format, RESULTS),
    st.just('host = "a.example";'),
)
SCRIPTS = st.builds(
    lambda body, last, given: function(
        "\n".join((*body, f"return {last};")), f'var given = "{given}";\nvar list = ["a.example", ".b.example"];'
    ),
    st.lists(STATEMENTS, min_size=1, max_size=6),
    st.sampled_from(['"PROXY p:1"', "given", f"dnsDomainIs(host, '.a.example') ? 'DIRECT' : given"]),  # noqa: F541
    st.sampled_from(["PROXY p:1", "DIRECT"]),
)


def policy_of(found: Imported) -> Policy:
    return compile_policy(rule_set(RulesModel(rules=list(found.rules))), ReservedSettings())


def bypassed(policy: Policy, host: str) -> bool:
    found = policy.decide(Flow(host=parse_host(host)), 0.0)
    return found.reserved is None and found.action is Action.BYPASS


def wider(scripts: list[str]) -> list[tuple[str, str, str]]:
    """(script, host, answer) wherever the rules bypass what the PAC does not send direct."""
    [answers] = ask(["quickjs"], [Batch(HELPERS + script, HOSTS) for script in scripts]).values()
    found = []
    for script, said in zip(scripts, answers, strict=True):
        policy = policy_of(read_pac(script, KNOWN))
        found += [
            (script, host, answer)
            for host, answer in zip(HOSTS, said, strict=True)
            if bypassed(policy, host) and not answer.startswith("DIRECT")
        ]
    return found


@pytest.mark.needs("quickjs")
@settings(max_examples=5, deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.generate])
@given(st.lists(SCRIPTS, min_size=30, max_size=30))
def test_no_rule_bypasses_what_the_script_does_not(scripts: list[str]) -> None:
    assert wider(scripts) == []


@pytest.mark.needs("quickjs")
def test_dns_domain_is_compares_ends() -> None:
    dotted, bare = (
        function(f'if (dnsDomainIs(host, "{end}")) return "DIRECT"; return "PROXY p:1";')
        for end in (".a.example", "a.example")
    )
    batches = [Batch(HELPERS + script, HOSTS) for script in (dotted, bare)]
    [answers] = ask(["quickjs"], batches).values()
    told = [{host for host, answer in zip(HOSTS, said, strict=True) if answer == "DIRECT"} for said in answers]
    ours = [{host for host in HOSTS if bypassed(policy_of(read_pac(s, KNOWN)), host)} for s in (dotted, bare)]
    assert ours[0] == told[0] == {"x.a.example", "y.x.a.example", "notx.a.example"}
    assert ours[1] == told[1] - {"nota.example"} == ours[0] | {"a.example"}


pieces = st.sampled_from(["function FindProxyForURL(url, host) {", "}", "if (", "host", ")", "return ", '"DIRECT"', ";",
                          "for (", "in ", "[", "]", "=", '"PROXY p:1"', "\n", "var ", "||", 'dnsDomainIs(host, "',
                          '.a.example")', "?", ":"])  # fmt: skip


@given(st.one_of(st.text(), st.lists(pieces).map("".join), SCRIPTS))
def test_any_text(text: str) -> None:
    holds_for_any_text(read_pac, text)
