"""dnsmasq: answers one domain itself, forwards and caches the rest."""

from pathlib import Path

from bench.peers import Running, found
from bench.peers import lacking as _lacking
from bench.processes import Stage
from tests.kit import free_port_both


def lacking() -> str | None:
    return _lacking("dnsmasq", "dnsmasq-base")


def start(stage: Stage, steered: str, address: str, upstream: int, *, log: Path | None = None) -> Running:
    """log: where every query is written; None: nowhere, as by default."""
    folder, port = stage.sub(f"dnsmasq{'-log' if log else ''}"), free_port_both()
    program = found("dnsmasq")
    assert program
    options = [
        "--keep-in-foreground",
        "--conf-file=/dev/null",
        f"--port={port}",
        "--listen-address=127.0.0.1",
        "--bind-interfaces",
        "--no-resolv",
        "--no-hosts",
        f"--pid-file={folder}/pid",
        "--user=",
        "--cache-size=10000",
        "--cache-rr=HTTPS",
        "--dns-forward-max=1000",
        f"--address=/{steered}/{address}",
        f"--local=/{steered}/",
        f"--server=127.0.0.1#{upstream}",
        *(["--log-queries", f"--log-facility={log}"] if log else []),
    ]
    return Running(pid=stage.start([program, *options]), port=port)
