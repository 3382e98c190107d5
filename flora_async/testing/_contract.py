"""FLORA's side of the contract: what each request does and what it is answered. No I/O."""

from collections.abc import Callable, Mapping
from functools import partial
from urllib.parse import quote

from flora_async._clock import Clock
from flora_async.testing._answers import Answer, error_answer, json_answer
from flora_async.testing._case import Case, recase
from flora_async.testing._idempotency import Idempotency, KeyMemory, key_of
from flora_async.testing._media import png
from flora_async.testing._requests import RecordedRequest
from flora_async.testing._runs import FakeRun
from flora_async.testing._techniques import FakeTechnique
from flora_async.testing._validation import cursor_after, read_page, start_problems

_NOT_FOUND = error_answer(404, "not_found", "Not found.")


class Contract:
    """The techniques, runs and keys of one local FLORA.

    Attributes:
        origin: Where the server is reached, for the URLs in answers.
        runs: Every run, by id, in order of creation.
    """

    def __init__(self, *, api_key: str, case: Case, idempotency: Idempotency, clock: Clock, poll_urls: bool) -> None:
        self.origin = ""
        self.runs: dict[str, FakeRun] = {}
        self._techniques: dict[str, FakeTechnique] = {}
        self._keys = KeyMemory(idempotency)
        self._authorization = f"Bearer {api_key}"
        self._case: Case = case
        self._clock = clock
        self._poll_urls = poll_urls

    def add_technique(self, technique: FakeTechnique) -> None:
        """Make a technique known under its slug and its id, in place of one that had them."""
        self._techniques |= {technique.slug: technique, technique.technique_id: technique}

    def arrive(self, request: RecordedRequest) -> Callable[[], Answer]:  # noqa: PLR0911 - one for each operation
        """Take a request in, and give what carries it out; between the two, others may arrive."""
        route = request.route
        if route.operation == "media":
            return partial(self._media, route.run, route.file)
        if request.path.startswith("/api/v1/") and request.headers.get("Authorization") != self._authorization:
            return partial(error_answer, 401, "unauthorized", "Invalid API key.")
        match route.operation:
            case "start":
                return partial(self._start, request, self._keys.find(request, self._clock.time()))
            case "poll":
                return partial(self._poll, route.technique, route.run)
            case "history":
                return partial(self._history, request)
            case "technique":
                return partial(self._technique, route.technique)
        return lambda: _NOT_FOUND

    def _start(self, request: RecordedRequest, decided: Answer | None) -> Answer:
        technique = self._techniques.get(request.route.technique)
        if technique is None:
            return _NOT_FOUND
        body = request.json
        if not isinstance(body, dict):
            return error_answer(400, "invalid_json", "The body is not a JSON object.")
        if problems := start_problems(body, technique):
            return _refusal(problems)
        if decided is not None:
            return decided
        now = self._clock.time()
        run = FakeRun(
            number=len(self.runs) + 1,
            technique=technique,
            inputs={item["id"]: item["value"] for item in body["inputs"]},
            mode=body["mode"],
            callback_url=body.get("callback_url"),
            idempotency_key=key_of(request),
            created=now,
            clock=self._clock,
        )
        self.runs[run.run_id] = run
        answer = json_answer(recase(run.payload(now, self.origin, self._poll_url(run)), self._case), 201)
        self._keys.keep(request, answer, now)
        return answer

    def _technique(self, name: str) -> Answer:
        technique = self._techniques.get(name)
        return _NOT_FOUND if technique is None else json_answer(recase(technique.payload(), self._case))

    def _poll(self, technique: str, run_id: str) -> Answer:
        run = self.runs.get(run_id)
        if run is None or technique not in {"", run.technique.slug, run.technique_id}:
            return _NOT_FOUND
        return json_answer(recase(run.payload(self._clock.time(), self.origin, self._poll_url(run)), self._case))

    def _history(self, request: RecordedRequest) -> Answer:
        query, now = request.query, self._clock.time()
        limit, seen, problems = read_page(query)
        if problems:
            return _refusal(problems)
        matching = [run for run in reversed(self.runs.values()) if self._is_asked_for(run, query, now)]
        rest = [run for run in matching if seen is None or run.number < seen]
        page = rest[:limit]
        payload = {
            "technique_runs": [run.item(now, self.origin, self._poll_url(run)) for run in page],
            "meta": {
                "next_cursor": cursor_after(page[-1].number) if len(rest) > limit else None,
                "total_estimate": len(matching),
            },
        }
        return json_answer(recase(payload, self._case))

    def _media(self, run_id: str, file: str) -> Answer:
        run = self.runs.get(run_id)
        output_id = file.removesuffix(".png")
        is_there = run and run.status == "completed" and run.technique.outputs.get(output_id, "text") != "text"
        return Answer(200, png(f"{run_id}/{output_id}"), "image/png") if is_there else _NOT_FOUND

    def _poll_url(self, run: FakeRun) -> str | None:
        technique = quote(run.technique_id, safe="")
        return f"{self.origin}/api/v1/techniques/{technique}/runs/{run.run_id}" if self._poll_urls else None

    @staticmethod
    def _is_asked_for(run: FakeRun, query: Mapping[str, str], now: float) -> bool:
        technique = run.technique
        return (
            query.get("workspace_id", technique.workspace_id) == technique.workspace_id
            and query.get("project_id", technique.project_id) == technique.project_id
            and query.get("technique_id", technique.slug) in {technique.slug, technique.technique_id}
            and query.get("status", status := run.status_at(now)) == status
        )


def _refusal(problems: Mapping[str, str]) -> Answer:
    field, text = next(iter(problems.items()))
    return error_answer(400, "input_validation_error", f"{field}: {text}", problems)
