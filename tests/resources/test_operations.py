"""All operations, over real sockets: what each asks FLORA, and what becomes of the answer."""

import inspect
import json
import re
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from functools import partial
from operator import attrgetter
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import attrs
import pytest
from aiohttp import web
from conftest import SWIFT_POLL, SWIFT_RETRY
from multidict import CIMultiDictProxy
from operations_table import ODD, OPERATIONS, RUN, TICKET, Operation
from sweep import Sweep

from flora_async import (
    DecodeError,
    FloraSession,
    NotFoundError,
    Page,
    Pager,
    RetryPolicy,
    RunRequest,
    SessionClosedError,
    SubmissionUnknownError,
    models,
)
from flora_async._http.routes import ROUTES

# Made of several operations.
COMPOSED = {"assets.upload", "generations.batch", "generations.run_all", "actions.batch", "actions.run_all"}
CHANGES = [operation for operation in OPERATIONS if operation.changes]
READS = [operation for operation in OPERATIONS if not operation.changes]
LISTS = [operation for operation in OPERATIONS if isinstance(operation.result, list)]
STARTS = [operation for operation in CHANGES if operation.route.label == "start" and "techniques" not in operation.name]
BY_NAME = {operation.name: operation for operation in OPERATIONS}
# The caller's own data, whose keys are not renamed; and maps of it whose values have FLORA's names.
FREE_FORM = {"params", "form_fields", "data", "style", "node_inputs", "node_outputs", "layer_editor_documents"}
FREE_FORM |= {"default", "default_value"}
BY_FREE_KEYS = {"created", "properties"}
DROPPED = object()


class Arrival(NamedTuple):
    """A request as it came over the wire."""

    method: str
    path: str
    query: dict[str, str]
    headers: CIMultiDictProxy[str]
    body: bytes


class Stub:
    """A server that records the requests, and sends the given answers."""

    base_url = ""

    def __init__(self) -> None:
        self.arrived: list[Arrival] = []
        self.answers: deque[object] = deque()

    def will_answer(self, *answers: object) -> None:
        """Forget what arrived, and answer these from now on."""
        self.arrived.clear()
        self.answers = deque(answers)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        path = request.raw_path.partition("?")[0].removeprefix("/v1")
        self.arrived.append(Arrival(request.method, path, dict(request.query), request.headers, await request.read()))
        answer = self.answers.popleft()
        if answer is DROPPED:
            assert request.transport is not None
            request.transport.close()
        if isinstance(answer, int):
            return web.json_response({"error": {"code": "x", "message": "y"}}, status=answer)
        return web.json_response(answer if answer is not DROPPED else None)


class Counts:
    """Records the labels that an observer of requests gets."""

    def __init__(self) -> None:
        self.kinds: list[str] = []

    def on_request(self, label: str) -> None:
        self.kinds.append(label)

    def on_recall(self, label: str) -> None:
        raise AssertionError(label)

    def on_rate_limit(self) -> None:
        raise AssertionError

    def on_overload(self) -> None:
        raise AssertionError


@pytest.fixture
async def stub() -> AsyncIterator[Stub]:
    stub, app = Stub(), web.Application()
    app.router.add_route("*", "/v1/{tail:.*}", stub.handle)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    stub.base_url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    yield stub
    await runner.cleanup()


@pytest.fixture
async def flora(stub: Stub) -> AsyncIterator[FloraSession]:
    async with FloraSession("sk_test_1", base_url=stub.base_url, retry=SWIFT_RETRY, poll=SWIFT_POLL) as flora:
        yield flora


def spelled(value: Any, case: str) -> Any:
    """FLORA's answer in one of its spellings; keys of the caller's data stay as they are."""
    if case == "snake" or not isinstance(value, dict | list):
        return value
    if isinstance(value, list):
        return [spelled(item, case) for item in value]
    return {camel(name): respelled(name, item, case) for name, item in value.items()}


def respelled(name: str, value: Any, case: str) -> Any:
    if name in FREE_FORM and isinstance(value, dict):
        return value
    if name in BY_FREE_KEYS:
        return {key: spelled(item, case) for key, item in value.items()}
    return spelled(value, case)


def camel(name: str) -> str:
    head, *tail = name.split("_")
    return head + "".join(part.title() for part in tail)


async def call(flora: FloraSession, operation: Operation, *ids: str, **arguments: Any) -> Any:
    """What an operation gives: a model, or the items of a list."""
    answer = attrgetter(operation.name)(flora)(*(ids or operation.ids), **{**operation.needed, **arguments})
    return [item async for item in answer] if isinstance(answer, Pager) else await answer


def public_operations(thing: object, prefix: str) -> Iterator[str]:
    for name in dir(thing):
        if not name.startswith("_"):
            value = getattr(thing, name)
            yield from [prefix + name] if inspect.ismethod(value) else public_operations(value, f"{prefix}{name}.")


def test_a_session_has_every_operation_of_flora_and_no_other() -> None:
    flora = FloraSession("sk_test_1")
    nouns = [
        name
        for name in dir(flora)
        if name[0] != "_"
        and any(base.__module__.startswith("flora_async.resources") for base in type(getattr(flora, name)).__mro__)
    ]
    found = {name for noun in nouns for name in public_operations(getattr(flora, noun), f"{noun}.")}
    assert found - COMPOSED == BY_NAME.keys()
    assert found >= COMPOSED
    assert len(OPERATIONS) == len(BY_NAME) == 40


def test_the_routes_that_cost_money_or_do_not_honor_a_key_are_these() -> None:
    starts = "techniques.runs.create generations.create runs.start_generation runs.start_technique actions.run"
    starts += " projects.actions.run workspaces.projects.run_nodes"
    assert {name for name, route in ROUTES.items() if route.spends} == set(starts.split())
    assert {name for name, route in ROUTES.items() if route.label == "start"} == set(starts.split())
    keyless = "projects.canvas.update projects.actions.create projects.actions.run"
    assert {name for name, route in ROUTES.items() if not route.honors_key} == set(keyless.split())


def exact(result: object) -> str:
    """Every value with its type: a model's repr shows what there is room for."""
    return repr(attrs.asdict(result)) if attrs.has(type(result)) else repr(result)  # type: ignore[arg-type]  # seen to be one


@pytest.mark.parametrize("operation", OPERATIONS, ids=attrgetter("name"))
async def test_all_that_is_given_is_sent_and_the_answer_is_read(
    stub: Stub, flora: FloraSession, operation: Operation
) -> None:
    for case in ("snake", "camel"):
        stub.will_answer(spelled(operation.answer, case))
        key = {"idempotency_key": "row-57"} if operation.changes else {}
        result = await call(flora, operation, **operation.optional, **key)
        (request,) = stub.arrived
        assert (request.method, request.path, request.query) == (operation.method, operation.path, operation.query)
        assert (json.loads(request.body) if request.body else None) == operation.body
        assert request.headers.get("Idempotency-Key") == key.get("idempotency_key")
        assert result == operation.result
        assert exact(result) == exact(operation.result)  # 25 and 25.0 are equal, and so are a str and its enum member


async def test_what_is_left_out_is_not_sent(stub: Stub, flora: FloraSession) -> None:
    with Sweep() as sweep:
        for operation in OPERATIONS:
            with sweep.row(operation.name):
                stub.will_answer(operation.answer)
                await call(flora, operation)
                (request,) = stub.arrived
                assert request.query.keys() == operation.query.keys() - operation.optional.keys()
                if operation.body is None:
                    assert not request.body
                    continue
                body = json.loads(request.body)
                assert body.pop("idempotency_key", None) in {None, request.headers["Idempotency-Key"]}
                left = operation.body.keys() - operation.optional.keys() - {"idempotency_key"}
                assert body == {**{name: operation.body[name] for name in left}, **operation.always}


async def test_each_change_has_a_key_of_its_own(stub: Stub, flora: FloraSession) -> None:
    with Sweep() as sweep:
        for operation in CHANGES:
            with sweep.row(operation.name):
                stub.will_answer(operation.answer, operation.answer)
                for _ in range(2):
                    await call(flora, operation)
                first, second = (request.headers["Idempotency-Key"] for request in stub.arrived)
                assert first != second
                assert len(first) == 36


async def test_a_change_in_doubt_is_sent_again_with_its_key_only_where_flora_honors_it(
    stub: Stub, flora: FloraSession
) -> None:
    with Sweep() as sweep:
        for operation in CHANGES:
            with sweep.row(operation.name):
                stub.will_answer(DROPPED, operation.answer)
                if operation.route.honors_key:
                    assert await call(flora, operation) == operation.result
                    first, second = (request.headers["Idempotency-Key"] for request in stub.arrived)
                    assert first == second
                    continue
                with pytest.raises(SubmissionUnknownError) as caught:
                    await call(flora, operation)
                assert [request.headers["Idempotency-Key"] for request in stub.arrived] == [
                    caught.value.idempotency_key
                ]


async def test_what_costs_money_is_not_sent_again_unless_flora_has_settled_it(stub: Stub) -> None:
    policy = RetryPolicy(initial=0.001, maximum=0.01, settle=None)
    async with FloraSession("sk_test_1", base_url=stub.base_url, retry=policy) as flora:
        with Sweep() as sweep:
            for operation in CHANGES:
                with sweep.row(operation.name):
                    stub.will_answer(DROPPED, operation.answer)
                    if operation.route.honors_key and not operation.route.spends:
                        assert await call(flora, operation) == operation.result
                        continue
                    with pytest.raises(SubmissionUnknownError):
                        await call(flora, operation)
                    assert [arrival.method for arrival in stub.arrived].count(operation.method) == 1


async def test_a_refused_change_is_an_error_that_says_why(stub: Stub, flora: FloraSession) -> None:
    with Sweep() as sweep:
        for operation in CHANGES:
            with sweep.row(operation.name):
                stub.will_answer(404)
                with pytest.raises(NotFoundError):
                    await call(flora, operation)


async def test_a_read_is_sent_again_until_it_is_answered(stub: Stub, flora: FloraSession) -> None:
    with Sweep() as sweep:
        for operation in READS:
            with sweep.row(operation.name):
                stub.will_answer(DROPPED, 503, operation.answer)
                assert await call(flora, operation) == operation.result
                assert not [request for request in stub.arrived if "Idempotency-Key" in request.headers]


async def test_a_closed_session_refuses_every_call_and_reads_no_row(stub: Stub, tmp_path: Path) -> None:
    flora = FloraSession("sk_test_1", base_url=stub.base_url)
    await flora.close()
    rows = iter([{"prompt": "x"}] * 3)
    here: dict[str, Any] = {"project_id": "prj_1"}
    journal = tmp_path / "batch.sqlite"
    calls: dict[str, Callable[[], Any]] = {
        **{operation.name: partial(call, flora, operation) for operation in OPERATIONS},
        "run": partial(flora.run, "caption", {"prompt": "x"}),
        "generate": partial(flora.generate, "x", type="image", **here),
        "wait_for_run": partial(flora.wait_for_run, "run_1"),
        "request": partial(flora.request, "GET", "/models"),
        "upload": partial(flora.assets.upload, b"%PDF-1.7\n", workspace_id="ws_1"),
        "download": partial(flora.download, "https://media.flora.ai/a.png", tmp_path / "a.png"),
        "run_all": partial(flora.run_all, "caption", rows, journal=journal),
        "generations.run_all": partial(flora.generations.run_all, rows, **here),
        "actions.run_all": partial(flora.actions.run_all, "concat-text-browser", rows, **here),
        "batch": flora.batch("caption", rows, check=False, save_to=tmp_path / "out").__aenter__,
        "plan": flora.batch("caption", rows, check=False).plan,
    }
    with Sweep() as sweep:
        for name, refused in calls.items():
            with sweep.row(name), pytest.raises(SessionClosedError, match="enter it again"):
                await refused()
    assert (len(list(rows)), stub.arrived, list(tmp_path.iterdir())) == (3, [], [])


async def test_the_counts_of_traffic_know_what_is_sent(stub: Stub, flora: FloraSession) -> None:
    with Sweep() as sweep:
        for operation in OPERATIONS:
            with sweep.row(operation.name):
                counts = Counts()
                flora._client._observer = counts
                stub.will_answer(operation.answer)
                await call(flora, operation)
                assert counts.kinds == [operation.route.label]


# --- ids ---


def path_ids(operation: Operation) -> dict[int | str, str]:
    """The arguments that stand in the path: positions and names, with what the table gives them."""
    named: dict[int | str, str] = {
        name: value for name, value in operation.needed.items() if value in operation.path.split("/")
    }
    places: dict[int | str, str] = dict(enumerate(operation.ids))
    return places | named


IN_PATHS = [(operation, place) for operation in OPERATIONS for place in path_ids(operation)]


def with_id(operation: Operation, place: int | str, value: Any) -> Operation:
    if isinstance(place, int):
        return operation._replace(ids=(value,))
    return operation._replace(needed={**operation.needed, place: value})


async def test_an_id_is_one_segment_of_the_path_whatever_it_holds(stub: Stub, flora: FloraSession) -> None:
    with Sweep() as sweep:
        for value in ("a/b", "...", "größe ?#%2e", "a\\b"):
            for operation, place in IN_PATHS:
                if path_ids(operation)[place].startswith(("ws_", "prj_")):
                    continue
                with sweep.row(operation.name, place, value):
                    stub.will_answer(404)
                    with pytest.raises(NotFoundError):
                        await call(flora, with_id(operation, place, value))
                    sent = quote(value, safe="")
                    parts = [sent if part == path_ids(operation)[place] else part for part in operation.path.split("/")]
                    assert stub.arrived[0].path == "/".join(parts)


async def test_an_id_that_cannot_be_one_is_refused_before_anything_is_sent(stub: Stub, flora: FloraSession) -> None:
    values: tuple[Any, ...] = ("", " \t", ".", "..", None, 5)
    with Sweep() as sweep:
        for value in values:
            for operation, place in IN_PATHS:
                with (
                    sweep.row(operation.name, place, repr(value)),
                    pytest.raises(ValueError if isinstance(value, str) else TypeError, match="_id must"),
                ):
                    await call(flora, with_id(operation, place, value))
    assert not stub.arrived


async def test_an_id_that_flora_would_answer_with_a_500_is_refused_before_anything_is_sent(
    stub: Stub, flora: FloraSession
) -> None:
    """It would be retried, and a start would be in doubt."""
    with Sweep() as sweep:
        for bad in ("My project", "run_1", "prj_", "ws_", "ws_1/2", "prj_1\n", "prj_\ud800", "PRJ_1", "ws_ä"):
            refused = partial(pytest.raises, ValueError, match=r"_id must be an id as FLORA lists it \((ws|prj)_…\)")
            for operation in OPERATIONS:
                places = [place for place, value in path_ids(operation).items() if value.startswith(("ws_", "prj_"))]
                for place in places:
                    with sweep.row(operation.name, place, repr(bad)), refused():
                        await call(flora, with_id(operation, place, bad))
                for name in {**operation.needed, **operation.optional}:
                    if name in {"workspace_id", "project_id"}:
                        with sweep.row(operation.name, name, repr(bad)), refused():
                            await call(flora, operation, **{name: bad})
            for job in (
                flora.run("caption", {"prompt": "x"}, workspace_id=bad),
                flora.generate("x", type="image", project_id=bad),
                flora.generations.run_all(["x"], project_id=bad),
                flora.actions.run_all("rotate-image-browser", [], project_id=bad),
                flora.assets.upload(b"%PDF-1.7", project_id=bad),
            ):
                with sweep.row(repr(job)[:60], repr(bad)), refused():
                    await job
    assert not stub.arrived


IDS_ELSEWHERE = [
    (operation, name, value)
    for operation in OPERATIONS
    for name, value in {**operation.needed, **operation.optional}.items()
    if name not in path_ids(operation) and (name.endswith("_id") or name in {"model", "node_ids", "remove"})
]


async def test_an_id_with_a_line_break_or_blanks_around_it_is_refused_before_anything_is_sent(
    stub: Stub, flora: FloraSession
) -> None:
    here: dict[str, Any] = {"project_id": "prj_1"}
    with Sweep() as sweep:
        for ending in ("\n", " ", "\t", "\x00x", "\u2028x"):
            refused = partial(pytest.raises, ValueError, match="must (not have blanks around it|be an id as FLORA)")
            for operation, place in IN_PATHS:
                bad = path_ids(operation)[place] + ending
                with sweep.row(operation.name, place, bad), refused():
                    await call(flora, with_id(operation, place, bad))
            for operation, name, value in IDS_ELSEWHERE:
                given: Any = value + ending if isinstance(value, str) else [*value, f"n{ending}"]
                with sweep.row(operation.name, name, given), refused():
                    await call(flora, operation, **{name: given})
            for name, job in {
                "run": flora.run(f"caption{ending}", {"prompt": "x"}),
                "wait_for_run": flora.wait_for_run(f"run_1{ending}"),
                "generate": flora.generate("x", type="image", model=f"flux-pro{ending}", **here),
                "upload": flora.assets.upload(b"%PDF-1.7", project_id=f"prj_1{ending}"),
                "run_all": flora.run_all(f"caption{ending}", [{"prompt": "x"}]),
                "generations.run_all": flora.generations.run_all(["x"], model=f"flux-pro{ending}", **here),
                "actions.run_all": flora.actions.run_all(f"rotate{ending}", [], **here),
            }.items():
                with sweep.row(name, ending), refused():
                    await job
            request = RunRequest({"prompt": "x"}, technique_id=f"caption{ending}")
            with sweep.row("row", ending), refused():
                (result,) = await flora.run_all("caption", [request], check=False)
                raise result.error or AssertionError
    assert not stub.arrived


# --- other arguments ---

TEXTS = [
    (operation, name)
    for operation in OPERATIONS
    for name, value in {**operation.needed, **operation.optional}.items()
    if isinstance(value, str) and name not in path_ids(operation) and name != "cursor"
]
AN_ID = {"workspace_id": "ws_1"}
ENDLESS: dict[str, Any] = {}
ENDLESS["a"] = ENDLESS
DEEP: list[Any] = []
for _ in range(20_000):
    DEEP = [DEEP]
BAD_ARGUMENTS: list[tuple[str, dict[str, Any], type[Exception], str]] = [
    ("assets.create", {"source": "http://example.com/a.png"}, ValueError, "https"),
    ("assets.create", {"source": "photo.png"}, ValueError, "source"),
    ("assets.create", {"source": "https://me:secret@example.com/"}, ValueError, "user information"),
    ("actions.run", {"inputs": []}, ValueError, "inputs must not be empty"),
    ("actions.run", {"inputs": {"type": "text"}}, TypeError, "inputs must be a sequence"),
    ("actions.run", {"inputs": "text"}, TypeError, "inputs must be a sequence"),
    ("actions.run", {"inputs": ["text"]}, TypeError, r"inputs\[0\] must be of type ActionInput or a mapping"),
    ("actions.run", {"inputs": [{5: "x"}]}, TypeError, r"inputs\[0\] must have text for keys"),
    ("actions.run", {"params": {"a": float("nan")}}, ValueError, "JSON"),
    ("actions.run", {"params": {"a": object()}}, TypeError, "JSON"),
    ("actions.run", {"params": ENDLESS}, ValueError, "levels deep, or contains itself"),
    ("generations.create", {"params": ENDLESS}, ValueError, "levels deep, or contains itself"),
    ("runs.start_technique", {"inputs": ENDLESS}, ValueError, "levels deep, or contains itself"),
    ("workspaces.projects.canvas.replace_definition", {"definition": ENDLESS}, ValueError, "written as JSON"),
    ("workspaces.projects.canvas.replace_definition", {"definition": {"a": DEEP}}, ValueError, "nested too deeply"),
    ("models.list", {"type": "t2i"}, ValueError, "image, video, audio, text"),
    ("generations.create", {"type": "t2i"}, ValueError, "image, video, audio, text"),
    ("generations.create", {"params": [1]}, TypeError, "params must be a mapping"),
    ("generations.create", {"params": {5: "x"}}, TypeError, "text for keys, not 5"),
    ("generations.create", {"callback_url": "http://example.com"}, ValueError, "callback_url"),
    ("generations.create", {"idempotency_key": "a b"}, ValueError, "idempotency_key"),
    ("generations.create", {"idempotency_key": ""}, ValueError, "idempotency_key"),
    ("runs.start_generation", {"callback_url": 5}, TypeError, "callback_url"),
    ("runs.start_technique", {"inputs": ["a"]}, TypeError, "inputs must be a mapping"),
    ("feedback.record", {"kind": "praise"}, ValueError, "feature_request, bug"),
    ("feedback.record", {"attempted_tools": "upload"}, TypeError, "attempted_tools must be a sequence"),
    ("feedback.record", {"attempted_tools": [""]}, ValueError, "attempted_tools"),
    ("workspaces.projects.run_nodes", {"node_ids": []}, ValueError, "1 to 50 nodes, not 0"),
    ("workspaces.projects.run_nodes", {"node_ids": ["n"] * 51}, ValueError, "1 to 50 nodes, not 51"),
    ("workspaces.projects.run_nodes", {"node_ids": "n1"}, TypeError, "node_ids must be a sequence"),
    ("workspaces.projects.run_nodes", {"node_ids": ["n1", " "]}, ValueError, "node_ids"),
    ("workspaces.projects.run_nodes", {"node_ids": ["n1", 5]}, TypeError, "node_ids"),
    ("workspaces.projects.canvas.apply_changeset", {"remove": []}, ValueError, "at least one of add"),
    ("workspaces.projects.canvas.apply_changeset", {"remove": "n1"}, TypeError, "remove must be a sequence"),
    ("workspaces.projects.canvas.apply_changeset", {"remove": [""]}, ValueError, "remove"),
    ("workspaces.projects.canvas.apply_changeset", {"connect": [("a", "b")]}, TypeError, r"connect\[0\] must be of"),
    (
        "workspaces.projects.canvas.apply_changeset",
        {"add": [models.NodeAddition(ref="a", type="image", content_url="http://example.com/a.png")]},
        ValueError,
        "content_url",
    ),
    ("workspaces.projects.canvas.replace_definition", {"definition": "x"}, TypeError, "CanvasDefinition or a mapping"),
    ("workspaces.library.folders.add_item", {"type": "video"}, ValueError, "image, text"),
    ("workspaces.library.folders.add_item", {"source": None}, ValueError, "source is missing"),
    ("workspaces.library.folders.add_item", {"type": "text"}, ValueError, "text is missing"),
    ("workspaces.library.folders.add_item", {"source": "http://example.com/a.png"}, ValueError, "https"),
    ("projects.canvas.update", {"node_params": {"a": "x"}}, TypeError, "NodeParameters or a mapping"),
    ("projects.canvas.update", {"node_params": {"a": {"content_url": "x"}}}, ValueError, "'a'.*content_url"),
    ("projects.canvas.update", {"node_params": models.NodeParameters(prompt="p")}, TypeError, "must be a mapping"),
]


async def test_a_bad_argument_is_refused_before_anything_is_sent(stub: Stub, flora: FloraSession) -> None:
    with Sweep() as sweep:
        for name, arguments, kind, words in BAD_ARGUMENTS:
            with sweep.row(name, arguments), pytest.raises(kind, match=words):
                await call(flora, BY_NAME[name], **arguments)
    assert not stub.arrived


async def test_a_blank_text_is_refused_before_anything_is_sent(stub: Stub, flora: FloraSession) -> None:
    with Sweep() as sweep:
        for operation, name in TEXTS:
            for nothing, kind in ((" ", ValueError), ("", ValueError), (5, (TypeError, ValueError))):
                with sweep.row(operation.name, name, repr(nothing)), pytest.raises(kind, match=name):
                    await call(flora, operation, **{name: nothing})
    assert not stub.arrived


async def test_text_that_cannot_be_meant_is_refused_by_name_before_anything_is_sent(
    stub: Stub, flora: FloraSession
) -> None:
    here: dict[str, Any] = {"project_id": "prj_1"}
    # What a model works on, which may not hold a NUL either.
    starts: list[tuple[str, Callable[[str], Any]]] = [
        ("prompt", lambda bad: flora.generate(bad, type="image", **here)),
        ("params['style']", lambda bad: flora.generate("x", type="image", params={"style": bad}, **here)),
        ("inputs['prompt']", lambda bad: flora.run("caption", {"prompt": bad})),
        ("inputs['a'][1]", lambda bad: flora.runs.start_technique(technique_id="tech_1", inputs={"a": ["x", bad]})),
        (
            "inputs[0]['text']",
            lambda bad: flora.actions.run(action_id="a", inputs=[{"type": "text", "text": bad}], **here),
        ),
    ]
    others: list[tuple[str, Callable[[str], Any]]] = [
        (name, lambda bad, operation=operation, name=name: call(flora, operation, **{name: bad}))  # type: ignore[misc]  # defaults
        for operation, name in TEXTS
        if name not in {"type", "mode", "kind"}
    ]
    update = BY_NAME["projects.canvas.update"]
    others += [
        ("json", lambda bad: flora.request("POST", "/x", json={"a": bad})),
        ("The arguments", lambda bad: call(flora, update, node_params={"n": {"prompt": bad}})),
    ]
    with Sweep() as sweep:
        for name, start in [*starts, *others]:
            for bad in ("half \ud83d", "\udc80 half", *(["a\0b"] if (name, start) in starts else [])):
                with sweep.row(name, repr(bad)), pytest.raises(ValueError, match=re.escape(name)):
                    await start(bad)
        assert not stub.arrived
        with sweep.row("characters that can be meant"):
            stub.will_answer(RUN)
            await flora.techniques.runs.create("caption", inputs={"prompt": "🌸 \ud83c\udf38 \x1b\n"})
            assert json.loads(stub.arrived[0].body)["inputs"][0]["value"] == "🌸 🌸 \x1b\n"


async def test_what_cannot_be_in_a_query_is_refused_by_name_before_anything_is_sent(
    stub: Stub, flora: FloraSession
) -> None:
    bad: list[tuple[Any, type[Exception], str]] = [
        ("a=1", TypeError, "params must be a mapping"),
        ([("a", 1)], TypeError, "params must be a mapping"),
        ({5: 1}, TypeError, "name must be text"),
        ({" ": 1}, ValueError, "name must not be blank"),
        ({"a": [1]}, TypeError, "'a' must be text or a number"),
        ({"a": float("nan")}, ValueError, "'a' must be finite"),
        ({"a": "\ud800"}, ValueError, "UTF-8"),
    ]
    with Sweep() as sweep:
        for params, kind, words in bad:
            with sweep.row(repr(params)), pytest.raises(kind, match=words):
                await flora.request("GET", "/models", params=params)
        for operation in LISTS:
            for name in operation.optional:
                if name not in {"limit", "type", "workspace_id", "project_id"}:
                    with sweep.row(operation.name, name), pytest.raises(ValueError, match=f"UTF-8|{name}"):
                        await call(flora, operation, **{name: "\ud800"})
    assert not stub.arrived


async def test_no_error_repeats_a_long_argument(stub: Stub, flora: FloraSession) -> None:
    long = "x" * 1_000_000
    with Sweep() as sweep:
        for operation in OPERATIONS:
            for name, value in {**operation.needed, **operation.optional}.items():
                for bad in (long, long.encode(), [long], {5: long}):
                    if isinstance(value, type(bad)):
                        continue
                    with sweep.row(operation.name, name, type(bad).__name__):
                        with pytest.raises((TypeError, ValueError)) as caught:
                            await call(flora, operation, **{name: bad})
                        assert len(str(caught.value)) < 1000
    assert not stub.arrived


# --- lists ---


async def test_a_limit_that_no_page_has_is_refused_before_anything_is_sent(stub: Stub, flora: FloraSession) -> None:
    limits: tuple[Any, ...] = (0, 101, -1, True, "5", 2.0)
    with Sweep() as sweep:
        for operation in LISTS:
            for limit in limits if "limit" in operation.optional else ():
                with (
                    sweep.row(operation.name, repr(limit)),
                    pytest.raises(ValueError, match="limit must be a whole number from 1 to 100"),
                ):
                    await call(flora, operation, limit=limit)
    assert not stub.arrived


async def test_a_list_repeats_its_filters_until_no_page_is_left(stub: Stub, flora: FloraSession) -> None:
    with Sweep() as sweep:
        for operation in (operation for operation in LISTS if "cursor" in operation.optional):
            with sweep.row(operation.name):
                stub.will_answer({**operation.answer, "meta": {"next_cursor": "c/2"}}, operation.answer)
                assert await call(flora, operation, **operation.optional) == operation.result * 2
                first, second = stub.arrived
                assert second.query == {**first.query, "cursor": "c/2"}


async def test_awaiting_a_list_gives_its_first_page(stub: Stub, flora: FloraSession) -> None:
    with Sweep() as sweep:
        for operation in LISTS:
            with sweep.row(operation.name):
                stub.will_answer(operation.answer)
                page = await attrgetter(operation.name)(flora)(*operation.ids, **operation.needed)
                assert page == Page(items=tuple(operation.result))


# --- what runs ---


def without(answer: Mapping[str, Any], *names: str) -> dict[str, Any]:
    if "runs" in answer:
        return {**answer, "runs": [without(run, *names) for run in answer["runs"]]}
    return {name: value for name, value in answer.items() if name not in names}


async def test_whatever_was_started_can_be_waited_for(stub: Stub, flora: FloraSession) -> None:
    with Sweep() as sweep:
        for operation in STARTS:
            with sweep.row(operation.name):
                stub.will_answer(without(operation.answer, "poll_url", "estimated_seconds"), RUN)
                started = await call(flora, operation)
                ticket = started.runs[0] if isinstance(started, models.NodeRuns) else started
                assert ticket.poll_url is None
                # The stub has no history to learn from.
                assert (await flora.wait_for_run(ticket, poll=attrs.evolve(SWIFT_POLL, learn="off"))).is_completed
                assert (stub.arrived[-1].method, stub.arrived[-1].path) == ("GET", "/runs/run_1")


async def test_a_ticket_is_followed_by_its_poll_url(stub: Stub, flora: FloraSession) -> None:
    stub.answers.extend([{**TICKET, "poll_url": f"{stub.base_url}/somewhere/else", "estimated_seconds": 0.01}, RUN])
    await flora.wait_for_run(await call(flora, BY_NAME["generations.create"]))
    assert stub.arrived[-1].path == "/somewhere/else"


async def test_a_node_that_was_skipped_has_nothing_to_wait_for(stub: Stub, flora: FloraSession) -> None:
    stub.answers.append(BY_NAME["workspaces.projects.run_nodes"].answer)
    answer = await call(flora, BY_NAME["workspaces.projects.run_nodes"])
    assert [run.is_started for run in answer.runs] == [True, False]
    with pytest.raises(ValueError, match="was not started"):
        await flora.wait_for_run(answer.runs[1])


async def test_a_paid_answer_that_names_no_run_is_in_doubt(stub: Stub, flora: FloraSession) -> None:
    answers: tuple[object, ...] = ({}, {"run_id": None}, {"run_id": ""}, {"run_id": 5}, {"runs": None}, [])
    with Sweep() as sweep:
        for operation in STARTS:
            for answer in answers:
                with sweep.row(operation.name, answer):
                    stub.will_answer(*[answer] * 4)
                    with pytest.raises(SubmissionUnknownError) as caught:
                        await call(flora, operation)
                    assert isinstance(caught.value.__cause__, DecodeError)


async def test_a_run_that_was_not_asked_for_is_refused(stub: Stub, flora: FloraSession) -> None:
    stub.answers.append({**RUN, "run_id": "run_2"})
    with pytest.raises(DecodeError, match="another run"):
        await flora.generations.retrieve("run_1")


async def test_a_run_knows_where_it_can_be_polled_again(stub: Stub, flora: FloraSession) -> None:
    stub.answers.append(without(RUN, "poll_url"))
    assert (await flora.generations.retrieve("run_1")).poll_url == f"{stub.base_url}/runs/run_1"


# --- the rest ---


async def test_an_asset_can_be_reserved(stub: Stub, flora: FloraSession) -> None:
    stub.answers.append(BY_NAME["assets.create"].answer)
    await flora.assets.create(source="signed-url", workspace_id="ws_1")
    assert json.loads(stub.arrived[0].body) == {"source": "signed-url", "workspace_id": "ws_1"}


async def test_a_text_can_be_kept_without_a_source(stub: Stub, flora: FloraSession) -> None:
    stub.answers.append(BY_NAME["workspaces.library.folders.add_item"].answer)
    await flora.workspaces.library.folders.add_item("libfolder_1", **AN_ID, type="text", text="A text.")
    assert json.loads(stub.arrived[0].body) == {"type": "text", "text": "A text."}


async def test_a_definition_that_was_read_can_be_sent_back(stub: Stub, flora: FloraSession) -> None:
    read = BY_NAME["workspaces.projects.canvas.retrieve_definition"].answer
    unknown = {"nodes": [{**read["definition"]["nodes"][1], "new_field": ODD}], "new_part": ODD}
    stub.answers.extend([{**read, "definition": {**read["definition"], **unknown}}, read])
    canvas = await flora.workspaces.projects.canvas.retrieve_definition("prj_1", **AN_ID)
    await flora.workspaces.projects.canvas.replace_definition("prj_1", **AN_ID, definition=canvas.definition)
    assert json.loads(stub.arrived[1].body)["definition"] == {**read["definition"], **unknown}
