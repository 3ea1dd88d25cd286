from __future__ import annotations

import json
from itertools import chain
from typing import Any

from jsonschema import Draft202012Validator
from msgspec.structs import replace

from pypinger.domain.kinds import Kind
from pypinger.ports.showing import Sharing
from tests.web.fakes import NOW, SILENCED, acknowledged, daemon_state, entry, instance, new_entry, task
from tests.web.json.test_history_pages import HistoryPagesTestCase
from tests.web.test_app import SECURITY, header

API = "/api/v1"


class ApiTestCase(HistoryPagesTestCase):
    def setUp(self) -> None:
        super().setUp()
        kinds = (Kind.OK, Kind.LATE, Kind.SLEEPING)
        self.board.set([*(entry(f"http://h/{i}", kinds[i % 3]) for i in range(9)), new_entry()])

    def urls(self, query: str) -> list[list[str]]:
        """The tasks of all pages."""
        pages = []
        link: str | None = f"?{query}"
        while link is not None:
            value = self.value(f"{API}/tasks{link}")
            pages.append([row["url"] for row in value["data"]])  # type: ignore[attr-defined]
            link = value["next"]  # type: ignore[assignment]
        return pages


class TasksTests(ApiTestCase):
    def test_all(self) -> None:
        [urls] = self.urls("")
        self.assertEqual(urls, [each.task.url for each in self.board.entries()])

    def test_pages(self) -> None:
        self.assertEqual([len(page) for page in self.urls("limit=4")], [4, 4, 2])
        self.assertEqual([len(page) for page in self.urls("limit=5")], [5, 5])
        self.assertEqual(list(chain(*self.urls("limit=3"))), self.urls("")[0])

    def test_status(self) -> None:
        for status, urls in (
            ("ok", ["http://h/0", "http://h/3", "http://h/6"]),
            ("error", ["http://h/1", "http://h/4", "http://h/7"]),
            ("sleeping", ["http://h/2", "http://h/5", "http://h/8"]),
            ("new", ["http://h/new"]),
        ):
            self.assertEqual(self.urls(f"status={status}"), [urls])
            self.assertEqual(list(chain(*self.urls(f"status={status}&limit=1"))), urls)

    def test_changes_between_pages(self) -> None:
        first = self.value(f"{API}/tasks?status=error&limit=1")
        self.board.show(entry("http://h/1"))
        second = self.value(f"{API}/tasks{first['next']}")
        self.assertEqual(second["data"][0]["url"], "http://h/4")  # type: ignore[index]

    def test_one(self) -> None:
        late = task("http://h/1")
        value = self.value(f"{API}/tasks/{late.id}")["data"]
        self.assertEqual((value["url"], value["status"]), (late.url, "error"))  # type: ignore[index, call-overload]

    def test_past_the_end(self) -> None:
        self.assertEqual(self.value(f"{API}/tasks?cursor=99"), {"data": [], "next": None})

    def test_bad_parameters(self) -> None:
        words = "status must be one of new, error, sleeping, ok"
        for query in ("status=", "status=Error", "status=x"):
            self.assertEqual(self.value(f"{API}/tasks?{query}", 400), {"error": words})
        self.value(f"{API}/tasks?cursor=x", 400)
        self.value(f"{API}/tasks?before=1", 400)
        for path in (f"/tasks/{task('http://h/1').id}", "/status", "/openapi.json"):
            self.assertEqual(self.value(f"{API}{path}?x=1", 400), {"error": "this path has no parameters"})


class OtherPathsTests(ApiTestCase):
    def test_all_incidents_and_deliveries(self) -> None:
        self.assertEqual(len(self.value(f"{API}/incidents")["data"]), 3)  # type: ignore[arg-type]
        rows = self.value(f"{API}/deliveries")["data"]
        self.assertEqual([row["task"] is None for row in rows], [True, False, True])  # type: ignore[attr-defined]

    def test_status(self) -> None:
        self.assertEqual(self.value(f"{API}/status")["data"], self.value("/")["self"])

    def test_unknown(self) -> None:
        for path in (
            "/nothing",
            "/tasks/",
            "/tasks/x",
            "/tasks/x/history",
            "/tasks//history",
            "/statuses/x",
        ):
            self.assertEqual(list(self.value(f"{API}{path}", 404)), ["error"], path)
        number = task("http://h/1").id
        for path in (f"/tasks/{number}/", f"/tasks/{number}/feed.atom", f"/tasks/{number}/history/"):
            self.assertEqual(list(self.value(f"{API}{path}", 404)), ["error"], path)
        for path in (API, f"{API}/"):
            self.assertEqual(self.value(path, 404), {"data": {}})

    def test_other_methods(self) -> None:
        response = self.successResultOf(self.treq.request("POST", f"http://localhost{API}/tasks"))
        self.assertEqual(response.code, 405)
        self.assertEqual(header(response, "Allow"), "GET, HEAD")

    def test_headers(self) -> None:
        response = self.ask(f"{API}/tasks")
        for name, value in SECURITY.items():
            self.assertEqual(header(response, name), value)


class DescriptionTests(ApiTestCase):
    """Every answer matches its description."""

    def setUp(self) -> None:
        super().setUp()
        self.history.count = 12
        self.document: dict[str, Any] = self.value(f"{API}/openapi.json")

    def test_document(self) -> None:
        self.assertEqual(self.document["openapi"], "3.1.0")
        self.assertEqual(self.document["servers"], [{"url": "/api/v1"}])
        self.serve(public_url="https://x/pinger/")
        document: dict[str, Any] = self.value(f"{API}/openapi.json")
        self.assertEqual(document["servers"], [{"url": "/pinger/api/v1"}])

    def test_names_are_unique(self) -> None:
        names = [operations["get"]["operationId"] for operations in self.document["paths"].values()]
        self.assertEqual(len(names), len(set(names)))

    def test_references(self) -> None:
        def references(value: object) -> list[str]:
            if isinstance(value, dict):
                own = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
                return own + [found for each in value.values() for found in references(each)]
            return [found for each in value for found in references(each)] if isinstance(value, list) else []

        found = references(self.document)
        self.assertTrue(found)
        for reference in found:
            place: Any = self.document
            for name in reference.removeprefix("#/").split("/"):
                place = place[name]

    def schema(self, path: str, code: int) -> dict[str, Any]:
        answer = self.document["paths"][path]["get"]["responses"][str(code)]
        if "$ref" in answer:
            answer = self.document["components"]["responses"][answer["$ref"].rpartition("/")[2]]
        schema = {**answer["content"]["application/json"]["schema"], "components": self.document["components"]}
        Draft202012Validator.check_schema(schema)
        return schema

    def assert_valid(self, path: str, sent: str, code: int = 200) -> None:
        value = self.value(f"{API}{sent}", code)
        errors = [error.message for error in Draft202012Validator(self.schema(path, code)).iter_errors(value)]
        self.assertEqual(errors, [], sent)

    def test_answers(self) -> None:
        number = task("http://h/1").id
        for path, operations in self.document["paths"].items():
            operation = operations["get"]
            sent = path.replace("{id}", number)
            self.assert_valid(path, sent)
            self.assert_valid(path, f"{sent}?nonsense=1", 400)
            names = [reference["$ref"].rpartition("/")[2] for reference in operation["parameters"]]
            if "limit" in names:
                self.assert_valid(path, f"{sent}?limit=2")
            if "{id}" in path:
                self.assert_valid(path, path.replace("{id}", "0123456789ab"), 404)
            if "503" in operation["responses"]:
                self.history.broken = True
                self.assert_valid(path, sent, 503)
                self.history.broken = False

    def test_instances(self) -> None:
        self.assertEqual(self.value(f"{API}/instances"), {"data": []})
        members = instance("a"), instance("b", digest="two", blind=NOW - 60, dead=1)
        self.board.state = daemon_state(sharing=Sharing("a", members))
        self.assert_valid("/instances", "/instances")
        value = self.value(f"{API}/instances")["data"]
        self.assertEqual([each["name"] for each in value], ["a", "b"])
        self.assertEqual([each["here"] for each in value], [True, False])
        self.assertEqual([each["other_ini"] for each in value], [False, True])
        self.assertEqual(
            value[1],
            {
                "name": "b",
                "here": False,
                "status": "ok",
                "explanation": "watching 2 tasks",
                "version": "2.0",
                "started": "2026-11-22T21:26:54.000Z",
                "joined": "2026-11-22T21:28:34.000Z",
                "blind": "2026-11-22T22:27:34.000Z",
                "tasks": 2,
                "channels": ["slack"],
                "undelivered": 0,
                "dead": 1,
                "other_ini": True,
            },
        )
        self.board.set([replace(entry("http://h/a"), owner="b")])
        self.assertEqual(self.value(f"{API}/tasks")["data"][0]["instance"], "b")

    def test_every_kind_of_task(self) -> None:
        taken = acknowledged(entry("http://h/taken", Kind.LATE))
        entries = [entry(f"http://h/{kind}", kind) for kind in Kind if kind is not Kind.NEW]
        self.board.set([*entries, new_entry(), taken, replace(entry("http://h/silenced"), muted=SILENCED)])
        self.assert_valid("/tasks", "/tasks")

    def test_members_are_described(self) -> None:
        """Answers have only members that their schemas name."""
        schemas = self.document["components"]["schemas"]
        row = json.loads(self.text(self.ask("/")))["data"][0]
        self.assertEqual(set(row), set(schemas["TaskObject"]["properties"]))
        self.assertEqual(set(row), set(schemas["TaskObject"]["required"]))
