"""The guides, followed to the letter: every command is typed, in order, and prints what the guide says it prints."""

from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.kit import ROOT
from tests.wire.stranger import running_stranger
from tools.doc_examples import fits
from tools.doc_walks import WALKED, Command, items, not_here

pytestmark = pytest.mark.needs("unshare", "curl", "dig", "dnsmasq", "nft", "openssl", "node", "git", "keytool")

AT_ONCE = 2  # each is one command after the other, and most of them are the start of a Python


def walk(page: str, folder: Path) -> list[str]:
    """What did not go as ``page`` says; the walk ends there, as what follows stands on it."""
    with running_stranger(folder) as stranger:
        for item in items((ROOT / page).read_text("utf-8")):
            if not isinstance(item, Command):
                stranger.write(item.path, item.content)
            elif item.hidden or not_here(item.text) is None:
                done = stranger.type(item.text)
                if not item.hidden and (done.code != item.code or not fits(item.shown, done.output)):
                    return [f"$ {item.text}", f"(ended with {done.code})", *done.output.splitlines()]
    return []


@pytest.fixture(scope="module")
def walks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, "Future[list[str]]"]]:
    with ThreadPoolExecutor(AT_ONCE) as walkers:
        yield {page: walkers.submit(walk, page, tmp_path_factory.mktemp("stranger")) for page in WALKED}


@pytest.mark.parametrize("page", WALKED)
def test_the_guide_can_be_followed(page: str, walks: Mapping[str, "Future[list[str]]"]) -> None:
    assert walks[page].result() == []
