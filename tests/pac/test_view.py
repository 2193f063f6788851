"""What a PAC's requester lets the policy know."""

from ipaddress import ip_address

from steering.pac.view import ANONYMOUS, of_address, of_group
from steering.policy import UNSEEN, Flow, parse_host

HOST = parse_host("www.example")


def test_an_address_says_where_the_requester_is_and_no_more() -> None:
    address = ip_address("10.1.2.3")
    assert of_address(address).flow(HOST) == Flow(host=HOST, source=address, user=UNSEEN, program=UNSEEN)


def test_a_token_claims_its_group_and_leaves_the_address_unknown() -> None:
    """The laptop takes its PAC along."""
    assert of_group("sales").flow(HOST) == Flow(host=HOST, source=UNSEEN, groups=frozenset({"sales"}))


def test_anonymous_supposes_nothing() -> None:
    assert ANONYMOUS.flow(HOST) == Flow(host=HOST)
