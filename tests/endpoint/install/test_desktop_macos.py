"""macOS' proxy setting: constructed after networksetup's documentation, not recorded on a Mac."""

from steering.endpoint.install import desktop_macos
from steering.endpoint.install.actions import Argv, MacAutoProxy
from steering.endpoint.install.carry import Ended

LISTING = "An asterisk (*) denotes that a network service is disabled.\nWi-Fi\n*Thunderbolt Bridge\nUSB 10/100 LAN\n"


def test_every_service_is_set() -> None:
    asked: list[Argv] = []

    def run(argv: Argv) -> Ended:
        asked.append(argv)
        return Ended(code=0, out=LISTING)

    (step,) = desktop_macos.steps(run, "http://p")
    names = ("Wi-Fi", "Thunderbolt Bridge", "USB 10/100 LAN")
    assert step.actions == tuple(MacAutoProxy(service=name, value="http://p") for name in names)
    assert asked == [("networksetup", "-listallnetworkservices")]


def test_no_service() -> None:
    assert desktop_macos.steps(lambda _: Ended(code=127), "http://p") == ()
