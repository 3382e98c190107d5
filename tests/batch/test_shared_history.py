"""Following runs by the history that lists them: which lists are read, which pages of them, and when."""

import asyncio
import math
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any

import pytest
from attrs import evolve
from virtual_loop import LoopClock, run_virtually

from flora_async import FloraSession, PollPolicy, Run, WaitTimeoutError
from flora_async.batch.watchers import HistoryWatcher, TechniqueLookup
from flora_async.batch.work import run_of
from flora_async.resources import History, TechniqueCache
from flora_async.testing import FakeFlora, FakeModel, FakeTechnique, Replace, Slow, Status

FOREVER = FakeTechnique("forever", pending=0, running=math.inf)


class Watching:
    """A watcher on virtual time, and when it sent what."""

    def __init__(self, fake: FakeFlora, flora: FloraSession, policy: PollPolicy) -> None:
        self.fake, self.flora = fake, flora
        self.clock = LoopClock()
        self.sent: list[tuple[str, float]] = []
        self.tasks: set[asyncio.Task[None]] = set()
        client = flora._client.observed_by(self)
        self.poller = evolve(flora._poller, client=client, policy=policy)
        techniques = TechniqueLookup(TechniqueCache(client, self.clock))
        self.watcher = HistoryWatcher(self.poller, techniques, self._spawn, 0)

    def on_request(self, label: str) -> None:
        self.sent.append((label, self.clock.time()))

    def on_recall(self, label: str) -> None:
        pass

    def on_rate_limit(self) -> None:
        pass

    def on_overload(self) -> None:
        pass

    def _spawn(self, job: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(job)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    @property
    def requests(self) -> Counter[str]:
        return Counter(label for label, _ in self.sent)

    @property
    def lists(self) -> list[dict[str, str]]:
        """The queries of all requests to histories."""
        lists = ("/technique-runs", "/generations")
        return [dict(request.query) for request in self.fake.requests if request.path.endswith(lists)]

    async def run(self, slug: str) -> Run:
        return await self.flora.techniques.runs.create(slug, inputs={"prompt": "a red bicycle"})

    async def generation(self, project_id: str) -> Run:
        ticket = await self.flora.generations.create(
            type="image", prompt="a red bicycle", project_id=project_id, workspace_id="ws_local", model="flux-pro"
        )
        return run_of(ticket)

    def follow(self, run: Run, slug: str) -> "asyncio.Task[Run]":
        return asyncio.ensure_future(self.watcher.finish(run, History("techniques.runs.list", slug), slug))

    def follow_generation(self, run: Run, project_id: str) -> "asyncio.Task[Run]":
        filters = {"workspace_id": "ws_local", "project_id": project_id}
        history = History("generations.list", model="flux-pro", filters=filters)
        return asyncio.ensure_future(self.watcher.finish(run, history, "flux-pro"))

    def learn(self, slug: str, seconds: float, sigma: float = 0.1) -> None:
        dice = random.Random(1)
        for _ in range(20):
            self.poller.run_times.observe(f"technique:{slug}", dice.lognormvariate(math.log(seconds), sigma))

    async def delays(self, runs: Sequence[Awaitable[Run]]) -> list[float]:
        """How long after the end of each run its end was known."""

        async def delay(run: Awaitable[Run]) -> float:
            ended = await run
            assert ended.completed_at is not None
            return self.clock.time() - ended.completed_at.timestamp()

        return await asyncio.gather(*map(delay, runs))


def on_virtual_time(
    test: Callable[[Watching], Awaitable[None]], *, policy: PollPolicy | None = None, **options: Any
) -> None:
    async def main() -> None:
        clock = LoopClock()
        async with (
            FakeFlora(clock=clock, **{"history_lag": 1.0, **options}) as fake,
            FloraSession(fake.api_key, base_url=fake.base_url, clock=clock) as flora,
        ):
            watching = Watching(fake, flora, policy or PollPolicy(timeout=None))
            await test(watching)
            # Nothing is read once no run is waited for.
            await watching.clock.sleep(60)
            assert watching.tasks == set()

    run_virtually(main())


def lasting(slug: str, seconds: Callable[[], float] | float) -> FakeTechnique:
    return FakeTechnique(slug, pending=0, running=seconds)


def test_runs_of_one_technique_are_followed_by_its_own_list() -> None:
    async def test(watching: Watching) -> None:
        watching.fake.add_technique(lasting("slow", 20))
        runs = [await watching.run("slow") for _ in range(30)]
        ended = await asyncio.gather(*(watching.follow(run, "slow") for run in runs))
        assert all(run.is_completed and run.outputs and run.poll_url for run in ended)
        assert {(query["technique_id"], query["limit"]) for query in watching.lists} == {("tech_slow", "100")}
        assert watching.requests["poll"] == 0

    on_virtual_time(test)


def test_runs_of_several_techniques_are_followed_by_one_list_and_their_ids_are_not_needed() -> None:
    async def test(watching: Watching) -> None:
        slugs = [f"slow-{number}" for number in range(10)]
        for slug in slugs:
            watching.fake.add_technique(lasting(slug, 20))
        runs = [(await watching.run(slug), slug) for slug in slugs * 3]
        ended = await asyncio.gather(*(watching.follow(run, slug) for run, slug in runs))
        assert all(run.is_completed for run in ended)
        assert all("technique_id" not in query for query in watching.lists)
        assert watching.requests.keys() == {"history"}
        assert len(watching.lists) <= 20 / 1.6 + 3

    on_virtual_time(test)


def test_a_list_that_runs_of_others_crowd_is_given_up_for_one_list_for_each_technique() -> None:
    async def test(watching: Watching) -> None:
        for slug in ("one", "other", "noise"):
            watching.fake.add_technique(lasting(slug, 60))
        runs = [(await watching.run(slug), slug) for slug in ("one", "other")]
        for _ in range(350):
            await watching.run("noise")
        first = [watching.follow(run, slug) for run, slug in runs]
        await watching.clock.sleep(5)
        runs = [(await watching.run(slug), slug) for slug in ("one", "other")]
        begun = len(watching.lists)
        await asyncio.gather(*first, *(watching.follow(run, slug) for run, slug in runs))
        top = [query for query in watching.lists[begun:] if "cursor" not in query]
        assert {query.get("technique_id") for query in top} == {"tech_one", "tech_other"}

    on_virtual_time(test)


def test_generations_are_followed_by_the_list_of_their_project_or_of_all_their_projects() -> None:
    async def test(watching: Watching) -> None:
        watching.fake.add_model(FakeModel("flux-pro", "image", pending=0, running=20))
        first = await watching.flora.projects.create(name="first", workspace_id="ws_local")
        other = await watching.flora.projects.create(name="other", workspace_id="ws_local")
        for projects in ([first.project_id], [first.project_id, other.project_id]):
            begun = len(watching.lists)
            runs = [(await watching.generation(project), project) for project in projects * 10]
            ended = await asyncio.gather(*(watching.follow_generation(run, project) for run, project in runs))
            assert all(run.is_completed for run in ended)
            expected = {"workspace_id": "ws_local", "limit": "100"}
            if len(projects) == 1:
                expected["project_id"] = first.project_id
            assert all(query == expected for query in watching.lists[begun:])
        assert watching.requests.keys() == {"history"}

    on_virtual_time(test)


def test_runs_that_no_history_lists_are_polled() -> None:
    async def test(watching: Watching) -> None:
        watching.fake.add_technique(lasting("slow", 20))
        runs = [await watching.run("slow") for _ in range(3)]
        ended = await asyncio.gather(*(watching.watcher.finish(run, None, "an action") for run in runs))
        assert all(run.is_completed for run in ended)
        assert watching.lists == []

    on_virtual_time(test, policy=PollPolicy(timeout=None, learn="off"))


@pytest.mark.parametrize("seconds", [10.0, 30.0])
def test_no_history_is_read_before_the_first_run_can_have_ended(seconds: float) -> None:
    async def test(watching: Watching) -> None:
        dice = random.Random(2)
        watching.fake.add_technique(lasting("known", lambda: dice.lognormvariate(math.log(seconds), 0.1)))
        watching.learn("known", seconds)
        runs = [await watching.run("known") for _ in range(50)]
        began = watching.clock.time()
        delays = await watching.delays([watching.follow(run, "known") for run in runs])
        history = [moment - began for label, moment in watching.sent if label == "history"]
        # In case the knowledge is wrong, one request is made after 16 s.
        assert min(moment for moment in history if abs(moment - 16) > 0.1) > 0.6 * seconds
        assert sum(delays) / len(delays) < 1
        assert len(history) <= 0.8 * seconds

    on_virtual_time(test)


@pytest.mark.parametrize(("thought", "seconds"), [(600.0, 25.0), (5.0, 100.0), (60.0, 5.0)])
def test_wrong_knowledge_costs_little(thought: float, seconds: float) -> None:
    async def test(watching: Watching) -> None:
        dice = random.Random(3)
        watching.fake.add_technique(lasting("drifted", lambda: dice.lognormvariate(math.log(seconds), 0.05)))
        watching.learn("drifted", thought)
        delays = []
        for _ in range(8):
            runs = [await watching.run("drifted") for _ in range(10)]
            delays.append(max(await watching.delays([watching.follow(run, "drifted") for run in runs])))
        assert delays[0] < max(seconds, 20)
        assert max(delays[1:]) <= max(3.5, seconds / 10)  # of the slowest, which few others wait with
        assert len(watching.lists) <= 8 * seconds / 1.6 + 20

    on_virtual_time(test)


def test_without_knowledge_the_list_is_read_at_the_plain_interval() -> None:
    async def test(watching: Watching) -> None:
        watching.fake.add_technique(lasting("new", 30))
        run = await watching.run("new")
        began = watching.clock.time()
        await watching.follow(run, "new")
        history = [moment - began for label, moment in watching.sent if label == "history"]
        assert history == pytest.approx([0.5 + 1.6 * number for number in range(20)], abs=0.01)

    on_virtual_time(test)


def test_an_old_run_is_found_by_the_cursor_of_its_page_without_the_pages_above_it() -> None:
    async def test(watching: Watching) -> None:
        watching.fake.add_technique(FOREVER)
        old = await watching.run("forever")
        rest = [await watching.run("forever") for _ in range(350)]
        following = watching.follow(old, "forever")
        await watching.clock.sleep(3)
        begun = len(watching.lists)
        await watching.clock.sleep(16)
        assert all("cursor" in query for query in watching.lists[begun:])
        assert len(watching.lists) - begun == 10
        for run in (old, *rest):
            watching.fake.finish(run.run_id)
        await following

    on_virtual_time(test)


def test_a_cursor_that_is_refused_later_costs_no_run() -> None:
    async def test(watching: Watching) -> None:
        watching.fake.add_technique(FOREVER)
        old = await watching.run("forever")
        for _ in range(150):
            await watching.run("forever")
        following = watching.follow(old, "forever")
        await watching.clock.sleep(3)
        watching.fake.inject(Status(400), on="history")
        begun = len(watching.lists)
        await watching.clock.sleep(6)
        for run in watching.fake.runs:
            watching.fake.finish(run.run_id)
        assert (await following).is_completed
        assert watching.requests["poll"] == 0
        assert [("cursor" in query) for query in watching.lists[begun : begun + 5]] == [True, False, True, False, True]

    on_virtual_time(test)


def test_a_history_that_lags_behind_new_runs_still_tells_of_them() -> None:
    async def test(watching: Watching) -> None:
        watching.fake.add_technique(lasting("slow", 30))
        runs = [await watching.run("slow") for _ in range(20)]
        await asyncio.gather(*(watching.follow(run, "slow") for run in runs))
        assert watching.requests["poll"] == 0

    on_virtual_time(test, history_lag=8.0)


def test_a_run_that_is_not_listed_is_polled_when_the_lag_is_over() -> None:
    async def test(watching: Watching) -> None:
        watching.fake.add_technique(lasting("slow", 30))
        watching.fake.inject(Replace({"technique_runs": [], "meta": {}}), on="history", times=None)
        assert (await watching.follow(await watching.run("slow"), "slow")).is_completed
        assert 0 < len(watching.lists) < 10

    on_virtual_time(test)


def test_a_reading_ends_with_the_deadline_of_the_last_run_that_waits_for_it() -> None:
    async def test(watching: Watching) -> None:
        watching.fake.add_technique(FOREVER)
        runs = [await watching.run("forever") for _ in range(3)]
        await watching.flora.techniques.retrieve("forever")
        watching.fake.inject(Slow(500), on="history")
        following = []
        for run in runs:
            following.append(watching.follow(run, "forever"))
            await watching.clock.sleep(0.5)
        began = watching.clock.time()
        results = await asyncio.gather(*following, return_exceptions=True)
        assert all(isinstance(result, WaitTimeoutError) for result in results)
        await asyncio.gather(*watching.tasks)
        assert watching.clock.time() - began < 25

    on_virtual_time(test, policy=PollPolicy(timeout=20.0))


def test_the_reading_ends_when_no_run_is_waited_for_any_more() -> None:
    async def test(watching: Watching) -> None:
        watching.fake.add_technique(FOREVER)
        following = [watching.follow(await watching.run("forever"), "forever") for _ in range(3)]
        await watching.clock.sleep(10)
        assert len(watching.tasks) == 1
        for task in following:
            task.cancel()
        await asyncio.wait(following)
        await watching.clock.sleep(5)
        assert watching.tasks == set()

    on_virtual_time(test)


def test_the_runs_that_a_history_shows_as_ended_are_learned_from() -> None:
    async def test(watching: Watching) -> None:
        watching.fake.add_technique(lasting("slow", 30))
        runs = [await watching.run("slow") for _ in range(8)]
        await asyncio.gather(*(watching.follow(run, "slow") for run in runs))
        # Equal ends count once, as each run is listed many times.
        for _ in range(5):
            await watching.follow(await watching.run("slow"), "slow")
        known = watching.poller.run_times.known("technique:slow")
        assert known is not None
        assert known.quantile(0.5) == pytest.approx(30, rel=0.1)

    on_virtual_time(test)
