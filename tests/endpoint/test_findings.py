"""What doctor says: each fault in its own words with how to mend it, and silence about what is well."""

import datetime
from dataclasses import replace

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from steering.endpoint.bundle.content import Bundle, Modes
from steering.endpoint.device import Credential
from steering.endpoint.findings import DAY_S, MAX_SKEW_S, STALE_S, Answer, Finding, Seen, State, findings
from steering.endpoint.identify import selftest
from steering.endpoint.identify.identity import Identity, Method
from steering.policy import compile_policy
from steering.policy.document import read_document
from steering.policy.facts import System

BEGINS = 1_800_000_000.0
ENDS = BEGINS + 90 * DAY_S
FOUR = 1 << 12 | 1 << 39 | 1 << 19 | 1 << 2


def credential() -> Credential:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "ab" * 16)])
    begins, ends = (datetime.datetime.fromtimestamp(at, datetime.UTC) for at in (BEGINS, ENDS))
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(begins)
        .not_valid_after(ends)
        .sign(key, hashes.SHA256())
    )
    return Credential(
        device_id="ab" * 16,
        group="",
        key=key,
        certificate=certificate,
        authority_pem=b"",
        service_url="https://steering.example:8444",
    )


def bundle(**modes: str) -> Bundle:
    rule_set = read_document('{"version": 1, "rules": []}').rule_set
    assert rule_set is not None
    return Bundle(
        policy=compile_policy(rule_set),
        issued_at=BEGINS,
        inspectors=("inspector.example:3130",),
        inspector_addresses=frozenset(),
        modes=Modes(**modes),
    )


KNOWN = Identity(system=System.LINUX, pid=7, names=("python3",), method=Method.MAP)
SERVICE = Answer(peer="steering.example:8444", status=200, date=BEGINS)
DATELESS = replace(SERVICE, date=None)
INSPECTOR = Answer(peer="inspector.example:3130", status=200)
WELL = Seen(
    now=BEGINS,
    credential=credential(),
    bundle=bundle(),
    service=SERVICE,
    inspectors=(INSPECTOR,),
    tested=(selftest.Tested("IPv4", KNOWN, "", 21.4),),
    capabilities=FOUR,
    lacking=(),
    capture="",
)


def test_all_is_well() -> None:
    found = findings(WELL)
    assert [(f.subject, f.state, f.mend) for f in found] == [
        (subject, State.OK, "")
        for subject in (
            *("enrolment", "device certificate", "control service", "clock", "policy", "inspector"),
            *("identification", "installation", "capture"),
        )
    ]
    assert [f.text for f in found if f.subject in ("device certificate", "identification")] == [
        "valid for 90 days",
        "IPv4: by socket map in 21 µs",
    ]


def bad(seen: Seen) -> list[Finding]:
    return [finding for finding in findings(seen) if finding.state is not State.OK]


NO_INSPECTORS = replace(bundle(), inspectors=())
DOWN = Answer(peer="inspector.example:3130", problem="timed out")
FAULTS: dict[str, tuple[Seen, str, State, str]] = {
    "not enrolled": (replace(WELL, credential="/x is not enrolled"), "enrolment", State.PROBLEM, "/x is not enrolled"),
    "renewal is due": (
        replace(WELL, now=BEGINS + 60 * DAY_S, service=DATELESS),
        "device certificate",
        State.NOTE,
        "ends in 30 days and should have been renewed",
    ),
    "expired": (
        replace(WELL, now=ENDS, service=DATELESS),
        "device certificate",
        State.PROBLEM,
        "expired less than a minute ago: service and inspector refuse this device",
    ),
    "not valid yet": (
        replace(WELL, now=BEGINS - 1),
        "device certificate",
        State.PROBLEM,
        "not valid yet: this machine's clock is wrong, or was when it enrolled",
    ),
    "service away": (
        replace(WELL, service=Answer(peer="s:1", problem="refused")),
        "control service",
        State.PROBLEM,
        "s:1 cannot be reached: refused; the last policy stays in force",
    ),
    "revoked": (
        replace(WELL, service=Answer(peer="s:1", status=403)),
        "control service",
        State.PROBLEM,
        "s:1 refuses this device (403): it was revoked, or its certificate has expired",
    ),
    "service ill": (
        replace(WELL, service=Answer(peer="s:1", status=500)),
        "control service",
        State.PROBLEM,
        "s:1 answers with 500",
    ),
    "clock ahead": (
        replace(WELL, now=BEGINS + MAX_SKEW_S + 1),
        "clock",
        State.PROBLEM,
        "31 s ahead of the service's: what this device attests is refused",
    ),
    "clock behind": (
        replace(WELL, service=replace(SERVICE, date=BEGINS + MAX_SKEW_S + 1)),
        "clock",
        State.PROBLEM,
        "31 s behind the service's: what this device attests is refused",
    ),
    "no policy": (
        replace(WELL, bundle=None),
        "policy",
        State.PROBLEM,
        "there is none yet: everything is refused until one was fetched",
    ),
    "an old policy and no service": (
        replace(WELL, now=BEGINS + STALE_S, service=None),
        "policy",
        State.NOTE,
        f"revision {bundle().revision}, issued 3 days ago, and the service is out of reach",
    ),
    "inspector away": (
        replace(WELL, inspectors=(DOWN,)),
        "inspector",
        State.PROBLEM,
        "inspector.example:3130 cannot be reached: timed out; without any, what is not bypassed is refused",
    ),
    "inspector away, failing open": (
        replace(WELL, bundle=bundle(inspector_unreachable="open"), inspectors=(DOWN,)),
        "inspector",
        State.PROBLEM,
        "inspector.example:3130 cannot be reached: timed out; "
        "without any, what is not bypassed goes direct, uninspected",
    ),
    "inspector refuses": (
        replace(WELL, inspectors=(Answer(peer="i:1", status=403),)),
        "inspector",
        State.PROBLEM,
        "i:1 refuses this device (403)",
    ),
    "no inspector for helpers": (
        replace(WELL, bundle=NO_INSPECTORS, inspectors=()),
        "inspector",
        State.PROBLEM,
        "the policy names none for helpers: what is not bypassed is refused",
    ),
    "self-test": (
        replace(WELL, tested=(selftest.Tested("IPv6", KNOWN, "process 9 was named, this is 7"),)),
        "identification",
        State.PROBLEM,
        "IPv6: process 9 was named, this is 7; programs are unknown, and rules that name one bypass nothing",
    ),
    "two capabilities lacking": (
        replace(WELL, capabilities=FOUR & ~(1 << 19 | 1 << 2)),
        "identification",
        State.NOTE,
        "no helper runs, and you have not CAP_SYS_PTRACE, CAP_DAC_READ_SEARCH, for seeing which program another "
        "user's process runs, and for looking through another user's processes",
    ),
    "a capability that the helper lacks": (
        replace(WELL, helper=47, capabilities=FOUR & ~(1 << 39)),
        "identification",
        State.NOTE,
        "process 47, the helper, has not CAP_BPF, for the socket map",
    ),
    "not running": (replace(WELL, listening="nobody listens"), "helper", State.PROBLEM, "nobody listens"),
    "not installed": (
        replace(WELL, lacking=None),
        "installation",
        State.NOTE,
        "nothing is installed: only programs that are told of the helper by hand use it",
    ),
    "a setting was changed": (
        replace(WELL, lacking=(("GNOME proxy", "mode is not as it was set"),)),
        "GNOME proxy",
        State.PROBLEM,
        "mode is not as it was set",
    ),
    "capture was changed": (replace(WELL, capture="changed"), "capture", State.PROBLEM, "changed"),
}


@pytest.mark.parametrize(("seen", "subject", "state", "text"), FAULTS.values(), ids=FAULTS.keys())
def test_a_fault_is_told_alone_and_with_its_mending(seen: Seen, subject: str, state: State, text: str) -> None:
    (finding,) = bad(seen)
    assert (finding.subject, finding.state, finding.text) == (subject, state, text)
    assert finding.mend


BOUNDARIES = {
    "clock at the limit": replace(WELL, now=BEGINS + MAX_SKEW_S),
    "just before renewal": replace(WELL, now=BEGINS + 60 * DAY_S - 1, service=DATELESS),
    "an old policy where the service answers": replace(WELL, now=BEGINS + 9 * DAY_S, service=DATELESS),
    "nearly stale, service away": replace(WELL, now=BEGINS + STALE_S - 1, service=None),
    "a system without capabilities": replace(WELL, capabilities=None),
    "without capture": replace(WELL, capture=None),
}


@pytest.mark.parametrize("seen", BOUNDARIES.values(), ids=BOUNDARIES.keys())
def test_no_fault(seen: Seen) -> None:
    assert bad(seen) == []
