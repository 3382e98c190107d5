"""FLORA's operations, one thin module per noun: path, parameters, result type."""

from flora_async.resources._inputs import Inputs, run_inputs
from flora_async.resources._raw import raw_request
from flora_async.resources.runs import TechniqueRuns
from flora_async.resources.techniques import Techniques

__all__ = ["Inputs", "TechniqueRuns", "Techniques", "raw_request", "run_inputs"]
