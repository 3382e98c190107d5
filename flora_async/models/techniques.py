"""Techniques: the workflows that runs are runs of."""

from collections.abc import Mapping
from typing import Any

from attrs import field, frozen


@frozen
class TechniqueReference:
    """The technique that an item of the run history belongs to (FLORA's page "List technique run history").

    Attributes:
        technique_id: FLORA's id (`tech_…`).
        name: The technique's name.
        extra: Fields that this version does not know, under FLORA's names.

    Example:
        >>> TechniqueReference(technique_id="tech_1", name="CCTV cam").name
        'CCTV cam'
    """

    technique_id: str = ""
    name: str = ""
    extra: Mapping[str, Any] = field(factory=dict, hash=False)
