"""What several of these tests start from."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that other users of this machine can enter, which they cannot with ``tmp_path``."""
    folder = Path(tempfile.mkdtemp(prefix="steering-test-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)
