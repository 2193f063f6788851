"""One reference holds the policy in force; a swap tells those who keep what follows from it."""

from steering.policy import Policy, RulesModel, compile_policy, rule_set
from steering.policy.live import Live


def policy_of(domain: str) -> Policy:
    return compile_policy(rule_set(RulesModel.model_validate({"rules": [{"name": "a", "domains": [domain]}]})))


def test_a_swap_is_seen_at_once_and_told_in_turn() -> None:
    old, new = policy_of("old.example"), policy_of("new.example")
    live = Live(old)
    told: list[tuple[str, Policy, Policy]] = []
    live.subscribe(lambda policy: told.append(("first", policy, live.policy)))
    live.subscribe(lambda policy: told.append(("second", policy, live.policy)))
    assert (live.policy, told) == (old, [])
    live.swap(new)
    assert live.policy is new
    assert told == [("first", new, new), ("second", new, new)]  # whoever looks during the swap sees the new one
