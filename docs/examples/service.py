"""A web service that writes a caption for each request, with one session for all of them: `uvicorn service:app`."""
# ruff: noqa: INP001 - a program of its own

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, HTTPException, Request

from flora_async import FloraError, FloraSession


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[dict[str, FloraSession]]:
    """Open the session before the first request, and close it after the last one."""
    async with FloraSession() as flora:
        yield {"flora": flora}


app = FastAPI(lifespan=lifespan)


@app.post("/captions")
async def write_caption(request: Request, prompt: str) -> dict[str, Any]:
    """Run the technique, and answer with the run."""
    flora: FloraSession = request.state.flora
    try:
        run = await flora.run("caption", {"prompt": prompt}, timeout=60)
    except FloraError as error:
        # The run, if there is one, continues on FLORA: its id lets the client ask for it later.
        raise HTTPException(502, {"error": str(error), "run_id": error.run and error.run.run_id}) from error
    return run.to_dict(case="camel")
