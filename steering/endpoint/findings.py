"""What is wrong with an installation, told in plain words from what was seen of it, each with how to mend it.

It looks at nothing itself: ``doctor`` does, and hands over the clock too.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum

from steering.endpoint.bundle.content import Bundle
from steering.endpoint.device import Credential
from steering.endpoint.identify.selftest import Tested

DAY_S = 86400.0
MAX_SKEW_S = 30.0  # an attestation older than 60 s is refused (formats.attestation)
STALE_S = 3 * DAY_S

# Bit -> the capability that the ladder and capture want, and what for (capabilities(7)).
CAPABILITIES = {
    12: ("CAP_NET_ADMIN", "the socket map and capture"),
    39: ("CAP_BPF", "the socket map"),
    19: ("CAP_SYS_PTRACE", "seeing which program another user's process runs"),
    2: ("CAP_DAC_READ_SEARCH", "looking through another user's processes"),
}


class State(Enum):
    OK = "ok"
    NOTE = "note"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """mend: what to do, "" where there is nothing to."""

    subject: str
    state: State
    text: str
    mend: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a peer said.  problem: why it said nothing, "" where it did.  date: its clock, epoch seconds."""

    peer: str
    status: int = 0
    date: float | None = None
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """Of this machine, at ``now``.

    credential: or why there is none.  bundle: the last good one, None where none was ever fetched.
    tested: of the self-test.  helper: the process of the one that runs, None where none does.
    capabilities: its effective ones as bits, else those of who looks; None where there is no such thing.
    lacking: (step, what) of an installation that is not in force; None where nothing was installed.
    capture: what differs from the rules put in force, "" for nothing, None where capture is not wanted.
    """

    now: float
    credential: Credential | str
    bundle: Bundle | None = None
    service: Answer | None = None
    inspectors: tuple[Answer, ...] = ()
    tested: tuple[Tested, ...] = ()
    helper: int | None = None
    capabilities: int | None = None
    lacking: tuple[tuple[str, str], ...] | None = None
    capture: str | None = None
    listening: str = ""


def findings(seen: Seen) -> list[Finding]:
    """In the order in which they depend on each other."""
    looks: Sequence[Callable[[Seen], Iterable[Finding]]] = (
        _credential,
        _service,
        _clock,
        _bundle,
        _inspectors,
        _identification,
        _running,
        _installation,
        _capture,
    )
    return [finding for look in looks for finding in look(seen)]


def _credential(seen: Seen) -> Iterable[Finding]:
    if isinstance(seen.credential, str):
        mend = "ask your administrator for a token, and run 'steering endpoint enrol TOKEN'"
        yield Finding(subject="enrolment", state=State.PROBLEM, text=seen.credential, mend=mend)
        return
    yield _ok("enrolment", f"enrolled with {seen.credential.service_url} as {seen.credential.device_id}")
    ends, begins = (
        moment.timestamp()
        for moment in (
            seen.credential.certificate.not_valid_after_utc,
            seen.credential.certificate.not_valid_before_utc,
        )
    )
    subject = "device certificate"
    if seen.now >= ends:
        text = f"expired {_days(seen.now - ends)} ago: service and inspector refuse this device"
        yield Finding(subject=subject, state=State.PROBLEM, text=text, mend="enrol anew with a new token")
    elif seen.now < begins:
        text = "not valid yet: this machine's clock is wrong, or was when it enrolled"
        yield Finding(subject=subject, state=State.PROBLEM, text=text, mend="set the clock")
    elif seen.now >= seen.credential.renew_at():
        text = f"ends in {_days(ends - seen.now)} and should have been renewed"
        yield Finding(
            subject=subject, state=State.NOTE, text=text, mend="let the helper run where it reaches the service"
        )
    else:
        yield _ok(subject, f"valid for {_days(ends - seen.now)}")


def _service(seen: Seen) -> Iterable[Finding]:
    answer, subject = seen.service, "control service"
    if answer is None:
        return
    if answer.problem:
        text = f"{answer.peer} cannot be reached: {answer.problem}; the last policy stays in force"
        yield Finding(subject=subject, state=State.PROBLEM, text=text, mend="look at network, firewall and the service")
    elif answer.status in (401, 403):
        text = f"{answer.peer} refuses this device ({answer.status}): it was revoked, or its certificate has expired"
        yield Finding(subject=subject, state=State.PROBLEM, text=text, mend="enrol anew with a new token")
    elif answer.status >= 400:
        text = f"{answer.peer} answers with {answer.status}"
        yield Finding(subject=subject, state=State.PROBLEM, text=text, mend="look at the service's log")
    else:
        yield _ok(subject, f"{answer.peer} answers")


def _clock(seen: Seen) -> Iterable[Finding]:
    if seen.service is None or seen.service.date is None:
        return
    skew = seen.now - seen.service.date
    if abs(skew) <= MAX_SKEW_S:
        yield _ok("clock", "agrees with the service's")
        return
    text = (
        f"{abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'} the service's: what this device attests is refused"
    )
    yield Finding(subject="clock", state=State.PROBLEM, text=text, mend="switch on time synchronisation")


def _bundle(seen: Seen) -> Iterable[Finding]:
    if seen.bundle is None:
        text = "there is none yet: everything is refused until one was fetched"
        yield Finding(subject="policy", state=State.PROBLEM, text=text, mend="let the helper reach the service once")
        return
    age_s = max(0.0, seen.now - seen.bundle.issued_at)
    text = f"revision {seen.bundle.revision}, issued {_days(age_s)} ago"
    # A policy that nobody changes is issued once: old alone is no fault where the service answers.
    out_of_reach = seen.service is None or bool(seen.service.problem)
    if age_s >= STALE_S and out_of_reach:
        mend = "it is enforced still; let the helper reach the service"
        yield Finding(subject="policy", state=State.NOTE, text=f"{text}, and the service is out of reach", mend=mend)
    else:
        yield _ok("policy", text)


def _inspectors(seen: Seen) -> Iterable[Finding]:
    subject = "inspector"
    if seen.bundle is not None and not seen.bundle.inspectors:
        mend = "set [inspector] endpoint_listen and its public name at the service"
        text = "the policy names none for helpers: what is not bypassed is refused"
        yield Finding(subject=subject, state=State.PROBLEM, text=text, mend=mend)
    for answer in seen.inspectors:
        if answer.problem:
            opened = seen.bundle is not None and seen.bundle.modes.inspector_unreachable == "open"
            then = "goes direct, uninspected" if opened else "is refused"
            text = f"{answer.peer} cannot be reached: {answer.problem}; without any, what is not bypassed {then}"
            yield Finding(
                subject=subject, state=State.PROBLEM, text=text, mend="look at network, firewall and the inspector"
            )
        elif answer.status != 200:
            text = f"{answer.peer} refuses this device ({answer.status})"
            yield Finding(subject=subject, state=State.PROBLEM, text=text, mend="enrol anew if it was revoked")
        else:
            yield _ok(subject, f"{answer.peer} answers")


def _identification(seen: Seen) -> Iterable[Finding]:
    subject = "identification"
    for result in seen.tested:
        if result.why:
            text = f"{result.kind}: {result.why}; programs are unknown, and rules that name one bypass nothing"
            mend = "update the helper, and send 'steering endpoint doctor --record' with the report"
            yield Finding(subject=subject, state=State.PROBLEM, text=text, mend=mend)
        else:
            method = result.identity.method.value
            yield _ok(subject, f"{result.kind}: by {method} in {result.took_us:.0f} µs")
    if seen.capabilities is not None:
        lacking = [name for bit, (name, _) in CAPABILITIES.items() if not seen.capabilities >> bit & 1]
        uses = [use for bit, (_, use) in CAPABILITIES.items() if not seen.capabilities >> bit & 1]
        if lacking:
            whose = f"process {seen.helper}, the helper, has" if seen.helper else "no helper runs, and you have"
            text = f"{whose} not {', '.join(lacking)}, for {', and for '.join(dict.fromkeys(uses))}"
            mend = "your own programs are seen still; 'sudo steering endpoint install' makes a service that may do all"
            yield Finding(subject=subject, state=State.NOTE, text=text, mend=mend)


def _running(seen: Seen) -> Iterable[Finding]:
    if seen.listening:
        mend = "start it: 'systemctl start steering-endpoint', or 'steering endpoint run'"
        yield Finding(subject="helper", state=State.PROBLEM, text=seen.listening, mend=mend)


def _installation(seen: Seen) -> Iterable[Finding]:
    if seen.lacking is None:
        text = "nothing is installed: only programs that are told of the helper by hand use it"
        yield Finding(subject="installation", state=State.NOTE, text=text, mend="steering endpoint install")
        return
    for step, what in seen.lacking:
        mend = "'steering endpoint install' sets it again"
        yield Finding(subject=step, state=State.PROBLEM, text=what, mend=mend)
    if not seen.lacking:
        yield _ok("installation", "all of it is in force")


def _capture(seen: Seen) -> Iterable[Finding]:
    if seen.capture is None:
        return
    if seen.capture:
        mend = "the helper puts it back while it runs; look for what else changes the packet filter"
        yield Finding(subject="capture", state=State.PROBLEM, text=seen.capture, mend=mend)
    else:
        yield _ok("capture", "the packet filter's rules are as they were put in force")


def _ok(subject: str, text: str) -> Finding:
    return Finding(subject=subject, state=State.OK, text=text)


def _days(seconds: float) -> str:
    for size, unit in ((DAY_S, "day"), (3600.0, "hour"), (60.0, "minute")):
        if seconds >= size:
            count = int(seconds // size)
            return f"{count} {unit}{'s' if count > 1 else ''}"
    return "less than a minute"
