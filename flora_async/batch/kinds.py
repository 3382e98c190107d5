"""The kinds of work that a batch can do, with what its session lends it."""

from collections.abc import Callable

from attrs import frozen

from flora_async._http.storage import StorageClient
from flora_async.batch.actions import ActionDefaults, ActionWork
from flora_async.batch.generations import GenerationDefaults, GenerationWork
from flora_async.batch.options import BatchOptions
from flora_async.batch.techniques import TechniqueDefaults, TechniqueWork
from flora_async.batch.watchers import TechniqueLookup
from flora_async.batch.work import Work, Works
from flora_async.polling import Poller
from flora_async.resources import Catalog, DefaultWorkspace, InputPreparer, Starter

Defaults = TechniqueDefaults | GenerationDefaults | ActionDefaults
"""What a batch says for its rows; its type is the kind of rows that are not requests."""


@frozen(kw_only=True)
class Lent:
    """What a session lends to its batches.

    Attributes:
        poller: Polls runs.
        starter: Starts runs.
        preparer: Checks inputs and uploads files.
        storage: Downloads outputs.
        workspace: Returns what chooses the workspace of a row that does not name one.
    """

    poller: Poller
    starter: Starter
    preparer: InputPreparer
    storage: StorageClient
    workspace: Callable[[], DefaultWorkspace]


def works_of(defaults: Defaults, lent: Lent, techniques: TechniqueLookup, options: BatchOptions) -> Works:
    """The kinds of work of one batch.

    Args:
        defaults: What the batch says for its rows.
        lent: What the session lends, with the batch's own client.
        techniques: Finds techniques for the batch.
        options: The batch's options.
    """
    client, clock = lent.poller.client, lent.poller.clock
    catalog, workspace = Catalog(client, clock), lent.workspace()
    technique = TechniqueWork(
        defaults=defaults if isinstance(defaults, TechniqueDefaults) else TechniqueDefaults(),
        techniques=techniques,
        preparer=lent.preparer.finding(techniques.find),
        checks=options.check,
        workspace_id=options.workspace_id,
    )
    generation = GenerationWork(
        defaults=defaults if isinstance(defaults, GenerationDefaults) else GenerationDefaults(),
        catalog=catalog,
        workspace=workspace,
        preparer=lent.preparer,
        checks=options.check,
        workspace_id=options.workspace_id,
    )
    action = ActionWork(
        defaults=defaults if isinstance(defaults, ActionDefaults) else ActionDefaults(),
        catalog=catalog,
        workspace=workspace,
        preparer=lent.preparer,
        checks=options.check,
        workspace_id=options.workspace_id,
    )
    works: tuple[Work, ...] = (technique, generation, action)
    return Works(next(work for work in works if work.defaults is defaults), works)
