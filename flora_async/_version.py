"""The version, in the one place that the package, its wheel and its `User-Agent` read."""

__version__ = "0.1.0"
