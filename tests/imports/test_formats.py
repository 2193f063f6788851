"""Every format says what it reads and what its names stand for."""

import pytest

from steering.imports.formats import FORMATS
from tests.imports.reading import KNOWN


@pytest.mark.parametrize("name", FORMATS)
def test_a_format_names_its_dialect(name: str) -> None:
    form = FORMATS[name]
    assert form.about
    assert "example.com'" in form.dialect
    assert form.read("", KNOWN).rules == ()
