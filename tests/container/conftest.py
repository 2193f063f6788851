"""One network, one podman, one image and one internet for all tests of containers."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.container.engine import Engine, build, running_engine
from tests.wire.internet import ADDRESS, ADDRESSES, GATEWAY, running_internet
from tests.wire.namespace import Namespace

ELSEWHERE = ("example.com", "zoom.us")  # that the documentation names


@pytest.fixture(scope="session")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """The image is built.  The system's resolver, which containers ask too, knows the names of the tests' internet."""
    resolv = tmp_path_factory.mktemp("etc") / "resolv.conf"
    resolv.write_text(f"nameserver {GATEWAY}\n")
    files = {Path("/etc/resolv.conf"): resolv}
    with Namespace(ADDRESSES, files) as space, space.holding(running_internet(GATEWAY, 53)) as (_, upstream):
        upstream.records |= {(f"{name}.", "A"): [ADDRESS] for name in ELSEWHERE}
        with running_engine(space) as engine:
            build(engine)
            yield engine
