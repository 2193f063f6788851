"""The proxy setting of macOS: one for each network service.  Not yet run on a real machine.

A service that is added later has none: ``doctor`` tells, and installing again sets it.
"""

from steering.endpoint.install.actions import MacAutoProxy, Step
from steering.endpoint.install.carry import Run

LISTING = ("networksetup", "-listallnetworkservices")


def network_services(listing: str) -> tuple[str, ...]:
    """Of ``LISTING``'s output: a line of explanation, then one each, "*" before those that are disabled."""
    return tuple(line.lstrip("*") for line in listing.splitlines()[1:] if line.strip())


def steps(run: Run, pac_url: str) -> tuple[Step, ...]:
    actions = tuple(MacAutoProxy(service=name, value=pac_url) for name in network_services(run(LISTING).out))
    why = "programs that follow the system's proxy setting use the PAC"
    return (Step(name="network services", why=why, actions=actions),) if actions else ()
