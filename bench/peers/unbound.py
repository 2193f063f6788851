"""Unbound with one thread: a redirected zone, the rest forwarded and cached, nothing validated; DoT and DoH too."""

from pathlib import Path

from bench.peers import Running, found
from bench.peers import lacking as _lacking
from bench.processes import Stage
from tests.kit import free_port, free_port_both

_CONFIG = """
server:
  interface: 127.0.0.1@{port}
  num-threads: 1
  do-daemonize: no
  username: ""
  chroot: ""
  directory: "{folder}"
  pidfile: "{folder}/pid"
  use-syslog: no
  logfile: "{log}"
  log-queries: {queries}
  module-config: "iterator"
  do-not-query-localhost: no
  so-rcvbuf: 4m
  local-zone: "{steered}." redirect
  local-data: "{steered}. 30 A {address}"
{encrypted}
forward-zone:
  name: "."
  forward-addr: 127.0.0.1@{upstream}
remote-control:
  control-enable: no
"""

_ENCRYPTED = """
  interface: 127.0.0.1@{tls}
  interface: 127.0.0.1@{https}
  tls-port: {tls}
  https-port: {https}
  tls-service-pem: "{certificate}"
  tls-service-key: "{key}"
"""


def lacking() -> str | None:
    return _lacking("unbound", "unbound")


def start(
    stage: Stage,
    steered: str,
    address: str,
    upstream: int,
    *,
    log: Path | None = None,
    certificate: tuple[Path, Path] | None = None,
) -> Running:
    """log: where every query is written.  certificate: with its key, for DoT and DoH."""
    folder, port = stage.sub(f"unbound{'-log' if log else ''}"), free_port_both()
    ports = {"tls": free_port(), "https": free_port()} if certificate else {}
    config = folder / "unbound.conf"
    encrypted = _ENCRYPTED.format(certificate=certificate[0], key=certificate[1], **ports) if certificate else ""
    config.write_text(
        _CONFIG.format(
            port=port,
            folder=folder,
            log=log or "",
            queries="yes" if log else "no",
            steered=steered,
            address=address,
            upstream=upstream,
            encrypted=encrypted,
        )
    )
    program = found("unbound")
    assert program
    return Running(pid=stage.start([program, "-d", "-c", config]), port=port, ports=ports)
