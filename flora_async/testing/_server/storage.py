"""The storage host, an origin of its own: it hands out media and takes uploads, and no key is any business of it."""

import hashlib
import re
from collections.abc import Mapping
from functools import cached_property
from typing import Final
from urllib.parse import quote, unquote

import attrs

from flora_async.testing._state.asset import SUFFIXES, FakeAsset, Reservation
from flora_async.testing._state.assets import Assets
from flora_async.testing._state.environment import Environment
from flora_async.testing._state.run_store import RunStore
from flora_async.testing._state.runs import file_of
from flora_async.testing._state.sample_files import CONTENT_TYPES, OUTPUT_SUFFIXES, sample
from flora_async.testing._wire.answers import NOT_FOUND, Answer, RefusedError, error_answer
from flora_async.testing._wire.forms import read_form
from flora_async.testing._wire.requests import RecordedRequest

_RANGE: Final = re.compile(r"bytes=(?:(\d+)-(\d*)|-(\d+))")


@attrs.frozen
class Medium:
    """A file that is handed out."""

    body: bytes = attrs.field(repr=False)
    content_type: str

    @cached_property
    def etag(self) -> str:
        """What tells it from every other."""
        return f'"{hashlib.sha256(self.body).hexdigest()[:32]}"'

    def answer(self, headers: Mapping[str, str]) -> Answer:
        """The whole of it, or the part that is asked for (RFC 9110, section 14)."""
        said = {"ETag": self.etag, "Accept-Ranges": "bytes"}
        asked = _RANGE.fullmatch(headers.get("Range", ""))
        if asked is None or headers.get("If-Range", self.etag) != self.etag:
            return Answer(200, self.body, self.content_type, headers=said)
        size = len(self.body)
        if asked[1]:
            begin, end = int(asked[1]), min(int(asked[2] or size), size - 1)
        else:
            begin, end = max(size - int(asked[3]), 0), size - 1
        if asked[2] and int(asked[2]) < begin:  # which means nothing, and so is not heeded
            return Answer(200, self.body, self.content_type, headers=said)
        if begin > end:
            return Answer(416, b"", self.content_type, headers={**said, "Content-Range": f"bytes */{size}"})
        said["Content-Range"] = f"bytes {begin}-{end}/{size}"
        return Answer(206, self.body[begin : end + 1], self.content_type, headers=said)


class Storage:
    """The media and uploads of one local FLORA.

    Args:
        environment: The clock and the addresses.
        book: Knows what runs have made.
        assets: Knows what people have brought, and are about to.
    """

    def __init__(self, environment: Environment, book: RunStore, assets: Assets) -> None:
        self._environment = environment
        self._book = book
        self._assets = assets
        self._added: dict[str, Medium] = {}

    def add(self, name: str, body: bytes, content_type: str) -> str:
        """Hand a file out under a name; its URL."""
        self._added[name] = Medium(body, content_type)
        return f"{self._environment.storage}/media/{quote(name)}"

    def answer(self, request: RecordedRequest) -> Answer:
        """Carry a request out."""
        if "Authorization" in request.headers:
            return _refusal(400, "This host takes no key: whoever sends one has given it away.")
        try:
            match request.route.operation:
                case "media":
                    medium = self._medium(request.route.names["name"])
                    return NOT_FOUND if medium is None else medium.answer(request.headers)
                case "upload":
                    return self._upload(request)
        except RefusedError as refused:
            return refused.answer
        return NOT_FOUND

    def _medium(self, path: str) -> Medium | None:
        if path in self._added:
            return self._added[path]
        if asset := self._assets.by_path(path):
            return Medium(asset.content, asset.content_type)
        run_id, _, file = path.partition("/")
        run = self._book.runs.get(run_id)
        if run is not None and run.status == "completed":
            for output_id, type_ in run.work.gives.items():
                if type_ != "text" and unquote(file_of(output_id, type_)) == file:
                    suffix = OUTPUT_SUFFIXES.get(type_, ".bin")
                    return Medium(sample(suffix, f"{run_id}/{output_id}"), CONTENT_TYPES[suffix])
        return None

    def _upload(self, request: RecordedRequest) -> Answer:
        reservation = self._assets.reservation(request.route.names["reservation"])
        if reservation is None:
            return NOT_FOUND
        if "Content-Length" not in request.headers:
            return _refusal(411, "The length of the form must be said beforehand.")
        is_open = reservation.asset.status == "pending_upload" and reservation.asset.looks is None
        if not is_open or self._environment.clock.time() >= reservation.expires:
            return _refusal(403, "The time for this upload is over.")
        return _stored(reservation, request)


def _stored(reservation: Reservation, request: RecordedRequest) -> Answer:
    *fields, file = read_form(request)
    if file.name != "file" or not file.content:
        return _refusal(400, "The form does not end with a file, or there is nothing in it.")
    if {field.name: field.text for field in fields} != reservation.fields:
        return _refusal(403, "The fields of the form are not those that were signed.")
    asset: FakeAsset = reservation.asset
    content_type = asset.content_type or file.content_type
    if content_type not in SUFFIXES:
        return _refusal(400, f"{content_type or 'No content type'} is not taken.")
    asset.content_type, asset.content = content_type, file.content
    asset.name = asset.name or file.filename or None
    return Answer(204, b"")


def _refusal(status: int, message: str) -> Answer:
    code = {400: "InvalidRequest", 403: "AccessDenied", 411: "MissingContentLength"}[status]
    return error_answer(status, code, message)
