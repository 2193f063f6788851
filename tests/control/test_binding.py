"""Which addresses a configuration asks for, bound all together or not at all."""

import socket
import threading
from ipaddress import ip_address

import pytest

from steering.control.binding import Only, bind, fixed, reachable, resolving_at, wanted
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


def test_what_is_known_beforehand() -> None:
    assert fixed(load_config(None, {}).config) == ALL
    environment = {"STEERING_INSPECTOR_TLS_LISTEN": "", "STEERING_DNS_LISTEN": "127.0.0.1:0"}
    assert fixed(load_config(None, environment).config).keys() == {Role.CONTROL, Role.EXPLICIT, Role.HTTP}


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


def bound_by_another(kind: socket.SocketKind, port: int = 0, host: str = "127.0.0.1") -> socket.socket:
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, kind)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    sock.bind((host, port))
    return sock


def test_given_sockets_go_to_whoever_asks_for_their_address() -> None:
    udp = bound_by_another(socket.SOCK_DGRAM)
    port = udp.getsockname()[1]
    tcp = bound_by_another(socket.SOCK_STREAM, port)
    asked = {
        Role.DNS_TCP: ("127.0.0.1", port),
        Role.DNS_UDP: ("127.0.0.1", port),
        Role.TLS: ("127.0.0.1", 0),
    }
    listeners = bind(asked, 3, given=[udp, tcp])
    assert listeners[Role.DNS_UDP].sockets == (udp,)
    assert listeners[Role.DNS_TCP].sockets == (tcp,)
    assert len(listeners[Role.TLS].sockets) == 3
    socket.create_connection(("127.0.0.1", port), timeout=10).close()
    assert not tcp.getblocking() and not udp.getblocking()
    for listener in listeners.values():
        listener.close()


REFUSED_GIVEN = {
    "nobody asks": ("127.0.0.2", 1, Role.TLS, "systemd holds a TCP socket on 127.0.0.2:"),
    "IPv4 over IPv6": ("::", 1, Role.TLS, "takes IPv4 too: set BindIPv6Only=ipv6-only"),
    "two for one who serves alone": ("127.0.0.1", 2, Role.CONTROL, "one socket is enough for 127.0.0.1:"),
}


@pytest.mark.parametrize("case", REFUSED_GIVEN)
def test_given_sockets_that_are_refused_are_closed(case: str) -> None:
    host, count, role, said = REFUSED_GIVEN[case]
    first = bound_by_another(socket.SOCK_STREAM, 0, host)
    port = first.getsockname()[1]
    given = [first, *(bound_by_another(socket.SOCK_STREAM, port, host) for _ in range(count - 1))]
    at = ("127.0.0.1", port) if host == "127.0.0.2" else (host, port)
    with pytest.raises(ListenError, match=said):
        bind({role: at}, 1, given=given)
    assert [sock.fileno() for sock in given] == [-1] * count
