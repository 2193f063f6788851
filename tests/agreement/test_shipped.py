"""The shipped rules at four points: every listed name, its parent, a child and look-alikes.

They hold domains and categories only, so what they bypass is said here by the obvious reading of the file.
"""

import json
from ipaddress import ip_address
from typing import Any

import pytest

from steering import resources
from steering.catalog.categories import load_categories
from steering.pac.view import of_address
from steering.policy import Effect, Policy, compile_policy, parse_host
from steering.policy.document import load_document
from tests.agreement.points import CHAINS, Inspector, Resolver, pac_of
from tests.agreement.worlds import AT
from tests.pac.engines import ENGINES, ask
from tests.pac.policies import around

CLIENT = ip_address("10.1.2.3")
TEXT = resources.starter_rules().read_text("utf-8")


def document(everything: bool) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(TEXT)
    for rule in loaded["rules"]:
        rule["enabled"] = rule["enabled"] or everything
    return loaded


def policy_of(loaded: dict[str, Any]) -> Policy:
    return compile_policy(load_document(json.dumps(loaded), load_categories()))


def names_of(rule: dict[str, Any]) -> list[str]:
    table = load_categories().domains
    return [name.lower() for name in rule["domains"]] + sorted(n for c in rule["categories"] for n in table[c])


def bypassed(loaded: dict[str, Any], host: str) -> bool:
    names = [name for rule in loaded["rules"] if rule["enabled"] for name in names_of(rule)]
    return any(host == name or host.endswith(f".{name}") for name in names)


def hosts_of(loaded: dict[str, Any]) -> list[str]:
    """Of the rules that are disabled too.  Parents of one label are no host to decide."""
    names = dict.fromkeys(name for rule in loaded["rules"] for name in names_of(rule))
    alike = (look for name in names for look in (*around([name]), name.replace(".", "-") + ".example", name[1:]))
    return [host for host in dict.fromkeys(alike) if "." in host and not host.startswith((".", "-"))]


def test_there_are_sixteen_and_one_is_disabled() -> None:
    assert [rule["enabled"] for rule in document(everything=False)["rules"]] == [False, *[True] * 15]


@pytest.mark.parametrize("everything", [False, True], ids=["as shipped", "all enabled"])
@pytest.mark.needs(*ENGINES.values())
def test_points_agree_on_every_listed_name(everything: bool) -> None:
    loaded = document(everything)
    policy = policy_of(loaded)
    hosts = hosts_of(loaded)
    pac = pac_of(policy, of_address(CLIENT), AT, CHAINS[1])
    resolver, inspector = Resolver(policy, AT, ()), Inspector(policy, AT, CLIENT)
    found = {name: answers for name, [answers] in ask(list(ENGINES), [pac.batch(hosts)]).items()}
    wrong = []
    for i, host in enumerate(hosts):
        parsed = parse_host(host)
        reserved = policy.decide(pac.view.flow(parsed), AT).reserved
        bypass = bypassed(loaded, host) and reserved is None
        expected: dict[str, object] = dict.fromkeys(ENGINES, "DIRECT" if bypass else pac.plan.chains.of(parsed))
        answered: dict[str, object] = {name: answers[i] for name, answers in found.items()}
        if reserved is None:
            expected |= {"dns": Effect.DNS_REAL if bypass else Effect.DNS_INSPECTOR}
            expected |= {"explicit": Effect.TUNNEL if bypass else Effect.OPEN}
            answered |= {"dns": resolver.effect(parsed, CLIENT), "explicit": inspector.explicit(parsed)}
            expected |= {"transparent": expected["explicit"]}
            answered |= {"transparent": inspector.transparent(parsed)}
        if answered != expected:
            wrong.append((host, answered))
    assert wrong == []
    assert len(hosts) > 900
