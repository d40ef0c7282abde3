"""A reference that supports no promise is taken, says what is missing, and alarms about nothing."""

import numpy as np
import pytest

from tests.service.api.conftest import World

RNG = np.random.default_rng(0)
AGES = [f"{age:.1f}" for age in RNG.normal(40, 10, 600)]
TOWNS = RNG.choice(["DE", "FR"], 600).tolist()


def csv_of(ages: list[str], towns: list[str]) -> str:
    rows = [f"{age},{town},ok" for age, town in zip(ages, towns, strict=True)]
    return "\n".join(["age,country,prediction", *rows])


POOR = {
    "twelve rows": (csv_of(AGES[:12], TOWNS[:12]), "the reference has 12 rows"),
    "one row": (csv_of(AGES[:1], TOWNS[:1]), "the reference has 1 row;"),
    "all constant": (csv_of(["41"] * 600, ["DE"] * 600), "none of 3 columns supports a promise"),
    "all missing": (csv_of([""] * 600, [""] * 600), "none of 3 columns supports a promise"),
    "rows that stand there a hundred times": (
        csv_of([age for age in AGES[:6] for _ in range(100)], [town for town in TOWNS[:6] for _ in range(100)]),
        "none of",
    ),
}


@pytest.mark.parametrize("name", POOR)
def test_it_is_accepted_with_a_sentence_that_says_what_is_missing(world: World, name: str) -> None:
    content, said = POOR[name]
    path = world.model(f"poor-{name.replace(' ', '-')}")
    headers = {**world.everything, "content-type": "text/csv"}
    put = world.client.put(f"{path}/baseline", content=content, headers=headers)
    assert put.status_code == 200, put.text
    shown = world.client.get(f"{path}/baseline", headers=world.everything).json()
    for answer in (put.json(), shown):
        assert answer["supports_promise"] is False
        assert answer["insufficient"].startswith(said), answer["insufficient"]
    assert {detail["insufficient"] is None for detail in shown["details"]} == {False}
