"""Configuration: the ini file, from text to settings or to the list of everything that is wrong with it."""

from pypinger.config.loading import load
from pypinger.config.problems import ConfigErrors, Problem

__all__ = ["ConfigErrors", "Problem", "load"]
