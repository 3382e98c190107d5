"""Read a history to learn how long runs take."""

from flora_async._http.client import Client
from flora_async.polling import RunTimes
from flora_async.resources._catalog import TechniqueCache
from flora_async.resources._history import list_runs


class HistoryReader:
    """Reads the latest runs of a technique, or of all models, to learn from them.

    Args:
        client: Sends the requests; each is tried once.
        techniques: Finds the ids of techniques.
        run_times: Learns from the runs.
    """

    def __init__(self, client: Client, techniques: TechniqueCache, run_times: RunTimes) -> None:
        self._client = client
        self._techniques = techniques
        self._run_times = run_times
        self._has_read_generations = False

    async def read(self, subject: str) -> None:
        """Read one page; actions have no history.

        Raises:
            FloraError: It cannot be read.
        """
        kind, _, name = subject.partition(":")
        client = self._client.without_retries()
        if kind == "technique":
            technique_id = name if name.startswith("tech_") else await self._techniques.find_id(name)
            if technique_id is not None:
                self._run_times.alias(subject, f"technique:{technique_id}")
                filters = {"technique_id": technique_id}
                await list_runs(client, "techniques.runs.list", filters, run_times=self._run_times)
        elif kind == "model" and not self._has_read_generations:
            self._has_read_generations = True  # one page is for all models
            await list_runs(client, "generations.list", {}, run_times=self._run_times)
