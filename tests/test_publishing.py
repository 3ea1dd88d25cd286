"""The recipes of ``docs/publishing.md`` work as written."""

from __future__ import annotations

import configparser
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import textwrap
import time
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from pypinger.domain import report as reports
from pypinger.domain.cron import Cron
from pypinger.domain.model import Report
from tests.report.endpoint import Endpoint
from tests.test_packaging import run

CHECKOUT = Path(__file__).parent.parent
SINGLE_FILE = CHECKOUT / "contrib" / "pypinger-report.py"
PAGE = (CHECKOUT / "docs" / "publishing.md").read_text(encoding="utf-8")


def snippet(name: str) -> str:
    """The block of code that follows the mark ``<!-- test: name -->``."""
    found = re.search(rf"<!-- test: {name} -->\n```\w+\n(.*?)\n```", PAGE, re.DOTALL)
    assert found is not None, name
    return found[1] + "\n"


class RecipeTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.directory = Path(self.mktemp()).absolute()
        self.directory.mkdir()

    def write(self, name: str, text: str) -> Path:
        path = self.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def program(self, name: str, code: int = 0) -> Path:
        """A command that says with which arguments it was run."""
        path = self.write(f"bin/{name}", f'#!/bin/sh\necho "{name} $*" >&2\nexit {code}\n')
        path.chmod(0o755)
        return path

    def python(self, *arguments: str) -> str:
        result = run(sys.executable, *arguments, cwd=self.directory, PYTHONPATH=f"{self.directory}:{CHECKOUT}")
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
        return result.stdout

    def assert_report(self, body: bytes | str, *, ok: bool = True, **members: object) -> None:
        """The report is valid, of now, and has these members."""
        report = reports.parse(body.encode() if isinstance(body, str) else body)
        assert isinstance(report, Report), body
        self.assertEqual(report.ok, ok)
        assert report.lastrun is not None
        self.assertLess(abs(report.lastrun - time.time()), 600)
        for name, value in members.items():
            self.assertEqual(getattr(report, name), value)


def needs(module: str) -> None:
    if find_spec(module) is None:
        raise SkipTest(f"{module} is not installed here")


class CommandTests(RecipeTestCase):
    """Recipes that run a command; ``tests/acceptance/test_publisher.py`` runs those for cron."""

    def unit(self, name: str) -> dict[str, dict[str, str]]:
        parser = configparser.RawConfigParser()
        parser.optionxform = str  # type: ignore[assignment]
        parser.read_string(snippet(name))
        return {section: dict(parser[section]) for section in parser.sections()}

    def test_systemd(self) -> None:
        """The service's command publishes, and its schedule is that of the timer."""
        service, timer = self.unit("service"), self.unit("timer")
        command = shlex.split(service["Service"]["ExecStart"])
        schedule = command[command.index("--schedule") + 1]
        path = self.directory / "tasks" / "import.json"
        places = {
            "/usr/local/bin/pypinger-report.py": str(SINGLE_FILE),
            "/var/www/html/tasks/import.json": str(path),
            "/usr/local/bin/import-prices": str(self.program("import-prices", 3)),
        }
        self.assertLess(places.keys(), set(command))
        result = run(*(places.get(word, word) for word in command), cwd=self.directory)
        self.assertEqual((result.returncode, result.stderr), (3, "import-prices \n"))
        reason = "exit code 3: import-prices"
        self.assert_report(path.read_bytes(), ok=False, reason=reason, schedule=schedule, max_runtime=60.0)
        self.assertEqual(timer["Timer"]["OnCalendar"], "*-*-* 03:00:00")
        moment = Cron(schedule).after(0.0)
        assert moment is not None
        self.assertEqual(datetime.fromtimestamp(moment, UTC).strftime("%H:%M:%S"), "03:00:00")

    def test_systemd_units(self) -> None:
        """systemd reads the units, and the timer's calendar."""
        if shutil.which("systemd-analyze") is None:
            raise SkipTest("systemd-analyze is not installed here (Debian: systemd)")
        text = snippet("service").replace("/usr/local/bin/pypinger-report.py", str(SINGLE_FILE))
        self.write("import-prices.service", text)
        timer = self.write("import-prices.timer", snippet("timer"))
        result = run("systemd-analyze", "verify", "--man=no", "--recursive-errors=no", timer, cwd=self.directory)
        self.assertEqual((result.returncode, result.stdout, result.stderr), (0, "", ""))
        calendar = self.unit("timer")["Timer"]["OnCalendar"]
        result = run("systemd-analyze", "calendar", "--iterations=1", calendar, cwd=self.directory, TZ="UTC")
        self.assertIn(" 03:00:00", result.stdout)

    def test_kubernetes(self) -> None:
        needs("yaml")
        import yaml

        manifest: dict[str, Any] = yaml.safe_load(snippet("kubernetes"))
        self.assertEqual((manifest["apiVersion"], manifest["kind"]), ("batch/v1", "CronJob"))
        spec = manifest["spec"]
        pod = spec["jobTemplate"]["spec"]["template"]["spec"]
        (container,) = pod["containers"]
        command = container["command"]
        self.assertIn(f"--schedule={spec['schedule']}", command)
        self.assertIn(f"--timezone={spec['timeZone']}", command)

        # The file of the ConfigMap, executable at the path that is run; the key of the Secret.
        (mount,), (volume,), (variable,) = container["volumeMounts"], pod["volumes"], container["env"]
        self.assertEqual(volume["name"], mount["name"])
        self.assertEqual(command[0], f"{mount['mountPath']}/{SINGLE_FILE.name}")
        self.assertEqual(volume["configMap"]["defaultMode"], 0o755)
        self.assertIn(f"create configmap {volume['configMap']['name']} --from-file={SINGLE_FILE.name}", PAGE)
        secret = variable["valueFrom"]["secretKeyRef"]
        self.assertIn(f"create secret generic {secret['name']} --from-literal={secret['key']}=https://", PAGE)

        self.program("import-prices", 3)
        endpoint = Endpoint(self)
        environ = {variable["name"]: endpoint.url, "PATH": f"{self.directory}/bin:{os.environ['PATH']}"}
        result = run(SINGLE_FILE, *command[1:], cwd=self.directory, no_proxy="*", **environ)
        self.assertEqual((result.returncode, result.stderr), (3, "import-prices \n"))
        self.assert_report(
            json.dumps(endpoint.reports[-1]),
            ok=False,
            schedule=spec["schedule"],
            timezone=spec["timeZone"],
            max_runtime=60.0,
            process="import-prices",
            server="cluster-1",
        )


class FunctionTests(RecipeTestCase):
    """Recipes that decorate a function."""

    def code(self, name: str, published: str) -> str:
        """A snippet that publishes in the directory of the test."""
        text = snippet(name)
        self.assertIn(f'"{published}', text)
        return text.replace(f'"{published}', f'"{self.directory}')

    def test_function(self) -> None:
        self.write("jobs.py", self.code("function", "/var/www/html/tasks"))
        self.python("-c", "import jobs; jobs.import_prices()")
        body = (self.directory / "import.json").read_bytes()
        self.assert_report(body, frequency=10.0, max_runtime=5.0, process="import_prices")

    def test_single_file_as_a_module(self) -> None:
        shutil.copy(SINGLE_FILE, self.directory / "pypinger_report.py")
        text = self.code("function", "/var/www/html/tasks").replace("from pypinger.report", "from pypinger_report")
        self.write("jobs.py", text)
        self.python("-c", "import jobs, sys; jobs.import_prices(); assert 'pypinger' not in sys.modules")
        self.assert_report((self.directory / "import.json").read_bytes(), frequency=10.0)

    def test_celery(self) -> None:
        """A real worker runs the task that beat sends."""
        needs("celery")
        text = self.code("celery", "/var/www/html/tasks")
        self.assertIn("redis://localhost", text)
        self.write("shop.py", text.replace("redis://localhost", "memory://"))
        worker = """
            from celery.beat import Scheduler
            from celery.contrib.testing.worker import start_worker

            from shop import app

            app.conf.result_backend = "cache+memory://"
            entry = Scheduler(app).schedule["import-prices"]
            with start_worker(app, pool="solo", perform_ping_check=False, loglevel="CRITICAL"):
                Scheduler(app).apply_async(entry).get(timeout=60)
            print(entry.schedule)
        """
        out = self.python("-c", textwrap.dedent(worker))
        self.assertIn("<crontab: 0 3 * * *", out)
        body = (self.directory / "import-prices.json").read_bytes()
        self.assert_report(body, schedule="0 3 * * *", timezone="Europe/Berlin", process="import_prices")

    def test_flask(self) -> None:
        needs("flask")
        self.write("shop.py", self.code("flask", "/var/lib/shop"))
        view = (
            "import sys; from shop import app; answer = app.test_client().get('/tasks/import');"
            "print(answer.status_code, answer.mimetype); print(answer.text)"
        )
        self.assertTrue(self.python("-c", view).startswith("404 "))
        self.python("-m", "flask", "--app", "shop", "import-prices")
        status, _, body = self.python("-c", view).partition("\n")
        self.assertEqual(status, "200 application/json")
        self.assert_report(body, frequency=10.0, process="price import")

    def test_django(self) -> None:
        """Where ``USE_TZ`` is off and the project's time zone is far from UTC."""
        needs("django")
        published = "/var/lib/shop"
        self.write("shop/__init__.py", "")
        self.write("shop/management/__init__.py", "")
        self.write("shop/management/commands/__init__.py", "")
        self.write("shop/management/commands/import_prices.py", self.code("django-command", published))
        self.write("shop/urls.py", self.code("django-view", published))
        self.write(
            "settings.py",
            "INSTALLED_APPS = ['shop']\nROOT_URLCONF = 'shop.urls'\nUSE_TZ = False\nTIME_ZONE = 'Asia/Tokyo'\n"
            "SECRET_KEY = 'x'\nALLOWED_HOSTS = ['testserver']\n",
        )
        view = (
            "import os; os.environ['DJANGO_SETTINGS_MODULE'] = 'settings'; import django; django.setup();"
            "from django.test import Client; answer = Client().get('/tasks/import'); print(answer.status_code);"
            "print(b''.join(answer).decode())"
        )
        self.assertTrue(self.python("-c", view).startswith("404\n"))
        self.python("-m", "django", "import_prices", "--settings", "settings")
        status, _, body = self.python("-c", view).partition("\n")
        self.assertEqual(status, "200")
        self.assert_report(body, frequency=10.0, process="price import")


class PageTests(SynchronousTestCase):
    def test_every_option(self) -> None:
        """The page's table has the options of the command."""
        result = subprocess.run([sys.executable, SINGLE_FILE, "--help"], capture_output=True, text=True, check=True)
        options = set(re.findall(r"^  (--[\w-]+)", result.stdout, re.MULTILINE)) - {"--version"}
        self.assertEqual(options, set(re.findall(r"^\| `(--[\w-]+)", PAGE, re.MULTILINE)))
