"""The helper's own pages: only for who calls it by a name that cannot be pointed elsewhere."""

import pytest

from steering.endpoint.proxy.own import own_answer
from steering.endpoint.proxy.request import Own, RequestError

HERE = "127.0.0.1:3129"


def asked(path: str = "/proxy.pac", host: str = HERE, method: str = "GET") -> bytes:
    return own_answer(Own(method=method.encode(), path=path.encode(), host=host), HERE, 3129)


@pytest.mark.parametrize("host", [HERE, "localhost:3129", "LOCALHOST:3129"])
def test_the_pac(host: str) -> None:
    head, _, body = asked(host=host).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\nContent-Type: application/x-ns-proxy-autoconfig\r\n")
    assert b'return "PROXY 127.0.0.1:3129";' in body
    assert f"Content-Length: {len(body)}".encode() in head


@pytest.mark.parametrize("path", ["/proxy.pac", "/wpad.dat", "/healthz"])
def test_no_page_of_another_origin_may_read_it(path: str) -> None:
    head = asked(path).partition(b"\r\n\r\n")[0].lower()
    assert b"access-control" not in head
    assert b"cross-origin-resource-policy: same-origin" in head
    assert asked(path, method="HEAD").endswith(b"\r\n\r\n")


@pytest.mark.parametrize(
    ("path", "host", "method", "status"),
    [
        ("/proxy.pac", "evil.example:3129", "GET", 421),
        ("/proxy.pac", "evil.example", "GET", 421),
        ("/proxy.pac", "127.0.0.1", "GET", 421),
        ("/proxy.pac", "127.0.0.1:3128", "GET", 421),
        ("/proxy.pac", "localhost.evil.example:3129", "GET", 421),
        ("/proxy.pac", "", "GET", 421),
        ("/proxy.pac", HERE, "POST", 405),
        ("/proxy.pac", HERE, "OPTIONS", 405),
        ("/", HERE, "GET", 404),
        ("/proxy.pac/", HERE, "GET", 404),
    ],
)
def test_what_is_refused(path: str, host: str, method: str, status: int) -> None:
    with pytest.raises(RequestError) as caught:
        asked(path, host, method)
    assert caught.value.status == status
