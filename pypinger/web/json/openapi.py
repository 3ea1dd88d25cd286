"""
The API's operations, and their description as OpenAPI 3.1.

One table serves both: :mod:`pypinger.web.json.v1` answers what stands in :data:`OPERATIONS`, and the schemas come from the
very classes that answers are encoded from.
"""

from __future__ import annotations

from typing import Any

import msgspec

from pypinger import __version__
from pypinger.domain.kinds import Status
from pypinger.web.json.history import DeliveryPage, HistoryPage, IncidentPage
from pypinger.web.json.objects import SelfObject, TaskObject
from pypinger.web.json.query import MOST, NUMBER, PAGE

#: How a task's status is asked for; in answers that of a task that was not checked yet is empty.
STATUSES: dict[str, Status] = {status.value or "new": status for status in Status}


class ErrorObject(msgspec.Struct, frozen=True):
    """What is wrong."""

    error: str


class TaskPage(msgspec.Struct, frozen=True):
    """A page of tasks; `next` links to the one after it."""

    data: list[TaskObject]
    next: str | None


class DataObject(msgspec.Struct, frozen=True):
    """One task."""

    data: TaskObject


class StateObject(msgspec.Struct, frozen=True):
    """Where Py Pinger itself stands."""

    data: SelfObject


class Operation(msgspec.Struct, frozen=True):
    """
    One path of the API.

    :ivar name: what it is called in programs.
    :ivar path: after ``/api/v1``.
    :ivar parameters: of its query, named as in :data:`PARAMETERS`.
    :ivar answer: what it answers; None for the description itself.
    :ivar stored: whether the store is read for it.
    """

    name: str
    path: str
    summary: str
    answer: Any
    parameters: tuple[str, ...] = ()
    stored: bool = False


OPERATIONS = (
    Operation(
        "listTasks",
        "/tasks",
        "All tasks, in the order of the ini file",
        TaskPage,
        ("status", "limit", "cursor"),
    ),
    Operation("getTask", "/tasks/{id}", "One task", DataObject),
    Operation(
        "getHistory",
        "/tasks/{id}/history",
        "What was found of a task, how its verdict changed, its latest runs, and its uptime",
        HistoryPage,
        ("limit", "beforePair"),
        True,
    ),
    Operation(
        "listTaskIncidents",
        "/tasks/{id}/incidents",
        "The incidents of a task, newest first",
        IncidentPage,
        ("limit", "before"),
        True,
    ),
    Operation(
        "listTaskDeliveries",
        "/tasks/{id}/deliveries",
        "The deliveries of a task's alerts, newest first",
        DeliveryPage,
        ("limit", "before"),
        True,
    ),
    Operation(
        "listIncidents",
        "/incidents",
        "The incidents of all tasks, newest first",
        IncidentPage,
        ("limit", "before"),
        True,
    ),
    Operation(
        "listDeliveries",
        "/deliveries",
        "The deliveries of all alerts, newest first",
        DeliveryPage,
        ("limit", "before"),
        True,
    ),
    Operation("getStatus", "/status", "Where Py Pinger itself stands", StateObject),
    Operation("getDescription", "/openapi.json", "This description", None),
)

#: The parameters of queries, and of the one path that has any.
PARAMETERS: dict[str, dict[str, Any]] = {
    "id": {
        "name": "id",
        "in": "path",
        "required": True,
        "description": "The task's `id`.",
        "schema": {"type": "string", "pattern": "^[0-9a-f]{12}$"},
    },
    "status": {
        "name": "status",
        "in": "query",
        "description": "Only tasks of this status; `new` are those not checked yet.",
        "schema": {"enum": list(STATUSES)},
    },
    "limit": {
        "name": "limit",
        "in": "query",
        "description": "How many entries the page has at most.",
        "schema": {"type": "integer", "minimum": 1, "maximum": MOST, "default": PAGE},
    },
    "cursor": {
        "name": "cursor",
        "in": "query",
        "description": "Where the page begins; it stands in the `next` of the page before.",
        "schema": {"type": "string", "pattern": f"^{NUMBER}$"},
    },
    "before": {
        "name": "before",
        "in": "query",
        "description": "Where the page begins; it stands in the `next` of the page before.",
        "schema": {"type": "string", "pattern": f"^{NUMBER}$"},
    },
    "beforePair": {
        "name": "before",
        "in": "query",
        "description": "Where the page begins; it stands in the `next` of the page before.",
        "schema": {"type": "string", "pattern": f"^{NUMBER}-{NUMBER}$"},
    },
}


def description(root: str) -> bytes:
    """
    The API, described.

    :param root: the path of the overview as clients see it; ends with a slash.
    """
    types = list(dict.fromkeys(operation.answer for operation in OPERATIONS if operation.answer is not None))
    schemas, components = msgspec.json.schema_components(
        [*types, ErrorObject], ref_template="#/components/schemas/{name}"
    )
    schema_of = dict(zip(types, schemas, strict=False))
    document = {
        "openapi": "3.1.0",
        "info": {
            "title": "Py Pinger",
            "version": __version__,
            "description": "Where scheduled tasks stand, what was found of them, and who was told.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": f"{root}api/v1"}],
        "paths": {
            operation.path: {"get": _operation(operation, schema_of.get(operation.answer, {"type": "object"}))}
            for operation in OPERATIONS
        },
        "components": {
            "schemas": components,
            "parameters": PARAMETERS,
            "responses": {
                name: {"description": words, "content": {"application/json": {"schema": schemas[-1]}}}
                for name, words in (
                    ("Unsound", "The query is not sound"),
                    ("Unknown", "There is no such task"),
                    ("Unread", "The store cannot be read now"),
                )
            },
        },
    }
    return msgspec.json.encode(document)


def _operation(operation: Operation, schema: dict[str, Any]) -> dict[str, Any]:
    of_task = "{id}" in operation.path
    names = (("id",) if of_task else ()) + operation.parameters
    answers: dict[str, Any] = {
        "200": {"description": "Here it is", "content": {"application/json": {"schema": schema}}},
        "304": {"description": "The client has it already"},
        "400": {"$ref": "#/components/responses/Unsound"},
    }
    if of_task:
        answers["404"] = {"$ref": "#/components/responses/Unknown"}
    if operation.stored:
        answers["503"] = {"$ref": "#/components/responses/Unread"}
    return {
        "operationId": operation.name,
        "summary": operation.summary,
        "parameters": [{"$ref": f"#/components/parameters/{name}"} for name in names],
        "responses": answers,
    }
