"""One CA and one server for all tests of installations: nobody changes them."""

from collections.abc import Iterator

import pytest

from tests.endpoint.install.ground import Authority, make_authority, serving


@pytest.fixture(scope="session")
def authority() -> Authority:
    return make_authority()


@pytest.fixture(scope="session")
def port(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with serving(authority, tmp_path_factory.mktemp("server")) as number:
        yield number
