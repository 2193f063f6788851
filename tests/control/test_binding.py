"""Which addresses a configuration asks for, bound all together or not at all."""

import socket
import threading
from ipaddress import ip_address

import pytest

from steering.control.binding import Only, bind, reachable, resolving_at, wanted
from steering.control.config import load_config
from steering.control.errors import ListenError
from steering.control.listening import Role

ALL = {
    Role.CONTROL: ("127.0.0.1", 8080),
    Role.EXPLICIT: ("127.0.0.1", 3128),
    Role.TLS: ("127.0.0.1", 8443),
    Role.HTTP: ("127.0.0.1", 8081),
    Role.DNS_UDP: ("127.0.0.1", 8053),
    Role.DNS_TCP: ("127.0.0.1", 8053),
}
PARTS = {
    (): set(),
    (Only.CONTROL,): {Role.CONTROL},
    (Only.DNS,): {Role.DNS_UDP, Role.DNS_TCP},
    (Only.INSPECTOR,): {Role.EXPLICIT, Role.TLS, Role.HTTP},
    Only.ALL: set(ALL),
}


@pytest.mark.parametrize("only", PARTS)
def test_defaults(only: tuple[str, ...]) -> None:
    assert wanted(load_config(None, {}).config, only) == {role: ALL[role] for role in ALL if role in PARTS[only]}


def test_what_is_empty_is_not_served_and_a_free_dns_port_is_one_for_both() -> None:
    environment = {"STEERING_INSPECTOR_TLS_LISTEN": "", "STEERING_DNS_LISTEN": "127.0.0.1:0"}
    found = wanted(load_config(None, environment).config, Only.ALL)
    assert Role.TLS not in found
    assert found[Role.DNS_UDP] == found[Role.DNS_TCP] and found[Role.DNS_UDP][1] > 0


def test_listeners_for_helpers_belong_to_both_parts() -> None:
    environment = {
        "STEERING_CONTROL_ENDPOINT_LISTEN": "127.0.0.1:8444",
        "STEERING_INSPECTOR_ENDPOINT_LISTEN": "127.0.0.1:3130",
    }
    config = load_config(None, environment).config
    assert wanted(config, Only.ALL) == ALL | {
        Role.ENDPOINT_CONTROL: ("127.0.0.1", 8444),
        Role.ENDPOINT: ("127.0.0.1", 3130),
    }
    assert wanted(config, (Only.CONTROL,)).keys() == {Role.CONTROL, Role.ENDPOINT_CONTROL}
    bound = bind(dict.fromkeys((Role.ENDPOINT_CONTROL, Role.ENDPOINT), ("127.0.0.1", 0)), 3)
    assert {role: len(listener.sockets) for role, listener in bound.items()} == {
        Role.ENDPOINT_CONTROL: 1,
        Role.ENDPOINT: 3,
    }
    for listener in bound.values():
        listener.close()


def test_one_that_is_taken_lets_the_others_go() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        first = bind({Role.TLS: ("127.0.0.1", 0)}, 1)[Role.TLS]
        first.close()
        with pytest.raises(ListenError, match="explicit proxy: cannot listen on"):
            bind({Role.TLS: ("127.0.0.1", first.port), Role.EXPLICIT: taken.getsockname()}, 1)
    bind({Role.TLS: ("127.0.0.1", first.port)}, 1)[Role.TLS].close()


def test_patience_waits_for_what_a_crashed_service_still_holds() -> None:
    taken = socket.socket()
    taken.bind(("127.0.0.1", 0))
    taken.listen()
    at = taken.getsockname()
    with pytest.raises(ListenError):
        bind({Role.EXPLICIT: at}, 1, patience_s=0.1)
    timer = threading.Timer(0.5, taken.close)
    timer.start()
    listeners = bind({Role.EXPLICIT: at}, 1, patience_s=20)
    timer.join()
    assert reachable(listeners, Role.EXPLICIT) == f"127.0.0.1:{at[1]}"
    assert reachable(listeners, Role.TLS) == ""
    listeners[Role.EXPLICIT].close()


def test_where_the_resolver_answers() -> None:
    listeners = bind({Role.DNS_UDP: ("127.0.0.1", 0), Role.EXPLICIT: ("127.0.0.1", 0)}, 2)
    assert list(resolving_at(listeners)) == [(ip_address("127.0.0.1"), listeners[Role.DNS_UDP].port)]
    for listener in listeners.values():
        listener.close()


def test_nothing_to_serve_is_refused() -> None:
    with pytest.raises(ListenError, match="nothing to serve"):
        bind({}, 1)
