"""What an HTTP status of a model server means for the events of a call, and what the server says of it."""

from __future__ import annotations

from typing import Any, NoReturn

import msgspec
import orjson

from streamlets.errors import Broken, Fatal, Rejected, Unavailable
from streamlets.servers.http import Answer

MAX_TEXT = (
    200  # characters of a server's own words in a message: enough for a sentence, too little for a payload
)


def raise_for(answer: Answer, what: str) -> NoReturn:
    """Raise what a status other than 200 means; `what` says who answered what. 404 and 409 are the caller's to judge.

    Raises: Unavailable 408, 429, 502, 503, 504; Fatal 401, 403; Rejected any other 4xx; Broken the rest.
    """
    status = answer.status
    text = error_text(answer.body)
    message = f"{what}: {status}" + (f" {text}" if text else "")
    if status in (408, 429, 502, 503, 504):
        raise Unavailable(message, code=f"http-{status}", retry_after_s=answer.retry_after_s)
    if status in (401, 403):
        raise Fatal(message, code="not-authorised", hint="check the server's `headers`")
    if status == 413:
        raise Rejected(message, code="too-large")
    if 400 <= status < 500:
        raise Rejected(message, code=f"http-{status}")
    hint = "redirects are not followed: name the server itself" if 300 <= status < 400 else ""
    raise Broken(message, code=f"http-{status}", hint=hint)


def error_text(body: bytes) -> str:
    """Return what the server says of an error: `error`, else `detail`, else `status.info`, else the raw text.

    Whatever the content type says; cut short. Of a list of validation errors only where and what, not the input that
    such lists repeat.
    """
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        return _plain(body[: 4 * MAX_TEXT].decode("utf-8", "replace"))
    if isinstance(document, dict):
        status = document.get("status")
        for found in (
            document.get("error"),
            document.get("detail"),
            status if isinstance(status, dict) else None,
        ):
            if found:
                return _plain(_words(found))
        return ""
    return _plain(document) if isinstance(document, str) else ""


def _words(found: Any) -> str:
    if isinstance(found, dict):
        for name in ("message", "info", "msg", "reason"):
            if isinstance(found.get(name), str):
                return str(found[name])
        return ""
    if isinstance(found, list):
        entries = [entry for entry in found[:3] if isinstance(entry, dict)]
        return "; ".join(
            f"{'.'.join(map(str, entry.get('loc', ())))} {entry.get('msg', '')}".strip() for entry in entries
        )
    return found if isinstance(found, str) else ""


def _plain(text: str) -> str:
    text = " ".join("".join(c if c.isprintable() else " " for c in text[: 4 * MAX_TEXT]).split())
    return text if len(text) <= MAX_TEXT else text[: MAX_TEXT - 1] + "…"


def decode_json(body: bytes, what: str) -> Any:
    """Return the JSON document of an answer. NaN and Infinity, which some servers write, become those numbers.

    Raises: Broken (`bad-answer`) for what is no JSON.
    """
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as exc:
        if b"NaN" in body or b"Infinity" in body:
            import json  # the only decoder at hand that takes these tokens; slow, and rarely wanted

            try:
                return json.loads(body)
            except (ValueError, RecursionError):
                pass
        raise Broken(f"{what}: the answer is no JSON", code="bad-answer") from exc


def decode_as(body: bytes, kind: type[msgspec.Struct], what: str) -> Any:
    """Return an answer's JSON document as `kind`. Raises: Broken (`bad-answer`), naming the field."""
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as exc:
        raise Broken(f"{what}: {_plain(str(exc))}", code="bad-answer") from exc
    except RecursionError as exc:
        raise Broken(f"{what}: the answer is nested too deep", code="bad-answer") from exc
    except msgspec.DecodeError:
        pass
    try:
        return msgspec.convert(decode_json(body, what), type=kind)
    except msgspec.ValidationError as exc:
        raise Broken(f"{what}: {_plain(str(exc))}", code="bad-answer") from exc
