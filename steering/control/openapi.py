"""The description of the service's HTTP API, for clients that generate themselves."""

_READY = {
    "type": "object",
    "required": ["status", "revision", "error"],
    "properties": {
        "status": {"enum": ["starting", "ok", "degraded"]},
        "revision": {"type": "string"},
        "error": {"type": ["string", "null"]},
    },
}


def _get(summary: str, kind: str, schema: object, **others: str) -> dict[str, object]:
    """others: further answers, as ``_503="no policy is enforced yet"``."""
    answer = {"description": "ok", "content": {kind: {"schema": schema}}}
    more = {code.strip("_"): {"description": text} for code, text in others.items()}
    return {"get": {"summary": summary, "responses": {"200": answer, **more}}}


_PAC = {"_304": "what If-None-Match names", "_503": "no policy is enforced yet"}
_CA = {"_404": "the CA cannot be used"}
_HOST = {"_421": "Host names another service"}
_PAC_TYPE = "application/x-ns-proxy-autoconfig"
_TEXT = {"type": "string"}
_BYTES = {"type": "string", "format": "binary"}

OPENAPI: dict[str, object] = {
    "openapi": "3.1.0",
    "info": {"title": "Steering", "version": "1", "summary": "PAC files, the CA and the health of the service"},
    "paths": {
        "/proxy.pac": _get("The PAC of the requester's address", _PAC_TYPE, _TEXT, **_PAC),
        "/wpad.dat": _get("The same, under the name that WPAD asks for", _PAC_TYPE, _TEXT, **_PAC),
        "/p/{token}/proxy.pac": {
            "parameters": [{"name": "token", "in": "path", "required": True, "schema": _TEXT}],
            **_get("The PAC of a group", _PAC_TYPE, _TEXT, **_PAC, _404="no such token, or no such group any more"),
        },
        "/ca.pem": _get("The CA certificate, PEM", "application/x-pem-file", _TEXT, **_CA),
        "/ca.crt": _get("The CA certificate, DER", "application/x-x509-ca-cert", _BYTES, **_CA),
        "/ca.crl": _get("The revocation list, DER", "application/pkix-crl", _BYTES, **_CA),
        "/ca.mobileconfig": _get("The CA as an Apple profile", "application/x-apple-aspen-config", _BYTES, **_CA),
        "/healthz": _get("Whether the process lives", "application/json", {"type": "object"}),
        "/readyz": _get("Whether a policy is enforced", "application/json", _READY, _503="no policy is enforced yet"),
        "/api/v1/status": _get("State and revision", "application/json", _READY, **_HOST),
        "/api/v1/openapi.json": _get("This description", "application/json", {"type": "object"}, **_HOST),
        "/metrics": _get("Prometheus metrics", "text/plain", _TEXT, **_HOST),
        "/": _get("A page for people", "text/html", _TEXT, **_HOST),
    },
}
