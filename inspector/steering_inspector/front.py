"""The TLS handshake of a helper, up to the session that reads what it asks for."""

import ssl
from dataclasses import replace
from secrets import token_urlsafe

from steering.policy import Effect
from steering.streams.carried import Carried
from steering.streams.link import Link
from steering_inspector.attested import Device, DeviceError, Introduction, device_of
from steering_inspector.preface import begin_connect
from steering_inspector.session import Place, Session, Way
from steering_inspector.workings import Client, Outcome, Workings


def new_nonce() -> str:
    return token_urlsafe(24)


class Front:
    """A helper's connection that is not secured yet."""

    def __init__(self, workings: Workings, link: Link, client: Client) -> None:
        self.client = client
        self._workings = workings
        self._link = link
        self._began_at = workings.clock()
        self._deadline = workings.loop.time() + workings.limits.handshake_s
        link.owner = self

    def start(self, context: ssl.SSLContext) -> None:
        self._link.secure(context, server_side=True)

    def on_secured(self) -> None:
        workings = self._workings
        der = self._link.tls.getpeercert(binary_form=True) if self._link.tls else None
        try:
            device = device_of(der or b"", workings.clock())
        except DeviceError as exc:
            self._session(self.client, None).refuse(403, "device-certificate", str(exc))
            return
        session = self._session(replace(self.client, device=device.id), device)
        if device.id in workings.revoked:
            session.refuse(403, "device-revoked", "this device's enrolment was withdrawn")
        elif workings.per_client[device.id] > workings.limits.max_connections_per_client:
            session.refuse(503, "overloaded", "this device has too many connections open")
        else:
            session.link.resume()

    def _session(self, client: Client, device: Device | None) -> Session:
        workings, way = self._workings, Place(way=Way.ATTESTED)
        introduction = Introduction(device, new_nonce) if device else None
        link = Carried(self._link, workings.loop, self)
        session = Session(workings, link, client, way, begin_connect, introduction)
        workings.becomes(self, session)
        return session

    def on_bytes(self, data: bytes) -> None:
        """Nothing comes before the handshake is complete; what comes then is the session's."""

    def on_eof(self, clean: bool) -> None:
        self._failed("EOF")

    def on_lost(self, error: Exception) -> None:
        self._failed(str(getattr(error, "reason", None) or "RESET"))

    def on_drained(self) -> None:
        """Nothing large is sent here."""

    def _failed(self, detail: str) -> None:
        if self._link.received or detail == "TIMEOUT":  # who only knocked at the port is not worth a line
            outcome = Outcome("", Effect.REFUSE.value, reason="device-handshake", detail=detail)
            self._workings.report(self.client, self._began_at, outcome)
        self.abort()

    @property
    def idle(self) -> bool:
        return False

    def check(self, now: float) -> None:
        if now >= self._deadline:
            self._failed("TIMEOUT")

    def recheck(self) -> None:
        """Nothing is decided here."""

    def abort(self, reason: str = "shutdown") -> None:
        self._link.close()
        self._workings.gone(self)
