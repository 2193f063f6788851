"""dnslib's own server, as its documentation shows it: one thread a query, one address for every name."""

import sys

import dnslib
import dnslib.server

from bench.peers import Running
from bench.processes import Stage
from tests.kit import ROOT, free_port_both


def start(stage: Stage, address: str) -> Running:
    port = free_port_both()
    command = [sys.executable, "-m", "bench.peers.dnslib_server", str(port), address]
    return Running(pid=stage.start(command, PYTHONPATH=str(ROOT)), port=port)


class _OneAddress(dnslib.server.BaseResolver):  # type: ignore[misc]  # dnslib has no types
    def __init__(self, address: str) -> None:
        self._data = dnslib.A(address)

    def resolve(self, request: dnslib.DNSRecord, handler: object) -> dnslib.DNSRecord:
        reply = request.reply()
        reply.add_answer(dnslib.RR(request.q.qname, rdata=self._data, ttl=30))
        return reply


def main() -> None:
    port, address = sys.argv[1:]
    logger = dnslib.server.DNSLogger(log="-request,-reply,-truncated,-error", prefix=False)
    dnslib.server.DNSServer(_OneAddress(address), address="127.0.0.1", port=int(port), logger=logger).start()


if __name__ == "__main__":
    main()
