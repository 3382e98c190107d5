"""Spans and metrics of runs, as OpenTelemetry's own SDK exports them."""

import asyncio
import math
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from typing import Any, NamedTuple

import pytest
from conftest import UNRESOLVED, OpenSession
from opentelemetry.instrumentation.aiohttp_client import create_trace_config
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode, Tracer

from flora_async import FloraSession, Hooks, RunRequest, SubmissionUnknownError, WaitTimeoutError, otel
from flora_async.models import ActionInput
from flora_async.testing import Drop, FakeFlora, FakeTechnique, Status, VirtualClock

PROMPT = {"prompt": "a red bicycle"}


class Telemetry(NamedTuple):
    """What was exported, in memory."""

    tracer: Tracer
    exporter: InMemorySpanExporter
    reader: InMemoryMetricReader
    hooks: Hooks
    tracing: Any

    def spans(self, kind: SpanKind = SpanKind.CLIENT) -> list[ReadableSpan]:
        """The spans that have ended, in that order."""
        return [span for span in self.exporter.get_finished_spans() if span.kind is kind]

    def metric(self, name: str, **attributes: object) -> Any:
        """The sum of a counter, or the count of a histogram, over all points with these attributes."""
        data = self.reader.get_metrics_data()
        points = [
            point
            for resource in (data.resource_metrics if data else ())
            for scope in resource.scope_metrics
            for metric in scope.metrics
            if metric.name == name
            for point in metric.data.data_points
            if attributes.items()
            <= {key.replace(".", "_"): value for key, value in (point.attributes or {}).items()}.items()
        ]
        return sum(getattr(point, "value", getattr(point, "count", 0)) for point in points)


@pytest.fixture
def telemetry() -> Iterator[Telemetry]:
    exporter, reader = InMemorySpanExporter(), InMemoryMetricReader()
    tracers, meters = TracerProvider(), MeterProvider([reader])
    tracers.add_span_processor(SimpleSpanProcessor(exporter))
    hooks = otel.hooks(tracer_provider=tracers, meter_provider=meters)
    tracing = create_trace_config(tracer_provider=tracers, meter_provider=meters)
    yield Telemetry(tracers.get_tracer("test"), exporter, reader, hooks, tracing)
    tracers.shutdown()
    meters.shutdown()


@pytest.fixture
def flora(fake: FakeFlora, session_on: OpenSession, telemetry: Telemetry) -> FloraSession:
    return session_on(fake, hooks=telemetry.hooks)


def parent_of(span: ReadableSpan) -> int | None:
    return span.parent.span_id if span.parent else None


async def test_a_run_is_one_span_below_the_callers_from_its_start_to_its_end(
    fake: FakeFlora, flora: FloraSession, telemetry: Telemetry
) -> None:
    fake.add_technique(FakeTechnique("film", run_cost=0.25, quote=0.3))
    with telemetry.tracer.start_as_current_span("caller") as caller:
        run = await flora.run("film", PROMPT)
    (span,) = telemetry.spans()
    assert (span.name, span.status.status_code) == ("invoke_workflow film", StatusCode.UNSET)
    assert parent_of(span) == caller.get_span_context().span_id
    attributes = dict(span.attributes or {})
    assert attributes.pop("flora.run.polls") == sum(request.operation == "poll" for request in fake.requests)
    assert attributes.pop("flora.run.news_delay", 0) is not None
    assert attributes == {
        "gen_ai.provider.name": "flora",
        "gen_ai.operation.name": "invoke_workflow",
        "gen_ai.workflow.name": "film",
        "flora.run.id": run.run_id,
        "flora.run.quote": 0.3,
        "flora.run.status": "completed",
        "flora.run.cost": 0.25,
    }
    (begun,) = fake.runs
    assert run.created_at is not None
    assert run.completed_at is not None
    assert span.start_time is not None
    assert span.end_time is not None
    assert span.start_time <= run.created_at.timestamp() * 1e9 <= run.completed_at.timestamp() * 1e9 <= span.end_time
    assert begun.run_id == run.run_id


async def test_a_run_that_fails_is_a_span_with_the_code_of_the_failure(
    flora: FloraSession, telemetry: Telemetry
) -> None:
    await flora.run("always-fails", PROMPT)
    (span,) = telemetry.spans()
    assert (span.status.status_code, span.status.description) == (StatusCode.ERROR, "safety_blocked")
    assert span.attributes is not None
    assert (span.attributes["error.type"], span.attributes["flora.run.status"]) == ("safety_blocked", "failed")


async def test_a_model_an_action_and_a_node_have_their_own_names(flora: FloraSession, telemetry: Telemetry) -> None:
    where: dict[str, Any] = {"workspace_id": "ws_local", "project_id": "prj_local"}
    node = await flora.projects.actions.create("prj_local", action_id="rotate-image-browser")
    tickets: list[Any] = [
        await flora.generations.create(type="image", prompt="x", model="flux-pro", **where),
        await flora.generations.create(type="image", prompt="x", **where),
        await flora.actions.run(action_id="concat-text-browser", inputs=[ActionInput(type="text", text="x")], **where),
        await flora.projects.actions.run(node.node_id, project_id="prj_local"),
    ]
    for ticket in tickets:
        await flora.wait_for_run(ticket)
    described = [(span.name, span.attributes or {}) for span in telemetry.spans()]
    assert [name for name, _ in described] == [
        "generate_content flux-pro",
        "generate_content image",
        "execute_tool concat-text-browser",
        f"invoke_workflow {node.node_id}",
    ]
    assert described[0][1]["gen_ai.request.model"] == "flux-pro"
    assert described[1][1]["gen_ai.output.type"] == "image"
    assert described[2][1]["gen_ai.tool.name"] == "concat-text-browser"
    assert described[3][1]["flora.node"] == node.node_id


async def test_what_ends_a_wait_early_ends_the_span_as_abandoned(
    fake: FakeFlora, flora: FloraSession, session_on: OpenSession, telemetry: Telemetry
) -> None:
    fake.add_technique(FakeTechnique("endless", running=math.inf))
    with pytest.raises(WaitTimeoutError):
        await flora.run("endless", PROMPT, timeout=0.02)
    task = asyncio.create_task(flora.run("endless", PROMPT))
    while len(fake.runs) < 2:
        await asyncio.sleep(0.001)
    task.cancel()
    await asyncio.wait([task])
    fake.inject(Drop(acts=True), on="start")
    with pytest.raises(SubmissionUnknownError) as unknown:
        await session_on(fake, hooks=telemetry.hooks, retry=UNRESOLVED).run("endless", PROMPT)
    await flora.techniques.runs.create("endless", inputs=PROMPT)
    await flora.close()
    described = [(span.status.status_code, dict(span.attributes or {})) for span in telemetry.spans()]
    assert [(status, attributes.get("error.type")) for status, attributes in described] == [
        (StatusCode.ERROR, "WaitTimeoutError"),
        (StatusCode.UNSET, None),
        (StatusCode.ERROR, "SubmissionUnknownError"),
        (StatusCode.UNSET, None),
    ]
    assert all(attributes["flora.run.abandoned"] for _, attributes in described)
    doubtful = described[2][1]
    assert ("flora.run.id" in doubtful, doubtful["flora.idempotency_key"]) == (False, unknown.value.idempotency_key)
    assert telemetry.metric("flora.run.active") == 0
    assert telemetry.metric("flora.run.count", flora_run_status="abandoned") == 4


@pytest.mark.parametrize("watch", ["each", "list"])
async def test_runs_of_a_batch_are_below_the_span_around_it_and_linked_to_those_of_their_rows(
    flora: FloraSession, telemetry: Telemetry, watch: Any
) -> None:
    rows_spans: dict[str, int] = {}

    async def rows() -> AsyncIterator[RunRequest]:
        for number in range(6):
            with telemetry.tracer.start_as_current_span(f"message {number}") as span:
                rows_spans[f"row-{number}"] = span.get_span_context().span_id
                yield RunRequest({"prompt": str(number)}, key=f"row-{number}")

    with telemetry.tracer.start_as_current_span("nightly") as nightly:
        async with flora.batch("caption", rows(), name="night", watch=watch) as batch:
            assert [result.ok async for result in batch] == [True] * 6
        await flora.run_all("caption", [PROMPT])
    *spans, plain = telemetry.spans()
    for span in spans:
        assert span.attributes is not None
        assert parent_of(span) == nightly.get_span_context().span_id
        key = span.attributes["flora.batch.row.key"]
        assert [link.context.span_id for link in span.links] == [rows_spans[str(key)]]
        assert (span.attributes["flora.batch.name"], span.attributes["flora.batch.row.attempt"]) == ("night", 1)
    assert len(spans) == 6
    assert (parent_of(plain), list(plain.links)) == (nightly.get_span_context().span_id, [])


async def test_the_metrics_count_runs_money_polls_429s_and_what_is_in_flight(
    fake: FakeFlora, flora: FloraSession, telemetry: Telemetry
) -> None:
    fake.add_technique(FakeTechnique("film", run_cost=0.25, running=math.inf))
    fake.inject(Status(429, retry_after=0), on="start", times=2)
    tasks = [asyncio.create_task(flora.run("film", PROMPT)) for _ in range(3)]
    while len(fake.runs) < 3:
        await asyncio.sleep(0.001)
    await flora.run("always-fails", PROMPT)
    assert telemetry.metric("flora.run.active", gen_ai_workflow_name="film") == 3
    for run in fake.runs:
        if run.technique.slug == "film":
            fake.finish(run.run_id)
    await asyncio.gather(*tasks)
    assert telemetry.metric("flora.run.active") == 0
    assert telemetry.metric("flora.run.count", gen_ai_workflow_name="film", flora_run_status="completed") == 3
    assert telemetry.metric("flora.run.count", flora_run_status="failed", error_type="safety_blocked") == 1
    assert telemetry.metric("flora.run.cost", gen_ai_workflow_name="film") == pytest.approx(0.75)
    assert telemetry.metric("flora.poll.count") == sum(request.operation == "poll" for request in fake.requests)
    assert telemetry.metric("flora.rate_limit.count") == 2
    assert telemetry.metric("gen_ai.client.operation.duration") == 4


async def test_the_delay_of_news_is_a_histogram(session_on: OpenSession, telemetry: Telemetry) -> None:
    clock = VirtualClock()
    async with FakeFlora(clock=clock) as fake:
        fake.add_technique(FakeTechnique("film", pending=0, running=8))
        flora = session_on(fake, clock=clock, hooks=telemetry.hooks)
        ticket = await flora.techniques.runs.create("film", inputs=PROMPT)
        await clock.sleep(10)
        await flora.wait_for_run(ticket)
    assert telemetry.metric("flora.run.news_delay", gen_ai_workflow_name="film") == 1


async def test_requests_are_spans_by_aiohttps_instrumentation_and_neither_holds_the_key(
    fake: FakeFlora, session_on: OpenSession, telemetry: Telemetry
) -> None:
    flora = session_on(fake, hooks=telemetry.hooks, trace_configs=[telemetry.tracing])
    with telemetry.tracer.start_as_current_span("caller") as caller:
        await flora.run("caption", PROMPT)
    spans = telemetry.spans()
    requests = [span for span in spans if "flora.run.id" not in (span.attributes or {})]
    assert len(requests) == len(fake.requests)
    assert {parent_of(span) for span in spans} == {caller.get_span_context().span_id}
    assert fake.api_key not in "".join(span.to_json() for span in spans)


async def test_one_object_serves_several_sessions(
    fake: FakeFlora, session_on: OpenSession, telemetry: Telemetry
) -> None:
    first, second = session_on(fake, hooks=telemetry.hooks), session_on(fake, hooks=telemetry.hooks)
    run = await first.techniques.runs.create("caption", inputs=PROMPT)
    await second.wait_for_run(run)
    await first.wait_for_run(run)
    resumed = [(span.attributes or {}).get("flora.run.resumed", False) for span in telemetry.spans()]
    assert resumed == [True, False]
    assert telemetry.metric("flora.run.active") == 0


async def test_without_providers_or_an_sdk_nothing_is_recorded_and_nothing_fails(
    fake: FakeFlora, session_on: OpenSession, caplog: pytest.LogCaptureFixture
) -> None:
    await session_on(fake, hooks=otel.hooks()).run("caption", PROMPT)
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


def test_without_opentelemetry_the_import_says_what_to_install() -> None:
    code = "import sys; sys.modules['opentelemetry'] = None; import flora_async; import flora_async.otel"
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True, timeout=50)  # noqa: S603 - our own
    assert done.stderr.splitlines()[-1] == (
        "ImportError: flora_async.otel needs opentelemetry-api: pip install 'flora-async[otel]'"
    )
