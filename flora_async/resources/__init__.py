"""FLORA's operations, one thin module per noun: path, parameters, result type."""

from flora_async.resources._attributes import Resources
from flora_async.resources._catalog import Catalog
from flora_async.resources._inputs import Draft, Inputs, InputValue, draft_inputs
from flora_async.resources._intake import Intake
from flora_async.resources._raw import raw_request
from flora_async.resources._starting import StartOptions, start_run
from flora_async.resources._starts import Starts
from flora_async.resources.runs import RunHistory

__all__ = [
    "Catalog",
    "Draft",
    "InputValue",
    "Inputs",
    "Intake",
    "Resources",
    "RunHistory",
    "StartOptions",
    "Starts",
    "draft_inputs",
    "raw_request",
    "start_run",
]
