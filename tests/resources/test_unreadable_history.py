"""A run of the history that cannot be read may be the one that is looked for."""

import pytest
from conftest import IMAGE, SWIFT_RETRY, OpenSession

from flora_async import SubmissionUnknownError
from flora_async.testing import Drop, FakeFlora, Replace


@pytest.mark.parametrize("unreadable", [None, {"run_id": 5, "status": "running"}, {"run_id": "run_2"}], ids=str)
async def test_no_run_is_adopted_beside_one_that_cannot_be_read(session_on: OpenSession, unreadable: object) -> None:
    async with FakeFlora(idempotency="suppress") as fake:
        fake.inject(Drop(acts=True), on="start")
        another = {"run_id": "run_1", "status": "running"}
        fake.inject(Replace({"technique_runs": [another, unreadable]}), on="history", times=None)
        with pytest.raises(SubmissionUnknownError) as caught:
            await session_on(fake, retry=SWIFT_RETRY).techniques.runs.create("cctv-cam", inputs=IMAGE)
        assert [run.run_id for run in caught.value.candidates] == ["run_1"]
        assert "could not be read" in caught.value.steps[-1]
