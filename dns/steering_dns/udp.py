"""One UDP socket of the resolver: the datagrams that wait are answered together, in one pass.

Shell and HOT PATH.  A packet whose every byte but the id was answered within this second is answered by the same
bytes: one look-up in ``View.replies``, which ``answer.decide_wire`` fills.  Everything else is ``decide_wire``'s, or
has to be asked.  Where batches are not to be had (``batches``), one datagram after the other is answered.
"""

import asyncio
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING

from steering_dns.answer import Ask, Snapshot, answer_known, decide_parsed
from steering_dns.batches import SLOTS, SUPPORTED, Batch
from steering_dns.datagrams import Client, Datagrams, datagrams_of
from steering_dns.views import Kind, View

if TYPE_CHECKING:
    from steering_dns.server import DnsServer

_LONGEST = 4096
Send = Callable[[bytes], None]


class UdpListener:
    """Answers what comes to ``sock`` until ``close``, which leaves the socket open: it is its owner's."""

    def __init__(self, server: "DnsServer", sock: socket.socket, *, batches: bool = SUPPORTED) -> None:
        self._server = server
        self._socket = sock
        self._datagrams: Datagrams = datagrams_of(sock)
        sock.setblocking(False)
        loop = asyncio.get_running_loop()
        if batches:
            loop.add_reader(sock.fileno(), self._answer_batch, Batch(sock))
        else:
            loop.add_reader(sock.fileno(), self._answer_each)

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self._socket.fileno())

    def _answer_batch(self, batch: Batch) -> None:
        """At most ``SLOTS`` at once: upstreams and TCP get their turn."""
        server = self._server
        try:
            questions, peers = batch.receive()
        except OSError:  # an ICMP error about an earlier answer
            server.counts["udp:errors"] += 1
            return
        now = server.clock()
        snapshot = server.snapshot(now)
        known, cache, log = snapshot.views.known, server.cache, server.query_log
        answers: list[bytes | None] = []
        for question, peer in zip(questions, peers, strict=True):
            view, client = known.get(peer) or snapshot.views.introduce(peer, batch.client(len(answers))[0])
            kept = view.replies.get(question)
            if kept is not None and now < kept[1]:
                reply, _, tally, said = kept
                tally.count += 1
                answers.append(reply)
                if said is not None:
                    server.log_said(said, client, now, 2 + len(reply), 2 + len(question))
                continue
            answer = answer_known(question, view, snapshot, cache, now, udp=True)
            if answer is None:
                answer = self._answer(batch, len(answers), question, view, client, snapshot, now)
            elif log:
                server.log(b"\0\0" + question, view, client, snapshot, now, 2 + len(answer))
            answers.append(answer)
        unsent = batch.send(answers)
        if unsent:
            server.counts["udp:unsent"] += unsent
        if snapshot.popular:
            server.refresh_popular(snapshot)

    def _answer(
        self, batch: Batch, slot: int, question: bytes, view: View, client: str, snapshot: Snapshot, now: float
    ) -> bytes | None:
        """The answer without its id; None: there is none, or it comes later."""
        server = self._server
        packet = batch.ident(slot) + question
        if view.kind is Kind.REFUSED and not server.may_refuse(packet, client, now, self._sender(batch.client(slot))):
            return None
        try:
            found = decide_parsed(packet, view, snapshot, server.cache, now, udp=True, client=client)
        except Exception:  # a fault of ours must cost its packet, not the service; counted, never a traceback each
            server.counts["internal:error"] += 1
            return None
        if found is None:
            return None
        if server.query_log:
            server.log(packet, view, client, snapshot, now, 0 if isinstance(found, Ask) else len(found))
        if isinstance(found, Ask):
            server.ask(found, client, snapshot, self._sender(batch.client(slot)))
            return None
        return found[2:]

    def _answer_each(self) -> None:
        """Where batches are not to be had."""
        try:
            for _ in range(SLOTS):
                packet, client = self._datagrams.recvfrom(_LONGEST)
                if client[1]:  # nobody can be answered at port 0
                    self._server.answer(packet, client[0], self._sender(client), udp=True)
        except BlockingIOError:
            return
        except OSError:  # as above
            self._server.counts["udp:errors"] += 1

    def _sender(self, client: Client) -> Send:
        def send(reply: bytes) -> None:
            try:
                self._datagrams.sendto(reply, client)
            except OSError:  # the client is out of reach, or its queue full: it asks again
                self._server.counts["udp:unsent"] += 1

        return send
