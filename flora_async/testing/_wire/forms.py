"""Multipart forms (RFC 7578)."""

from collections.abc import Iterator
from email.message import Message
from typing import NamedTuple

from flora_async.testing._wire.answers import RefusedError, error_answer
from flora_async.testing._wire.requests import RecordedRequest


class Part(NamedTuple):
    """One field of a form; `filename` and `content_type` are empty unless it is a file."""

    name: str
    filename: str
    content_type: str
    content: bytes

    @property
    def text(self) -> str:
        """The content of a field that is not a file."""
        return self.content.decode(errors="replace")


def boundary_of(request: RecordedRequest) -> bytes:
    """Return the boundary between the fields, empty if the request does not declare one."""
    header = Message()
    header["Content-Type"] = request.headers.get("Content-Type", "")
    return (header.get_boundary() or "").encode()


def read_form(request: RecordedRequest) -> list[Part]:
    """Return the fields of a form in the order in which they were sent.

    Raises:
        RefusedError: The body is not a complete form.
    """
    boundary = boundary_of(request)
    if not request.is_form or not boundary:
        raise _invalid_form("The body is not a multipart form.")
    first, *parts = (b"\r\n" + request.body).split(b"\r\n--" + boundary)
    if first or not parts or not parts.pop().startswith(b"--"):
        raise _invalid_form("The form does not begin or end with its boundary.")
    return list(_parse_parts(parts))


def _parse_parts(raw: list[bytes]) -> Iterator[Part]:
    for part in raw:
        head, blank, content = part.partition(b"\r\n\r\n")
        headers = Message()
        for line in head.decode(errors="replace").split("\r\n"):
            key, _, value = line.partition(":")
            if key:
                headers[key] = value.strip()
        name = headers.get_param("name", header="Content-Disposition")
        if not blank or not isinstance(name, str):
            raise _invalid_form("A part of the form has no name.")
        yield Part(name, headers.get_filename(""), headers.get("Content-Type", ""), content)


def _invalid_form(message: str) -> RefusedError:
    return RefusedError(error_answer(400, "input_validation_error", message, {"file": message}))
