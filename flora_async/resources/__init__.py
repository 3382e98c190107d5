"""FLORA's operations, one thin module per noun: path, parameters, result type."""

from flora_async.resources.runs import TechniqueRuns
from flora_async.resources.techniques import Techniques

__all__ = ["TechniqueRuns", "Techniques"]
