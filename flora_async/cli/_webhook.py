"""The commands `webhook listen` and `webhook verify`."""

import asyncio
import os
import sys
from pathlib import Path

from flora_async.cli._exit import ExitCode, complain, execute
from flora_async.cli._output import note, print_json, show
from flora_async.errors import WebhookVerificationError
from flora_async.models._codec import to_dict
from flora_async.webhooks import WebhookEvent, WebhookReceiver, unwrap
from flora_async.webhooks._serving import serve


def listen(host: str, port: int, count: int | None) -> ExitCode:
    """Receive webhooks and print each verified event as a line of JSON, until interrupted or without a reader."""

    async def command() -> ExitCode:
        received: asyncio.Queue[WebhookEvent] = asyncio.Queue()
        receiver = WebhookReceiver(_secret(), on_event=received.put_nowait)
        async with serve(receiver.aiohttp_app(), host, port) as url:
            note(f"Listening on {url}: point a tunnel at it, and stop with Ctrl-C.")
            number = 0
            while count is None or number < count:
                if not show([to_dict(await received.get())], "jsonl", ()):
                    note("Nothing reads the events any longer: no more are received.")
                    break
                number += 1
        return ExitCode.OK

    return execute(command)


def verify(body: Path | None, signature: str, tolerance: float) -> ExitCode:
    """Verify one delivery: its raw body and the value of the header `Flora-Signature`."""

    def command() -> ExitCode:
        content = sys.stdin.buffer.read() if body is None else body.read_bytes()
        try:
            event = unwrap(content, signature, _secret(), tolerance=tolerance)
        except WebhookVerificationError as error:
            complain(f"{error} ({error.reason})")
            return ExitCode.FAILED
        print_json(to_dict(event))
        return ExitCode.OK

    return execute(command)


def _secret() -> str:
    value = os.environ.get("FLORA_WEBHOOK_SECRET")
    if not value:
        raise ValueError("set FLORA_WEBHOOK_SECRET to the workspace's signing secret (whsec_…)")
    return value
