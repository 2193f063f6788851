"""haproxy in TCP mode: what a tunnel costs a program that does nothing else."""

from bench.peers import Running, found
from bench.peers import lacking as _lacking
from bench.processes import Stage, listens
from tests.kit import free_port

_CONFIG = """
global
  nbthread 1
  maxconn 8000
defaults
  mode tcp
  timeout connect 5s
  timeout client 600s
  timeout server 600s
listen tunnel
  bind 127.0.0.1:{port} backlog 4096
  server origin 127.0.0.1:{origin}
"""


def lacking() -> str | None:
    return _lacking("haproxy", "haproxy")


def start(stage: Stage, origin_port: int) -> Running:
    folder, port = stage.sub("haproxy"), free_port()
    config = folder / "haproxy.cfg"
    config.write_text(_CONFIG.format(port=port, origin=origin_port))
    program = found("haproxy")
    assert program
    pid = stage.start([program, "-db", "-f", config])
    stage.until(lambda: listens(port), "haproxy")
    return Running(pid=pid, port=port)
