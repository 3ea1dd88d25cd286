"""The part of the packaging that pyproject.toml cannot express; the metadata and the dependencies are there."""

from setuptools import find_packages, setup

setup(
    # twisted.plugins has no __init__.py, which would hide Twisted's own plugins, so that find_packages() skips it.
    packages=[*find_packages(include=["pypinger", "pypinger.*"]), "twisted.plugins"],
    # An editable install finds twisted.plugins only with this.
    package_dir={"": "."},
    data_files=[("share/py-pinger", ["pinger_template.ini", "py-pinger.service", "contrib/pypinger-report.py"])],
)
