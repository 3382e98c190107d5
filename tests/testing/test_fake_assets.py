"""Assets of the local FLORA: the three ways to upload a file, a strict storage host, and failing uploads."""

import hashlib
from collections.abc import AsyncIterator, Mapping
from io import BytesIO
from string import ascii_letters
from typing import Any

import aiohttp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from multidict import CIMultiDict, CIMultiDictProxy
from plain_client import Client

from flora_async.testing import Drop, FakeFlora, Fault, RecordedRequest, Slow, Status, Truncate, VirtualClock
from flora_async.testing._wire.forms import read_form
from flora_async.testing._wire.operations import match_route

WORKSPACE = {"workspace_id": "ws_local"}
PLACE = {**WORKSPACE, "project_id": "prj_local"}
SIGNED = {"source": "signed-url", **WORKSPACE}
PHOTO = b"\x89PNG\r\n--a photo--\r\n"


@pytest.fixture
async def fake(clock: VirtualClock) -> AsyncIterator[FakeFlora]:
    async with FakeFlora(case="snake", clock=clock) as fake:
        yield fake


def fields_of(error: Any) -> set[str]:
    return {problem["field"] for problem in error["error"]["fields"]}


def form_of(fields: Mapping[str, str], content: bytes = PHOTO, **file: str) -> aiohttp.FormData:
    form = aiohttp.FormData()
    for name, value in fields.items():
        form.add_field(name, value)
    form.add_field("file", BytesIO(content), **{"filename": "cat.png", "content_type": "image/png", **file})
    return form


async def upload_form(client: Client, fields: Mapping[str, str], content: bytes = PHOTO, **file: str) -> Any:
    return await client.send("POST", "/assets", data=form_of(fields, content, **file))


async def upload(client: Client, reserved: Any, content: bytes = PHOTO, **options: Any) -> tuple[int, Any]:
    form = form_of(reserved["upload"]["form_fields"], content)
    response, answer = await client.send("POST", reserved["upload"]["url"], data=form, **options)
    return response.status, answer


async def complete(client: Client, reserved: Any) -> tuple[int, Any]:
    response, answer = await client.post(f"/assets/{reserved['asset_id']}/complete")
    return response.status, answer


async def test_a_small_file_is_uploaded_in_one_request(client: Client) -> None:
    response, answer = await upload_form(client, PLACE)
    assert (response.status, answer["status"], answer["uploaded_via"]) == (201, "ready", "direct")
    (asset,) = client.fake.assets
    assert (asset.asset_id, asset.content, asset.size) == (answer["asset_id"], PHOTO, len(PHOTO))
    assert asset.sha256 == hashlib.sha256(PHOTO).hexdigest()
    assert (asset.name, asset.content_type, asset.source) == ("cat.png", "image/png", "direct")
    assert (asset.workspace_id, asset.project_id, asset.status) == ("ws_local", "prj_local", "ready")
    response, body = await client.get(answer["url"])
    assert (response.content_type, body) == ("image/png", PHOTO)
    _, nodes = await client.get("/projects/prj_local/nodes")
    assert [(node["node_id"], node["asset_id"]) for node in nodes["nodes"]] == [(asset.node_id, asset.asset_id)]


async def test_a_form_may_override_the_name_and_type_of_its_file(client: Client) -> None:
    fields = {**WORKSPACE, "file_name": "film.mp4", "content_type": "video/mp4", "folder": "films"}
    await upload_form(client, fields, content_type="application/octet-stream")
    assert [(asset.name, asset.content_type) for asset in client.fake.assets] == [("film.mp4", "video/mp4")]


@pytest.mark.parametrize(
    ("fields", "content", "problems"),
    [
        ({}, PHOTO, {"workspace_id"}),
        ({**WORKSPACE, "colour": "red"}, PHOTO, {"colour"}),
        ({**WORKSPACE, "content_type": "text/html"}, PHOTO, {"content_type"}),
        (WORKSPACE, b"", {"file"}),
        (WORKSPACE, bytes(4 * 1024 * 1024 + 1), {"file"}),
    ],
)
async def test_a_form_with_invalid_fields_is_a_400_that_names_them(
    client: Client, fields: Any, content: bytes, problems: set[str]
) -> None:
    response, error = await upload_form(client, fields, content)
    assert (response.status, fields_of(error)) == (400, problems)
    assert client.fake.assets == ()


@pytest.mark.parametrize("type_", ["text/plain", "image/tiff", "image/svg+xml"])
async def test_only_content_types_that_flora_accepts_can_be_uploaded(client: Client, type_: str) -> None:
    response, error = await upload_form(client, WORKSPACE, content_type=type_)
    assert (response.status, fields_of(error)) == (400, {"content_type"})
    for body in ({**SIGNED, "content_type": type_}, {**SIGNED, "file_name": "notes.txt"}):
        response, error = await client.post("/assets", body)
        assert (response.status, fields_of(error)) == (400, {"content_type"})
    response, error = await client.post("/assets", {"source": "https://e.com/notes.txt", **WORKSPACE})
    assert (response.status, fields_of(error)) == (400, {"content_type"})


@pytest.mark.parametrize(
    "data", [b"", b"file", b"--b\r\n\r\ncat\r\n--b--", b'--b\r\nContent-Disposition: form-data; name="file"\r\n\r\ncat']
)
async def test_an_incomplete_form_is_a_400(client: Client, data: bytes) -> None:
    for type_ in ("multipart/form-data; boundary=b", "multipart/form-data"):
        response, error = await client.send("POST", "/assets", data=data, headers={"Content-Type": type_})
        assert (response.status, fields_of(error)) == (400, {"file"})


async def test_a_form_without_a_file_is_a_400(client: Client) -> None:
    with aiohttp.MultipartWriter("form-data") as form:
        form.append("ws_local").set_content_disposition("form-data", name="workspace_id")
    response, error = await client.send("POST", "/assets", data=form)
    assert (response.status, fields_of(error)) == (400, {"file"})


async def test_repeating_a_form_with_its_key_does_not_create_a_second_asset(http: aiohttp.ClientSession) -> None:
    headers = {"Idempotency-Key": "k1"}
    answers = []
    async with FakeFlora(case="snake", idempotency="replay") as fake:
        client = Client(fake, http)
        for content in (PHOTO, PHOTO, PHOTO + b"!"):  # every form has its own boundary
            response, answer = await client.send("POST", "/assets", data=form_of(WORKSPACE, content), headers=headers)
            answers.append((response.status, answer.get("asset_id")))
        (asset,) = fake.assets
    assert answers == [(201, asset.asset_id), (201, asset.asset_id), (422, None)]


async def test_an_asset_can_be_created_from_a_public_url(client: Client) -> None:
    response, answer = await client.post("/assets", {"source": "https://e.com/a/cat.webp?x=1", **PLACE})
    assert (response.status, answer["status"], answer["uploaded_via"]) == (201, "ready", "url")
    (asset,) = client.fake.assets
    assert (asset.name, asset.content_type, asset.source) == ("cat.webp", "image/webp", "url")
    response, body = await client.get(answer["url"])
    assert (response.content_type, body) == ("image/webp", asset.content)
    response, error = await client.post("/assets", {"source": "http://e.com/cat.png", **WORKSPACE})
    assert (response.status, fields_of(error)) == (400, {"source"})


async def test_a_large_file_is_reserved_uploaded_and_completed(client: Client) -> None:
    body = {**SIGNED, "content_type": "image/png", "file_name": "mine.png", "project_id": "prj_local"}
    _, reserved = await client.post("/assets", body)
    assert (reserved["status"], reserved["uploaded_via"]) == ("pending_upload", "signed_url")
    assert reserved["expires_at"].endswith("Z")
    target = reserved["upload"]
    assert target["url"].startswith(f"{client.fake.storage_origin}/upload/")
    assert (target["method"], target["file_field"], target["content_type"]) == ("POST", "file", "multipart/form-data")
    assert target["form_fields"]["Content-Type"] == "image/png"
    _, waiting = await client.get(f"/assets/{reserved['asset_id']}")
    assert (waiting["status"], waiting["url"], waiting["size_bytes"]) == ("pending_upload", None, None)
    assert (await client.get(reserved["url"]))[0].status == 404

    content = bytes(range(256)) * 20_000
    assert await upload(client, reserved, content) == (204, b"")
    assert client.fake.requests[-1].operation == "upload"
    status, completed = await complete(client, reserved)
    assert (status, completed["status"], completed["url"]) == (200, "ready", reserved["url"])
    (asset,) = client.fake.assets
    assert (asset.content, asset.name, asset.source) == (content, "mine.png", "signed_url")
    _, ready = await client.get(f"/assets/{reserved['asset_id']}")
    assert (ready["status"], ready["size_bytes"], ready["failure_message"]) == ("ready", len(content), None)
    _, listed = await client.get("/assets", params={"query": "MINE", "project_id": "prj_local"})
    _, none = await client.get("/assets", params={"project_id": "prj_other"})
    assert none["assets"] == []
    assert [(item["url"], item["node_id"]) for item in listed["assets"]] == [(ready["url"], asset.node_id)]
    assert (ready["created_at"], listed["assets"][0]["created_at"]) == ("2026-05-28T20:26:40.000Z", 1_780_000_000_000)
    assert await complete(client, reserved) == (status, completed)
    assert (await upload(client, reserved))[0] == 403


async def test_an_upload_can_be_a_put_of_the_raw_bytes(http: aiohttp.ClientSession) -> None:
    async with FakeFlora(case="snake", upload_method="PUT") as fake:
        client = Client(fake, http)
        _, reserved = await client.post("/assets", {**SIGNED, "file_name": "cat.png"})
        assert "upload" not in reserved
        url = reserved["upload_url"]
        assert url.startswith(fake.storage_origin)
        form = form_of({})
        refused = [
            await client.send("POST", url, data=form),
            await client.send("PUT", url, data=b""),
            await client.send("PUT", url, data=PHOTO, headers={"Authorization": "Bearer sk_test_local"}),
        ]
        assert [response.status for response, _ in refused] == [403, 400, 400]
        assert refused[0][1]["error"]["message"] == "This upload reservation is for PUT."
        response, _ = await client.send("PUT", url, data=PHOTO)
        assert response.status == 204
        status, asset = await complete(client, reserved)
        assert (status, asset["status"]) == (200, "ready")
        assert [(asset.content, asset.content_type, asset.status) for asset in fake.assets] == [
            (PHOTO, "image/png", "ready")
        ]


async def test_the_content_type_of_an_upload_may_come_from_the_file(client: Client) -> None:
    _, reserved = await client.post("/assets", SIGNED)
    assert "Content-Type" not in reserved["upload"]["form_fields"]
    form = form_of(reserved["upload"]["form_fields"], content_type="application/zip")
    response, _ = await client.send("POST", reserved["upload"]["url"], data=form)
    assert response.status == 400
    assert (await upload(client, reserved))[0] == 204
    assert [(asset.name, asset.content_type) for asset in client.fake.assets] == [("cat.png", "image/png")]


async def test_the_storage_host_is_strict(client: Client) -> None:
    _, reserved = await client.post("/assets", SIGNED)
    fields, url = reserved["upload"]["form_fields"], reserved["upload"]["url"]

    async def answer_to(form: Any, **options: Any) -> int:
        response, _ = await client.send("POST", url, data=form, **options)
        return response.status

    async def chunks() -> AsyncIterator[bytes]:
        yield b"cat"

    late = form_of({name: fields[name] for name in ("key", "policy")})
    late.add_field("success_action_status", fields["success_action_status"])
    assert await answer_to(form_of(fields), headers={"Authorization": "Bearer sk_test_local"}) == 400
    assert await answer_to(chunks(), headers={"Content-Type": "multipart/form-data; boundary=b"}) == 411
    assert await answer_to(b"cat") == 400
    assert await answer_to(late) == 400
    assert await answer_to(form_of(fields, b"")) == 400
    assert await answer_to(form_of({**fields, "policy": "another"})) == 403
    assert await answer_to(form_of({**fields, "more": "x"})) == 403
    assert await answer_to(form_of({})) == 403
    assert client.fake.assets[0].content == b""
    assert await answer_to(form_of(fields)) == 204
    response, _ = await client.send("POST", f"{url}x", data=form_of(fields))
    assert response.status == 404


async def test_completing_an_asset_requires_a_json_object_and_an_upload(client: Client) -> None:
    _, reserved = await client.post("/assets", SIGNED)
    response, error = await client.send("POST", f"/assets/{reserved['asset_id']}/complete")
    assert (response.status, error["error"]["code"]) == (400, "invalid_json")
    status, error = await complete(client, reserved)
    assert (status, error["error"]["code"]) == (409, "conflict")
    await upload(client, reserved)
    assert (await complete(client, reserved))[0] == 200


async def test_an_asset_is_ready_after_the_configured_number_of_polls(http: aiohttp.ClientSession) -> None:
    async with FakeFlora(case="snake", asset_ready_after=2) as fake:
        client = Client(fake, http)
        _, reserved = await client.post("/assets", PLACE | SIGNED)
        await upload(client, reserved)
        seen = [(await complete(client, reserved))[1]["status"] for _ in range(2)]
        _, fetched = await client.post("/assets", {"source": "https://e.com/cat.png", **WORKSPACE})
        seen.append(fetched["status"])
        assert seen == ["pending_upload"] * 3
        for expected in ("pending_upload", "pending_upload", "ready", "ready"):
            looks = [await client.get(f"/assets/{asset.asset_id}") for asset in fake.assets]
            assert [look["status"] for _, look in looks] == [expected] * 2
        assert fake.assets[0].node_id is not None
        _, direct = await upload_form(client, WORKSPACE)
        assert direct["status"] == "ready"


async def test_an_expired_upload_can_be_retried(client: Client) -> None:
    _, reserved = await client.post("/assets", SIGNED)
    client.fake.expire_uploads()
    assert (await upload(client, reserved))[0] == 403
    _, expired = await client.get(f"/assets/{reserved['asset_id']}")
    assert (expired["status"], expired["failure_message"]) == ("failed", "The upload reservation has expired.")
    assert (await complete(client, reserved))[0] == 409
    response, renewed = await client.post(f"/assets/{reserved['asset_id']}/retry")
    assert (response.status, renewed["status"], renewed["asset_id"]) == (200, "pending_upload", reserved["asset_id"])
    assert renewed["upload"]["url"] != reserved["upload"]["url"]
    assert (await upload(client, reserved))[0] == 404
    assert (await upload(client, renewed))[0] == 204
    assert (await complete(client, renewed))[1]["status"] == "ready"
    response, error = await client.post(f"/assets/{reserved['asset_id']}/retry")
    assert (response.status, error["error"]["code"]) == (409, "conflict")


async def test_a_reservation_lasts_an_hour(client: Client, clock: VirtualClock) -> None:
    _, reserved = await client.post("/assets", SIGNED)
    clock.advance(3599.0)
    assert client.fake.assets[0].status == "pending_upload"
    assert (await upload(client, reserved))[0] == 204
    clock.advance(1.0)
    assert client.fake.assets[0].status == "failed"
    assert (await complete(client, reserved))[0] == 409


async def test_assets_fail_on_demand(client: Client) -> None:
    client.fake.fail_assets(2, message="Broken.")
    _, reserved = await client.post("/assets", SIGNED)
    await upload(client, reserved)
    status, failed = await complete(client, reserved)
    assert (status, failed["status"], failed["failure_message"], failed["url"]) == (200, "failed", "Broken.", None)
    assert (await client.get(reserved["url"]))[0].status == 404
    _, fetched = await client.post("/assets", {"source": "https://e.com/cat.png", **WORKSPACE})
    assert fetched["status"] == "failed"
    _, renewed = await client.post(f"/assets/{reserved['asset_id']}/retry")
    await upload(client, renewed)
    assert (await complete(client, renewed))[1]["status"] == "ready"


@pytest.mark.parametrize("fault", [Status(503), Status(503, acts=True), Truncate(), Slow(0.01)])
async def test_faults_apply_to_uploads(client: Client, fault: Fault) -> None:
    _, reserved = await client.post("/assets", SIGNED)
    client.fake.inject(fault, on="upload")
    assert (await client.get("/assets"))[0].status == 200
    await upload(client, reserved)
    assert (client.fake.assets[0].content == PHOTO) == (fault != Status(503))
    assert (await upload(client, reserved))[0] == 204


@pytest.mark.parametrize("acts", [False, True])
async def test_an_upload_can_be_dropped(client: Client, *, acts: bool) -> None:
    _, reserved = await client.post("/assets", SIGNED)
    client.fake.inject(Drop(acts=acts), on="upload")
    with pytest.raises(aiohttp.ClientError):
        await upload(client, reserved)
    assert (client.fake.assets[0].content == PHOTO) == acts


async def test_an_upload_can_be_dropped_halfway(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    _, reserved = await client.post("/assets", SIGNED)
    client.fake.inject(Drop(acts=False, reads=100_000), on="upload")
    content = bytes(20_000_000)
    with pytest.raises(aiohttp.ClientError):
        await upload(client, reserved, content)
    assert 100_000 <= len(client.fake.requests[-1].body) < len(content)
    assert client.fake.assets[0].content == b""
    assert (await upload(client, reserved, content))[0] == 204
    assert caplog.records == []


async def test_a_partial_read_of_an_empty_body_returns_at_once(client: Client) -> None:
    client.fake.inject(Drop(acts=False, reads=10), times=None)
    with pytest.raises(aiohttp.ClientError):
        await client.get("/assets")
    assert client.fake.requests[0].body == b""


@pytest.mark.parametrize("name", ["asset", "assets.create", "any"])
async def test_a_fault_can_apply_to_all_asset_operations_or_to_one(client: Client, name: str) -> None:
    client.fake.inject(Status(503), on=name, times=None)
    listed, _ = await client.get("/assets")
    created, _ = await client.post("/assets", SIGNED)
    history, _ = await client.get("/technique-runs")
    expected = {"asset": (503, 503, 200), "assets.create": (200, 503, 200), "any": (503, 503, 503)}
    assert (listed.status, created.status, history.status) == expected[name]


CONTENTS = st.binary(max_size=99) | st.lists(st.sampled_from([b"\r\n", b"--", b"b", b":"])).map(b"".join)


@settings(deadline=None)
@given(st.lists(st.tuples(st.text(ascii_letters, min_size=1), CONTENTS), min_size=1, max_size=5))
def test_a_form_is_read_back_unchanged(fields: list[tuple[str, bytes]]) -> None:
    mark = b"--boundary"
    parts = [b'\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n' % (n.encode(), c) for n, c in fields]
    headers = CIMultiDict({"Content-Type": "multipart/form-data; boundary=boundary"})
    request = RecordedRequest(
        method="POST",
        target="/api/v1/assets",
        query=CIMultiDict(),
        headers=CIMultiDictProxy(headers),
        body=mark + mark.join(parts) + mark + b"--\r\n",
        request_id="req_1",
        origin="flora",
        route=match_route("flora", "POST", "/api/v1/assets"),
    )
    assert [(part.name, part.content) for part in read_form(request)] == fields
