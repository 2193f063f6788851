"""What is wrong with a service, told in plain words from what was seen of it, each with what to do.

Looks at nothing itself: ``doctor`` does, and hands over the clock too.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum

from steering.control.doctor_facts import Certificate, Facts, Held

DAY_S = 86400.0
CA_WARN_S = 90 * DAY_S  # as the service itself warns
LEAF_WARN_S = 3 * DAY_S
SLACK_S = 60.0  # by which two clocks may differ
LOW_BYTES = 200 << 20
FULL_BYTES = 10 << 20
_UNSEEN_S = 10.0  # a change is taken in within a second


class State(Enum):
    OK = "ok"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """mend: what to do, "" where there is nothing to."""

    subject: str
    state: State
    text: str
    mend: str = ""


def findings(facts: Facts) -> list[Finding]:
    """In the order in which they depend on each other."""
    looks: Sequence[Callable[[Facts], Iterable[Finding]]] = (
        _service, _folder, _clock, _rules, _age, _ports, _ca, _certificates, _upstreams, _listeners,
    )  # fmt: skip
    return [finding for look in looks for finding in look(facts)]


def _ok(subject: str, text: str) -> Finding:
    return Finding(subject=subject, state=State.OK, text=text)


def _warning(subject: str, text: str, mend: str) -> Finding:
    return Finding(subject=subject, state=State.WARNING, text=text, mend=mend)


def _error(subject: str, text: str, mend: str) -> Finding:
    return Finding(subject=subject, state=State.ERROR, text=text, mend=mend)


def _service(facts: Facts) -> Iterable[Finding]:
    if facts.running is None and facts.holder:
        text = f"process {facts.holder} runs on the state folder and does not answer: {facts.silent}"
        yield _error("service", text, "wait if it has just been started; run this as its user; look at its log")
    elif facts.running is None:
        yield _warning("service", f"does not run: {facts.silent}", "steering serve")
    else:
        yield _ok("service", "runs and answers")


def _folder(facts: Facts) -> Iterable[Finding]:
    folder, subject = facts.folder, "state folder"
    if not folder.exists:
        yield _ok(subject, f"{folder.path} is made by the first start")
    elif folder.mode & 0o022:
        text = f"{folder.path} can be changed by others (mode {folder.mode:o}): they could put a CA of theirs there"
        yield _error(subject, text, f"chmod 700 {folder.path}")
    elif not folder.writable:
        text = f"{folder.path} cannot be written by this user: the last good rules and tokens are not kept"
        yield _error(subject, text, "run this as the service's user, or let that user own the folder")
    else:
        yield _ok(subject, f"{folder.path} is writable, by its owner alone")
    free = f"{folder.free_bytes >> 20:,} MiB free"
    if folder.free_bytes < FULL_BYTES:
        yield _error("disk", f"{free}: nothing more can be kept", f"make room where {folder.path} lies")
    elif folder.free_bytes < LOW_BYTES:
        yield _warning("disk", f"{free}: logs will fill that soon", f"make room where {folder.path} lies")
    else:
        yield _ok("disk", free)


def _clock(facts: Facts) -> Iterable[Finding]:
    """Without anybody to ask, a clock can only be caught at running behind."""
    what, latest = max(facts.past, key=lambda moment: moment[1], default=("", 0.0))
    if latest > facts.now + SLACK_S:
        text = f"says {_day(facts.now)}, yet {what} is of {_day(latest)}: certificates and timed rules fail"
        yield _error("clock", text, "set it, and switch on time synchronisation: timedatectl set-ntp true")
    else:
        yield _ok("clock", f"{_day(facts.now)}, later than everything that was written here")


def _rules(facts: Facts) -> Iterable[Finding]:
    rules, error = facts.rules, facts.running.error if facts.running else ""
    if rules.followed:
        yield from _followed(facts)
        return
    problem = rules.problem or error
    if problem:
        if facts.running is not None:
            text = f"not in force, the rules before them are: {problem}"
        elif rules.last_good:
            text = f"cannot be enforced: {problem}; a start would enforce the last good ones"
        else:
            text = f"cannot be enforced: {problem}; and there are no last good ones: nothing would be served"
        yield _error("rules", text, f"mend {rules.path}; 'steering check {rules.path}' lists every error")
        return
    yield _ok("rules", f"{rules.path} can be enforced")
    for gate in rules.gates:
        yield _warning("PAC", gate, "shorten the largest rules, or make groups of clients with rules of their own")
    if not rules.gates:
        yield _ok("PAC", "passes every gate")


def _followed(facts: Facts) -> Iterable[Finding]:
    """Rules that another service gives out."""
    url, running = facts.rules.followed, facts.running
    there = f"look whether {url} runs and can be reached from here; 'steering doctor' there says more"
    if running is not None and running.error:
        yield _error("rules", f"the newest of {url} are not in force, those before are: {running.error}", there)
    elif running is None and not facts.rules.last_good:
        yield _warning("rules", f"none are kept yet: nothing is served before {url} answers", there)
    else:
        yield _ok("rules", f"taken from {url}, and kept for when it cannot be reached")
    for warning in running.warnings if running is not None else ():
        yield _warning("following", warning, there)


def _age(facts: Facts) -> Iterable[Finding]:
    if facts.running is None or facts.rules.problem:
        return
    running = facts.running
    if facts.rules.changed > running.since + _UNSEEN_S and facts.now > facts.rules.changed + _UNSEEN_S:
        text = (
            f"in force since {_day(running.since)}, while the file was changed on {_day(facts.rules.changed)}: "
            "the same rules were written again, or the change was not noticed"
        )
        yield _warning("policy", text, "steering reload")
    else:
        yield _ok("policy", f"revision {running.revision}, in force since {_day(running.since)}")


_PORT_MENDS: Mapping[Held, tuple[str, str]] = {
    Held.TAKEN: ("another program has it", "stop that program ('ss -lntup' names it), or choose another port"),
    Held.DENIED: ("is below 1024, and this user may not take it", "see 'Low ports' in docs/operations.md"),
    Held.ABSENT: ("no such address on this machine", "name an address that 'ip address' shows"),
}


def _ports(facts: Facts) -> Iterable[Finding]:
    for port in facts.ports:
        subject = f"port of {port.role}"
        if port.held in _PORT_MENDS:
            why, mend = _PORT_MENDS[port.held]
            yield _error(subject, f"{port.wanted}: {why}", mend)
        elif port.held is Held.FREE and facts.running is not None:
            text = f"{port.wanted} is configured, and the running service does not have it"
            yield _warning(subject, text, "restart the service: changed settings take one")
        else:
            yield _ok(subject, f"{port.wanted}: {'held by the service' if port.held is Held.OURS else 'free'}")


def _ca(facts: Facts) -> Iterable[Finding]:
    if facts.ca is None:
        yield _ok("CA", "is not needed here" if facts.rules.followed else "is made by the first start")
        return
    yield from _certificate(facts.now, facts.ca, CA_WARN_S, "steering ca rotate, then give clients the new one")
    if not facts.ca.problem and facts.ca.ends > facts.now:
        yield _ok("CA for clients", f"every client must trust it: {facts.ca_url}, or steering ca export")


def _certificates(facts: Facts) -> Iterable[Finding]:
    for certificate in facts.certificates:
        yield from _certificate(facts.now, certificate, LEAF_WARN_S, "restart the service: it makes a new one")


def _certificate(now: float, seen: Certificate, warn_s: float, mend: str) -> Iterable[Finding]:
    if seen.problem:
        yield _error(seen.what, seen.problem, "mend that, then restart the service")
    elif now >= seen.ends:
        yield _error(seen.what, f"ended on {_day(seen.ends)}", mend)
    elif now < seen.begins:
        yield _error(seen.what, f"is not valid before {_day(seen.begins)}", "set the clock: it runs behind")
    elif seen.ends - now <= warn_s:
        yield _warning(seen.what, f"ends on {_day(seen.ends)}", mend)
    else:
        yield _ok(seen.what, f"valid until {_day(seen.ends)}")


def _upstreams(facts: Facts) -> Iterable[Finding]:
    if facts.upstreams_problem:
        yield _error("upstream DNS", facts.upstreams_problem, "set upstreams in [dns]")
    # One silent upstream of several costs time; if all are, every name fails.
    dead = all(seen.problem for seen in facts.upstreams)
    for seen in facts.upstreams:
        if seen.problem:
            mend = "look at the firewall towards it, or set another in upstreams or zones of [dns]"
            yield (_error if dead else _warning)(seen.what, f"{seen.address}: {seen.problem}", mend)
        else:
            yield _ok(seen.what, f"{seen.address} answers")


def _listeners(facts: Facts) -> Iterable[Finding]:
    for seen in facts.listeners:
        if seen.problem:
            mend = "look at the service's log, and at allowed in [dns] and [inspector]"
            yield _error(seen.what, f"{seen.address}: {seen.problem}", mend)
        else:
            yield _ok(seen.what, f"{seen.address} answers as it should")


def _day(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M UTC")
