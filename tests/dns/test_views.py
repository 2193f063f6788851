from ipaddress import ip_network

from steering_dns import Limits
from steering_dns.settings import EVERYBODY
from steering_dns.views import Kind, Views
from tests.dns.world import RULES, policy_of, settings_for


def test_clients_that_no_rule_tells_apart_share_a_view() -> None:
    views = Views(settings_for((), allowed=(ip_network("127.0.0.0/8"), ip_network("10.0.0.0/8"))), policy_of(RULES))
    assert views.of("127.0.0.1") is views.of("127.0.0.3") is views.of("::ffff:127.0.0.9")
    assert views.of("127.0.0.2") is not views.of("127.0.0.1")
    kinds = {client: views.of(client).kind for client in ("127.0.0.2", "10.0.0.1", "192.0.2.1", "fe80::1%eth0")}
    assert kinds == {
        "127.0.0.2": Kind.STEERED,
        "10.0.0.1": Kind.REAL,
        "192.0.2.1": Kind.REFUSED,
        "fe80::1%eth0": Kind.REFUSED,
    }


def test_what_is_remembered_is_bounded() -> None:
    rules = [{"name": str(i), "source": [f"127.0.0.{i}"], "domains": ["a.example"]} for i in range(1, 9)]
    views = Views(settings_for((), limits=Limits(views=3, clients=4)), policy_of(rules))
    first = views.of("127.0.0.1")
    assert views.of("127.0.0.1") is first
    for i in range(2, 5):
        views.of(f"127.0.0.{i}")
    assert views.of("127.0.0.1") is not first


def test_loopback_never_shares_a_view_with_the_network() -> None:
    """``version.bind`` is told on loopback alone, whoever asked first."""
    for first, second in (("127.0.0.1", "10.0.0.1"), ("10.0.0.1", "127.0.0.1")):
        views = Views(settings_for((), allowed=EVERYBODY, steered=EVERYBODY), policy_of(RULES))
        assert views.of(first) is not views.of(second)
        assert {views.of(client).source.is_loopback for client in (first, second)} == {True, False}
