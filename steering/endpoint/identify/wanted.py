"""Which conditions on programs, beyond their names, a policy asks for.

Pure.  A hash of a large program costs more than everything else about it: it is made only where a rule compares it.
"""

from steering.policy import Policy, System

CONDITIONS = ("path", "root_owned", "sha256", "signer")  # fields of policy.Program that cost something to establish


def wanted_of(policy: Policy, system: System | None = None) -> frozenset[str]:
    """Of ``CONDITIONS``, those that an enabled rule may ask on ``system`` (None: on any), now or later."""
    entries = [
        entry for rule in policy.rules for entry in rule.programs if system is None or entry.system in (None, system)
    ]
    return frozenset(field for field in CONDITIONS if any(getattr(entry, field) is not None for entry in entries))
