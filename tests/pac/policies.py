"""Policies, plans and names that the tests of the PAC share."""

from collections.abc import Sequence
from random import Random
from typing import Any

from steering.pac.chains import Chains, plan_chains
from steering.pac.plan import PacPlan, plan
from steering.pac.view import ANONYMOUS, View
from steering.policy import CategoryTable, Policy, ReservedSettings, RulesModel, compile_policy, rule_set

NOW = 1_800_000_000.0
INSPECTOR = "192.0.2.1:3128"
ONE = plan_chains([INSPECTOR])
CATEGORIES = CategoryTable("test", {"Legal": frozenset({"law.example", "b.example"})})
GROUPS: dict[str, Any] = {"sales": {"networks": ["10.1.0.0/16"]}, "people": {"users": ["ann"]}, "none": {}}


def policy_of(*rules: dict[str, Any], settings: ReservedSettings | None = None) -> Policy:
    named = [{"name": f"r{i}", **rule} for i, rule in enumerate(rules)]
    model = RulesModel.model_validate({"groups": GROUPS, "rules": named})
    return compile_policy(rule_set(model, CATEGORIES), settings)


def plan_of(*rules: dict[str, Any], view: View = ANONYMOUS, chains: Chains = ONE) -> PacPlan:
    return plan(policy_of(*rules), view, NOW, chains)


_SYLLABLES = (
    "an ar be bo ca co da de di el en er fi ga go in ka la le lo ma me mi mo na ne no on or pa po ra re ri ro sa se "
    "si so st ta te ti to un va ve vi web shop net tech air data game news play soft"
)
_ENDINGS = ["com"] * 9 + ["net", "net", "org", "de", "de", "co.uk", "fr", "io", "com.br", "ru", "jp", "info"]
_HOSTS = ["www", "api", "cdn", "img", "static", "login", "mail", "app"]


def real_looking_names(count: int, seed: int = 1) -> list[str]:
    """Distinct names of the make of public domain lists: 14 characters on average, one in seven with a subdomain."""
    random = Random(seed)
    syllables = _SYLLABLES.split()
    names: dict[str, None] = {}
    while len(names) < count:
        label = "".join(random.choice(syllables) for _ in range(random.choice((2, 3, 4, 4, 5))))
        if random.random() < 0.1:
            label += f"{random.choice(('-', ''))}{random.randint(1, 365)}"
        name = f"{label}.{random.choice(_ENDINGS)}"
        names[f"{random.choice(_HOSTS)}.{name}" if random.random() < 0.15 else name] = None
    return list(names)


def around(names: Sequence[str]) -> list[str]:
    """The hosts that could tell two readings of ``names`` apart."""
    return [
        host
        for name in names
        for host in (name, f"a.{name}", f"b.a.{name}", f"x{name}", f"{name}.evil.example", name.partition(".")[2])
    ]
