"""The commands `upload`, `download` and `api`."""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from flora_async.cli._connection import connect
from flora_async.cli._exit import ExitCode, execute
from flora_async.cli._output import Format, print_json, say, show_item
from flora_async.cli._values import read_pairs, read_params
from flora_async.models._codec import to_dict


def upload(path: Path, workspace: str | None, output: Format | None, *, fake: bool) -> ExitCode:
    """Upload a file, and print the URL by which it can be an input."""
    is_file = path.is_file()

    async def command() -> ExitCode:
        if not is_file:
            raise ValueError(f"{str(path)!r} is not a file")
        async with connect(fake=fake) as flora:
            asset = await flora.assets.upload(path, workspace_id=workspace)
        if output is None:
            say(asset.url or asset.asset_id or "")
        else:
            show_item(to_dict(asset), output)
        return ExitCode.OK

    return execute(command)


def download(url: str, destination: str, *, replace: bool, fake: bool) -> ExitCode:
    """Save the file behind a URL; the API key is not sent to its host."""

    async def command() -> ExitCode:
        async with connect(fake=fake) as flora:
            path = await flora.download(url, destination, exists="replace" if replace else "error")
        say(f"Saved {path} ({path.stat().st_size:,} bytes)")
        return ExitCode.OK

    return execute(command)


class _RequestStake:
    """A request that may cost money, once it may have been sent."""

    is_in_doubt = False
    may_cost = False

    def advice(self) -> str:
        """What to do before the request is repeated; "" if it can be repeated as it is."""
        if not self.may_cost:
            return ""
        return "the request may have been carried out, and charged; before you repeat it, see: flora-async runs list"

    def learn(self, error: BaseException) -> None:  # noqa: ARG002 - as the protocol has it
        """Say nothing about a request that has ended: its error does."""
        self.may_cost = False


def api(  # noqa: PLR0913 - what a request takes
    method: str,
    path: str,
    *,
    query: Sequence[str],
    fields: Sequence[str],
    body: str | None,
    idempotency_key: str | None,
    fake: bool,
) -> ExitCode:
    """Send a request to FLORA's API, and print its JSON."""
    stake = _RequestStake()

    async def command() -> ExitCode:
        params = read_pairs("--query", query)
        content = _body(fields, body)
        async with connect(fake=fake) as flora:
            stake.may_cost = not fake and method.upper() in {"POST", "PATCH"}
            answer = await flora.request(
                method.upper(), path, params=params or None, json=content, idempotency_key=idempotency_key
            )
        if answer is not None:
            print_json(answer)
        return ExitCode.OK

    return execute(command, stake)


def _body(fields: Sequence[str], body: str | None) -> Mapping[str, Any] | Any:  # noqa: ANN401 - any JSON value
    if body is None:
        values = read_params("--field", fields)
        if files := [name for name, value in values.items() if isinstance(value, Path)]:
            raise ValueError(f"--field {files[0]!r:.100}: a file cannot be part of JSON; upload it, and pass its URL")
        return values or None
    if fields:
        raise ValueError("--field and --input exclude each other")
    text = sys.stdin.read() if body == "-" else Path(body).read_text("utf-8")
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"--input {body!r:.100} is not JSON: {error}") from None
