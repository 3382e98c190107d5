"""OpenTelemetry for a session: a span for each run, and metrics. It needs the extra `flora-async[otel]`."""

from datetime import datetime
from typing import Any, Final
from weakref import WeakKeyDictionary

try:
    from opentelemetry import context, metrics, trace
except ImportError as error:
    raise ImportError("flora_async.otel needs opentelemetry-api: pip install 'flora-async[otel]'") from error

from flora_async._version import __version__
from flora_async.hooks import Hooks, RateLimitPause, RequestSent, ResponseReceived, RunEnded, RunStarted

__all__ = ["hooks"]

_NAME: Final = "flora_async"
_TOO_MANY_REQUESTS: Final = 429
_MAX_DESCRIPTION: Final = 200
# In the words of OpenTelemetry's semantic conventions for generative AI, a technique is a workflow, an action a tool.
_WORKFLOW: Final = "invoke_workflow"
_OPERATIONS: Final = {"model": "generate_content", "action": "execute_tool"}
_NAMES: Final = {"technique": "gen_ai.workflow.name", "model": "gen_ai.request.model", "action": "gen_ai.tool.name"}
_MEDIA: Final = frozenset({"audio", "image", "text", "video"})
# Seconds: a poll comes a quarter of a second to half a minute after the one before.
_DELAYS: Final = (0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 7.5, 10.0, 15.0, 30.0, 60.0)
_DURATIONS: Final = (1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1800.0)


def hooks(
    *,
    tracer_provider: trace.TracerProvider | None = None,
    meter_provider: metrics.MeterProvider | None = None,
) -> Hooks:
    """Hooks that make a span of each run, and metrics of all of them: `FloraSession(hooks=otel.hooks())`.

    A span begins when the start of the run is sent and ends when its end is known, or when nothing waits for it any
    longer. Its parent is the span that is current where the run is started or waited for; for a run of a batch, where
    the batch is entered, with a link to the span that is current where its row is read.

    Args:
        tracer_provider: Makes the spans; None = the global one.
        meter_provider: Makes the instruments; None = the global one.

    Returns:
        The hooks. One object may serve several sessions.

    Example:
        >>> from flora_async import otel
        >>> view = flora.with_options(hooks=otel.hooks())
        >>> run = await view.run("caption", {"prompt": "a red bicycle"})
    """
    tracer = trace.get_tracer(_NAME, __version__, tracer_provider)
    meter = metrics.get_meter(_NAME, __version__, meter_provider)
    spans, instruments = _Spans(tracer), _Instruments(meter)

    def on_run_start(event: RunStarted) -> None:
        spans.begin(event)
        instruments.begin(event)

    def on_run_end(event: RunEnded) -> None:
        spans.end(event)
        instruments.end(event)

    return Hooks(
        on_request=instruments.count_request,
        on_response=instruments.count_response,
        on_pause=instruments.count_pause,
        on_run_start=on_run_start,
        on_run_end=on_run_end,
    )


class _Spans:
    """The spans of the runs that have begun and not ended."""

    def __init__(self, tracer: trace.Tracer) -> None:
        self._tracer = tracer
        self._spans: WeakKeyDictionary[RunStarted, trace.Span] = WeakKeyDictionary()

    def begin(self, event: RunStarted) -> None:
        parent, links = None, []
        if event.row is not None:
            parent = event.row.context.run(context.get_current)
            around, here = (trace.get_current_span(each).get_span_context() for each in (parent, None))
            if here.is_valid and here.span_id != around.span_id:
                links.append(trace.Link(here))
        self._spans[event] = self._tracer.start_span(
            " ".join(filter(None, (_operation(event), event.name))),
            context=parent,
            kind=trace.SpanKind.CLIENT,
            attributes=_known({**_subject(event), **_details(event)}),
            links=links,
            start_time=_nanoseconds(event.sent_at),
        )

    def end(self, event: RunEnded) -> None:
        span = self._spans.pop(event.start, None)
        if span is None:
            return
        outcome = {
            "flora.run.status": None if event.status is None else str(event.status),
            "flora.run.cost": event.cost,
            "flora.run.polls": event.polls,
            "flora.run.news_delay": event.news_delay,
            "flora.run.abandoned": event.is_abandoned or None,
            "error.type": _error_type(event),
        }
        span.set_attributes(_known(outcome))
        failure = None if event.run is None else event.run.failure
        if failure is not None:
            span.set_status(trace.StatusCode.ERROR, failure.code or failure.message)
        elif isinstance(event.error, Exception):  # and not a cancellation, which is not an error
            span.set_status(trace.StatusCode.ERROR, str(event.error)[:_MAX_DESCRIPTION])
        span.end()


class _Instruments:
    """The metrics of all runs and requests."""

    def __init__(self, meter: metrics.Meter) -> None:
        self._runs = meter.create_counter("flora.run.count", "{run}", "Runs that have ended, or are not followed")
        self._cost = meter.create_counter("flora.run.cost", "USD", "What runs that have ended cost")
        self._active = meter.create_up_down_counter("flora.run.active", "{run}", "Runs under way")
        self._polls = meter.create_counter("flora.poll.count", "{poll}", "Polls of single runs")
        self._refusals = meter.create_counter("flora.rate_limit.count", "{response}", "Answers of 429")
        self._pauses = meter.create_counter("flora.rate_limit.pause", "s", "Seconds for which 429s paused a session")
        self._delay = meter.create_histogram(
            "flora.run.news_delay",
            "s",
            "From the end of a run until it was known",
            explicit_bucket_boundaries_advisory=_DELAYS,
        )
        self._duration = meter.create_histogram(
            "gen_ai.client.operation.duration",
            "s",
            "From the start of a run until its end was known",
            explicit_bucket_boundaries_advisory=_DURATIONS,
        )

    def begin(self, event: RunStarted) -> None:
        self._active.add(1, _known(_subject(event)))

    def end(self, event: RunEnded) -> None:
        subject = _known(_subject(event.start))
        self._active.add(-1, subject)
        status = None if event.is_abandoned else str(event.status)
        outcome = subject | _known({"flora.run.status": status or "abandoned", "error.type": _error_type(event)})
        self._runs.add(1, outcome)
        if event.cost is not None:
            self._cost.add(event.cost, subject)
        if event.news_delay is not None:
            self._delay.record(event.news_delay, subject)
        if not event.is_abandoned and not event.start.resumed:
            self._duration.record(event.seconds, outcome)

    def count_request(self, event: RequestSent) -> None:
        if event.label == "poll":
            self._polls.add(1)

    def count_response(self, event: ResponseReceived) -> None:
        if event.status == _TOO_MANY_REQUESTS:
            self._refusals.add(1)

    def count_pause(self, event: RateLimitPause) -> None:
        self._pauses.add(event.seconds)


def _operation(event: RunStarted) -> str:
    return _OPERATIONS.get(event.kind or "", _WORKFLOW)


def _subject(event: RunStarted) -> dict[str, Any]:
    """What is run: attributes of few values, for spans and metrics alike."""
    subject: dict[str, Any] = {"gen_ai.provider.name": "flora", "gen_ai.operation.name": _operation(event)}
    if event.kind == "model" and event.name in _MEDIA:  # FLORA chooses the model
        subject["gen_ai.output.type"] = event.name
    elif event.kind in _NAMES:
        subject[_NAMES[event.kind]] = event.name
    return subject


def _details(event: RunStarted) -> dict[str, Any]:
    row = event.row
    return {
        "flora.run.id": event.run_id,
        "flora.run.quote": event.quote,
        "flora.run.resumed": event.resumed or None,
        "flora.idempotency_key": event.idempotency_key if event.run_id is None else None,
        "flora.node": event.name if event.kind == "node" else None,
        "flora.batch.name": None if row is None else row.batch,
        "flora.batch.row.key": None if row is None else row.key,
        "flora.batch.row.index": None if row is None else row.index,
        "flora.batch.row.attempt": None if row is None else row.attempt,
    }


def _error_type(event: RunEnded) -> str | None:
    """FLORA's code of the failure, or the class of the error; None where a wait was cancelled, or all is well."""
    if event.run is not None and event.run.failure is not None:
        return event.run.failure.code or str(event.status)
    return type(event.error).__qualname__ if isinstance(event.error, Exception) else None


def _known(attributes: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in attributes.items() if value is not None}


def _nanoseconds(moment: datetime) -> int:
    return round(moment.timestamp() * 1e6) * 1000
