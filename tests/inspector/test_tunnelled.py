"""A tunnel in the register: its line, its time, and its end when it is no longer bypassed."""

from tests.inspector.clients import RULES, policy_of, running


async def test_tunnels_that_are_no_longer_bypassed_are_closed() -> None:
    async with running() as rig:
        wire = await rig.open("pinned.example")
        assert (await wire.get("pinned.example", "/hello"))[0] == 200
        rig.live.swap(policy_of(RULES))
        assert (await wire.get("pinned.example", "/hello"))[0] == 200
        rig.live.swap(policy_of(RULES[1:]))
        assert await wire.at_end() == b""
        await wire.close()
        (line,) = await rig.settled()
        assert line.reason == "policy-change"
