"""One network, one podman and one image for all tests of containers."""

from collections.abc import Iterator

import pytest

from tests.container.engine import Engine, build, running_engine
from tests.wire.internet import ADDRESSES
from tests.wire.namespace import Namespace


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    """The image is built."""
    with Namespace(ADDRESSES) as space, running_engine(space) as engine:
        build(engine)
        yield engine
