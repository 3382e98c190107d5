"""Encode what a journal records about a row, and decode it.

Values are JSON in UTF-8, lone surrogates included, so that any text and any number survives, and no record contains a
line break.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from attrs import fields

from flora_async.batch.journal import Entry, Unsettled
from flora_async.batch.rows import KINDS, Kind, Planned, subject_of
from flora_async.models import Run
from flora_async.models._codec import from_dict, to_dict

FINISHED: Final = b"finished"
SETTLED: Final = b"settled"
"""The state of a record of a cost that became known after its run had ended."""
OPEN: Final = frozenset({b"submitting", b"running"})
_STATES: Final = OPEN | {b"planned", FINISHED, SETTLED}
_FIELDS: Final = frozenset(field.name for field in fields(Run))
_LAST_MOMENT: Final = 253402300799.0  # the year 9999, where datetimes end
# Not ensure_ascii: as escapes, two lone surrogates next to each other would be read as one character.
_write_json: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


class Record(NamedTuple):
    """One line of a journal, each column as it is stored."""

    key: bytes
    digest: bytes
    state: bytes
    idempotency_key: bytes
    run_id: bytes
    details: bytes
    run: bytes


def row_id(key: bytes, digest: bytes) -> bytes:
    """Return a short identifier by which a row is looked up."""
    return hashlib.blake2b(key + b"\n" + digest, digest_size=16).digest()


def link(chain: bytes, record: Record) -> bytes:
    """Return the checksum of a record and, through `chain`, of all before it.

    Raises:
        TypeError: A column has another type.
        ValueError: The state is unknown.
    """
    if record.state not in _STATES:
        raise ValueError("unknown state")
    return hashlib.blake2b(b"\n".join((chain.hex().encode(), *record)), digest_size=16).digest()


def first_link(name: bytes) -> bytes:
    """Return the checksum that the first record of a batch is linked to."""
    return hashlib.blake2b(name, digest_size=16).digest()


def encode_text(text: str) -> bytes:
    """Encode text for a column of its own: as in JSON, without the quotes."""
    return _to_json(text)[1:-1]


def decode_text(data: bytes) -> str:
    """Decode what `encode_text` has encoded."""
    return str(_from_json(b'"' + data + b'"'))


def encode_entry(row: Planned, entry: Entry, batch: str) -> Record:
    """Encode what is to be recorded about a row of the batch of that name."""
    key = row.idempotency_key(batch, entry.attempt)
    return encode(row.key, row.digest, key, entry, kind=row.kind, target=row.target)


def encode(  # noqa: PLR0913 - what identifies a row
    key: str, digest: str, idempotency_key: str, entry: Entry, *, kind: Kind, target: str | None
) -> Record:
    """Encode what is to be recorded about a row of that key and digest."""
    details = {
        "attempt": entry.attempt,
        kind: target,
        "cost": entry.cost,
        "since": entry.since,
        "price": entry.price,
        "callback_url": entry.callback_url,
        "inputs": entry.sent,
        "processed": entry.processed or None,
    }
    return Record(
        encode_text(key),
        digest.encode(),
        entry.state.encode(),
        idempotency_key.encode(),
        encode_text(entry.run.run_id) if entry.run else b"",
        _to_json({name: value for name, value in details.items() if value is not None}),
        _to_json(_sparse(entry.run)) if entry.run else b"",
    )


def encode_cost(run_id: str, cost: float) -> Record:
    """Encode a cost that became known after its run had ended."""
    return Record(b"", b"", SETTLED, b"", encode_text(run_id), _to_json({"cost": cost}), b"")


def encode_earlier_cost(key: str, digest: str, cost: float) -> Record:
    """Encode the cost of earlier runs of a row, whose ids are no longer known."""
    return Record(encode_text(key), digest.encode(), SETTLED, b"", b"", _to_json({"cost": cost}), b"")


def decode_entry(record: Record) -> Entry:
    """Decode what is recorded about a row.

    Raises:
        ValueError: The record was not written by `encode_entry`.
    """
    try:
        details = decode_details(record)
        state: Any = record.state.decode()
        return Entry(
            state,
            details["attempt"],
            from_dict(_from_json(record.run), Run) if record.run else None,
            details.get("cost"),
            _moment(details.get("since")),
            details.get("inputs"),
            details.get("price"),
            details.get("callback_url"),
            dict(details.get("processed", ())),
        )
    except (LookupError, TypeError) as error:
        raise ValueError(f"a record cannot be read: {error!r}") from error


def decode_unsettled(record: Record) -> Unsettled:
    """Decode a run that has ended without a known cost."""
    details = decode_details(record)
    kind, target = target_of(details)
    return Unsettled(decode_text(record.run_id), kind, target, details.get("price"), details.get("since"))


def recorded_subject(details: Mapping[str, Any]) -> str:
    """What a recorded row runs, among rows of every kind; empty where it is not recorded."""
    return subject_of(*target_of(details))


def target_of(details: Mapping[str, Any]) -> tuple[Kind, str | None]:
    """The kind of a recorded row, and what it runs; None = not recorded."""
    for kind in KINDS:
        if kind in details:
            return kind, details[kind]
    return "technique", None


def decode_details(record: Record) -> dict[str, Any]:
    """Decode the details of a record.

    Raises:
        ValueError: They are not a JSON object.
    """
    details = _from_json(record.details)
    if not isinstance(details, dict):
        raise ValueError("a record cannot be read")  # noqa: TRY004 - whatever is wrong with a record is one error
    return details


def decode_run(record: Record) -> dict[str, Any] | None:
    """Decode the run of a record as plain data.

    Raises:
        ValueError: It is not a JSON object.
    """
    run = _from_json(record.run) if record.run else None
    if run is not None and not isinstance(run, dict):
        raise ValueError("a run cannot be read")
    return run


def _sparse(run: Run) -> dict[str, Any]:
    """Return a run as plain data, without fields that are None, which is what a missing field is read as."""
    return {name: value for name, value in to_dict(run).items() if value is not None or name not in _FIELDS}


def _moment(since: float | None) -> float | None:
    """Return a Unix time; an impossible one becomes 0, so that it never counts as recent."""
    return since if since is None or 0 <= since <= _LAST_MOMENT else 0.0


def _to_json(value: object) -> bytes:
    return _write_json(value).encode("utf-8", "surrogatepass")


def _from_json(data: bytes) -> Any:  # noqa: ANN401 - any JSON value
    return json.loads(data.decode("utf-8", "surrogatepass"))
