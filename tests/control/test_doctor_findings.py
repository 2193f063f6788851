"""What is wrong, told of hand-made facts: one thing off at a time, at its boundaries."""

from dataclasses import replace

import pytest

from steering.control.doctor_facts import Certificate, Facts, Folder, Held, Port, Reached, Rules, Running
from steering.control.doctor_findings import (
    CA_WARN_S,
    DAY_S,
    FULL_BYTES,
    LOW_BYTES,
    SLACK_S,
    Finding,
    State,
    findings,
)

NOW = 1_800_000_000.0
CA = Certificate(what="CA", begins=NOW - DAY_S, ends=NOW + 1000 * DAY_S)
UP, DOWN = (Reached(what="upstream DNS", address=f"udp://192.0.2.{n}:53", problem=p) for n, p in ((1, ""), (2, "mute")))
WELL = Facts(
    now=NOW,
    running=Running(revision="abc", since=NOW - 100),
    silent="",
    folder=Folder(path="/var", exists=True),
    rules=Rules(path="rules.json", changed=NOW - 200, last_good=True),
    ports=(Port(role="control", wanted="127.0.0.1:8080", held=Held.OURS),),
    past=(("the CA", NOW - DAY_S),),
    ca=CA,
    ca_url="http://s.example/ca.pem",
    upstreams=(UP,),
    listeners=(Reached(what="control", address="127.0.0.1:8080"),),
    certificates=(Certificate(what="control, for helpers", begins=NOW - 1, ends=NOW + 30 * DAY_S),),
)
STOPPED = replace(WELL, running=None, silent="no service answers", listeners=(), certificates=())


def remarks(facts: Facts) -> list[tuple[str, str]]:
    return [(f.state.value, f.subject) for f in findings(facts) if f.state is not State.OK]


def test_all_is_well() -> None:
    assert [(f.state, f.subject) for f in findings(WELL)] == [
        (State.OK, subject)
        for subject in (
            "service", "state folder", "disk", "clock", "rules", "PAC", "policy", "port of control", "CA",
            "CA for clients", "control, for helpers", "upstream DNS", "control",
        )
    ]  # fmt: skip


def test_whole_findings() -> None:
    facts = replace(WELL, ports=(replace(WELL.ports[0], held=Held.TAKEN),), ca=replace(CA, ends=NOW))
    assert [finding for finding in findings(facts) if finding.state is not State.OK] == [
        Finding(
            subject="port of control",
            state=State.ERROR,
            text="127.0.0.1:8080: another program has it",
            mend="stop that program ('ss -lntup' names it), or choose another port",
        ),
        Finding(
            subject="CA",
            state=State.ERROR,
            text="ended on 2027-01-15 08:00 UTC",
            mend="steering ca rotate, then give clients the new one",
        ),
    ]


def folder(**changes: object) -> Facts:
    return replace(WELL, folder=replace(WELL.folder, **changes))  # type: ignore[arg-type]  # keys of Folder


def rules(base: Facts = WELL, **changes: object) -> Facts:
    return replace(base, rules=replace(base.rules, **changes))  # type: ignore[arg-type]  # keys of Rules


def ca(**changes: object) -> Facts:
    return replace(WELL, ca=replace(CA, **changes))  # type: ignore[arg-type]  # keys of Certificate


def port(held: Held, base: Facts = WELL) -> Facts:
    return replace(base, ports=(replace(WELL.ports[0], held=held),))


FOLLOWED = "https://control.example:8444"


def following(base: Facts = WELL, *, kept: bool = True, **running: object) -> Facts:
    made = replace(base, rules=Rules(path="", followed=FOLLOWED, last_good=kept))
    if made.running is None:
        return made
    return replace(made, running=replace(made.running, **running))  # type: ignore[arg-type]  # keys of Running


CASES: dict[str, tuple[Facts, list[tuple[str, str]]]] = {
    "following": (following(), []),
    "following without a CA": (replace(following(), ca=None), []),
    "a newer bundle is refused": (following(error="it is older"), [("error", "rules")]),
    "nobody to follow": (following(warnings=("cannot be asked", "stale")), [("warning", "following")] * 2),
    "a follower that is stopped": (following(STOPPED), [("warning", "service")]),
    "a follower before its first policy": (
        following(STOPPED, kept=False),
        [("warning", "service"), ("warning", "rules")],
    ),
    "stopped": (STOPPED, [("warning", "service")]),
    "mute": (replace(STOPPED, holder=7), [("error", "service")]),
    "no folder yet": (folder(exists=False, writable=False), []),
    "read-only folder": (folder(writable=False), [("error", "state folder")]),
    "folder of a group": (folder(mode=0o770), [("error", "state folder")]),
    "folder that others read": (folder(mode=0o755), []),
    "disk enough": (folder(free_bytes=LOW_BYTES), []),
    "disk low": (folder(free_bytes=LOW_BYTES - 1), [("warning", "disk")]),
    "disk nearly full": (folder(free_bytes=FULL_BYTES), [("warning", "disk")]),
    "disk full": (folder(free_bytes=FULL_BYTES - 1), [("error", "disk")]),
    "clock within the slack": (replace(WELL, past=(("x", NOW + SLACK_S), ("y", 0.0))), []),
    "clock behind": (replace(WELL, past=(("x", NOW + SLACK_S + 1), ("y", 0.0))), [("error", "clock")]),
    "nothing to tell the clock by": (replace(WELL, past=()), []),
    "rules broken": (rules(problem="1:1 error"), [("error", "rules")]),
    "rules broken for the service": (
        replace(WELL, running=Running(revision="a", since=NOW - 100, error="x")),
        [("error", "rules")],
    ),
    "rules broken, stopped": (rules(STOPPED, problem="x"), [("warning", "service"), ("error", "rules")]),
    "PAC large": (rules(gates=("300 kB",)), [("warning", "PAC")]),
    "rules changed, not in force": (rules(changed=NOW - 50), [("warning", "policy")]),
    "rules changed just now": (rules(changed=NOW - 5), []),
    "port denied": (port(Held.DENIED), [("error", "port of control")]),
    "port absent": (port(Held.ABSENT), [("error", "port of control")]),
    "port free, stopped": (port(Held.FREE, STOPPED), [("warning", "service")]),
    "port free, running": (port(Held.FREE), [("warning", "port of control")]),
    "no CA yet": (replace(WELL, ca=None), []),
    "CA unsafe": (ca(problem="can be read by others"), [("error", "CA")]),
    "CA long": (ca(ends=NOW + CA_WARN_S + 1), []),
    "CA ending": (ca(ends=NOW + CA_WARN_S), [("warning", "CA")]),
    "CA at its last second": (ca(ends=NOW + 1), [("warning", "CA")]),
    "CA ended": (ca(ends=NOW), [("error", "CA")]),
    "CA of tomorrow": (ca(begins=NOW + 1), [("error", "CA")]),
    "no upstream": (replace(WELL, upstreams=(), upstreams_problem="x"), [("error", "upstream DNS")]),
    "one of two upstreams": (replace(WELL, upstreams=(UP, DOWN)), [("warning", "upstream DNS")]),
    "all upstreams": (replace(WELL, upstreams=(DOWN, DOWN)), [("error", "upstream DNS")] * 2),
    "listener": (
        replace(WELL, listeners=(Reached(what="control", address="127.0.0.1:8080", problem="mute"),)),
        [("error", "control")],
    ),
    "certificate": (
        replace(WELL, certificates=(Certificate(what="c", begins=NOW - 9, ends=NOW + DAY_S),)),
        [("warning", "c")],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_cases(case: str) -> None:
    facts, expected = CASES[case]
    assert remarks(facts) == expected


@pytest.mark.parametrize("case", CASES)
def test_whatever_is_wrong_comes_with_what_to_do(case: str) -> None:
    assert [f for f in findings(CASES[case][0]) if (f.state is State.OK) != (not f.mend)] == []


def test_what_a_start_would_do_with_broken_rules() -> None:
    told = {
        kept: next(f.text for f in findings(rules(STOPPED, problem="x", last_good=kept)) if f.subject == "rules")
        for kept in (True, False)
    }
    assert told == {
        True: "cannot be enforced: x; a start would enforce the last good ones",
        False: "cannot be enforced: x; and there are no last good ones: nothing would be served",
    }
