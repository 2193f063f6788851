"""What the helper answers for itself: its PAC and its health, to this computer's programs.

Pure.  Only to requests that call it by an address or by ``localhost``: a page of somebody's site whose name was made
to point here (DNS rebinding) calls it by that name.
"""

from steering.endpoint.proxy.answers import pac_text, whole
from steering.endpoint.proxy.request import Own, RequestError

_PAC = "application/x-ns-proxy-autoconfig"


def own_answer(request: Own, here: str, port: int) -> bytes:
    """here: "ADDRESS:PORT" as the client has connected to.  Raises RequestError."""
    if request.host.lower() not in (here, f"localhost:{port}"):
        raise RequestError(421, "misdirected", "that is not a name of this helper")
    if request.method not in (b"GET", b"HEAD"):
        raise RequestError(405, "bad-request", "only GET and HEAD are answered")
    head_only = request.method == b"HEAD"
    match request.path:
        case b"/proxy.pac" | b"/wpad.dat":
            return whole(200, _PAC, pac_text(here), head_only=head_only)
        case b"/healthz":
            return whole(200, "application/json", b'{"status": "ok"}\n', head_only=head_only)
    raise RequestError(404, "not-found", "there is nothing here")
