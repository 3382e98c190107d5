"""From rows, as people have them, to what one row asks for: inputs, a key of its own, and an idempotency key."""

import asyncio
import hashlib
import json
from collections.abc import AsyncGenerator, AsyncIterable, Iterable, Mapping
from typing import Any

from attrs import field, frozen

from flora_async._http.urls import check_https, segment
from flora_async.resources import Draft, Inputs, draft_inputs


@frozen
class RunRequest:
    """One row of a batch, where the inputs alone do not say everything.

    Args:
        inputs: `{input_id: value}`, or a sequence of `RunInput`; a file as a value is uploaded first.
        key: What the row is called in results and in the journal; None = its index. With a journal, keys that do not
            change with the order of the rows let rows be added and removed between calls.
        callback_url: A public https URL that FLORA calls when the run has ended.
        technique_id: Another technique than the batch's.
        metadata: Anything of yours; it comes back in `BatchResult.request` and goes nowhere else.

    Example:
        >>> RunRequest({"prompt": "a red bicycle"}, key="row-57").key
        'row-57'
    """

    inputs: Inputs
    key: str | None = None
    callback_url: str | None = None
    technique_id: str | None = None
    metadata: Mapping[str, Any] = field(factory=dict, kw_only=True)


Row = RunRequest | Inputs
"""A mapping of inputs, a sequence of `RunInput`, or a `RunRequest`."""

Rows = Iterable[Row] | AsyncIterable[Row]


@frozen(kw_only=True)
class Planned:
    """A row that can be started.

    Attributes:
        index: Its place among the rows, from 0.
        key: What it is called.
        request: The row as it was given, made a `RunRequest`.
        technique_id: What it is a run of.
        drafts: Its inputs, files not uploaded yet.
        digest: A hash of everything FLORA gets: a row whose inputs, or whose files, have changed is another row.
    """

    index: int
    key: str
    request: RunRequest
    technique_id: str
    drafts: tuple[Draft, ...]
    digest: str

    def idempotency_key(self, batch: str, attempt: int) -> str:
        """The key of one attempt at this row: the same in every process that runs the same batch."""
        return f"batch-{_hash(batch, self.key, self.digest, str(attempt))}"

    @property
    def shown_inputs(self) -> dict[str, str]:
        """Its inputs as text; a file by its name."""
        return {draft.id: draft.value if isinstance(draft.value, str) else draft.value.name for draft in self.drafts}


async def each(rows: Rows) -> AsyncGenerator[Row, None]:
    """Go over rows of either kind, one at a time; a generator is closed with this one."""
    if isinstance(rows, AsyncIterable):
        iterator = aiter(rows)
        try:
            async for row in iterator:
                yield row
        finally:
            if isinstance(iterator, AsyncGenerator):
                await iterator.aclose()
    else:
        for row in rows:
            yield row


def request_of(row: Row) -> RunRequest:
    """The row as a `RunRequest`."""
    return row if isinstance(row, RunRequest) else RunRequest(row)


def key_of(request: RunRequest, index: int) -> str:
    """What the row is called.

    Raises:
        TypeError: Its key is no text.
        ValueError: Its key is blank.
    """
    if request.key is None:
        return str(index)
    if not isinstance(request.key, str):
        raise TypeError(f"key must be text, not {request.key!r:.60}")
    if not request.key.strip():
        raise ValueError("key must not be blank: leave it out, or name the row")
    return request.key


async def plan(request: RunRequest, index: int, technique_id: str) -> Planned:
    """Check a row before anything is spent on it.

    Raises:
        TypeError: A part of it has the wrong type.
        ValueError: A part of it cannot be right.
        OSError: A file cannot be read.
    """
    key = key_of(request, index)
    drafts = await draft_inputs(request.inputs)
    technique = technique_id if request.technique_id is None else request.technique_id
    segment("technique_id", technique)
    if request.callback_url is not None:
        check_https("callback_url", request.callback_url)
    values = sorted([(draft.id, draft.likely_type, await _fingerprint(draft)) for draft in drafts])
    digest = _hash(technique, str(request.callback_url), json.dumps(values))
    return Planned(index=index, key=key, request=request, technique_id=technique, drafts=drafts, digest=digest)


async def _fingerprint(draft: Draft) -> str:
    """What a value is known by: a file by its content, since its URL differs from upload to upload."""
    if isinstance(draft.value, str):
        return draft.value
    return f"sha256:{await asyncio.to_thread(draft.value.digest)}"


def _hash(*parts: str) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:48]
