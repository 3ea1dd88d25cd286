"""Configuration: reads the ini file and returns settings, or lists every problem in it."""

from pypinger.config.loading import load
from pypinger.config.problems import ConfigErrors, ConfigProblem

__all__ = ["ConfigErrors", "ConfigProblem", "load"]
