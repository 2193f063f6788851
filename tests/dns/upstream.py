"""A local authoritative server, built on dnspython, that can be told to misbehave."""

import asyncio
import socket
from dataclasses import dataclass, field
from typing import cast

import dns.flags
import dns.message
import dns.name
import dns.opcode
import dns.rcode
import dns.rdatatype
import dns.rrset

Records = dict[tuple[str, str], list[str]]  # (name with final dot, type) -> rdata texts
SOA_TEXT = "ns.test. admin.test. 1 3600 600 86400 60"


@dataclass
class Chaos:
    """Each switch for the next so many replies (-1: all).

    cut: TC by every transport.  no_edns: FORMERR to questions with EDNS.  mute: so many connections get no answer.
    forgeries: so many replies with other ids come before each true one by UDP.
    """

    drop: int = 0
    cut: int = 0
    no_edns: int = 0
    mute: int = 0
    wrong_id: int = 0
    wrong_question: int = 0
    truncate: int = 0
    lower_case: int = 0
    garbage: int = 0
    rcode: int | None = None
    forgeries: int = 0
    delay_s: float = 0.0

    def take(self, switch: str) -> bool:
        left = cast(int, getattr(self, switch))
        if left > 0:
            setattr(self, switch, left - 1)
        return left != 0


def bound_to_both(host: str, port: int) -> tuple[socket.socket, socket.socket]:
    """For UDP and for TCP, on one port.  port 0: a free one, taken at once and kept: a port that is only looked for may
    still be held by a process that another thread is just starting.
    """
    while True:
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            udp.bind((host, port))
            return udp, socket.create_server((host, udp.getsockname()[1]))
        except OSError:
            udp.close()
            if port:
                raise


@dataclass
class UpstreamServer:
    records: Records
    ttl_s: int = 3600
    chaos: Chaos = field(default_factory=Chaos)
    asked: list[tuple[str, str]] = field(default_factory=list)
    clients: list[tuple[str, int]] = field(default_factory=list)  # by UDP
    by_tcp: int = 0
    connections: int = 0
    port: int = 0  # 0: a free one
    host: str = "127.0.0.1"

    async def __aenter__(self) -> "UpstreamServer":
        udp, tcp = bound_to_both(self.host, self.port)
        self.port = udp.getsockname()[1]
        self._udp, _ = await asyncio.get_running_loop().create_datagram_endpoint(lambda: _Datagrams(self), sock=udp)
        self._tcp = await asyncio.start_server(self.stream, sock=tcp)
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._udp.close()
        self._tcp.close()

    def types_asked(self, name: str) -> set[str]:
        return {rtype for asked, rtype in self.asked if asked == name.lower()}

    def reply(self, packet: bytes, *, udp: bool) -> bytes | None:
        query = dns.message.from_wire(packet)
        question = query.question[0]
        name, rtype = question.name.to_text().lower(), dns.rdatatype.to_text(question.rdtype)
        self.asked.append((name, rtype))
        if self.chaos.take("drop"):
            return None
        if query.edns >= 0 and self.chaos.take("no_edns"):
            return packet[:2] + b"\x81\x81" + packet[4:6] + bytes(6) + packet[12:-11]
        response = dns.message.make_response(query, recursion_available=True)
        response.flags |= dns.flags.AD
        if self.chaos.rcode is not None:
            response.set_rcode(dns.rcode.Rcode(self.chaos.rcode))
        else:
            self._fill(response, question.name, rtype)
        if self.chaos.take("cut") or (udp and self.chaos.take("truncate")):
            response.answer.clear()
            response.flags |= dns.flags.TC
        wire = response.to_wire(max_size=65535)
        if self.chaos.take("garbage"):
            return wire[:12] + b"\xc0" * 40
        if self.chaos.take("wrong_id"):
            return bytes((wire[0] ^ 1,)) + wire[1:]
        if self.chaos.take("wrong_question"):
            return wire[:13] + b"#" + wire[14:]
        if self.chaos.take("lower_case"):
            end = 12 + len(question.name.to_wire() or b"")
            return wire[:12] + wire[12:end].lower() + wire[end:]
        return wire

    def _fill(self, response: dns.message.Message, name: dns.name.Name, rtype: str) -> None:
        for _ in range(40):
            key = name.to_text().lower()
            target = self.records.get((key, "CNAME"))
            if target is None or rtype == "CNAME":
                break
            response.answer.append(dns.rrset.from_text(name, self.ttl_s, "IN", "CNAME", *target))
            name = dns.name.from_text(target[0])
        found = self.records.get((key, rtype))
        if found is not None:
            response.answer.append(dns.rrset.from_text(name, self.ttl_s, "IN", rtype, *found))
            response.additional.append(dns.rrset.from_text("glue.example.", 60, "IN", "A", "203.0.113.66"))
            return
        if not any(known == key for known, _ in self.records):
            response.set_rcode(dns.rcode.NXDOMAIN)
        response.authority.append(dns.rrset.from_text(".", self.ttl_s, "IN", "SOA", SOA_TEXT))

    async def stream(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one TCP or TLS connection."""
        self.connections += 1
        try:
            if self.chaos.take("mute"):
                await reader.read()
                return
            while True:
                length = int.from_bytes(await reader.readexactly(2), "big")
                self.by_tcp += 1
                reply = self.reply(await reader.readexactly(length), udp=False)
                if reply is not None:
                    writer.write(len(reply).to_bytes(2, "big") + reply)
        except (OSError, EOFError):
            pass
        finally:
            writer.close()


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, server: UpstreamServer) -> None:
        self._server = server

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        delay_s = self._server.chaos.delay_s
        self._server.clients.append(addr)
        reply = self._server.reply(data, udp=True)
        for i in range(self._server.chaos.forgeries):
            self._send(bytes((data[0] ^ i + 1,)) + (reply or b"")[1:-4] + b"\6\6\6\6", addr)
        if reply is not None:
            asyncio.get_running_loop().call_later(delay_s, self._send, reply, addr)

    def _send(self, reply: bytes, addr: tuple[str, int]) -> None:
        if not self._transport.is_closing():
            self._transport.sendto(reply, addr)
