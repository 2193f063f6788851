"""The policy engine: one compiled rule set, decided alike at every enforcement point.

Pure: no I/O, no clock.  The instant of a decision is an argument.
"""

from steering.policy.compile import Policy, compile_policy
from steering.policy.decision import Decision, RuleMatch
from steering.policy.effects import EFFECTS, VISIBLE, Stage, effect
from steering.policy.errors import PolicyError, RulesError
from steering.policy.facts import UNSEEN, Fact, Flow, Program, System, Unseen
from steering.policy.hosts import Host, parse_host
from steering.policy.model import Action, RulesModel
from steering.policy.points import Effect, Point
from steering.policy.reserved import RESERVED, Reserved, ReservedSettings
from steering.policy.rules import CategoryTable, Rule, RuleSet, read_rules, rule_set

__all__ = [
    "EFFECTS",
    "RESERVED",
    "UNSEEN",
    "VISIBLE",
    "Action",
    "CategoryTable",
    "Decision",
    "Effect",
    "Fact",
    "Flow",
    "Host",
    "Point",
    "Policy",
    "PolicyError",
    "Program",
    "Reserved",
    "ReservedSettings",
    "Rule",
    "RuleMatch",
    "RuleSet",
    "RulesError",
    "RulesModel",
    "Stage",
    "System",
    "Unseen",
    "compile_policy",
    "effect",
    "parse_host",
    "read_rules",
    "rule_set",
]
