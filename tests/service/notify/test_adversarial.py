"""What people are told of adversarial use."""

import json

from service.domain.atlas import atlas
from service.notify.adversarial import chain_text
from service.notify.compose import compose
from tests.service.uses import ANN, BOB, Bench, finding, intent


def test_the_message_names_the_kill_chain_the_principals_and_what_was_done() -> None:
    (notice,) = Bench().judge(intent(campaign="c7", members=(BOB,), fidelity=0.25)).notices
    (alert,) = json.loads(compose(notice).payload)["alerts"]
    assert alert["labels"] == {
        "alertname": "LazarettoAlertOpened",
        "model": "m1",
        "version": "1",
        "cause": "adversarial",
        "tier": "intent",
        "subject": "campaign c7",
    }
    told = alert["annotations"]
    assert told["summary"] == f"Adversarial intent in m1 1: principal {ANN[:12]} and 1 more"
    assert told["severity"] == "high"
    assert told["kill_chain"].startswith("Initial Access: AML.T0015 Evade AI Model > ")
    assert "AI Attack Staging: AML.T0043.001 Craft Adversarial Data: Black-Box Optimization" in told["kill_chain"]
    assert told["atlas"] == "5.6.0"
    assert told["principals"] == f"{ANN}, {BOB}"
    assert told["contained"] == ANN
    assert (told["best_margin"], told["fidelity"], told["queries"]) == ("-0.1", "0.25", "31")
    assert told["transcript"].startswith("fingerprints:m1/1/")
    assert "a margin under the baseline's 5 % quantile" in told["description"]


def test_a_nominal_threshold_is_called_so() -> None:
    (notice,) = Bench().judge(finding(calibrated=False)).notices
    assert "nominal threshold, not calibrated" in notice.description


def test_many_principals_are_counted_not_listed() -> None:
    members = tuple(f"{number:032x}" for number in range(40))
    (notice,) = Bench().judge(intent(campaign="c", members=members)).notices
    assert notice.annotations["principals"].endswith(" and 31 more")


def test_two_attackers_are_two_alerts_to_a_receiver_that_groups_by_labels() -> None:
    notices = Bench().judge(finding(ANN), finding(BOB)).notices
    prints = {json.loads(compose(n).payload)["alerts"][0]["fingerprint"] for n in notices}
    assert len(prints) == 2


def test_a_chain_without_techniques_is_empty() -> None:
    assert chain_text(atlas().kill_chain([])) == ""
