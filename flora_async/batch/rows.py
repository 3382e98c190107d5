"""The rows that callers give, and what is known of a row once it is planned: its key, digest and idempotency key."""

import hashlib
import json
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Iterable, Iterator, Mapping, Sequence, Sized
from typing import Any, Final, Literal, TypeVar, get_args

from attrs import field, fields, frozen

from flora_async._checks import items, non_blank, optional
from flora_async._repr import ShortRepr
from flora_async._threads import off_loop
from flora_async.batch.frames import DataFrame, Frame, frame_of, present
from flora_async.media.content import Content
from flora_async.models import ActionInput
from flora_async.resources import History, Inputs
from flora_async.resources._hints import did_you_mean
from flora_async.resources.models import Medium

RequestT = TypeVar("RequestT", bound="Request")


@frozen
class RunRequest(ShortRepr):
    """One row of a batch, with more than its inputs.

    Args:
        inputs: `{input_id: value}`, or a sequence of `RunInput`; a file as a value is uploaded first.
        key: The name of the row in results and in the journal; None = its index. With a journal, keys that do not
            depend on the order of the rows allow rows to be added and removed between calls.
        callback_url: A public https URL that FLORA calls when the run has ended.
        technique_id: The technique of this row; None = the batch's.
        metadata: Data of yours that comes back in `BatchResult.request`; it is not sent.

    Example:
        >>> RunRequest({"prompt": "a red bicycle"}, key="row-57").key
        'row-57'
    """

    inputs: Inputs
    key: str | None = None
    callback_url: str | None = None
    technique_id: str | None = None
    metadata: Mapping[str, Any] = field(factory=dict, kw_only=True)

    @classmethod
    def from_rows(
        cls,
        source: Iterable[Mapping[str, Any]] | DataFrame,
        *,
        key: str | None = None,
        inputs: Mapping[str, str] | Sequence[str] | None = None,
    ) -> "Iterable[RunRequest]":
        """Make requests from the rows of a table, by the names of its columns.

        A missing value (None, NaN, NaT) is an input that is left out. Columns that are neither key nor input come back
        as `metadata`.

        Args:
            source: A data frame of pandas or polars, an Arrow table, or an iterable of mappings such as a
                `csv.DictReader`.
            key: The column with the keys of the rows: text, or whole numbers, which become text. None = a row's key is
                its index.
            inputs: The columns that are inputs, or a mapping of input ids to columns. None = all columns but `key`.

        Returns:
            An iterable of requests, with a length if the source has one. It reads the source while it is read.

        Raises:
            ValueError: The data frame does not have such a column, or has two of the same name.
            TypeError: An argument has the wrong type, or columns are not named by text.

        Example:
            >>> table = [{"sku": 57, "headline": "a red bicycle", "shelf": "B"}]
            >>> (request,) = RunRequest.from_rows(table, key="sku", inputs={"prompt": "headline"})
            >>> request.key, request.inputs, request.metadata
            ('57', {'prompt': 'a red bicycle'}, {'shelf': 'B'})
        """
        optional(non_blank, "key", key)
        named = None if inputs is None else _columns_of(inputs)
        frame = frame_of(source)
        if frame is not None:
            _check_columns(frame, [*(() if key is None else (key,)), *(named or {}).values()])
        elif isinstance(source, str | bytes | Mapping) or not isinstance(source, Iterable):
            raise TypeError(f"source must be a data frame or an iterable of mappings, not {source!r:.60}")

        def read(row: object) -> RunRequest:
            if not isinstance(row, Mapping):
                return cls(row)  # type: ignore[arg-type]  # a bad row is refused when it is planned, like others
            values = present(row.items())
            columns = {name: name for name in values if name != key} if named is None else named
            taken = {key, *columns.values()}
            return cls(
                {name: values[column] for name, column in columns.items() if column in values},
                key=None if key is None else _key_from(values.get(key, "")),
                metadata={name: value for name, value in values.items() if name not in taken},
            )

        return _Requests(source if frame is None else frame, read)


class _Requests:
    """Requests that are made while they are read, with the length of their source."""

    def __init__(self, source: Any, read: Callable[[object], RunRequest]) -> None:  # noqa: ANN401 - any iterable
        self._source = source
        self._read = read

    def __iter__(self) -> Iterator[RunRequest]:
        return map(self._read, self._source)

    def __len__(self) -> int:
        return len(self._source)


def _columns_of(inputs: Mapping[str, str] | Sequence[str]) -> dict[str, str]:
    columns = dict(inputs) if isinstance(inputs, Mapping) else {name: name for name in items("inputs", inputs)}
    for name in (*columns, *columns.values()):
        non_blank("the name of an input or a column", name)
    return columns


def _check_columns(frame: Frame, names: Iterable[str]) -> None:
    for name in names:
        if name not in frame.columns:
            known = ", ".join(map(repr, frame.columns))
            raise ValueError(f"the data frame has no column {name!r:.60}; it has {known:.200}")


def _key_from(value: Any) -> Any:  # noqa: ANN401 - a key of the wrong type is refused when the row is planned
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


@frozen
class GenerationRequest(ShortRepr):
    """One generation of a batch: the arguments of `generations.create`, and the name of the row.

    Args:
        prompt: What to make it from.
        key: The name of the row in results and in the journal; None = its index. With a journal, keys that do not
            depend on the order of the rows allow rows to be added and removed between calls.
        model: The id of a model; None = the batch's, or FLORA's choice.
        type: What to make: `image`, `video`, `audio` or `text`; None = the batch's, or what the model makes.
        params: The model's parameters; a `pathlib.Path`, bytes or an open file is uploaded first. Where the row does
            not name a model, they are added to the batch's and take precedence.
        project_id: The project to make it in (`prj_…`); None = the batch's.
        workspace_id: The workspace that pays (`ws_…`); None = the batch's, or else the session's.
        callback_url: A public https URL that FLORA calls when the run has ended.
        metadata: Data of yours that comes back in `BatchResult.request`; it is not sent.

    Example:
        >>> from flora_async import GenerationRequest
        >>> GenerationRequest("a red bicycle", key="shot-1", params={"seed": 7}).key
        'shot-1'
    """

    prompt: str
    key: str | None = None
    model: str | None = field(default=None, kw_only=True)
    type: Medium | None = field(default=None, kw_only=True)
    params: Mapping[str, Any] | None = field(default=None, kw_only=True)
    project_id: str | None = field(default=None, kw_only=True)
    workspace_id: str | None = field(default=None, kw_only=True)
    callback_url: str | None = field(default=None, kw_only=True)
    metadata: Mapping[str, Any] = field(factory=dict, kw_only=True)


@frozen
class ActionRequest(ShortRepr):
    """One run of an action in a batch: the arguments of `actions.run`, and the name of the row.

    Args:
        inputs: What it works on: `ActionInput`, or mappings with FLORA's names. A `pathlib.Path`, bytes or an open file
            as the `url` of a mapping is uploaded first.
        key: The name of the row in results and in the journal; None = its index.
        action_id: The action's slug; None = the batch's.
        params: Its settings. Where the row does not name an action, they are added to the batch's and take precedence.
        project_id: The project that lists the run (`prj_…`); None = the batch's.
        workspace_id: The workspace that pays (`ws_…`); None = the batch's, or else the session's.
        metadata: Data of yours that comes back in `BatchResult.request`; it is not sent.

    Example:
        >>> from flora_async import ActionRequest
        >>> ActionRequest([{"type": "image", "url": "https://example.com/a.png"}], key="photo-1").key
        'photo-1'
    """

    inputs: Sequence[ActionInput | Mapping[str, Any]]
    key: str | None = None
    action_id: str | None = field(default=None, kw_only=True)
    params: Mapping[str, Any] | None = field(default=None, kw_only=True)
    project_id: str | None = field(default=None, kw_only=True)
    workspace_id: str | None = field(default=None, kw_only=True)
    metadata: Mapping[str, Any] = field(factory=dict, kw_only=True)


Request = RunRequest | GenerationRequest | ActionRequest
"""A row with all that is known of it, of any kind."""

Row = Request | Inputs
"""A mapping of inputs, a sequence of `RunInput`, or a request of any kind."""

Rows = Iterable[Row] | AsyncIterable[Row] | DataFrame

GenerationRow = Request | str | Mapping[str, Any]
"""A prompt, a mapping with the fields of a `GenerationRequest`, or a request of any kind."""

GenerationRows = Iterable[GenerationRow] | AsyncIterable[GenerationRow] | DataFrame

ActionRow = Request | Sequence[ActionInput | Mapping[str, Any]] | Mapping[str, Any]
"""A sequence of inputs, a mapping with the fields of an `ActionRequest`, or a request of any kind."""

ActionRows = Iterable[ActionRow] | AsyncIterable[ActionRow] | DataFrame

Kind = Literal["technique", "generation", "action"]
"""What a row runs, as journals record it."""

KINDS: Final[tuple[Kind, ...]] = get_args(Kind)
_SUBJECTS: Final[Mapping[Kind, str]] = {"technique": "technique", "generation": "model", "action": "action"}


@frozen(kw_only=True)
class Planned:
    """A row that can be started.

    Attributes:
        index: Its position in the source, from 0.
        key: Its name.
        request: The row, with all that is known of it.
        kind: What it runs.
        target: The technique, model or action, as the row or the batch names it.
        arguments: What is sent, with files that are not uploaded yet; the `Work` of its kind reads it.
        shown: What is sent, with the names of files, for side-cars.
        history: Where FLORA lists its run; None = in no history.
        digest: A hash of everything that is sent to FLORA: a row whose inputs or files have changed is another row.
    """

    index: int
    key: str
    request: Request
    kind: Kind
    target: str
    arguments: Any
    shown: Mapping[str, Any]
    history: History | None
    digest: str

    @property
    def subject(self) -> str:
        """What runs of a kind have in common: their price, their pace and how long they take."""
        return subject_of(self.kind, self.target)

    def idempotency_key(self, batch: str, attempt: int) -> str:
        """The key of one attempt at this row, the same in every process that runs the same batch."""
        return f"batch-{digest_of(batch, self.key, self.digest, str(attempt))}"


def subject_of(kind: Kind, target: str | None) -> str:
    """The name of a technique, model or action among those of every kind; empty where it is not known."""
    return "" if target is None else f"{_SUBJECTS[kind]}:{target}"


def history_of(kind: Kind, target: str) -> History | None:
    """Where FLORA lists the runs of a technique, model or action; None = nowhere."""
    if kind == "technique":
        return History("techniques.runs.list", technique_id=target)
    return History("generations.list", model=target) if kind == "generation" else None


def source_of(rows: object) -> Iterable[Any] | AsyncIterable[Any]:
    """The rows of a source, each of which is still to be checked.

    Raises:
        TypeError: It cannot have rows, or is a data frame that is not in memory or has columns not named by text.
        ValueError: It is a data frame with a column whose name is blank or occurs twice.
    """
    frame = frame_of(rows)
    if frame is not None:
        return frame
    if isinstance(rows, str | bytes | Mapping) or not isinstance(rows, Iterable | AsyncIterable):
        raise TypeError(f"rows must be an iterable of rows or a data frame, not {rows!r:.60}")
    return rows


async def iterate(rows: Iterable[Any] | AsyncIterable[Any]) -> AsyncGenerator[Any, None]:
    """Iterate over a sync or async source; closing this generator closes the source, if that is a generator."""
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


def length_of(rows: object) -> int | None:
    """The number of rows, if their source knows it without reading them."""
    try:
        return len(rows) if isinstance(rows, Sized) else None
    except (TypeError, NotImplementedError):  # as of a data set whose class has a length and whose stream has none
        return None


def key_of(request: Request, index: int) -> str:
    """The key of the row.

    Raises:
        TypeError: The key is not text.
        ValueError: The key is blank.
    """
    if request.key is None:
        return str(index)
    if not isinstance(request.key, str):
        raise TypeError(f"key must be text, not {request.key!r:.60}")
    if not request.key.strip():
        raise ValueError("key must not be blank: leave it out, or name the row")
    return request.key


async def fingerprints(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    """A value with the fingerprints of the files in it, at any depth, in their place."""
    if isinstance(value, Mapping):
        return {key: await fingerprints(item) for key, item in value.items()}
    if isinstance(value, list):
        return [await fingerprints(item) for item in value]
    return {"file": await fingerprint(value)} if isinstance(value, Content) else value


def given(body: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a request that have a value: the others are not sent."""
    return {name: value for name, value in body.items() if value is not None}


def canonical(value: object) -> str:
    """A value as JSON, the same for equal values.

    Raises:
        ValueError: A number is not finite.
        TypeError: It is not JSON.
    """
    try:
        return json.dumps(value, sort_keys=True, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise type(error)(f"The arguments cannot be written as JSON: {error}") from None


def named(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    """A value with the names of the files in it, at any depth, in their place."""
    if isinstance(value, Mapping):
        return {key: named(item) for key, item in value.items()}
    if isinstance(value, list):
        return [named(item) for item in value]
    return value.name if isinstance(value, Content) else value


def read_fields(row: Mapping[str, Any], request_type: type[RequestT]) -> RequestT:
    """Read a mapping with the fields of a request.

    Raises:
        TypeError: It has others, or lacks one that is needed.
    """
    known = [attribute.name for attribute in fields(request_type)]
    for name in row:
        if name not in known:
            raise TypeError(f"a row has no field {name!r:.60}: {did_you_mean(str(name), known)}")
    if known[0] not in row:
        raise TypeError(f"a row needs the field {known[0]!r}, and has {', '.join(map(repr, row)) or 'none'}")
    return request_type(**row)


async def fingerprint(value: str | Content) -> str:
    """Identify a value; a file by its content, since each upload gets a different URL."""
    if isinstance(value, str):
        return value
    return f"sha256:{await off_loop(value.digest)}"


def digest_of(*parts: str) -> str:
    """A hash of some texts; it is in journals and idempotency keys, so it must never change."""
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:48]
