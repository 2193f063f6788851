"""Which event loop our processes run on."""

import asyncio
import sys

import pytest

from steering.process.loop import run


async def module_of_the_loop() -> str:
    return type(asyncio.get_running_loop()).__module__


def test_uvloop_where_it_is_installed() -> None:
    assert run(module_of_the_loop()) == "uvloop"


def test_asyncio_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvloop", None)  # what an import finds where there is none
    assert run(module_of_the_loop()).startswith("asyncio.")


def test_what_was_raised_comes_out() -> None:
    async def fails() -> None:
        raise KeyError("x")

    with pytest.raises(KeyError):
        run(fails())
