"""What the local proxy answers itself: its PAC, and why something was refused."""

from html import escape

TITLES = {
    400: "Bad Request",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    408: "Request Timeout",
    421: "Misdirected Request",
    431: "Request Header Fields Too Large",
    502: "Bad Gateway",
    503: "Service Unavailable",
    504: "Gateway Timeout",
}
ESTABLISHED = b"HTTP/1.1 200 Connection established\r\n\r\n"
# No page of another origin may read, or run, what this computer alone is told.
_COMMON = (
    "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\nCross-Origin-Resource-Policy: same-origin\r\n"
    "Content-Security-Policy: default-src 'none'; style-src 'unsafe-inline'\r\nConnection: close\r\n"
)

# Everything goes through the helper, which decides to the second and with the program known; a browser sends itself
# what no proxy could reach.  Closed: where the helper does not answer, nothing goes past it.
_PAC = """function FindProxyForURL(url, host) {{
  if (host === "localhost" || host === "127.0.0.1" || host === "[::1]" || host === "::1") {{ return "DIRECT"; }}
  return "PROXY {proxy}";
}}
"""


def pac_text(proxy: str) -> bytes:
    """The PAC that sends everything to ``proxy`` ("ADDRESS:PORT")."""
    return _PAC.format(proxy=proxy).encode("ascii")


def whole(status: int, kind: str, body: bytes, *, head_only: bool = False) -> bytes:
    title = TITLES.get(status, "OK")
    head = f"HTTP/1.1 {status} {title}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n{_COMMON}\r\n"
    return head.encode("ascii") + (b"" if head_only else body)


def refusal(status: int, reason: str, why: str, host: str) -> bytes:
    """A page for a person; every word of a peer is escaped."""
    title = "This connection was not made"
    body = (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>'
        '<body style="font:1rem/1.5 system-ui,sans-serif;max-width:40rem;margin:4rem auto;padding:0 1rem">'
        f"<h1>{title}</h1><p><b>{escape(host) or 'The request'}</b>: {escape(why)}.</p>"
        f"<p><small>Steering endpoint helper, reason: {escape(reason)}</small></p></body></html>\n"
    )
    return whole(status, "text/html; charset=utf-8", body.encode("utf-8", "replace"))
