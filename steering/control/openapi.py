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


def _get(summary: str, kind: str, schema: object) -> dict[str, object]:
    answer = {"description": "ok", "content": {kind: {"schema": schema}}}
    return {"get": {"summary": summary, "responses": {"200": answer}}}


_TEXT = {"type": "string"}
_BYTES = {"type": "string", "format": "binary"}

OPENAPI: dict[str, object] = {
    "openapi": "3.1.0",
    "info": {"title": "Steering", "version": "1", "summary": "PAC files, the CA and the health of the service"},
    "paths": {
        "/proxy.pac": _get("The PAC of the requester's address", "application/x-ns-proxy-autoconfig", _TEXT),
        "/wpad.dat": _get("The same, under the name that WPAD asks for", "application/x-ns-proxy-autoconfig", _TEXT),
        "/p/{token}/proxy.pac": {
            "parameters": [{"name": "token", "in": "path", "required": True, "schema": _TEXT}],
            **_get("The PAC of a group", "application/x-ns-proxy-autoconfig", _TEXT),
        },
        "/ca.pem": _get("The CA certificate, PEM", "application/x-pem-file", _TEXT),
        "/ca.crt": _get("The CA certificate, DER", "application/x-x509-ca-cert", _BYTES),
        "/ca.crl": _get("The revocation list, DER", "application/pkix-crl", _BYTES),
        "/ca.mobileconfig": _get("The CA as an Apple profile", "application/x-apple-aspen-config", _BYTES),
        "/healthz": _get("Whether the process lives", "application/json", {"type": "object"}),
        "/readyz": _get("Whether a policy is enforced; 503 before", "application/json", _READY),
        "/api/v1/status": _get("State and revision", "application/json", _READY),
        "/metrics": _get("Prometheus metrics", "text/plain", _TEXT),
    },
}
