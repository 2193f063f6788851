"""``steering explain``: the JSON contract, the words, the configuration, bad input, and the running service."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from steering.pac.chains import plan_chains
from steering.policy import parse_host
from tests.cli.runner import a_copy, nowhere, run
from tests.service import rules_text


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nowhere(tmp_path, monkeypatch)


def explained(target: str, *arguments: str | Path) -> dict[str, Any]:
    result = run("explain", target, "--json", *arguments)
    assert result.exit_code == 0, result.output
    answer: dict[str, Any] = json.loads(result.output)
    return answer


def written(tmp_path: Path, *rules: Mapping[str, object], **top: object) -> Path:
    path = tmp_path / "rules.json"
    path.write_bytes(rules_text(rules, **top))
    return path


def test_json_holds_the_whole_contract(tmp_path: Path) -> None:
    answer = json.loads(run("explain", "https://US02web.Zoom.us/j/1?a=b", "--rules", a_copy(tmp_path), "--json").output)
    assert len(answer.pop("revision")) == 16
    assert answer == {
        "host": "us02web.zoom.us",
        "action": "bypass",
        "rule": "Bypass Zoom - Pre-configured",
        "why": "rule 'Bypass Zoom - Pre-configured': zoom.us",
        "pending": [],
        "reserved": None,
        "matches": [{"rule": "Bypass Zoom - Pre-configured", "action": "bypass", "matched": "yes", "on": "zoom.us"}],
        "points": {"pac": "DIRECT", "dns": "real", "inspector": "tunnel", "endpoint": "direct"},
    }


PROXY = "PROXY 127.0.0.1:3128"

# What is asked -> (host, action, reserved, points) by the starter rules, without configuration.
HOSTS: dict[str, tuple[str, str, str | None, tuple[str, str | None, str, str]]] = {
    "ZOOM.us.": ("zoom.us", "bypass", None, ("DIRECT", "real", "tunnel", "direct")),
    "https://user:pw@example.com:8443/a?b#c": ("example.com", "inspect", None, (PROXY, "inspector", "open", "proxy")),
    "notzoom.us:443": ("notzoom.us", "inspect", None, (PROXY, "inspector", "open", "proxy")),
    "bücher.example": ("xn--bcher-kva.example", "inspect", None, (PROXY, "inspector", "open", "proxy")),
    "8.8.8.8": ("8.8.8.8", "inspect", None, (PROXY, None, "open", "proxy")),
    "https://[2001:DB8::1]/": ("2001:db8::1", "inspect", None, (PROXY, None, "open", "proxy")),
    "10.1.2.3": ("10.1.2.3", "bypass", "internal", ("DIRECT", None, "refuse", "direct")),
    "::1": ("::1", "bypass", "loopback", ("DIRECT", None, "refuse", "direct")),
    "intranet": ("intranet", "bypass", "single-label", ("DIRECT", "real", "refuse", "direct")),
    "printer.local": ("printer.local", "bypass", "local-names", ("DIRECT", "nxdomain", "refuse", "direct")),
    "1.0.0.10.in-addr.arpa": ("1.0.0.10.in-addr.arpa", "inspect", "reverse", (PROXY, "nodata", "refuse", "proxy")),
    "mask.icloud.com": ("mask.icloud.com", "block", "canary", (PROXY, "nxdomain", "refuse", "proxy")),
    "captive.apple.com": ("captive.apple.com", "inspect", "probe", (PROXY, "real", "open", "proxy")),
}


@pytest.mark.parametrize("target", HOSTS)
def test_hosts(target: str, tmp_path: Path) -> None:
    a_copy(tmp_path)
    answer = explained(target)
    points = answer["points"]
    found = tuple(points[point] for point in ("pac", "dns", "inspector", "endpoint"))
    assert (answer["host"], answer["action"], answer["reserved"], found) == HOSTS[target]
    assert list(points) == ["pac", "dns", "inspector", "endpoint"]


PROGRAM = {"name": "prog", "programs": ["Zoom"], "domains": ["p.example"]}
LINUX = {"name": "linux", "programs": ["linux:zoom"], "domains": ["p.example"]}


@pytest.mark.parametrize(
    ("program", "rules"),
    [
        ("zoom", ["prog", "linux"]),  # as a Windows or macOS name, and as the Linux one
        ("ZOOM", ["prog"]),
        ("linux:zoom", ["linux"]),  # on Linux case counts
        ("windows:zoom", ["prog"]),
        ("/opt/zoom/zoom", ["prog", "linux"]),
        ("C:\\Apps\\Zoom", ["prog"]),
        ("other", []),
    ],
)
def test_a_program_is_tried_as_each_systems(program: str, rules: list[str], tmp_path: Path) -> None:
    written(tmp_path, PROGRAM, LINUX)
    answer = explained("p.example", "--program", program)
    assert [match["rule"] for match in answer["matches"]] == rules
    assert answer["action"] == ("bypass" if rules else "inspect")
    seen = {"pac": PROXY, "dns": "inspector", "inspector": "open", "endpoint": "direct" if rules else "proxy"}
    assert answer["points"] == seen


def test_a_fact_not_given_is_unknown(tmp_path: Path) -> None:
    written(
        tmp_path,
        {"name": "all", "source": ["group:sales", "10.0.0.0/8"], "programs": ["zoom"], "domains": ["p.example"]},
        {"name": "stop", "action": "block", "source": ["user:eve"], "domains": ["q.example"]},
        {"name": "free", "domains": ["q.example"]},
        groups={"sales": {"users": ["ann"]}},
    )
    answer = explained("p.example")
    assert (answer["action"], answer["rule"]) == ("inspect", None)
    assert answer["pending"] == ["source", "user", "program"]
    assert answer["matches"] == [{"rule": "all", "action": "bypass", "matched": "unknown", "on": "p.example"}]
    assert explained("p.example", "--source", "10.1.1.1")["pending"] == ["program"]
    assert explained("p.example", "--user", "ann", "--program", "zoom")["action"] == "bypass"
    withheld = explained("q.example")
    assert (withheld["action"], withheld["pending"]) == ("bypass", ["user"])
    assert withheld["points"] == {"pac": PROXY, "dns": "inspector", "inspector": "open", "endpoint": "proxy"}
    assert explained("q.example", "--user", "bob")["points"]["endpoint"] == "direct"
    assert explained("q.example", "--user", "eve")["action"] == "block"


@pytest.mark.parametrize(
    ("at", "action"),
    [
        ("2026-12-31T17:59:59Z", "bypass"),
        ("2026-12-31T18:59:59+01:00", "bypass"),
        ("2026-12-31T18:00:00Z", "inspect"),
        ("2026-12-01T07:59:59.9Z", "inspect"),
        ("2026-12-01T08:00:00Z", "bypass"),
    ],
)
def test_at(at: str, action: str, tmp_path: Path) -> None:
    times = {"not_before": "2026-12-01T08:00:00Z", "expires_at": "2026-12-31T18:00:00Z"}
    written(tmp_path, {"name": "t", "domains": ["t.example"], **times})
    answer = explained("t.example", "--at", at)
    assert answer["action"] == action
    assert answer["points"]["pac"] == PROXY, "a PAC is kept for hours"
    assert answer["points"]["dns"] == ("real" if action == "bypass" else "inspector")


def test_the_configuration_is_what_the_service_would_go_by(tmp_path: Path) -> None:
    written(tmp_path, {"name": "z", "domains": ["z.example"]})
    inspectors = ["p1.corp.example:3128", "p2.corp.example:3128", "[2001:db8::2]:3128"]
    (tmp_path / "steering.toml").write_text(
        f"[policy]\ninternal_zones = ['corp.example']\n[inspector]\nadvertise = {inspectors}\n"
        "[pac]\nfail_open = true\n[control]\npublic_url = 'http://pac.office.example'\n"
    )
    chains = plan_chains(inspectors, fail_open=True)
    answers = {host: explained(host) for host in ("a.example", "b.example", "c.example", "8.8.8.8", "2001:db8::9")}
    assert {host: answer["points"]["pac"] for host, answer in answers.items()} == {
        host: chains.of(parse_host(host)) for host in answers
    }
    assert len({answer["points"]["pac"] for answer in answers.values()}) > 1
    assert explained("x.corp.example")["reserved"] == "internal"
    assert explained("p1.corp.example")["reserved"] == "own-name"
    assert explained("pac.office.example")["reserved"] == "own-name"
    assert explained("a.example", "--inspector", "other:1")["points"]["pac"] == "PROXY other:1; DIRECT"


def test_a_port_chosen_at_the_start_is_said_as_configured(tmp_path: Path) -> None:
    written(tmp_path, {"name": "z", "domains": ["z.example"]})
    (tmp_path / "mine.toml").write_text('[inspector]\nlisten = "127.0.0.1:0"')
    assert explained("a.example", "--config", "mine.toml")["points"]["pac"] == "PROXY 127.0.0.1:0"


def words(target: str, *arguments: str) -> list[str]:
    """All but the line with the revision, which stands last."""
    result = run("explain", target, *arguments)
    assert result.exit_code == 0, result.output
    *lines, revision = result.output.splitlines()
    assert revision.startswith("revision ")
    return lines


def test_words(tmp_path: Path) -> None:
    a_copy(tmp_path)
    assert words("https://US02web.zoom.us/j/1") == [
        "us02web.zoom.us: bypass",
        "  rule 'Bypass Zoom - Pre-configured': zoom.us",
        "rules",
        "  matches    bypass   Bypass Zoom - Pre-configured: zoom.us",
        "points",
        "  PAC file         DIRECT",
        "  DNS resolver     gives the real answer",
        "  inspector        tunnels it, unopened",
        "  endpoint helper  connects directly",
    ]
    assert words("bücher.example", "--inspector", "a.example:1") == [
        "xn--bcher-kva.example (bücher.example): inspect",
        "  no rule matches: inspected by default",
        "points",
        "  PAC file         PROXY a.example:1",
        "  DNS resolver     gives the inspector's address",
        "  inspector        opens and inspects it",
        "  endpoint helper  sends it to the inspector",
    ]
    assert words("10.0.0.1") == [
        "10.0.0.1: bypass",
        "  reserved (internal): an internal zone or network of the configuration",
        "points",
        "  PAC file         DIRECT",
        "  DNS resolver     is not asked: this is an address",
        "  inspector        refuses it",
        "  endpoint helper  connects directly",
    ]


def test_words_where_not_every_point_can_see(tmp_path: Path) -> None:
    written(tmp_path, PROGRAM)
    assert words("p.example", "--program", "zoom")[-1] == (
        "  Not bypassed where a condition of the rule cannot be seen or, in a PAC, will not last."
    )
    unknown = words("p.example")
    assert unknown[1:4] == [
        "  inspected by default; not known here: program",
        "rules",
        "  may match  bypass   prog: p.example",
    ]


@pytest.mark.parametrize(
    "arguments",
    [
        ["http://"], ["a b"], ["x.example:port"], [""], ["x" * 64 + ".example"],
        ["x.example", "--source", "10.1.0.0/16"], ["x.example", "--source", ""],
        ["x.example", "--at", "2026-01-01"], ["x.example", "--at", "2026-01-01T00:00:00"],
        ["x.example", "--at", "soon"], ["x.example", "--program", "com.*"], ["x.example", "--program", ""],
        ["x.example", "--program", "/usr/bin/"], ["x.example", "--inspector", "nonsense"],
        ["x.example", "--inspector", "a:0"], ["x.example", "--config", "missing.toml"], ["x.example", "--live"], [],
    ],
    ids=" ".join,
)  # fmt: skip
def test_bad_input_is_wrong_use(arguments: list[str], tmp_path: Path) -> None:
    a_copy(tmp_path)
    result = run("explain", *arguments)
    assert (result.exit_code, result.stdout) == (2, "") or not arguments
    assert result.exception is None or isinstance(result.exception, SystemExit)


def test_the_service_has_rules_of_its_own(tmp_path: Path) -> None:
    for more in (["--rules", a_copy(tmp_path)], ["--inspector", "a:1"]):
        result = run("explain", "x.example", "--live", *more)
        assert (result.exit_code, result.stderr) == (
            2,
            "--live asks the service, which has its own rules and inspectors\n",
        )


def test_rules_that_cannot_be_enforced_are_wrong_use(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    path.write_text('{"rules": [{"name": "a"}]}')
    assert run("explain", "x.example", "--rules", path).exit_code == 2


def test_a_rules_file_cannot_steer_the_terminal(tmp_path: Path) -> None:
    written(tmp_path, {"name": "\u001b[2J\nrule", "domains": ["z.example"]})
    result = run("explain", "z.example")
    assert result.exit_code == 2
    assert "\x1b" not in result.output
