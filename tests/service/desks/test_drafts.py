"""The form for a new normal: offered to who may, a form as the others, and what it says reaches the draft."""

from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from fastapi import FastAPI

from service.console.deps import ConsoleDeps
from service.console.routes import build_router
from service.domain.errors import Unprocessable
from service.domain.ids import Actor, Position
from service.domain.records import BaselineRecord, Version
from service.domain.states import Event, State
from service.office import request_transition
from tests.proposals import proposal
from tests.service.desks.desk import HOUR_US, READER, Desk, text_of
from tests.service.desks.test_reviews import artefact

PAGE = "/models/digits/versions/1/draft"
GOOD = {"start": "2026-11-23T08:00", "end": "", "reason": "the new camera"}


@dataclass
class Drafting:
    """A desk whose drafts are noted, and fail as told."""

    desk: Desk
    version: Version
    asked: list[tuple[Any, ...]] = field(default_factory=list)
    failure: Unprocessable | None = None

    async def draft(self, *asked: Any) -> str:
        self.asked.append(asked)
        if self.failure is not None:
            raise self.failure
        return "b9"


@pytest.fixture
def drafting(desk: Desk) -> Drafting:
    version = desk.version("digits", state=State.QUARANTINED)
    with desk.store.control.write() as tx:
        tx.add_baseline(
            BaselineRecord(
                id="b1",
                version_id=version.id,
                digest="d" * 64,
                signature="s" * 64,
                artefact=artefact(0.0).to_bytes(),
                rows=9,
                from_position=Position(0),
                columns=("age",),
                warnings=(),
                created_us=desk.clock.now_us(),
                created_by=Actor("mira"),
            )
        )
    one = Drafting(desk, version)
    deps: ConsoleDeps = replace(desk.deps, draft=one.draft)
    app = FastAPI()
    app.include_router(build_router(deps))
    one.desk = replace(desk, app=app, deps=deps)
    return one


def test_a_form_drafts_the_stretch_that_it_names(drafting: Drafting) -> None:
    ada = drafting.desk.visitor("ada")
    page = ada.page(PAGE)
    said = text_of(page)
    assert "No alert is open that would say since when." in said
    assert "One other person must sign it before it is in force" in said
    assert "(the last 168 hours)" in said
    answer = ada.post(PAGE, page, **GOOD)
    assert (answer.status_code, answer.headers["location"]) == (303, "/reviews/baselines/b9")
    eight = drafting.desk.clock.now_us() // (24 * HOUR_US) * 24 * HOUR_US + 8 * HOUR_US
    assert drafting.asked == [("ada", "digits", "1", eight, None, "the new camera")]


def test_an_alert_says_since_when(drafting: Drafting) -> None:
    drafting.desk.incident(drafting.version, "age", ago_hours=2.0)
    ada = drafting.desk.visitor("ada")
    page = ada.page(PAGE)
    assert "From, UTC (empty: since the change)" in text_of(page)
    assert ada.post(PAGE, page, reason="it stays").status_code == 303
    assert drafting.asked == [("ada", "digits", "1", None, None, "it stays")]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"reason": " "}, "the draft needs a reason"),
        ({"reason": "x" * 2_001}, "reason"),
        ({"start": "yesterday"}, "start: must be a time in UTC such as"),
        ({"end": "99999-01-01T00:00"}, "end: must be a time in UTC"),
    ],
)
def test_what_cannot_be_read_is_refused_in_a_sentence_and_stays_typed(
    drafting: Drafting, changed: dict[str, str], said: str
) -> None:
    ada = drafting.desk.visitor("ada")
    answer = ada.post(PAGE, ada.page(PAGE), **{**GOOD, "end": "2026-11-23T09:00", **changed})
    assert answer.status_code == 422
    assert said in text_of(answer.text)
    if "end" not in changed:
        assert 'value="2026-11-23T09:00"' in answer.text
    assert drafting.asked == []


def test_a_draft_that_cannot_be_made_says_why(drafting: Drafting) -> None:
    drafting.failure = Unprocessable("the stretch has no events of <b>digits</b>")
    ada = drafting.desk.visitor("ada")
    answer = ada.post(PAGE, ada.page(PAGE), **GOOD)
    assert answer.status_code == 422
    assert "the stretch has no events of &lt;b&gt;digits&lt;/b&gt;" in answer.text
    assert 'value="the new camera"' in answer.text


def test_only_who_may_act_on_the_model_drafts(drafting: Drafting) -> None:
    desk = drafting.desk
    ada, rita, fred = desk.visitor("ada"), desk.visitor("rita", READER), desk.visitor("fred", models=frozenset({"x"}))
    page = rita.page(PAGE)
    assert "Draft it" not in page
    assert "Your key may read but not act" in text_of(page)
    assert rita.post(PAGE, rita.page("/reviews"), **GOOD).status_code == 403
    assert fred.get(PAGE).status_code == 404
    assert fred.post(PAGE, fred.page("/maintenance"), **GOOD).status_code in {403, 404}
    stolen = ada.page(PAGE)
    assert rita.post(PAGE, stolen, **GOOD).status_code == 403, "the form of somebody else"
    assert drafting.asked == []


@pytest.mark.parametrize(("missing", "said"), [("baseline", "put reference data first"), ("room", "4 baselines of it")])
def test_where_nothing_can_be_drafted_there_is_no_form(drafting: Drafting, missing: str, said: str) -> None:
    desk, where = drafting.desk, PAGE
    if missing == "baseline":
        desk.version("fresh")
        where = "/models/fresh/versions/1/draft"
    else:
        for number in range(4):
            with desk.store.reviews.write() as tx:
                tx.add_proposal(proposal(drafting.version, f"p{number}"))
    page = desk.visitor("ada").page(where)
    assert said in text_of(page)
    assert "Draft it" not in page
    assert desk.visitor("ada").get("/models/nobody/versions/1/draft").status_code == 404


def test_the_queue_and_the_version_lead_to_the_form(drafting: Drafting) -> None:
    desk = drafting.desk
    request_transition(desk.deps.office, Actor("grace"), "digits", "1", Event.START_REVIEW, "I look", None)
    link = f'href="{PAGE}"'
    assert link in desk.visitor("ada").page("/reviews")
    assert desk.visitor("ada").page("/models/digits/versions/1").count(link) == 2
    for path in ("/reviews", "/models/digits/versions/1"):
        assert link not in desk.visitor("rita", READER).page(path)
