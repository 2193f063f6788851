"""One world for all tests that only look at it; those that change its rules make one of their own."""

from collections.abc import Iterator

import pytest

from tests.wire.world import World, running_world


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with running_world(tmp_path_factory.mktemp("world")) as world:
        yield world
