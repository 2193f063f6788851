"""The ladder of the running system, and what stands in its place where there is none."""

from ipaddress import ip_address

import pytest

from steering.endpoint.identify import UnknownIdentifier, open_identifier
from steering.endpoint.identify import linux as linux_ladder
from steering.endpoint.identify.identity import Ends, Identifier, Identity
from steering.endpoint.identify.linux import LinuxIdentifier
from steering.policy import UNSEEN, System

ENDS = Ends(ip_address("127.0.0.1"), 4000, ip_address("127.0.0.1"), 3129)


@pytest.mark.needs("linux")
def test_here_it_is_the_linux_ladder() -> None:
    identifier = open_identifier()
    assert isinstance(identifier, LinuxIdentifier)
    identifier.close()


async def unknown_of(identifier: Identifier) -> Identity:
    identifier.watch()
    answer = identifier.fast(ENDS)
    assert answer is not None
    assert answer == await identifier.full(ENDS)
    assert identifier.notes == (answer.unknown,)
    assert answer.program is UNSEEN
    identifier.close()
    return answer


@pytest.mark.parametrize(("name", "called"), [("SunOS", "SunOS"), ("", "this system")])
async def test_on_systems_without_a_ladder_everybody_is_unknown(name: str, called: str) -> None:
    answer = await unknown_of(open_identifier(name))
    assert answer == Identity(system=System.LINUX, unknown=f"programs cannot be identified on {called}")


@pytest.mark.parametrize("error", [OSError("no such kernel"), ImportError("no such library"), AttributeError("WinDLL")])
async def test_a_ladder_that_does_not_open_leaves_everybody_unknown(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail() -> LinuxIdentifier:
        raise error

    monkeypatch.setattr(linux_ladder, "open_linux", fail)
    answer = await unknown_of(open_identifier("Linux"))
    assert answer == Identity(system=System.LINUX, unknown=f"programs cannot be identified here: {error}")


async def test_unknown_says_why() -> None:
    answer = await unknown_of(UnknownIdentifier(System.WINDOWS, "why"))
    assert (answer.system, answer.unknown) == (System.WINDOWS, "why")
