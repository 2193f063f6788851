"""Hypothesis strategies for what arrives on a DNS port: questions as clients send them, and everything else."""

from dataclasses import dataclass

from hypothesis import strategies as st

NAMES = (
    "steered.example",
    "pinned.example",
    "huge.pinned.example",
    "bad.pinned.example",
    "localhost",
    "a.local",
    "com",
    "printer",
    "mask.icloud.com",
    "1.2.3.4",
    "127.1",
    "x.corp.example",
    "_443._tcp.steered.example",
    "captive.apple.com",
    "1.0.0.10.in-addr.arpa",
    "_dns.resolver.arpa",
    "steering.example",
    "",
)
TYPES = (0, 1, 2, 5, 6, 12, 15, 16, 28, 33, 41, 43, 46, 64, 65, 249, 250, 251, 252, 253, 255, 257, 65535)
CLASSES = (1, 1, 1, 1, 3, 4, 254, 255, 0)
OPT = b"\0\0\x29"


def spelt(name: str) -> bytes:
    return b"".join(bytes((len(label),)) + label.encode() for label in name.split(".") if label) + b"\0"


def long_name(size: int) -> bytes:
    """A name of ``size`` bytes on the wire, from labels as long as may be."""
    out, left = b"", size - 1
    while left > 0:
        label = min(63, left - 1) if left != 65 else 62  # never leave one byte over
        out += bytes((label,)) + b"a" * label
        left -= 1 + label
    return out + b"\0"


@st.composite
def cased(draw: st.DrawFn, name: bytes) -> bytes:
    """0x20: the same name in another case."""
    bits = draw(st.integers(0, (1 << len(name)) - 1))
    return bytes(b ^ 0x20 if 0x61 <= b <= 0x7A and bits >> i & 1 else b for i, b in enumerate(name))


ordinary = st.sampled_from(NAMES).map(spelt).flatmap(cased)
labels = st.lists(st.binary(min_size=1, max_size=20), max_size=6).map(
    lambda found: b"".join(bytes((len(label),)) + label for label in found) + b"\0"
)
broken = st.one_of(
    st.sampled_from(
        [b"\xc0\x0c", b"\xc0\x00", b"\xc0\xff", b"\x01a\xc0\x0c", b"\x40a", b"\x80", b"\x3f", b"", b"\x01"]
    ),
    st.sampled_from([254, 255, 256, 257, 300]).map(long_name),
    st.binary(max_size=30),
)
names = st.one_of(ordinary, ordinary, labels, broken)


def opt(payload: int = 1232, version: int = 0, do: bool = False, options: bytes = b"", owner: bytes = b"\0") -> bytes:
    fixed = payload.to_bytes(2, "big") + bytes((0, version, 0x80 if do else 0, 0))
    return owner + OPT[1:] + fixed + len(options).to_bytes(2, "big") + options


opts = st.builds(
    opt,
    payload=st.sampled_from([0, 511, 512, 513, 600, 1231, 1232, 1233, 4096, 65535]),
    version=st.sampled_from([0, 0, 0, 0, 1, 255]),
    do=st.booleans(),
    options=st.sampled_from(
        [
            b"",
            b"",
            b"\0\x0a\0\x08abcdefgh",
            b"\0\x0a\0\x09x",
            b"\0",
            b"\0\x08\0\4\0\1\0\0",
            b"\xff\xff\0\1x",
            b"\0\x0c\0\0" * 9,
        ]
    ),
    owner=st.sampled_from([b"\0", b"\0", b"\0", b"\1a\0", b"\xc0\x0c"]),
)


@dataclass(frozen=True)
class Asked:
    """A question as a well-behaved client sends it."""

    packet: bytes
    udp: bool


@st.composite
def questions(draw: st.DrawFn) -> Asked:
    edns = draw(st.booleans())
    flags = bytes((draw(st.booleans()), draw(st.sampled_from([0, 0x10, 0x20, 0x30]))))
    head = draw(st.binary(min_size=2, max_size=2)) + flags + b"\0\1\0\0\0\0" + bytes((0, edns))
    rclass = draw(st.sampled_from(CLASSES)).to_bytes(2, "big")
    tail = draw(st.sampled_from(TYPES)).to_bytes(2, "big") + rclass
    payload = draw(st.sampled_from([0, 512, 600, 1232, 4096]))
    record = opt(payload, do=draw(st.booleans())) if edns else b""
    return Asked(head + draw(st.one_of(ordinary, labels)) + tail + record, draw(st.booleans()))


@st.composite
def anything(draw: st.DrawFn) -> bytes:
    """Near a question, and wrong in some way: counts that lie, several questions or OPTs, odd names, cut, trailing."""
    question = st.tuples(names, st.sampled_from(TYPES), st.sampled_from(CLASSES)).map(
        lambda q: q[0] + q[1].to_bytes(2, "big") + q[2].to_bytes(2, "big")
    )
    asked = draw(st.lists(question, min_size=1, max_size=3)) if draw(st.integers(0, 9)) == 0 else [draw(question)]
    extra = draw(st.lists(opts, max_size=3))
    counts = [len(asked), 0, 0, len(extra)]
    if draw(st.integers(0, 4)) == 0:
        counts[draw(st.integers(0, 3))] = draw(st.sampled_from([0, 1, 2, 5, 255, 65535]))
    opcode = draw(st.sampled_from([0, 0, 0, 0, 0, 1, 2, 4, 5, 15])) << 3
    flags = bytes((draw(st.sampled_from([0, 0, 0, 0, 0x80, 4, 2])) | opcode | draw(st.booleans()),))
    packet = draw(st.binary(min_size=2, max_size=2)) + flags + bytes((draw(st.integers(0, 255)),))
    packet += b"".join(count.to_bytes(2, "big") for count in counts) + b"".join(asked) + b"".join(extra)
    packet = packet[: draw(st.integers(0, len(packet)))] if draw(st.integers(0, 4)) == 0 else packet
    return packet + (draw(st.binary(max_size=5)) if draw(st.integers(0, 4)) == 0 else b"")
