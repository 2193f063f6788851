"""Which inspector a host goes to, and what is left when one is gone or added."""

from collections import Counter

import pytest

from steering.pac.chains import MAX_CHAIN, SLOTS, Chains, hashed_text, host_hash, plan_chains
from steering.pac.errors import PacError
from steering.policy import parse_host
from tests.pac.policies import real_looking_names

HOSTS = [parse_host(name) for name in real_looking_names(5000)]
ORDERS = ["102", "012", "102", "012", "210", "120", "021", "102", "120", "201", "120", "012"]
SIX = [f"inspector-{i}.example:3128" for i in range(6)]


def first(chain: str) -> str:
    return chain.split("; ", maxsplit=1)[0]


@pytest.mark.parametrize(
    ("written", "token"),
    [
        ("192.0.2.1:3128", "192.0.2.1:3128"),
        ("Inspector.EXAMPLE.:3128", "inspector.example:3128"),
        (" proxy:80 ", "proxy:80"),
        ("bücher.example:8080", "xn--bcher-kva.example:8080"),
        ("[2001:DB8:0::1]:443", "[2001:db8::1]:443"),
        ("a.example:00080", "a.example:80"),
        ("a.example:1", "a.example:1"),
        ("a.example:65535", "a.example:65535"),
    ],
)
def test_one_inspector(written: str, token: str) -> None:
    assert plan_chains([written]) == Chains(chains=(f"PROXY {token}",), slots=(0,))


@pytest.mark.parametrize(
    "written",
    [
        "",
        "a.example",
        "a.example:",
        "a.example:0",
        "a.example:65536",
        "a.example:-1",
        "a.example:٣",
        "2001:db8::1:443",
        "[2001:db8::1]",
        "[2001:db8::g]:1",
        "http://a.example:1",
        "a.example:1/",
        "a b.example:1",
        "a..example:1",
        "a.example:1; DIRECT",
        "a.example:1\nDIRECT",
        'a.example:1"; return "DIRECT"; //',
    ],
)
def test_what_is_no_inspector_address(written: str) -> None:
    with pytest.raises(PacError, match="is no inspector address"):
        plan_chains([written])


def test_no_inspector_at_all() -> None:
    with pytest.raises(PacError, match="advertise"):
        plan_chains([])


@pytest.mark.parametrize(
    ("fail_open", "tls", "chain"),
    [
        (False, False, "PROXY a.example:1"),
        (True, False, "PROXY a.example:1; DIRECT"),
        (False, True, "HTTPS a.example:1; PROXY a.example:1"),
        (True, True, "HTTPS a.example:1; PROXY a.example:1; DIRECT"),
    ],
)
def test_forms_of_a_chain(fail_open: bool, tls: bool, chain: str) -> None:
    assert plan_chains(["a.example:1"], fail_open=fail_open, tls=tls).chains == (chain,)


def test_the_same_inspector_twice_is_one() -> None:
    assert plan_chains(["a.example:1", "a.example:1"]) == plan_chains(["a.example:1"])


def test_every_chain_of_several_holds_them_all_once_and_is_closed() -> None:
    made = plan_chains(SIX)
    assert len(made.slots) == SLOTS
    assert all(sorted(chain.split("; ")) == sorted(f"PROXY {i}" for i in SIX) for chain in made.chains)
    assert set(made.slots) == set(range(len(made.chains)))


@pytest.mark.parametrize("inspectors", [MAX_CHAIN - 1, MAX_CHAIN, MAX_CHAIN + 1, 40])
def test_a_chain_is_bounded(inspectors: int) -> None:
    made = plan_chains([f"i{i}.example:1" for i in range(inspectors)])
    assert {len(chain.split("; ")) for chain in made.chains} == {min(inspectors, MAX_CHAIN)}
    assert len({first(chain) for chain in made.chains}) == inspectors


@pytest.mark.parametrize("inspectors", range(2, 9))
def test_slots_are_shared_evenly(inspectors: int) -> None:
    made = plan_chains([f"i{i}.example:1" for i in range(inspectors)])
    leads = Counter(first(made.chains[slot]) for slot in made.slots)
    share = -(-SLOTS // inspectors)
    assert max(leads.values()) <= share
    assert min(leads.values()) >= SLOTS - (inspectors - 1) * share


@pytest.mark.parametrize("inspectors", range(2, 7))
def test_hosts_spread_evenly(inspectors: int) -> None:
    made = plan_chains(SIX[:inspectors])
    loads = Counter(first(made.of(host)) for host in HOSTS)
    mean = len(HOSTS) / inspectors
    assert 0.8 * mean < min(loads.values()) <= max(loads.values()) < 1.2 * mean


@pytest.mark.parametrize("inspectors", range(1, 6))
def test_an_inspector_more_moves_few_hosts(inspectors: int) -> None:
    before, after = plan_chains(SIX[:inspectors]), plan_chains(SIX[: inspectors + 1])
    moved = [host for host in HOSTS if first(before.of(host)) != first(after.of(host))]
    ideal = len(HOSTS) / (inspectors + 1)
    assert 0.7 * ideal < len(moved) < 1.6 * ideal
    to_it = sum(1 for host in moved if SIX[inspectors] in first(after.of(host)))
    assert to_it > 0.7 * len(moved), "most of what moves, moves to the one that is new"


def test_the_load_of_a_lost_inspector_falls_on_all_others() -> None:
    made = plan_chains(SIX)
    lost = f"PROXY {SIX[0]}"
    chains = [made.of(host).split("; ") for host in HOSTS]
    seconds = Counter(chain[1] for chain in chains if chain[0] == lost)
    assert set(seconds) == {f"PROXY {i}" for i in SIX[1:]}
    assert max(seconds.values()) < 3 * min(seconds.values())


def test_the_table_is_the_same_everywhere() -> None:
    """A worker, a second controller and the next version send a host to the same inspector."""
    made = plan_chains(SIX[:3])
    orders = ["".join(token[len("PROXY inspector-")] for token in made.chains[s].split("; ")) for s in made.slots[:12]]
    assert orders == ORDERS


@pytest.mark.parametrize(("text", "value"), [("", 7), ("a", 7 * 31 + 97), ("ab", ((7 * 31 + 97) * 31 + 98))])
def test_host_hash(text: str, value: int) -> None:
    assert host_hash(text) == value


def test_the_hash_stays_within_what_every_engine_counts_exactly() -> None:
    text = "z" * 253
    assert host_hash(text) == (7 * 31**253 + sum(122 * 31**i for i in range(253))) % 65521


@pytest.mark.parametrize(
    ("host", "text"),
    [
        ("Example.COM.", "example.com"),
        ("192.0.2.1", "192.0.2.1"),
        ("[2001:DB8:0:0::1]", "20010db8000000000000000000000001"),
        ("::ffff:192.0.2.1", "00000000000000000000ffffc0000201"),
        ("127.1", "127.1"),
    ],
)
def test_every_spelling_of_a_host_is_hashed_alike(host: str, text: str) -> None:
    assert hashed_text(parse_host(host)) == text
