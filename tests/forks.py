"""Processes of their own that start in milliseconds: forks of one that has imported the package already."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager

Fork = Callable[..., Awaitable[tuple[int, str]]]

_SERVER = """
import json, os, sys, traceback
for line in sys.stdin:
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.dup2(writing, 1)
        try:
            main(*json.loads(line))
        except BaseException:
            traceback.print_exc(file=sys.stdout)
            os._exit(1)
        finally:
            sys.stdout.flush()
        os._exit(0)
    os.close(writing)
    with open(reading) as pipe:
        printed = pipe.read()
    print(json.dumps([os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), printed]), flush=True)
"""


@asynccontextmanager
async def forks(script: str, environment: Mapping[str, str]) -> AsyncIterator[Fork]:
    """Run the `main` of a script in one process after another; each gives its exit status and what it printed."""
    server = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", script + _SERVER),
        env=environment,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert server.stdin is not None
    assert server.stdout is not None
    requests, answers = server.stdin, server.stdout

    async def fork(*arguments: object) -> tuple[int, str]:
        requests.write(json.dumps(arguments).encode() + b"\n")
        code, printed = json.loads(await answers.readline())
        return code, printed

    try:
        yield fork
    finally:
        requests.close()
        assert await server.wait() == 0
