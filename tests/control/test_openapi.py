"""The description is OpenAPI 3.1 (checked by hand against its schema's rules) and its schemas are JSON Schemas."""

import re
from collections.abc import Iterator
from typing import Any

import jsonschema  # type: ignore[import-untyped]

from steering.control.openapi import OPENAPI
from steering.control.status import Status


def operations() -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
    paths: Any = OPENAPI["paths"]
    for path, item in paths.items():
        assert set(item) <= {"get", "parameters"}
        yield path, item, item["get"]


def test_top_level() -> None:
    assert set(OPENAPI) == {"openapi", "info", "paths"}
    assert re.fullmatch(r"3\.1\.\d+", str(OPENAPI["openapi"]))
    info: Any = OPENAPI["info"]
    assert {"title", "version"} <= set(info) <= {"title", "version", "summary", "description"}


def test_operations() -> None:
    for path, item, get in operations():
        assert path.startswith("/")
        assert set(get) == {"summary", "responses"}, path
        assert "200" in get["responses"]
        named = re.findall(r"\{(\w+)\}", path)
        assert [p["name"] for p in item.get("parameters", ()) if p["in"] == "path" and p["required"] is True] == named
        for code, answer in get["responses"].items():
            assert re.fullmatch(r"[1-5]\d\d", code) and answer["description"], path
            assert set(answer) <= {"description", "content"}
            for kind, content in answer.get("content", {}).items():
                assert re.fullmatch(r"[\w.+-]+/[\w.+-]+", kind)
                jsonschema.Draft202012Validator.check_schema(content["schema"])


def test_readiness_is_as_described() -> None:
    for path, _, get in operations():
        if path in ("/readyz", "/api/v1/status"):
            schema = get["responses"]["200"]["content"]["application/json"]["schema"]
            for state in ("starting", "ok", "degraded"):
                jsonschema.validate(Status(state=state, summary="x" if state == "degraded" else None).ready, schema)
