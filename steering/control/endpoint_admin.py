"""Administration of devices over the Unix socket: enrolment tokens, the list, revocation."""

from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from steering.control.endpoints import Endpoints, ToWorkers
from steering.control.errors import ControlError, StateError

DEFAULT_USES, DEFAULT_HOURS = 1, 24.0
_OFF = 'helpers are not served: set control.endpoint_listen, as "0.0.0.0:8444", and start the service again'


def endpoint_routes(
    endpoints: Endpoints | None, workers: ToWorkers, groups: Callable[[], list[str]]
) -> list[web.RouteDef]:
    """endpoints: None where helpers are not served; the answers then say what to set."""

    async def token(asked: dict[str, Any], at: Endpoints) -> dict[str, Any]:
        group = str(asked.get("group", ""))
        if group and group not in groups():
            known = ", ".join(sorted(groups())) or "none is defined"
            raise ControlError(f"there is no group {group!r} in the rules ({known})")
        try:
            uses, hours = int(asked.get("uses", DEFAULT_USES)), float(asked.get("hours", DEFAULT_HOURS))
        except (TypeError, ValueError) as exc:
            raise ControlError("uses and hours are numbers") from exc
        return await at.invite(group, uses, hours)

    async def listed(_: dict[str, Any], at: Endpoints) -> dict[str, Any]:
        return at.listed()

    async def revoke(asked: dict[str, Any], at: Endpoints) -> dict[str, Any]:
        which = str(asked.get("which", ""))
        if not which:
            raise ControlError("name a device, a token or a group")
        return dict(await at.revoke(which, workers))

    async def rotate(_: dict[str, Any], at: Endpoints) -> dict[str, Any]:
        await at.rotate_keys()
        return {"rotated": True}

    def answer(
        do: Callable[[dict[str, Any], Endpoints], Awaitable[dict[str, Any]]],
    ) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def answered(request: web.Request) -> web.Response:
            if endpoints is None:
                return web.json_response({"error": _OFF}, status=409)
            try:
                asked = await request.json() if request.can_read_body else {}
                if not isinstance(asked, dict):
                    raise ControlError("send a JSON object")
                return web.json_response(await do(asked, endpoints))
            except StateError as exc:
                return web.json_response({"error": str(exc)}, status=507)
            except ValueError:
                return web.json_response({"error": "send a JSON object"}, status=400)
            except ControlError as exc:
                return web.json_response({"error": str(exc)}, status=400)

        return answered

    return [
        web.post("/endpoints/token", answer(token)),
        web.get("/endpoints", answer(listed)),
        web.post("/endpoints/revoke", answer(revoke)),
        web.post("/endpoints/rotate-keys", answer(rotate)),
    ]
