"""dnsdist, as a front for DoT and DoH that answers every name itself."""

from pathlib import Path

from bench.peers import Running, found
from bench.peers import lacking as _lacking
from bench.processes import Stage
from tests.kit import free_port, free_port_both

_CONFIG = """
setLocal("127.0.0.1:{port}")
setACL("127.0.0.0/8")
addTLSLocal("127.0.0.1:{tls}", "{certificate}", "{key}")
addDOHLocal("127.0.0.1:{https}", "{certificate}", "{key}", "/dns-query")
newServer("127.0.0.1:{upstream}")
addAction(AllRule(), SpoofAction("{address}"))
"""


def lacking() -> str | None:
    return _lacking("dnsdist", "dnsdist")


def start(stage: Stage, address: str, upstream: int, certificate: tuple[Path, Path]) -> Running:
    """certificate: with its key."""
    folder, port = stage.sub("dnsdist"), free_port_both()
    ports = {"tls": free_port(), "https": free_port()}
    config = folder / "dnsdist.conf"
    config.write_text(
        _CONFIG.format(
            port=port,
            certificate=certificate[0],
            key=certificate[1],
            upstream=upstream,
            address=address,
            **ports,
        )
    )
    program = found("dnsdist")
    assert program
    pid = stage.start([program, "--supervised", "--disable-syslog", "-C", config])
    return Running(pid=pid, port=port, ports=ports)
