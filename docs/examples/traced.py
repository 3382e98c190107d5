"""Trace runs and requests with OpenTelemetry, and print the spans and metrics: `python traced.py`."""
# ruff: noqa: INP001 - a program of its own

import asyncio

from opentelemetry import trace
from opentelemetry.instrumentation.aiohttp_client import create_trace_config
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import ConsoleMetricExporter, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter

from flora_async import FloraSession, otel

RESOURCE = Resource.create({"service.name": "captions"})


async def main() -> None:
    """Run a technique twice, below one span."""
    tracers = TracerProvider(resource=RESOURCE)
    tracers.add_span_processor(BatchSpanProcessor(ConsoleSpanExporter()))
    meters = MeterProvider([PeriodicExportingMetricReader(ConsoleMetricExporter())], resource=RESOURCE)
    trace.set_tracer_provider(tracers)
    try:
        async with FloraSession(
            hooks=otel.hooks(tracer_provider=tracers, meter_provider=meters),
            trace_configs=[create_trace_config(tracer_provider=tracers, meter_provider=meters)],
        ) as flora:
            with trace.get_tracer("captions").start_as_current_span("captions"):
                await flora.run("caption", {"prompt": "a red bicycle"})
                await flora.run("caption", {"prompt": "a blue boat"})
    finally:
        meters.shutdown()
        tracers.shutdown()


if __name__ == "__main__":
    asyncio.run(main())
