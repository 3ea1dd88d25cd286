"""
Packaging. All of it is here: ``twisted.plugins`` must be listed as a package though it has no ``__init__.py``
(with one, it would hide Twisted's own plugins), and ``package_dir`` makes an editable install find it too. Packages are
listed one by one, for looking for them would find no ``twisted.plugins``; a test sees that none is forgotten.
"""

from pathlib import Path

from setuptools import setup

here = Path(__file__).parent
version: dict[str, str] = {}
exec((here / "pypinger" / "__init__.py").read_text(encoding="utf-8"), version)

setup(
    name="py-pinger",
    version=version["__version__"],
    description="A monitor of scheduled tasks: fetches their reports, judges whether they run on time, tells people",
    long_description=(here / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="MIT",
    license_files=["LICENSE"],
    python_requires=">=3.11",
    package_dir={"": "."},
    packages=[
        "pypinger",
        "pypinger.cli",
        "pypinger.config",
        "pypinger.domain",
        "pypinger.http",
        "pypinger.http.agents",
        "pypinger.http.wire",
        "pypinger.notify",
        "pypinger.ports",
        "pypinger.runtime",
        "pypinger.store",
        "pypinger.web",
        "twisted.plugins",
    ],
    package_data={
        "pypinger": ["py.typed"],
        "pypinger.store": ["schema/*.sql"],
        "pypinger.web": ["static/*"],
    },
    # Where people who have only the wheel find them: /opt/py-pinger/share/py-pinger, say.
    data_files=[("share/py-pinger", ["pinger_template.ini", "py-pinger.service"])],
    install_requires=[
        "twisted>=25.5",
        "treq>=25.5",
        "klein>=24.8",
        "sentry-sdk>=2.20",
        "service-identity>=24.1",
        "pyopenssl>=24.3",
        "idna>=3.7",
        "msgspec>=0.19",
        "httptools>=0.6.4",
        "prometheus-client>=0.21",
    ],
    extras_require={
        "test": [
            "axe-playwright-python>=0.1.4",
            "build",
            "coverage[toml]>=7.10",
            "hypothesis>=6.120",
            "jsonschema>=4.23",
            "kent>=2.1",
            "mypy>=1.14",
            "mypy-zope>=1.0.9",
            "playwright>=1.49",
            "ruff>=0.9",
            "schemathesis>=4",
            "setuptools>=77",
            "slack-sdk>=3.34",
            "trustme>=1.2",
        ],
    },
    entry_points={"console_scripts": ["pypinger = pypinger.cli:main"]},
    classifiers=[
        "Development Status :: 5 - Production/Stable",
        "Framework :: Twisted",
        "Intended Audience :: System Administrators",
        "Operating System :: POSIX",
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: System :: Monitoring",
        "Typing :: Typed",
    ],
)
