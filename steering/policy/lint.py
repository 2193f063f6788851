"""What is enforceable and still probably not meant: the warnings of ``steering check``.

Nothing here changes a decision.  Each kind of finding is one function over the rule set; CHECKS lists them all.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network

from steering.policy.coverage import blind_points
from steering.policy.domains import Reach
from steering.policy.findings import Finding, Pointer, Severity
from steering.policy.lint_covered import covered, overlapping
from steering.policy.lint_shared import INTERPRETERS, shared_suffix
from steering.policy.model import Action
from steering.policy.networks import NetworkMap
from steering.policy.programs import ProgramEntry
from steering.policy.reserved import SINGLE_LABEL, ReservedSettings, reserved_address, reserved_names
from steering.policy.rules import GroupSource, Rule, RuleSet, UserSource
from steering.policy.suffixes import has_known_tld

COMM_LENGTH = 15  # what ps, top and /proc/PID/comm show of a program's name on Linux


@dataclass(frozen=True, slots=True, kw_only=True)
class LintContext:
    """What the checks go by besides the rules.  shipped: the rules that come with Steering, by name."""

    at: float
    settings: ReservedSettings
    shipped: dict[str, Rule]


def lint(
    rule_set: RuleSet, at: float, *, settings: ReservedSettings | None = None, shipped: RuleSet | None = None
) -> tuple[Finding, ...]:
    """Every warning and note about ``rule_set`` at the instant ``at``; without line numbers, which a Reading adds."""
    context = LintContext(
        at=at,
        settings=settings or ReservedSettings(),
        shipped={rule.name: rule for rule in shipped.rules} if shipped else {},
    )
    return tuple(finding for check in CHECKS for finding in check(rule_set, context))


def warning(
    code: str, message: str, rule: Rule, *pointer: str | int, advice: str = "", severity: Severity = Severity.WARNING
) -> Finding:
    where: Pointer = ("rules", rule.index, *pointer)
    return Finding(severity=severity, code=code, message=message, advice=advice, pointer=where, rule=rule.name)


def _duplicates(rule_set: RuleSet, _: LintContext) -> Iterator[Finding]:
    for rule in rule_set.rules:
        for key in ("source", "programs", "domains", "categories", "addresses"):
            first: dict[object, int] = {}
            for i, entry in enumerate(getattr(rule, key)):
                if entry in first:
                    message = f"'{entry}' already stands in this list, at place {first[entry] + 1}"
                    yield warning("duplicate", message, rule, key, i, advice="remove one of them")
                first.setdefault(entry, i)


def _covered_networks(rule_set: RuleSet, _: LintContext) -> Iterator[Finding]:
    for rule in rule_set.rules:
        for key, entries in (("source", rule.source), ("addresses", rule.addresses)):
            networks = [(i, n) for i, n in enumerate(entries) if isinstance(n, IPv4Network | IPv6Network)]
            listed = NetworkMap((n, n) for _, n in networks)
            for i, network in networks:
                wide = [n for n in listed.holding(network.network_address) if n.prefixlen < network.prefixlen]
                if wide:
                    message = f"'{network}' changes nothing: '{wide[0]}' in the same list covers it"
                    yield warning("covered", message, rule, key, i, advice="remove it")


def _times(rule_set: RuleSet, context: LintContext) -> Iterator[Finding]:
    for rule in rule_set.rules:
        if rule.enabled and rule.expires_at is not None and rule.expires_at <= context.at:
            message = f"'{rule.name}' has expired and matches nothing any more"
            yield warning("expired", message, rule, "expires_at", advice="remove the rule, or renew it")


def _members(rule_set: RuleSet, _: LintContext) -> Iterator[Finding]:
    for rule in rule_set.rules:
        if not rule.enabled:
            continue
        for i, source in enumerate(rule.source):
            if isinstance(source, GroupSource) and not (source.networks or source.users):
                message = f"the group '{source.name}' is empty and matches nothing"
                yield warning("empty-group", message, rule, "source", i, advice="give it networks or users")
            elif isinstance(source, UserSource) or (isinstance(source, GroupSource) and source.users):
                whom = f"the users of the group '{source.name}' match" if isinstance(source, GroupSource) else (
                    f"the user '{source.name}' matches")  # fmt: skip
                message = f"{whom} nothing until the endpoint helper or proxy authentication says who the user is"
                yield warning("user-condition", message, rule, "source", i, severity=Severity.NOTE)


def _shared(rule_set: RuleSet, _: LintContext) -> Iterator[Finding]:
    for rule in _enabled(rule_set, Action.BYPASS):
        for i, domain in enumerate(rule.domains):
            suffix = shared_suffix(domain.name) if domain.reach is not Reach.EXACT else None
            if suffix:
                message = f"'{domain}' bypasses names of many owners: {suffix}"
                advice = "name the hosts that the application needs"
                yield warning("shared-suffix", message, rule, "domains", i, advice=advice)


def _unknown_tlds(rule_set: RuleSet, context: LintContext) -> Iterator[Finding]:
    known = dict.fromkeys(reserved_names(context.settings), True)  # of those, there is more to say than that
    for rule in rule_set.rules:
        for i, domain in enumerate(rule.domains):
            tld = domain.name.rpartition(".")[2]
            if tld not in known:
                known[tld] = has_known_tld(tld)
            if not known[tld]:
                message = f"'{domain}': there is no top-level domain '{tld}'"
                yield warning("unknown-tld", message, rule, "domains", i, advice="is it a typing error?")


def _reserved(rule_set: RuleSet, context: LintContext) -> Iterator[Finding]:
    names = reserved_names(context.settings)
    for rule in rule_set.rules:
        for i, domain in enumerate(rule.domains):
            if domain.reach is Reach.EXACT and "." not in domain.name and domain.name not in names:
                message = f"'{domain}' never comes to the rules: {SINGLE_LABEL.why}"
                yield warning("reserved", message, rule, "domains", i)
            for name in _and_above(domain.name):
                entry, subdomains = names.get(name, (None, False))
                if entry and (subdomains or (name == domain.name and domain.reach is Reach.EXACT)):
                    message = f"'{domain}' never comes to the rules: '{name}' is reserved ({entry.why})"
                    yield warning("reserved", message, rule, "domains", i)
                    break
        for i, network in enumerate(rule.addresses):
            found = reserved_address(network.network_address, context.settings)
            if found and found is reserved_address(network.broadcast_address, context.settings):
                message = f"'{network}' never comes to the rules: it is reserved ({found.why})"
                yield warning("reserved", message, rule, "addresses", i)


def _programs(rule_set: RuleSet, _: LintContext) -> Iterator[Finding]:
    for rule in rule_set.rules:
        for i, entry in enumerate(rule.programs):
            if rule.action is Action.BYPASS and _is_interpreter(entry):
                message = f"'{entry}' runs other people's programs: every one of them would be bypassed"
                advice = 'add a second condition: {"name": ..., "path": ...}, a signer or a hash'
                yield warning("interpreter", message, rule, "programs", i, advice=advice)
            if rule.action is Action.BYPASS and _is_any_in_some_place(entry):
                message = f"'{entry}': whatever is there would be bypassed, curl and Python included"
                yield warning("wide-program", message, rule, "programs", i, advice="add a name, a signer or a hash")
            if rule.action is Action.BYPASS and entry.family and "." not in str(entry.name):
                message = f"'{entry}' takes the programs of many makers: every one of them would be bypassed"
                yield warning("wide-family", message, rule, "programs", i, advice="name a maker's: com.example.*")
            if entry.name and _on_linux(entry) and len(entry.name) >= COMM_LENGTH:
                message = (
                    f"'{entry.name}' has {len(entry.name)} characters; ps and top show {COMM_LENGTH} of a name, "
                    "the comparison is with the whole file name of /proc/PID/exe"
                )
                yield warning("long-linux-name", message, rule, "programs", i, severity=Severity.NOTE)


def _is_interpreter(entry: ProgramEntry) -> bool:
    if entry.name is None or entry.path or entry.sha256 or entry.signer:
        return False
    bare = entry.name.casefold().removesuffix(".exe")
    return bare in INTERPRETERS or bare.rstrip("0123456789.-") in INTERPRETERS


def _is_any_in_some_place(entry: ProgramEntry) -> bool:
    return entry.root_owned is not None and not (entry.name or entry.path or entry.sha256 or entry.signer)


def _on_linux(entry: ProgramEntry) -> bool:
    prefixed = entry.system.value if entry.system else ""
    return prefixed == "linux" or (not prefixed and entry.name is not None and "." not in entry.name)


def _withdrawals(rule_set: RuleSet, _: LintContext) -> Iterator[Finding]:
    bypasses = list(_enabled(rule_set, Action.BYPASS))
    for rule in rule_set.rules:
        if not rule.enabled or rule.action is Action.BYPASS:
            continue
        blind = blind_points(rule)
        if blind and (rule.source or rule.programs):
            count = sum(overlapping(rule, bypass, rule_set.categories) for bypass in bypasses)
            where = ", ".join(point.value for point in blind)
            message = (
                f"points that cannot see what this rule asks for ({where}) withdraw every bypass that it could "
                f"override: {count} of {len(bypasses)} bypass rules"
            )
            yield warning("withdraws", message, rule, advice="give it a destination, or an address as source")
        if rule.any_destination and not rule.source and not rule.programs:
            message = f"an {rule.action.value} rule without any condition: no bypass is in force"
            yield warning("inspects-all", message, rule, advice="give it a destination, or disable it")
        elif rule.any_destination and rule.action is Action.INSPECT:
            message = "an inspect rule without destination: for those that it matches no bypass is in force"
            yield warning("no-destination", message, rule, advice="give it a destination if only some are meant")


def _edited(rule_set: RuleSet, context: LintContext) -> Iterator[Finding]:
    if not context.shipped:
        return
    for rule in rule_set.rules:
        if not rule.preconfigured:
            continue
        shipped = context.shipped.get(rule.name)
        if shipped is None:
            message = f"'{rule.name}' says that it is preconfigured, but no such rule comes with Steering"
            yield warning("preconfigured", message, rule, "preconfigured", advice='remove "preconfigured"')
        elif _conditions(rule) != _conditions(shipped):
            advice = "leave it as shipped (it may be disabled), and write a rule of your own beside it"
            yield warning("preconfigured", f"the preconfigured rule '{rule.name}' was edited", rule, advice=advice)


def _conditions(rule: Rule) -> tuple[object, ...]:
    lists = (rule.source, rule.programs, rule.domains, rule.categories, rule.addresses)
    return (rule.action, rule.not_before, rule.expires_at, *(frozenset(entries) for entries in lists))


def _covered(rule_set: RuleSet, context: LintContext) -> Iterator[Finding]:
    return covered(rule_set, context.at)


def _enabled(rule_set: RuleSet, action: Action) -> Iterator[Rule]:
    return (rule for rule in rule_set.rules if rule.enabled and rule.action is action)


def _and_above(name: str) -> Iterator[str]:
    while name:
        yield name
        name = name.partition(".")[2]


CHECKS: tuple[Callable[[RuleSet, LintContext], Iterator[Finding]], ...] = (
    _duplicates,
    _covered_networks,
    _times,
    _members,
    _shared,
    _unknown_tlds,
    _reserved,
    _programs,
    _withdrawals,
    _edited,
    _covered,
)
