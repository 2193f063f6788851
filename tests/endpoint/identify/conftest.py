"""Programs and a listener for every test here that wants them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.endpoint.identify.programs import Listener, Programs


@pytest.fixture(scope="session")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Programs:
    folder: Path = tmp_path_factory.mktemp("programs")
    for above in (folder, *list(folder.parents)[:2]):
        above.chmod(0o755)  # programs of other users are started from here
    return Programs(folder)


@pytest.fixture
def listener() -> Iterator[Listener]:
    listener = Listener()
    yield listener
    listener.close()
