"""CPU per query of the resolver beside a bare Python echo and dnslib's own server, in one run.

``python -m bench.dns [--quick]``.  Figures are ratios of the servers' CPU time per answered query: unlike queries a
second, that does not depend on the load generator, which shares the cores.
"""

import argparse
import asyncio
import multiprocessing
import os
import socket
import statistics
import time
from collections.abc import Callable
from ipaddress import ip_address

import dnslib
import dnslib.server

from steering.policy import RulesModel, compile_policy, rule_set
from steering.policy.live import Live
from steering_dns import DnsServer, DnsSettings, Forwarder

WINDOW = 64  # queries in flight
NAMES = 2000


def serve_echo(sock: socket.socket) -> None:
    while True:
        packet, address = sock.recvfrom(4096)
        sock.sendto(packet, address)


def serve_ours(sock: socket.socket) -> None:
    rules = {"rules": [{"name": "pinned", "domains": [f"b{i}.example" for i in range(20_000)]}]}
    live = Live(compile_policy(rule_set(RulesModel.model_validate(rules))))
    settings = DnsSettings(inspector_addresses=(ip_address("192.0.2.1"),), upstreams=())

    async def serve() -> None:
        await DnsServer(settings, live, lambda line: None, Forwarder()).start([sock], [])
        await asyncio.Event().wait()

    try:
        import uvloop

        uvloop.run(serve())
    except ImportError:
        asyncio.run(serve())


class _Answers(dnslib.server.BaseResolver):  # type: ignore[misc]  # dnslib has no types
    def resolve(self, request: dnslib.DNSRecord, handler: object) -> dnslib.DNSRecord:
        reply = request.reply()
        reply.add_answer(dnslib.RR(request.q.qname, rdata=dnslib.A("192.0.2.1"), ttl=30))
        return reply


def serve_dnslib(sock: socket.socket) -> None:
    address, port = sock.getsockname()
    sock.close()
    logger = dnslib.server.DNSLogger(log="-request,-reply,-truncated,-error", prefix=False)
    dnslib.server.DNSServer(_Answers(), address=address, port=port, logger=logger).start()


def measure(serve: Callable[[socket.socket], None], seconds: float) -> tuple[float, float]:
    """(microseconds of CPU per answered query, queries a second) of a server in its own process."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 21)
    sock.bind(("127.0.0.1", 0))
    address = sock.getsockname()
    process = multiprocessing.get_context("fork").Process(target=serve, args=(sock,), daemon=True)
    process.start()
    sock.close()
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(0.5)
            client.connect(address)
            load(client, 1.0)  # until it serves, warm
            before, begun = cpu_s(process.pid), time.perf_counter()
            answered = load(client, seconds)
            return (cpu_s(process.pid) - before) / answered * 1e6, answered / (time.perf_counter() - begun)
    finally:
        process.terminate()
        process.join()


def load(client: socket.socket, seconds: float) -> int:
    queries = [dnslib.DNSRecord.question(f"n{i}.steered.example").pack() for i in range(NAMES)]
    answered = sent = in_flight = 0
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        try:
            while in_flight < WINDOW:
                client.send(queries[sent % NAMES])
                sent += 1
                in_flight += 1
            client.recv(4096)
            answered += 1
            in_flight -= 1
        except (TimeoutError, ConnectionRefusedError):
            in_flight = 0
            time.sleep(0.05)
    client.settimeout(0.2)
    try:
        while in_flight:
            client.recv(4096)
            in_flight -= 1
            answered += 1
    except TimeoutError:
        pass
    client.settimeout(0.5)
    return max(answered, 1)


def cpu_s(pid: int | None) -> float:
    with open(f"/proc/{pid}/stat") as file:  # noqa: PTH123
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--quick", action="store_true", help="one short round")
    quick = options.parse_args().quick
    rounds, seconds = (2, 2.0) if quick else (5, 4.0)
    servers = {"echo": serve_echo, "steering": serve_ours, "dnslib": serve_dnslib}
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in servers}
    for _ in range(rounds):
        for name, serve in servers.items():
            found[name].append(measure(serve, seconds))
    print(f"{'server':<10}{'CPU us/query':>14}{'x echo':>9}{'queries/s':>12}")
    echo = statistics.median(cpu for cpu, _ in found["echo"])
    for name, rows in found.items():
        cpu, rate = (statistics.median(column) for column in zip(*rows, strict=True))
        print(f"{name:<10}{cpu:>14.1f}{cpu / echo:>9.2f}{rate:>12,.0f}")


if __name__ == "__main__":
    main()
