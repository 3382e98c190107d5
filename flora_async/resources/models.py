"""`flora.models`: the models that generations can use."""

from typing import Literal, get_args

from flora_async import models
from flora_async._checks import one_of, optional
from flora_async._http.client import Client
from flora_async.resources._operations import Operations, paginate
from flora_async.resources._pager import Pager

Medium = Literal["image", "video", "audio", "text"]
"""What a generation makes."""


def check_medium(name: str, value: object) -> str:
    """Check that a value is a medium that FLORA generates.

    Raises:
        ValueError: It is not one of them.
    """
    return one_of(name, value, get_args(Medium))


class Models(Operations):
    """The catalog of generation models."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def list(self, *, type: Medium | None = None) -> Pager["models.GenerationModel"]:  # noqa: A002 - FLORA's name
        """The models that the key can use (FLORA's `GET /models`), all on one page.

        Args:
            type: Only models that make this: `image`, `video`, `audio` or `text`.

        Returns:
            A `Pager` of models.

        Raises:
            ValueError: `type` is not one of these.

        Example:
            >>> "flux-pro" in {model.model_id async for model in flora.models.list(type="image")}
            True
        """
        filters = {"type": optional(check_medium, "type", type)}
        return paginate(self._client, "models.list", models.GenerationModel, items_key="models", filters=filters)
