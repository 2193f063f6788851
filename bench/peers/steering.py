"""The shipped program: ``steering serve`` as a process, its settings changed in ports, trust and destinations alone."""

from collections.abc import Mapping, Sequence

from bench.cost import pin
from bench.peers import Running
from bench.processes import SERVER_CPU, Stage
from bench.rounds import Failed
from steering.control.listening import Role
from tests.service import LiveService, Settings, over, service_in

Rules = Sequence[Mapping[str, object]]


def start(
    stage: Stage, name: str, rules: Rules | bytes, settings: Settings, *, workers: int = 1, pinned: bool = True
) -> tuple[Running, LiveService]:
    """The service, and how to speak with it.  pinned: on the servers' processor; two workers want two."""
    service = prepare(stage, name, rules, settings, workers=workers)
    try:
        service.start(within_s=120)
    except AssertionError as exc:
        raise Failed(f"{name} does not start: {str(exc)[-600:]}") from exc
    if pinned:
        pin(service.pid, SERVER_CPU)
    return running(service), service


def prepare(stage: Stage, name: str, rules: Rules | bytes, settings: Settings, *, workers: int = 1) -> LiveService:
    own: Settings = {"inspector": {"workers": workers}, "dns": {"workers": workers}}
    service = service_in(stage.sub(name), rules, over(own, settings))
    stage.at_end(lambda: _end(service))
    return service


def _end(service: LiveService) -> None:
    try:
        service.stop()
    finally:
        service.kill()


def running(service: LiveService) -> Running:
    """What is known of it once it has started."""
    ports = {role: int(address.rpartition(":")[2]) for role, address in service.addresses.items()}
    return Running(pid=service.pid, port=ports.get(Role.EXPLICIT.value, 0), ports=ports, ca=service.ca)
