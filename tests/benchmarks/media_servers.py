"""What `media.py` talks to: a host that streams files, one that swallows forms, and as much of FLORA as uploads need.

Blocking sockets and a thread for each connection: on two cores, the less the server does, the more the client shows.
"""

import json
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.connection import Connection
from typing import Final, NoReturn

WORKSPACE: Final = "ws_benchmark"
FIELDS: Final[Mapping[str, str]] = {"key": "uploads/benchmark.mp4", "policy": "cG9saWN5" * 40, "signature": "ab" * 32}
_ETAG: Final = '"0f8fad5bd9cb469fa16570867728950e"'
_BLOCK: Final = bytes(1024 * 1024)


class Host(BaseHTTPRequestHandler):
    """`GET /files/{size}` and `POST /storage/{asset_id}`, whose answer is the size of the file in the form."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    stored: Final[dict[str, int]] = {}

    def setup(self) -> None:
        super().setup()
        self._room = memoryview(bytearray(len(_BLOCK)))

    def do_GET(self) -> None:
        size = int(self._name)
        begin, _, last = self.headers.get("Range", "bytes=0-").removeprefix("bytes=").partition("-")
        start, end = int(begin), int(last or size - 1) + 1
        self.send_response(206 if "Range" in self.headers else 200)
        if "Range" in self.headers:
            self.send_header("Content-Range", f"bytes {start}-{end - 1}/{size}")
        self.send_header("Content-Type", "video/mp4")
        self.send_header("Content-Length", str(end - start))
        self.send_header("ETag", _ETAG)
        self.send_header("Accept-Ranges", "bytes")
        self.end_headers()
        block = memoryview(_BLOCK)
        for at in range(start, end, len(block)):
            self.wfile.write(block[: end - at])

    def do_POST(self) -> None:
        if self.path.startswith("/storage/"):
            size = self.stored[self._name] = self._swallow_form()
            return self._answer(201, size)
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path.endswith("/complete"):
            asset_id = self.path.split("/")[-2]
            asset = self._asset(asset_id, "ready") | {"size_bytes": self.stored[asset_id]}
            return self._answer(200, asset | {"url": f"{self._origin}/files/{self.stored[asset_id]}"})
        asset_id = "asset_0f8fad5bd9cb469fa16570867728950e"
        upload = {"url": f"{self._origin}/storage/{asset_id}", "file_field": "file", "form_fields": FIELDS}
        return self._answer(201, self._asset(asset_id, "pending_upload") | {"upload": upload})

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's own
        """Say nothing."""

    def _swallow_form(self) -> int:
        """Read a form to its end, its file a block at a time, and tell the size of that file."""
        closing = f"\r\n--{self.headers.get_boundary()}--\r\n".encode()
        left = int(self.headers["Content-Length"]) - len(closing)
        line, is_file = b"", False
        while not (is_file and line == b"\r\n"):
            line = self.rfile.readline() or self._give_up()
            is_file |= b"filename=" in line
            left -= len(line)
        size = left
        while left:
            left -= self.rfile.readinto1(self._room[:left]) or self._give_up()
        if self.rfile.read(len(closing)) != closing:
            raise ValueError("the form does not end behind its file")
        return size

    def _give_up(self) -> NoReturn:
        raise ConnectionError("the form ended too soon")

    def _answer(self, status: int, content: object) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _asset(self, asset_id: str, status: str) -> dict[str, object]:
        return {"asset_id": asset_id, "workspace_id": WORKSPACE, "status": status, "visibility": "workspace"}

    @property
    def _name(self) -> str:
        return self.path.rpartition("/")[2]

    @property
    def _origin(self) -> str:
        return f"http://{self.headers['Host']}"


def serve(pipe: Connection) -> None:
    """Serve until the process is ended; the origin is sent once connections are accepted."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Host) as server:
        pipe.send(f"http://127.0.0.1:{server.server_port}")
        server.serve_forever()
