"""Search for bytes that decoding cannot bear, guided by the code that they reach. Needs atheris.

    python tests/fuzz/decoding.py -runs=20000 -seed=1

An answer, a page, an error, a stream of events, a webhook: whatever the bytes are, there is a result or one of the
documented errors. `tests/project/test_fuzzing.py` asks the same of whole calls over sockets, with seeded examples.
"""

import json
import sys
from contextlib import suppress
from importlib import import_module
from typing import Any, Final

atheris: Any = import_module("atheris")  # there is not one for every Python

with atheris.instrument_imports(include=["flora_async"]):
    from flora_async._http.responses import Response, raise_for_status
    from flora_async.errors import FloraError
    from flora_async.models import Run, Technique, TechniqueRun
    from flora_async.models._codec import decode, decode_page
    from flora_async.polling import decode_run
    from flora_async.webhooks import sign, unwrap

SECRET: Final = "whsec_fuzz"
NOW: Final = 1_780_000_000
RUN: Final[dict[str, Any]] = {
    "run_id": "run_1",
    "status": "completed",
    "charged_cost": 0.05,
    "created_at": 1780000000000,
    "outputs": [{"output_id": "o", "type": "imageUrl", "url": "https://media.flora.ai/o.png"}],
}
SAMPLES: Final = [
    json.dumps(sample).encode()
    for sample in (
        RUN,
        {"technique_runs": [RUN], "meta": {"next_cursor": "c"}},
        {"error": {"code": "rate_limited", "message": "Slow.", "fields": [{"field": "a", "message": "b"}]}},
        {"id": "whd_1", "type": "run.completed", "data": {"run_id": "run_1", "status": "completed"}},
        {"technique_id": "tech_1", "name": "A", "inputs": [{"id": "i", "type": "text"}], "outputs": []},
    )
]


def decode_anything(data: bytes) -> None:
    """Decode bytes as they are, and spliced into the sample and at the place that the first two of them choose."""
    decode_all(data)
    if len(data) > 2:
        sample = SAMPLES[data[0] % len(SAMPLES)]
        place = data[1] * len(sample) // 256
        decode_all(sample[:place] + data[2:] + sample[place:])
        decode_all(sample[:place] + data[2:] + sample[place + len(data) - 2 :])


def decode_all(body: bytes) -> None:
    for content_type in ("application/json", "text/event-stream"):
        with suppress(FloraError):
            decode_run(Response(200, {"Content-Type": content_type}, body), None)
    for model in (Run, Technique):
        with suppress(FloraError):
            decode(body, model)
    with suppress(FloraError):
        decode_page(body, TechniqueRun, "technique_runs")
    with suppress(FloraError):
        raise_for_status(Response(429, {"Retry-After": body[:20].decode("latin-1")}, body), NOW)
    with suppress(FloraError):
        unwrap(body, {"Flora-Signature": sign(body, SECRET, timestamp=NOW)}, SECRET, now=NOW)


if __name__ == "__main__":
    atheris.Setup(sys.argv, decode_anything)
    atheris.Fuzz()
