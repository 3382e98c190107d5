"""The storage host: a separate origin that serves media, accepts uploads and must never receive the API key."""

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
from flora_async.testing._state.runs import RunStore, output_file_name
from flora_async.testing._state.sample_files import CONTENT_TYPES, OUTPUT_SUFFIXES, sample_file
from flora_async.testing._wire.answers import NOT_FOUND, Answer, RefusedError, error_answer
from flora_async.testing._wire.forms import read_form
from flora_async.testing._wire.requests import RecordedRequest

_RANGE: Final = re.compile(r"bytes=(?:(\d+)-(\d*)|-(\d+))")


@attrs.frozen
class MediaFile:
    """A file that the storage host serves."""

    body: bytes = attrs.field(repr=False)
    content_type: str

    @cached_property
    def etag(self) -> str:
        """The strong entity tag."""
        return f'"{hashlib.sha256(self.body).hexdigest()[:32]}"'

    def answer(self, headers: Mapping[str, str]) -> Answer:
        """Return the file, or the requested range of it (RFC 9110, section 14)."""
        response_headers = {"ETag": self.etag, "Accept-Ranges": "bytes"}
        requested = _RANGE.fullmatch(headers.get("Range", ""))
        if requested is None or headers.get("If-Range", self.etag) != self.etag:
            return Answer(200, self.body, self.content_type, headers=response_headers)
        size = len(self.body)
        if requested[1]:
            begin, end = int(requested[1]), min(int(requested[2] or size), size - 1)
        else:
            begin, end = max(size - int(requested[3]), 0), size - 1
        if requested[2] and int(requested[2]) < begin:  # an invalid range is ignored
            return Answer(200, self.body, self.content_type, headers=response_headers)
        if begin > end:
            return Answer(416, b"", self.content_type, headers={**response_headers, "Content-Range": f"bytes */{size}"})
        response_headers["Content-Range"] = f"bytes {begin}-{end}/{size}"
        return Answer(206, self.body[begin : end + 1], self.content_type, headers=response_headers)


class Storage:
    """The media and the uploads.

    Args:
        environment: The clock and the addresses.
        runs: The runs, whose outputs are served.
        assets: The assets and their upload reservations.
    """

    def __init__(self, environment: Environment, runs: RunStore, assets: Assets) -> None:
        self._environment = environment
        self._runs = runs
        self._assets = assets
        self._added: dict[str, MediaFile] = {}

    def add(self, name: str, body: bytes, content_type: str) -> str:
        """Serve a file under a name and return its URL."""
        self._added[name] = MediaFile(body, content_type)
        return f"{self._environment.storage_origin}/media/{quote(name)}"

    def answer(self, request: RecordedRequest) -> Answer:
        """Carry a request out."""
        if "Authorization" in request.headers:
            return _refusal(400, "This host must not receive an API key.")
        try:
            match request.route.operation:
                case "media":
                    file = self._find(request.route.path_params["name"])
                    return NOT_FOUND if file is None else file.answer(request.headers)
                case "upload":
                    return self._upload(request)
        except RefusedError as refused:
            return refused.answer
        return NOT_FOUND

    def _find(self, path: str) -> MediaFile | None:
        if path in self._added:
            return self._added[path]
        if asset := self._assets.by_path(path):
            return MediaFile(asset.content, asset.content_type)
        run_id, _, name = path.partition("/")
        run = self._runs.runs.get(run_id)
        if run is not None and run.status == "completed":
            for output_id, type_ in run.work.output_types.items():
                if type_ != "text" and unquote(output_file_name(output_id, type_)) == name:
                    suffix = OUTPUT_SUFFIXES.get(type_, ".bin")
                    content = run.planned_outputs.get(output_id)
                    if content is None:
                        content = sample_file(suffix, f"{run_id}/{output_id}")
                    return MediaFile(content, CONTENT_TYPES[suffix])
        return None

    def _upload(self, request: RecordedRequest) -> Answer:
        reservation = self._assets.reservation(request.route.path_params["reservation"])
        if reservation is None:
            return NOT_FOUND
        if "Content-Length" not in request.headers:
            return _refusal(411, "Content-Length is required.")
        is_open = reservation.asset.status == "pending_upload" and reservation.asset.polls_left is None
        if not is_open or self._environment.clock.time() >= reservation.expires:
            return _refusal(403, "This upload reservation has expired.")
        if request.method != reservation.method:
            return _refusal(403, f"This upload reservation is for {reservation.method}.")
        return _store_form(reservation, request) if request.method == "POST" else _store_body(reservation, request)


def _store_form(reservation: Reservation, request: RecordedRequest) -> Answer:
    *fields, file = read_form(request)
    if file.name != "file" or not file.content:
        return _refusal(400, "The form does not end with a file, or the file is empty.")
    if {field.name: field.text for field in fields} != reservation.fields:
        return _refusal(403, "The fields of the form are not the signed ones.")
    reservation.asset.name = reservation.asset.name or file.filename or None
    return _store(reservation.asset, file.content, file.content_type)


def _store_body(reservation: Reservation, request: RecordedRequest) -> Answer:
    if not request.body:
        return _refusal(400, "The body is empty.")
    return _store(reservation.asset, request.body, request.headers.get("Content-Type", ""))


def _store(asset: FakeAsset, content: bytes, content_type: str) -> Answer:
    content_type = asset.content_type or content_type
    if content_type not in SUFFIXES:
        return _refusal(400, f"{content_type or 'No content type'} is not accepted.")
    asset.content_type, asset.content = content_type, content
    return Answer(204, b"")


def _refusal(status: int, message: str) -> Answer:
    code = {400: "InvalidRequest", 403: "AccessDenied", 411: "MissingContentLength"}[status]
    return error_answer(status, code, message)
