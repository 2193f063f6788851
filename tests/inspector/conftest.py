"""The inspector's own loop tests run on both event loops that it is run on."""

import asyncio
from collections.abc import Callable, Mapping

import pytest
import uvloop

# What does I/O by descriptors of its own.
BOTH = frozenset(
    ("clients", "exchange", "front", "limits", "preface", "server", "session", "tunnelled"),
)


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    factories: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {"asyncio": asyncio.new_event_loop}
    if item.path.stem.removeprefix("test_") in BOTH:
        factories["uvloop"] = uvloop.new_event_loop
    return factories
