"""What we take of aiohttp that it does not promise: pyproject holds it to one minor version, this says why.

A new minor version: raise the bound in pyproject and in VERSION, then run all of tests/inspector.
"""

import re
import tomllib
from importlib.metadata import version

import pytest
from aiohttp.base_protocol import BaseProtocol
from aiohttp.http_exceptions import BadHttpMethod, HttpProcessingError
from aiohttp.http_parser import HttpRequestParser, HttpResponseParser

from steering.policy.hosts import Address
from steering.policy.live import Live
from steering_inspector.heads import C_PARSER, parse_request_head, parse_response_head
from steering_inspector.server import Inspector
from steering_inspector.settings import InspectorSettings, Limits
from tests.inspector.clients import policy_of
from tests.inspector.origin import origin_ca
from tests.kit import ROOT

VERSION = ("3.14.2", "3.15")  # from, below


def test_pyproject_and_the_installed_version_are_within_the_bounds() -> None:
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["dependencies"]
    (line,) = (dependency for dependency in wanted if dependency.startswith("aiohttp"))
    assert line == f"aiohttp>={VERSION[0]},<{VERSION[1]}"
    installed = tuple(map(int, re.findall(r"\d+", version("aiohttp"))[:3]))
    lowest, below = (tuple(map(int, text.split("."))) for text in VERSION)
    assert lowest <= installed < below


def test_the_parsers_are_those_written_in_c() -> None:
    assert C_PARSER
    assert (HttpRequestParser.__module__, HttpResponseParser.__module__) == ("aiohttp._http_parser",) * 2


async def _unresolved(name: str) -> list[Address]:
    return []


async def test_without_them_the_inspector_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("steering_inspector.server.C_PARSER", False)
    with pytest.raises(RuntimeError, match="C parsers"):
        Inspector(InspectorSettings(), Live(policy_of([])), None, origin_ca().trusting(), _unresolved, print)


def test_messages_have_the_shape_that_we_read() -> None:
    request = parse_request_head(b"GET /a HTTP/1.1\r\nHost: b\r\nX-Y:  z \r\n\r\n", Limits())
    assert (request.method, request.path, tuple(request.version)) == ("GET", "/a", (1, 1))
    assert list(request.raw_headers) == [(b"Host", b"b"), (b"X-Y", b"z")]
    response = parse_response_head(b"HTTP/1.0 404 Not Here\r\nX-Y: z\r\n\r\n", Limits())
    assert (response.code, response.reason, tuple(response.version)) == (404, "Not Here", (1, 0))
    assert list(response.raw_headers) == [(b"X-Y", b"z")]


def test_the_arguments_are_those_that_we_give() -> None:
    """By keyword, and with a protocol and a loop that are never asked for anything."""
    parser = HttpRequestParser(
        BaseProtocol(object()), object(), 65536, max_line_size=100, max_field_size=100, max_headers=2  # type: ignore[arg-type]
    )  # fmt: skip
    with pytest.raises(HttpProcessingError):
        parser.feed_data(b"GET / HTTP/1.1\r\nA: " + b"b" * 101 + b"\r\n\r\n")
    assert issubclass(BadHttpMethod, HttpProcessingError)
