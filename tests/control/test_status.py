"""What the service says of itself, to administrators and to everyone."""

from steering.control.status import Status


def test_everyone_reads_the_summary_and_administrators_the_error() -> None:
    status = Status(state="degraded", revision="r1", error="/etc/rules.json:3:5 error: ...", summary="rules.json:3:5")
    assert status.ready == {"status": "degraded", "revision": "r1", "error": "rules.json:3:5"}
    whole = status.as_json()
    assert (whole["status"], whole["state"], whole["error"]) == ("degraded", "degraded", status.error)


def test_rules_are_counted_in_both_ways() -> None:
    assert Status(rules=16, enabled=15).rules_in_words == "16 rules (15 enabled)"
    assert Status(rules=1, enabled=1).rules_in_words == "1 rule (1 enabled)"
