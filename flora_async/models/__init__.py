"""Frozen data as FLORA speaks of it: no input or output, one module per noun."""

from flora_async.models.pages import Page
from flora_async.models.runs import OutputType, Run, RunInput, RunOutput, RunStatus, TechniqueRun
from flora_async.models.techniques import Technique, TechniqueInput, TechniqueOutput, TechniqueReference

__all__ = [
    "OutputType",
    "Page",
    "Run",
    "RunInput",
    "RunOutput",
    "RunStatus",
    "Technique",
    "TechniqueInput",
    "TechniqueOutput",
    "TechniqueReference",
    "TechniqueRun",
]
