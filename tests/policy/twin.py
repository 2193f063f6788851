"""The engine's slow, obvious twin, written from the semantics and sharing nothing with it but the parsed values.

Every rule is asked about every flow, one condition after the other, with strings and loops.
"""

from fnmatch import fnmatchcase
from ipaddress import ip_address, ip_network

from steering.policy import UNSEEN, Action, Fact, Flow, RuleSet
from steering.policy.reserved import RESERVED, Reserved, ReservedSettings
from steering.policy.rules import GroupSource, Rule, UserSource

YES, NO, UNKNOWN = "yes", "no", "unknown"


def either(answers: list[str]) -> str:
    return YES if YES in answers else UNKNOWN if UNKNOWN in answers else NO


def both(answers: list[str]) -> str:
    return NO if NO in answers else UNKNOWN if UNKNOWN in answers else YES


def name_fits(entry: str, name: str) -> bool:
    """``entry`` as the normalised grammar writes it."""
    if entry.startswith("="):
        return name == entry[1:]
    if entry.startswith("*.") and "*" not in entry[2:]:
        return name.endswith(entry[1:])
    if "*" not in entry:
        return name == entry or name.endswith("." + entry)
    labels, wanted = name.split("."), entry.split(".")
    if wanted[0] == "*":
        # "*." in front: the rest must fit the end, and something must stand before it
        rest = wanted[1:]
        return len(labels) > len(rest) and _labels_fit(labels[-len(rest) :], rest)
    return len(labels) == len(wanted) and _labels_fit(labels, wanted)


def _labels_fit(labels: list[str], wanted: list[str]) -> bool:
    return all(fnmatchcase(label, pattern) for label, pattern in zip(labels, wanted, strict=True))


def reserved_for(flow: Flow, settings: ReservedSettings) -> Reserved | str | None:
    """The entry, or the key of one that stands for no name of its own, or None."""
    host = flow.host
    if host.numeric:
        return None
    if host.address is not None:
        bare = getattr(host.address, "ipv4_mapped", None) or host.address
        for entry in RESERVED:
            if any(bare in network for network in entry.networks):
                return entry
        return "internal" if any(bare in network for network in settings.internal_networks) else None
    if host.text in settings.own_names:
        return "own-name"
    # The nearest name wins: an internal zone below a reserved one is still reserved, by itself.
    labels = host.text.split(".")
    for i in range(len(labels)):
        suffix = ".".join(labels[i:])
        if suffix in settings.internal_zones:
            return "internal"
        for entry in RESERVED:
            if suffix in entry.names or (i == 0 and "=" + suffix in entry.names):
                return entry
    return "single-label" if "." not in host.text else None


def destination(rule: Rule, flow: Flow, rules: RuleSet) -> bool:
    if not rule.domains and not rule.categories and not rule.addresses:
        return True
    host = flow.host
    if host.address is not None:
        bare = getattr(host.address, "ipv4_mapped", None) or host.address
        return any(ip_address(str(bare)) in ip_network(str(network)) for network in rule.addresses)
    if host.numeric:
        return False
    if any(name_fits(str(domain), host.text) for domain in rule.domains):
        return True
    return any(name_fits(d, host.text) for c in rule.categories for d in rules.categories.domains[c])


def address_in(networks: object, flow: Flow) -> str:
    if flow.source is UNSEEN:
        return UNKNOWN
    bare = getattr(flow.source, "ipv4_mapped", None) or flow.source
    return YES if any(bare in network for network in networks) else NO  # type: ignore[attr-defined]


def user_in(users: set[str], flow: Flow) -> str:
    if flow.user is UNSEEN:
        return UNKNOWN
    return YES if flow.user is not None and str(flow.user).casefold() in users else NO


def source(rule: Rule, flow: Flow) -> tuple[str, set[Fact]]:
    answers, unseen = [NO] if rule.source else [YES], set()
    for entry in rule.source:
        parts: list[tuple[str, Fact]] = []
        if isinstance(entry, UserSource):
            parts.append((user_in({entry.name}, flow), Fact.USER))
        elif isinstance(entry, GroupSource):
            if entry.name in flow.groups and (entry.networks or entry.users):
                parts.append((YES, Fact.SOURCE))
            if entry.networks:
                parts.append((address_in(entry.networks, flow), Fact.SOURCE))
            if entry.users:
                parts.append((user_in(set(entry.users), flow), Fact.USER))
        else:
            parts.append((address_in([entry], flow), Fact.SOURCE))
        if YES not in [answer for answer, _ in parts]:
            unseen |= {fact for answer, fact in parts if answer == UNKNOWN}
        answers += [answer for answer, _ in parts]
    answer = either(answers)
    return answer, unseen if answer == UNKNOWN else set()


def program(rule: Rule, flow: Flow) -> str:
    if not rule.programs:
        return YES
    if flow.program is UNSEEN:
        return UNKNOWN
    if flow.program is None:
        return NO
    answers = []
    for entry in rule.programs:
        matched = entry.matches(flow.program)  # tested by itself in test_programs
        answers.append(UNKNOWN if matched is None else YES if matched else NO)
    return either(answers)


def decide(
    rules: RuleSet, flow: Flow, at: float, settings: ReservedSettings | None = None
) -> tuple[Action, str | None, frozenset[Fact]]:
    """Action, the rule that is named, and the pending facts; of a reserved name its action alone."""
    found = reserved_for(flow, settings or ReservedSettings())
    if found is not None:
        return (found.action if isinstance(found, Reserved) else Action.BYPASS), None, frozenset()
    sure: list[Rule] = []
    open_: list[tuple[Rule, set[Fact]]] = []
    for rule in rules.rules:
        begun = rule.not_before is None or at >= rule.not_before
        over = rule.expires_at is not None and at >= rule.expires_at
        if not rule.enabled or not begun or over or not destination(rule, flow, rules):
            continue
        from_source, unseen = source(rule, flow)
        by_program = program(rule, flow)
        matched = both([from_source, by_program])
        if matched == YES:
            sure.append(rule)
        elif matched == UNKNOWN:
            open_.append((rule, unseen | ({Fact.PROGRAM} if by_program == UNKNOWN else set())))
    for action in (Action.BLOCK, Action.INSPECT, Action.BYPASS):
        named = [rule.name for rule in sure if rule.action is action]
        if named:
            return action, named[0], _stricter(action, open_)
    if any(rule.action is Action.BYPASS for rule, _ in open_):
        return Action.INSPECT, None, frozenset().union(*(facts for _, facts in open_))
    return Action.INSPECT, None, _stricter(Action.INSPECT, open_)


def _stricter(than: Action, open_: list[tuple[Rule, set[Fact]]]) -> frozenset[Fact]:
    order = [Action.BYPASS, Action.INSPECT, Action.BLOCK]
    could = [facts for rule, facts in open_ if order.index(rule.action) > order.index(than)]
    return frozenset[Fact]().union(*could)
