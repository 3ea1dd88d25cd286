"""
The API's operations, and their description as OpenAPI 3.1.

:mod:`pypinger.web.json.v1` answers what is in :data:`OPERATIONS`; the schemas come from the classes that answers are
encoded from.
"""

from __future__ import annotations

from typing import Any

import msgspec

from pypinger import __version__
from pypinger.domain.kinds import Status
from pypinger.web.json.history import DeliveryPage, HistoryPage, IncidentPage
from pypinger.web.json.objects import InstanceObject, SelfObject, TaskObject
from pypinger.web.json.query import MOST, NUMBER, PAGE

#: The statuses in queries; in answers the status of a task that is not checked yet is empty.
STATUSES: dict[str, Status] = {status.value or "new": status for status in Status}


class ErrorObject(msgspec.Struct, frozen=True):
    """An error, in words."""

    error: str


class TaskPage(msgspec.Struct, frozen=True):
    """A page of tasks; `next` links to the next one."""

    data: list[TaskObject]
    next: str | None


class DataObject(msgspec.Struct, frozen=True):
    """One task."""

    data: TaskObject


class StateObject(msgspec.Struct, frozen=True):
    """The state of Py Pinger itself."""

    data: SelfObject


class InstanceList(msgspec.Struct, frozen=True):
    """The instances that share the tasks; empty on a single machine."""

    data: list[InstanceObject]


class Operation(msgspec.Struct, frozen=True):
    """
    One path of the API.

    :ivar name: the ``operationId``.
    :ivar path: after ``/api/v1``.
    :ivar parameters: the keys of its parameters in :data:`PARAMETERS`.
    :ivar answer: the type of the answer; None for the description itself.
    :ivar stored: whether it reads the store.
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
        "The results of a task's checks, the changes of its verdict, its latest runs, and its uptime",
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
    Operation("listInstances", "/instances", "The instances that share the tasks", InstanceList),
    Operation("getStatus", "/status", "The state of Py Pinger itself", StateObject),
    Operation("getDescription", "/openapi.json", "This description", None),
)

#: The parameters of queries and paths.
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
        "description": "Only tasks with this status; `new`: not checked yet.",
        "schema": {"enum": list(STATUSES)},
    },
    "limit": {
        "name": "limit",
        "in": "query",
        "description": "The maximum number of entries on the page.",
        "schema": {"type": "integer", "minimum": 1, "maximum": MOST, "default": PAGE},
    },
    "cursor": {
        "name": "cursor",
        "in": "query",
        "description": "Where the page begins; from the `next` of the page before.",
        "schema": {"type": "string", "pattern": f"^{NUMBER}$"},
    },
    "before": {
        "name": "before",
        "in": "query",
        "description": "Where the page begins; from the `next` of the page before.",
        "schema": {"type": "string", "pattern": f"^{NUMBER}$"},
    },
    "beforePair": {
        "name": "before",
        "in": "query",
        "description": "Where the page begins; from the `next` of the page before.",
        "schema": {"type": "string", "pattern": f"^{NUMBER}-{NUMBER}$"},
    },
}


def description(root: str) -> bytes:
    """
    The OpenAPI document.

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
            "description": "The state of scheduled tasks, their history, incidents and alerts.",
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
                    ("BadQuery", "The query is invalid"),
                    ("NotFound", "There is no such task"),
                    ("Unavailable", "The store cannot be read"),
                )
            },
        },
    }
    return msgspec.json.encode(document)


def _operation(operation: Operation, schema: dict[str, Any]) -> dict[str, Any]:
    of_task = "{id}" in operation.path
    names = (("id",) if of_task else ()) + operation.parameters
    answers: dict[str, Any] = {
        "200": {"description": "Success", "content": {"application/json": {"schema": schema}}},
        "304": {"description": "Not modified"},
        "400": {"$ref": "#/components/responses/BadQuery"},
    }
    if of_task:
        answers["404"] = {"$ref": "#/components/responses/NotFound"}
    if operation.stored:
        answers["503"] = {"$ref": "#/components/responses/Unavailable"}
    return {
        "operationId": operation.name,
        "summary": operation.summary,
        "parameters": [{"$ref": f"#/components/parameters/{name}"} for name in names],
        "responses": answers,
    }
