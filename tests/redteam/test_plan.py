"""Plans and scope files: what is read, and what is refused with every bad place."""

import re
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from redteam.attacks import ATTACKS
from redteam.benign import WORKLOADS
from redteam.plan import read_plan
from redteam.problems import Refused
from redteam.scope import Permission, is_loopback, read_scope, refuse_strangers

ROOT = Path(__file__).parents[2]
NOW = datetime(2026, 11, 26, tzinfo=UTC)
SMALL = 'victims = ["digits"]\nattacks = ["zoo"]\n'
SCOPE = """
[[target]]
host = "models.example"
owner = "risk team"
valid_until = 2026-12-01
signed_off_by = "Ada"
"""


def _problems(content: str) -> dict[str, str]:
    with pytest.raises(Refused) as refused:
        read_plan(content)
    return dict(refused.value.problems)


def test_the_shipped_plan_is_read() -> None:
    plan = read_plan((ROOT / "deploy" / "redteam" / "quick.toml").read_text())
    assert plan.victims == ("digits",)
    assert plan.seconds_max <= 120
    assert {"iid", "lime"} <= set(plan.benign)


def test_the_page_shows_results_of_the_plan_that_is_shipped() -> None:
    plan = read_plan((ROOT / "deploy" / "redteam" / "quick.toml").read_text())
    assert f"plan {plan.digest[:12]}." in (ROOT / "docs" / "red-team.md").read_text()


def test_the_plan_and_the_scope_on_the_page_are_read() -> None:
    blocks = re.findall(r"```toml\n(.*?)```", (ROOT / "docs" / "red-team.md").read_text(), re.DOTALL)
    assert read_plan(blocks[0]).http is not None
    [permission] = read_scope(blocks[1])
    assert permission.covers("models.example", 8443)
    assert not permission.covers("models.example", 443)


def test_all_means_every_one() -> None:
    plan = read_plan('victims = ["digits"]\nattacks = "all"\nbenign = "all"')
    assert plan.attacks == tuple(ATTACKS)
    assert plan.benign == tuple(WORKLOADS)


def test_an_unknown_attack_is_refused_with_the_nearest_and_with_the_list() -> None:
    found = _problems('victims = ["digits"]\nattacks = ["hopskipjump", "zoo", "zoo"]\nbenign = ["lyme"]')
    assert set(found) == {"attacks[0]", "attacks[2]", "benign[0]"}
    assert "nearest: hopskipjump-l" in found["attacks[0]"]
    assert all(name in found["attacks[0]"] for name in ATTACKS)
    assert "twice" in found["attacks[2]"]
    assert "nearest: lime" in found["benign[0]"]


def test_every_bad_place_is_named_at_once() -> None:
    found = _problems(
        'victims = "digits"\nattacks = [1]\nsessions = true\nqueries_max = -1\nseconds_max = nan\nsplit = "fit"\n'
        'sesions = 3\n[victim.http]\nurl = "http://127.0.0.1"\nlow = 0\nbudget = "much"\nextra = 1'
    )
    whole = {"victims", "attacks", "sessions", "queries_max", "seconds_max", "split", "sesions"}
    own = {f"victim.http.{name}" for name in ("data", "high", "budget", "budget_linf", "grain", "extra")}
    assert set(found) == whole | own
    assert "did you mean 'sessions'" in found["sesions"]


@pytest.mark.parametrize(
    ("content", "at"),
    [
        ("victims = [", "plan"),
        ('attacks = ["zoo"]', "victims"),
        ('victims = ["digits"]', "attacks"),
        ('victims = ["mnist"]\nattacks = ["zoo"]', "data"),
    ],
)
def test_a_plan_that_cannot_be_run_says_where(content: str, at: str) -> None:
    assert set(_problems(content)) == {at}


def test_the_digest_is_of_what_results_depend_on() -> None:
    plan = read_plan(SMALL)
    assert plan.digest == replace(plan, output="elsewhere", seconds_max=1.0, requests_per_second=1.0).digest
    changes = (
        plan.seeded(1),
        replace(plan, sessions=7),
        replace(plan, attacks=("nes-l2",)),
        replace(plan, queries_max=9),
    )
    assert len({plan.digest, *(one.digest for one in changes)}) == 5
    assert plan.seeded(None) == plan


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost", "LOCALHOST"])
def test_this_machine_is_loopback(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["10.0.0.1", "0.0.0.0", "localhost.example", "127.0.0.1.example", "::", "models"])
def test_nothing_else_is(host: str) -> None:
    assert not is_loopback(host)


def test_a_stranger_is_refused_and_all_are_named() -> None:
    targets = [("a", "http://127.0.0.1:1/x"), ("b", "https://models.example/x"), ("c", "ftp:"), ("d", "http://[::1]:2")]
    with pytest.raises(Refused) as refused:
        refuse_strangers(targets, [], NOW)
    assert [one.at for one in refused.value.problems] == ["b", "c"]
    assert "--scope" in refused.value.problems[0].reason


def test_a_scope_file_authorises_until_it_ends() -> None:
    target = [("b", "https://Models.example/x")]
    refuse_strangers(target, read_scope(SCOPE), NOW)
    with pytest.raises(Refused, match="ended 2026-12-01"):
        refuse_strangers(target, read_scope(SCOPE), datetime(2026, 12, 2, tzinfo=UTC))
    with pytest.raises(Refused, match=r"other\.example"):
        refuse_strangers([("b", "https://other.example/")], read_scope(SCOPE), NOW)


def test_a_permission_for_one_port_is_for_that_one() -> None:
    one = Permission(host="models.example:8443", owner="o", valid_until=NOW, signed_off_by="s")
    refuse_strangers([("b", "https://models.example:8443/")], [one], NOW)
    with pytest.raises(Refused):
        refuse_strangers([("b", "https://models.example/")], [one], NOW)


def test_a_scope_that_nobody_signed_is_none() -> None:
    with pytest.raises(Refused) as refused:
        read_scope('other = 1\n[[target]]\nhost = "a"\nowner = " "\nvalid_until = 2026-12-01T00:00:00\nwhat = 2')
    expected = {"other", "target[0].what", "target[0].owner", "target[0].signed_off_by", "target[0].valid_until"}
    assert {one.at for one in refused.value.problems} == expected
    for content in ("", "target = 3", "[["):
        with pytest.raises(Refused):
            read_scope(content)
