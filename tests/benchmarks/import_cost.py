"""What `import flora_async` costs beyond importing the four libraries it depends on.

    python tests/benchmarks/import_cost.py [--quick] [--repeats N]

Each import happens in a fresh interpreter that runs no site hooks. The two sides take turns, and what counts is the
median of the pairs' ratios. Nothing here fails: a benchmark reports.
"""

import argparse
import os
import platform
import resource
import subprocess
import sys
from collections.abc import Sequence
from importlib.metadata import version
from statistics import median
from typing import Final, NamedTuple

GOAL: Final = 1.15
LIBRARIES: Final = ("aiohttp", "attrs", "cattrs", "tenacity")
STATEMENTS: Final = {"libraries": f"import {', '.join(LIBRARIES)}", "flora_async": "import flora_async"}
# The paths are handed over since -I and -S, which keep the environment and site hooks out, hide them.
PROGRAM: Final = """\
import sys
from time import perf_counter, process_time
sys.path[:] = {paths!r}
wall, cpu = perf_counter(), process_time()
{statement}
print(perf_counter() - wall, process_time() - cpu, len(sys.modules))
"""


class Cost(NamedTuple):
    """Of one import, in milliseconds; `process` is the CPU of the whole interpreter, its start and end included."""

    wall: float
    cpu: float
    process: float
    modules: int


def measure(statement: str) -> Cost:
    program = PROGRAM.format(paths=[path for path in sys.path[1:] if path], statement=statement)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(  # noqa: S603 - our own interpreter and our own program
        [sys.executable, "-I", "-S", "-c", program], check=True, capture_output=True, text=True
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    wall, cpu, modules = done.stdout.split()
    process = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Cost(float(wall) * 1e3, float(cpu) * 1e3, process * 1e3, int(modules))


def ratio(mine: Sequence[float], theirs: Sequence[float]) -> float:
    return median(a / b for a, b in zip(mine, theirs, strict=True))


def say(line: str = "") -> None:
    print(line, flush=True)  # noqa: T201 - a script prints


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--repeats", type=int, default=41, help="pairs of imports (default: %(default)s)")
    parser.add_argument("--quick", action="store_true", help="7 pairs only")
    options = parser.parse_args()
    repeats = 7 if options.quick else options.repeats

    costs: dict[str, list[Cost]] = {name: [] for name in STATEMENTS}
    for turn in range(-1, repeats):  # the turn before the first compiles what is not compiled yet
        for name in reversed(STATEMENTS) if turn % 2 else STATEMENTS:
            cost = measure(STATEMENTS[name])
            if turn >= 0:
                costs[name].append(cost)

    versions = ", ".join(f"{name} {version(name)}" for name in LIBRARIES)
    say(f"Python {platform.python_version()}, {versions}, {os.cpu_count()} CPUs, {platform.system()}")
    say(f"\nAn import in a fresh interpreter, median of {repeats}")
    say(f"  {'':<14}{'wall ms':>9}{'CPU ms':>9}{'process CPU ms':>16}{'modules':>9}")
    for name, mine in costs.items():
        wall, cpu, process, modules = (median(column) for column in zip(*mine, strict=True))
        say(f"  {name:<14}{wall:>9.1f}{cpu:>9.1f}{process:>16.1f}{modules:>9.0f}")
    columns = list(zip(zip(*costs["flora_async"], strict=True), zip(*costs["libraries"], strict=True), strict=True))
    wall, cpu, process, modules = (ratio(mine, theirs) for mine, theirs in columns)
    met = "met" if max(wall, cpu) <= GOAL else "MISSED"
    say(f"  {'ratio':<14}{wall:>9.3f}{cpu:>9.3f}{process:>16.3f}{modules:>9.3f}  goal {GOAL}: {met}")


if __name__ == "__main__":
    main()
