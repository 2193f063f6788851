"""The PACs of a policy: who gets which, as bytes that are made once."""

import gzip
from hashlib import sha256
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from steering.pac.errors import PacError
from steering.pac.gates import MAX_BYTES
from steering.pac.publish import MAX_VARIANTS, PacFile, PacSet, PacSettings, build
from steering.pac.view import ANONYMOUS
from steering.policy import Policy, RulesModel, compile_policy, rule_set
from tests.pac.engines import ENGINES, Batch, ask
from tests.pac.policies import INSPECTOR, NOW, policy_of, real_looking_names

SETTINGS = PacSettings(inspectors=(INSPECTOR,))
CHAIN = f"PROXY {INSPECTOR}"


def answers(file: PacFile | None, *hosts: str) -> list[str]:
    assert file is not None
    [[found]] = ask(["quickjs"], [Batch(file.body.decode("ascii"), hosts)]).values()
    return found


def test_a_file_is_its_text_compressed_and_tagged() -> None:
    made = build(policy_of({"domains": ["zoom.us"]}), ANONYMOUS, NOW, SETTINGS)
    assert made.body.startswith(b"// Steering, policy ")
    assert gzip.decompress(made.gzip) == made.body
    assert made.etag == f'"{sha256(made.body).hexdigest()[:32]}"'


def test_the_same_policy_makes_the_same_bytes() -> None:
    """So that an ETag holds across workers and restarts."""
    one, other = (build(policy_of({"domains": ["zoom.us"]}), ANONYMOUS, NOW + i, SETTINGS) for i in (0, 1))
    assert (one.body, one.gzip, one.etag) == (other.body, other.gzip, other.etag)


def test_settings_reach_the_chains() -> None:
    settings = PacSettings(inspectors=("a.example:1",), fail_open=True, tls=True)
    made = build(policy_of(), ANONYMOUS, NOW, settings)
    assert answers(made, "x.example") == ["HTTPS a.example:1; PROXY a.example:1; DIRECT"]


@pytest.mark.needs(*ENGINES.values())
@pytest.mark.parametrize("form", ["{}", "*.{}"])
def test_a_hundred_thousand_names_fit_what_browsers_take(form: str) -> None:
    names = real_looking_names(100_000)
    policy = policy_of({"domains": [form.format(name) for name in names]})
    made = build(policy, ANONYMOUS, NOW, SETTINGS)
    assert len(made.body) < MAX_BYTES
    assert len(made.body) / len(names) < (8.5 if form == "{}" else 9.5)
    hosts = [host for name in names[::400] for host in (name, f"a.{name}", f"x-{name}", f"{name}.evil.example")]
    expected = answers(made, *hosts)
    assert {"DIRECT", CHAIN} == set(expected)
    for engine, [found] in ask(list(ENGINES), [Batch(made.body.decode("ascii"), tuple(hosts))]).items():
        assert found == expected, engine


def test_what_does_not_fit_at_first_is_packed_tighter(monkeypatch: pytest.MonkeyPatch) -> None:
    policy = policy_of({"domains": real_looking_names(3000)})
    roomy = build(policy, ANONYMOUS, NOW, SETTINGS)
    monkeypatch.setattr("steering.pac.publish.MAX_BYTES", len(roomy.body) - 1)
    tight = build(policy, ANONYMOUS, NOW, SETTINGS)
    assert len(tight.body) < len(roomy.body)
    assert tight.plan == roomy.plan


def test_blocked_names_take_no_space() -> None:
    """The inspector gets them like everything else."""
    names = real_looking_names(40_000)  # as literals they would fail their gate
    policy = policy_of({"domains": ["zoom.us"]}, {"action": "block", "domains": names})
    made = build(policy, ANONYMOUS, NOW, SETTINGS)
    assert len(made.body) < 5000
    assert answers(made, names[0], "zoom.us") == [CHAIN, "DIRECT"]


def test_what_cannot_be_made_small_enough_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    policy = policy_of({"name": "imported", "domains": real_looking_names(3000)})
    monkeypatch.setattr("steering.pac.publish.MAX_BYTES", 20_000)
    monkeypatch.setattr("steering.pac.gates.MAX_BYTES", 20_000)
    with pytest.raises(PacError, match=r"more than the 20,000 .* 'imported' \(3,000 domains\)"):
        build(policy, ANONYMOUS, NOW, SETTINGS)


BY_SOURCE: list[dict[str, Any]] = [
    {"domains": ["all.example"]},
    {"domains": ["site.example"], "source": ["10.2.0.0/16", "2001:db8::/48"]},
    {"domains": ["sales.example"], "source": ["group:sales"]},
    {"domains": ["ann.example"], "source": ["user:ann"]},
    {"domains": ["app.example"], "source": ["10.2.0.0/16"], "programs": ["zoom"]},
    {"action": "inspect", "domains": ["strict.all.example"], "source": ["10.2.3.0/24"]},
]
HOSTS = ("all.example", "site.example", "sales.example", "ann.example", "app.example", "strict.all.example")


@pytest.mark.parametrize(
    ("address", "direct"),
    [
        ("192.0.2.1", {"all.example", "strict.all.example"}),
        ("10.1.255.255", {"all.example", "sales.example", "strict.all.example"}),
        ("10.2.0.0", {"all.example", "site.example", "strict.all.example"}),
        ("10.2.2.255", {"all.example", "site.example", "strict.all.example"}),
        ("10.2.3.0", {"all.example", "site.example"}),
        ("10.2.3.255", {"all.example", "site.example"}),
        ("10.2.4.0", {"all.example", "site.example", "strict.all.example"}),
        ("10.3.0.0", {"all.example", "strict.all.example"}),
        ("::ffff:10.2.3.4", {"all.example", "site.example"}),
        ("2001:db8::1", {"all.example", "site.example", "strict.all.example"}),
        ("2001:db9::1", {"all.example", "strict.all.example"}),
        ("::1", {"all.example", "strict.all.example"}),
    ],
)
def test_a_requester_gets_what_its_address_says(address: str, direct: set[str]) -> None:
    pacs = PacSet(policy_of(*BY_SOURCE), NOW, SETTINGS)
    found = answers(pacs.for_address(ip_address(address)), *HOSTS)
    assert {host for host, answer in zip(HOSTS, found, strict=True) if answer == "DIRECT"} == direct


def test_a_token_claims_its_group_and_nothing_else() -> None:
    pacs = PacSet(policy_of(*BY_SOURCE), NOW, SETTINGS)
    found = answers(pacs.for_group("sales"), *HOSTS)
    assert {host for host, answer in zip(HOSTS, found, strict=True) if answer == "DIRECT"} == {
        "all.example",
        "sales.example",
    }
    assert pacs.for_group("no such group") is None


@pytest.mark.parametrize(
    ("group", "anonymous", "claimed"),
    [
        ("people", ["DIRECT", CHAIN, CHAIN], ["DIRECT", "DIRECT", CHAIN]),  # of users alone
        ("none", ["DIRECT", CHAIN, "DIRECT"], ["DIRECT", CHAIN, "DIRECT"]),  # an empty group matches nothing
    ],
)
def test_a_token_of_a_group_without_networks(group: str, anonymous: list[str], claimed: list[str]) -> None:
    rules: list[dict[str, Any]] = [
        {"domains": ["all.example"]},
        {"domains": ["own.example"], "source": [f"group:{group}"]},
        {"action": "inspect", "domains": ["b.all.example"], "source": [f"group:{group}"]},
    ]
    pacs = PacSet(policy_of(*rules), NOW, SETTINGS)
    hosts = ("all.example", "own.example", "b.all.example")
    assert answers(pacs.anonymous, *hosts) == anonymous
    assert answers(pacs.for_group(group), *hosts) == claimed


def test_anonymous_gets_what_is_right_for_everybody() -> None:
    assert answers(PacSet(policy_of(*BY_SOURCE), NOW, SETTINGS).anonymous, *HOSTS) == ["DIRECT", *[CHAIN] * 5]


def test_requesters_that_no_rule_tells_apart_share_one_file() -> None:
    pacs = PacSet(policy_of({"domains": ["zoom.us"]}), NOW, SETTINGS)
    assert pacs.variants == 1
    assert pacs.for_address(ip_address("10.1.2.3")) is pacs.for_address(ip_address("::1")) is pacs.for_group("sales")
    by_source = PacSet(policy_of(*BY_SOURCE), NOW, SETTINGS)
    one, other = (by_source.for_address(ip_address(a)) for a in ("10.2.3.4", "10.2.3.200"))
    assert one is other


@pytest.mark.parametrize("network", ["::1:0/112", "::/96", "::ffff:0:0/96", "ffff::/16", "0.0.0.0/8", "255.0.0.0/8"])
def test_a_network_at_the_end_of_all_addresses(network: str) -> None:
    pacs = PacSet(policy_of({"domains": ["zoom.us"], "source": [network]}), NOW, SETTINGS)
    assert pacs.variants >= 2


def by_many_sources(count: int) -> Policy:
    rules = [{"name": f"r{i}", "domains": ["zoom.us"], "source": [f"10.{i}.0.0/16"]} for i in range(count)]
    return compile_policy(rule_set(RulesModel.model_validate({"rules": rules})))


# One PAC for nobody in particular and one for addresses in no network, beside one for each network.
@pytest.mark.parametrize(("more", "crowded"), [(-1, False), (0, False), (1, True)])
def test_kinds_of_requesters_are_bounded(more: int, crowded: bool) -> None:
    networks = MAX_VARIANTS - 2 + more
    pacs = PacSet(by_many_sources(networks), NOW, SETTINGS)
    assert (pacs.variants, pacs.crowded) == (min(networks + 2, MAX_VARIANTS), crowded)
    last = pacs.for_address(ip_address(f"10.{networks - 1}.0.1"))
    assert answers(last, "zoom.us") == [CHAIN if crowded else "DIRECT"], "beyond the bound nothing is supposed"


def test_one_pac_that_fails_a_gate_fails_all(tmp_path: Path) -> None:
    (tmp_path / "decide.js.j2").write_text("function FindProxyForURL(url, host) {\n")
    with pytest.raises(PacError):
        PacSet(policy_of(), NOW, PacSettings(inspectors=(INSPECTOR,), templates=tmp_path))
