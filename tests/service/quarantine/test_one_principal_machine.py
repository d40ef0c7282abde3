"""One principal, whatever it does and whomever it names, never quarantines a model; two unrelated that flip a label do.

Decision 17 as a machine: an attacker brings about every finding that it can, alone, in campaigns that name bystanders,
with labels that poison; bystanders have findings of their own, as far as they prove no flip; people settle things, and
time passes. At the end of each course two strangers flip a label each, or the model itself is changed.
"""

from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from service.domain.adversarial import Adversarial, Response, Unrelated
from service.domain.ids import Micros
from service.domain.policy import Policy
from service.domain.principals import Kind
from service.domain.records import PrincipalFinding, PrincipalTier
from service.domain.states import SERVING, State
from tests.service.uses import ANN, BOB, CAT, HOUR, SECOND, Bench, done_to_model, finding

EVE = ANN
STRANGERS = ("d" * 32, "f" * 32)
TIERS = st.sampled_from(PrincipalTier)
BYSTANDERS = st.sampled_from([BOB, CAT])
CAMPAIGNS = st.sampled_from(["c1", "c2"])
OTHERS = st.sets(BYSTANDERS).map(lambda names: tuple(sorted(names)))


class OnePrincipal(RuleBasedStateMachine):
    """A version, an attacker, two bystanders, and people."""

    counted = st.sampled_from([Unrelated.EVIDENCE, Unrelated.SEPARATE])

    def __init__(self) -> None:
        super().__init__()
        self.bench = Bench()
        self.accused: set[str] = set()
        """Who had evidence of its own."""

    @initialize(data=st.data(), suspects=st.booleans(), reporters=st.integers(1, 3))
    def begin(self, data: st.DataObject, suspects: bool, reporters: int) -> None:
        intent = Response.SUSPECT if suspects else Response.CONTAIN
        chosen = Adversarial(
            unrelated=data.draw(self.counted), intent=intent, alerts_per_principal=reporters, alerts_per_tier=4
        )
        self.bench = Bench(Policy(adversarial=chosen))

    def tell(self, name: str, tier: PrincipalTier, **more: Any) -> PrincipalFinding:
        now = self.bench.now_us
        own = more.get("own", True)
        self.accused |= {name} if own else set()
        return finding(name, tier, since_us=now - 60 * SECOND, until_us=now, **more)

    @rule(tier=TIERS, flips=st.integers(0, 9), reused=st.booleans(), campaign=st.none() | CAMPAIGNS, others=OTHERS)
    def attack(
        self, tier: PrincipalTier, flips: int, reused: bool, campaign: str | None, others: tuple[str, ...]
    ) -> None:
        """Bring about a finding with evidence of its own; who is near, or sends what it found, is named."""
        told = self.tell(EVE, tier, flips=flips, reused=reused, campaign=campaign, members=others)
        self.bench.judge(told)

    @rule(seen=st.sampled_from([EVE, BOB, CAT]), campaign=CAMPAIGNS, others=OTHERS, burst=st.booleans())
    def crowd(self, seen: str, campaign: str, others: tuple[str, ...], burst: bool) -> None:
        """Bring about a campaign or a burst in which nobody has evidence of its own, whoever was seen last."""
        tier = PrincipalTier.PROBING if burst else PrincipalTier.INTENT
        members = tuple(one for one in (EVE, *others) if one != seen)
        self.bench.judge(self.tell(seen, tier, own=False, campaign=campaign, members=members))

    @rule()
    def poison(self) -> None:
        """Lie about labels."""
        self.bench.judge(done_to_model(Kind.POISONING, EVE))

    @rule(name=BYSTANDERS, tier=TIERS, campaign=st.none() | CAMPAIGNS)
    def stand_by(self, name: str, tier: PrincipalTier, campaign: str | None) -> None:
        """Be found to do something oneself, but no flip: clients explain, copy, and are false alarms."""
        members = () if campaign is None else (EVE,)
        self.bench.judge(self.tell(name, tier, flips=0, campaign=campaign, members=members))

    @rule(hours=st.integers(1, 200))
    def wait(self, hours: int) -> None:
        self.bench.now_us = Micros(self.bench.now_us + hours * HOUR)

    @rule()
    def settle(self) -> None:
        """Let people close whatever is open."""
        self.bench.settle()

    @invariant()
    def the_model_serves(self) -> None:
        assert self.bench.state() in SERVING

    @invariant()
    def only_who_is_accused_is_contained(self) -> None:
        assert self.bench.contained() <= self.accused

    def teardown(self) -> None:
        """Let two strangers do what one principal cannot."""
        for stranger in STRANGERS:
            if self.bench.state() in SERVING:
                self.bench.judge(self.tell(stranger, PrincipalTier.INTENT, flips=1, best_margin=-0.1))
        assert self.bench.state() is State.QUARANTINED


class ChangedModel(OnePrincipal):
    """The same, with the model changed at the end."""

    def teardown(self) -> None:
        """Let a canary be answered otherwise."""
        self.bench.judge(done_to_model(Kind.CANARY))
        assert self.bench.state() is State.QUARANTINED


class Careless(OnePrincipal):
    """A policy under which whoever a campaign names counts: one principal is enough, and the machine finds it."""

    counted = st.just(Unrelated.CAMPAIGN)


QUICK = settings(max_examples=80, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck))
OnePrincipal.TestCase.settings = QUICK
ChangedModel.TestCase.settings = QUICK
TestOnePrincipal = OnePrincipal.TestCase
TestChangedModel = ChangedModel.TestCase


def test_the_machine_finds_what_one_principal_can_do_under_a_careless_policy() -> None:
    # One attack in two flips a label, three in four name somebody, so that 60 courses of 25 steps never miss it.
    found = settings(QUICK, max_examples=60, phases=[Phase.generate], derandomize=True)
    with pytest.raises(AssertionError):
        run_state_machine_as_test(Careless, settings=found)
