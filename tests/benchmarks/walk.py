"""How far a call walks through the package: functions entered, files, and moves from one file to another.

    python tests/benchmarks/walk.py [--list]

Counted are `flora.run(...)` and `wait_for_run(run)`, each for a run that is completed at the first poll. Sessions are
new, but what is imported and built once in a process was used before. A comprehension belongs to its function, and a
coroutine that resumes is not entered again. The server has a process of its own. To count another version of the
package, put its directory on PYTHONPATH. Nothing here fails: a benchmark reports.
"""

import argparse
import asyncio
import multiprocessing
import sys
from collections import Counter
from collections.abc import Awaitable, Callable
from multiprocessing.connection import Connection
from pathlib import Path
from types import CodeType, FrameType
from typing import Final, NamedTuple

import flora_async
from flora_async import FloraSession, PollPolicy, wait_for_run
from flora_async.testing import FakeFlora, FakeTechnique

KEY: Final = "sk_live_benchmark"
PACKAGE: Final = Path(flora_async.__file__).parent
INPUTS: Final = {"prompt": "a red bicycle"}
POLLING: Final = PollPolicy(initial=0.3, jitter=0)


class Walk(NamedTuple):
    """The functions of the package that were called, with the number of calls, and the moves between files."""

    functions: Counter[CodeType]
    moves: int

    @property
    def files(self) -> set[str]:
        return {code.co_filename for code in self.functions}


def serve(pipe: Connection) -> None:
    async def main() -> None:
        caption = FakeTechnique("caption", outputs={"caption": "text"}, pending=0.1, running=0)
        async with FakeFlora(api_key=KEY, techniques=[caption]) as fake:
            pipe.send(fake.base_url)
            await asyncio.to_thread(pipe.recv)

    asyncio.run(main())


async def count(call: Callable[[], Awaitable[object]]) -> Walk:
    functions: Counter[CodeType] = Counter()
    entered: set[FrameType] = set()
    moves, last = 0, ""

    def enter(frame: FrameType, event: str, _: object) -> None:
        nonlocal moves, last
        code = frame.f_code
        path = Path(code.co_filename)
        if event != "call" or frame in entered or PACKAGE not in path.parents or PACKAGE / "testing" in path.parents:
            return
        entered.add(frame)
        if code.co_name.startswith("<"):
            return
        functions[code] += 1
        if code.co_filename != last:
            moves, last = moves + 1, code.co_filename

    sys.setprofile(enter)
    try:
        await call()
    finally:
        sys.setprofile(None)
    return Walk(functions, moves)


async def run(flora: FloraSession) -> Walk:
    return await count(lambda: flora.run("caption", INPUTS))


async def wait(flora: FloraSession) -> Walk:
    started = await flora.techniques.runs.create("caption", inputs=INPUTS)
    return await count(lambda: wait_for_run(flora, started))


async def walks(url: str) -> dict[str, Walk]:
    found = {}
    for name, walk in {'flora.run("caption", ...)': run, "wait_for_run(run)": wait}.items():
        for _ in range(2):  # the first time imports and builds what is then there
            async with FloraSession(KEY, base_url=url, poll=POLLING) as flora:
                found[name] = await walk(flora)
    return found


def say(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - a script prints


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--list", action="store_true", help="name the functions, with the number of calls of each")
    options = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    server = context.Process(target=serve, args=(theirs,), daemon=True)
    server.start()
    theirs.close()  # so that a server that cannot start is an error here, not silence
    try:
        found = asyncio.run(walks(ours.recv()))
        ours.send(None)
        server.join()
    finally:
        server.terminate()
    for name, walk in found.items():
        say(f"{name:<28}{len(walk.functions):>4} functions{len(walk.files):>4} files{walk.moves:>5} moves")
        for code, calls in walk.functions.items() if options.list else ():
            place = Path(code.co_filename).relative_to(PACKAGE)
            say(f"  {calls:>4}  {place}:{code.co_firstlineno} {code.co_qualname}")


if __name__ == "__main__":
    main()
