"""The pages that people meet: what happened, which rule, what they can do, and a number to quote.

Pure.  REASONS is shared with the log: the key on the page is the reason in the access line.
"""

from functools import cache
from http import HTTPStatus
from importlib.resources import files
from typing import NamedTuple

from jinja2 import Environment, StrictUndefined, Template


class Reason(NamedTuple):
    """title: a heading without the host.  meaning: what it means.  advice: what the reader can do."""

    status: int
    title: str
    meaning: str
    advice: str = "If you need this site for your work, give your IT department the number below."


_CERTIFICATE = "You were not connected, because the site could be an impostor."
_TELL_SITE = "Try again later. If it goes on, the owner of the site has to mend it; your IT department can tell more."
_UNSAID = "It is not clear who asks"
_CHECK_ADDRESS = "Check the address for typing errors."

REASONS: dict[str, Reason] = {
    "blocked": Reason(403, "This site is blocked", "Your organisation's rules block it."),
    "reserved": Reason(403, "Not reached from here", "This address is kept for local use."),
    "destination": Reason(403, "Not reached from here", "The address leads inside the network, not to the internet."),
    "port": Reason(403, "This port is not open", "Connections through the inspector go to a few ports only."),
    "client": Reason(403, "Not for this network", "This inspector does not serve the network you are in."),
    "device-handshake": Reason(403, "Not a device of ours", "It shows no certificate that we have issued."),
    "device-certificate": Reason(403, "Not a device of ours", "Its certificate makes no sense, or has expired."),
    "device-revoked": Reason(403, "This device is shut out", "Its enrolment was withdrawn."),
    "attestation-missing": Reason(403, _UNSAID, "The endpoint helper did not say which program asks."),
    "attestation-malformed": Reason(403, _UNSAID, "What the endpoint helper says cannot be read."),
    "attestation-signature": Reason(403, _UNSAID, "What the endpoint helper says was not signed by this device."),
    "attestation-device": Reason(403, _UNSAID, "What the endpoint helper says was signed for another device."),
    "attestation-authority": Reason(403, _UNSAID, "What the endpoint helper says is about another site."),
    "attestation-nonce": Reason(403, _UNSAID, "What the endpoint helper says is about another connection."),
    "attestation-expired": Reason(403, _UNSAID, "What the endpoint helper says is too old.", "Is the clock right?"),
    "origin-expired": Reason(502, "The site's certificate has expired", _CERTIFICATE, _TELL_SITE),
    "origin-not-yet-valid": Reason(502, "The site's certificate is not valid yet", _CERTIFICATE, _TELL_SITE),
    "origin-self-signed": Reason(502, "The site vouches only for itself", _CERTIFICATE, _TELL_SITE),
    "origin-unknown-issuer": Reason(502, "Nobody we trust vouches for this site", _CERTIFICATE, _TELL_SITE),
    "origin-revoked": Reason(502, "The site's certificate was revoked", _CERTIFICATE, _TELL_SITE),
    "origin-wrong-purpose": Reason(502, "The site's certificate is not one for web sites", _CERTIFICATE, _TELL_SITE),
    "origin-wrong-name": Reason(502, "The site's certificate is for another name", _CERTIFICATE, _CHECK_ADDRESS),
    "origin-weak-key": Reason(502, "The site's certificate is too weak", _CERTIFICATE, _TELL_SITE),
    "origin-untrusted": Reason(502, "The site's certificate cannot be trusted", _CERTIFICATE, _TELL_SITE),
    "origin-old-tls": Reason(502, "The site's encryption is too old", _CERTIFICATE, _TELL_SITE),
    "origin-not-tls": Reason(502, "The site does not answer securely", _CERTIFICATE, _TELL_SITE),
    "origin-client-certificate": Reason(
        502, "The site asks for a client certificate", "It cannot be shown through an inspected connection."
    ),
    "origin-handshake": Reason(502, "No secure connection to the site", "It ended the connection.", _TELL_SITE),
    "origin-unreachable": Reason(502, "The site cannot be reached", "It does not accept connections.", _TELL_SITE),
    "origin-protocol": Reason(502, "The site's answer makes no sense", "It broke the rules of HTTP.", _TELL_SITE),
    "origin-timeout": Reason(504, "The site does not answer", "It took too long.", _TELL_SITE),
    "name-unknown": Reason(502, "There is no such site", "The name does not exist.", _CHECK_ADDRESS),
    "name-failed": Reason(502, "The site's name could not be looked up", "The name service failed.", "Try again."),
    "mismatch": Reason(421, "Misdirected request", "The request names another site than its connection.", "Reload it."),
    "bad-request": Reason(400, "The request makes no sense", "It broke the rules of HTTP.", "Reload the page."),
    "too-large": Reason(431, "The request is too large", "Its head exceeds the limits.", "Delete this site's cookies."),
    "timeout": Reason(408, "The request took too long", "It did not arrive completely.", "Try again."),
    "loop": Reason(508, "The request goes round in circles", "It has passed through this inspector before."),
    "not-implemented": Reason(501, "Not spoken here", "The request asks for something the inspector does not do."),
    "ca-unavailable": Reason(503, "The inspector is not ready", "Its certificate authority is missing or unsafe."),
    "overloaded": Reason(503, "The inspector is busy", "Too many connections at once.", "Try again in a moment."),
    "unavailable": Reason(503, "The inspector is not ready", "It is being restarted.", "Try again in a moment."),
    "no-sni": Reason(403, "No site named", "The program did not say which site it wants (no SNI)."),
    "not-tls": Reason(403, "Not a secure connection", "Something other than TLS came where TLS was expected."),
    "no-http1": Reason(403, "Not spoken here", "The program offers no HTTP/1.1, which inspection needs."),
    "malformed-hello": Reason(403, "The greeting makes no sense", "The program's TLS greeting is malformed."),
}
_OTHER = Reason(502, "The site cannot be shown", "Something went wrong on the way.", "Try again.")


def reason_of(key: str) -> Reason:
    return REASONS.get(key, _OTHER)


def page(
    status: int,
    reason: str,
    *,
    host: str,
    why: str,
    rule: str | None,
    request_id: str,
    details: tuple[tuple[str, str], ...] = (),
    accept: str = "text/html",
) -> bytes:
    """A whole HTTP/1.1 response that ends its connection; HTML, or plain text where ``accept`` names no HTML.

    Every argument may be the text of an attacker.
    """
    words = reason_of(reason)
    if "text/html" in accept or "*/*" in accept or not accept:
        kind = "text/html"
        body = _template().render(
            status=status, words=words, reason=reason, host=host, why=why, rule=rule, id=request_id, details=details
        )
    else:
        kind = "text/plain"
        body = _plain(words, host, why, rule, request_id, details)
    content = body.encode("utf-8", "replace")
    head = (
        f"HTTP/1.1 {status} {_phrase(status)}\r\n"
        f"Content-Type: {kind}; charset=utf-8\r\n"
        f"Content-Length: {len(content)}\r\n"
        f"Steering-Reason: {_token(reason)}\r\n"
        "Cache-Control: no-store\r\n"
        "Content-Security-Policy: default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'\r\n"
        "X-Content-Type-Options: nosniff\r\n"
        "Referrer-Policy: no-referrer\r\n"
        "Connection: close\r\n\r\n"
    )
    return head.encode("ascii") + content


def _plain(
    words: Reason, host: str, why: str, rule: str | None, request_id: str, details: tuple[tuple[str, str], ...]
) -> str:
    lines = [f"{words.title}: {host}", words.meaning, why, *(f"{key}: {value}" for key, value in details)]
    if rule:
        lines.append(f"Rule: {rule}")
    lines += [words.advice, f"Number: {request_id}"]
    return "".join(f"{_one_line(line)}\n" for line in lines if line)


def _one_line(text: str) -> str:
    return "".join(c if c.isprintable() else " " for c in text)


def _token(text: str) -> str:
    return "".join(c for c in text if c.isascii() and (c.isalnum() or c == "-"))


def _phrase(status: int) -> str:
    return HTTPStatus(status).phrase if status in HTTPStatus._value2member_map_ else "Error"


@cache
def _template() -> Template:
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(files("steering_inspector").joinpath("page.html.j2").read_text("utf-8"))
