"""
What PagerDuty's Events API v2 accepts, as its public description says: the OpenAPI document of the API, and the limits
and rules of its guide ("Send an Alert Event").
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

#: The largest event, in bytes.
MAX_EVENT = 512 * 1024

_STRING: Mapping[str, Any] = {"type": "string"}
_URL: Mapping[str, Any] = {"type": "string", "format": "url"}
_LINK = {"type": "object", "required": ["href"], "properties": {"href": _URL, "text": _STRING}}
_IMAGE = {"type": "object", "required": ["src"], "properties": {"src": _URL, "href": _URL, "alt": _STRING}}
_PAYLOAD = {
    "type": "object",
    "required": ["summary", "severity", "source"],
    "properties": {
        "summary": {"type": "string", "minLength": 1, "maxLength": 1024},
        "timestamp": {"type": "string", "format": "date-time"},
        "severity": {"enum": ["critical", "error", "warning", "info"]},
        "source": {"type": "string", "minLength": 1},
        "component": _STRING,
        "group": _STRING,
        "class": _STRING,
        "custom_details": {"type": "object"},
    },
}
SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "required": ["routing_key", "event_action"],
    "properties": {
        "routing_key": {"type": "string", "minLength": 1},
        "event_action": {"enum": ["trigger", "acknowledge", "resolve"]},
        "dedup_key": {"type": "string", "minLength": 1, "maxLength": 255},
        "payload": _PAYLOAD,
        "client": _STRING,
        "client_url": _URL,
        "links": {"type": "array", "items": _LINK},
        "images": {"type": "array", "items": _IMAGE},
    },
}

_TYPES = {"string": str, "object": dict, "array": list}


def errors(event: object, schema: Mapping[str, Any] = SCHEMA, where: str = "event") -> Iterator[str]:
    """Yield how a value breaks a schema; members that the schema does not know are errors, too."""
    if "enum" in schema:
        if event not in schema["enum"]:
            yield f"{where} is not one of {schema['enum']}"
        return
    if not isinstance(event, _TYPES[schema["type"]]):
        yield f"{where} is no {schema['type']}"
        return
    if isinstance(event, str):
        if not schema.get("minLength", 0) <= len(event) <= schema.get("maxLength", len(event)):
            yield f"{where} has {len(event)} characters"
        if schema.get("format") == "url" and (not urlsplit(event).netloc or re.search(r"\s", event)):
            yield f"{where} is no URL"
        if schema.get("format") == "date-time" and datetime.fromisoformat(event).tzinfo is None:
            yield f"{where} has no offset"
    elif isinstance(event, list):
        for number, item in enumerate(event):
            yield from errors(item, schema["items"], f"{where}[{number}]")
    elif isinstance(event, dict):
        yield from (f"{where} has no {name}" for name in schema.get("required", ()) if name not in event)
        known = schema.get("properties")
        for name, value in event.items():
            if known is None:
                continue
            if name in known:
                yield from errors(value, known[name], f"{where}.{name}")
            else:
                yield f"{where} has an unknown member {name}"


def event_errors(body: bytes) -> list[str]:
    """Return why PagerDuty refuses a request's body; nothing if it accepts it."""
    if len(body) > MAX_EVENT:
        return [f"the event has {len(body)} bytes"]
    try:
        event = json.loads(body)
    except ValueError:
        return ["JSON parse error"]
    found = list(errors(event))
    if not found and event["event_action"] == "trigger" and "payload" not in event:
        found.append("a trigger needs a payload")
    if not found and event["event_action"] != "trigger" and "dedup_key" not in event:
        found.append(f"{event['event_action']} needs a dedup_key")
    return found


class PagerDutyAlerts:
    """
    The alerts of one PagerDuty service.

    :ivar open: dedup key -> ``triggered`` or ``acknowledged``.
    :ivar history: the actions that had an effect, with their keys.
    """

    def __init__(self) -> None:
        self.open: dict[str, str] = {}
        self.history: list[tuple[str, str]] = []

    def take(self, body: bytes) -> tuple[int, dict[str, Any]]:
        """Take an event in; returns the status code and the JSON of the answer."""
        wrong = event_errors(body)
        if wrong:
            return 400, {"status": "invalid event", "message": "Event object is invalid", "errors": wrong}
        event = json.loads(body)
        key, action = event["dedup_key"], event["event_action"]
        if action == "trigger":
            # A further trigger does not undo an acknowledgement.
            self.open.setdefault(key, "triggered")
            self.history.append((action, key))
        elif key in self.open:
            self.history.append((action, key))
            if action == "acknowledge":
                self.open[key] = "acknowledged"
            else:
                del self.open[key]
        return 202, {"status": "success", "message": "Event processed", "dedup_key": key}
