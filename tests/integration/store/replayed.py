"""How things stood at each link of the audit chain, and what must never have happened."""

from service.domain.policy import Policy
from service.domain.records import AuditEntry, Version
from service.domain.reviews import ProposalStatus
from service.domain.states import SERVING, TRANSITIONS, Event, State
from service.ports import SYSTEM
from service.store import Store
from tests.integration.store.people import DANA
from tests.integration.store.test_people_machine import CAP, NAMES, OUT, VERSIONS

LINKS = 10_000
HELD = {State.QUARANTINED, State.UNDER_REVIEW}


class Replay:
    """Reads the chain from its beginning and knows at every link how things stood."""

    def __init__(self, store: Store, policy: Policy, reminders: int) -> None:
        self.store = store
        self.policy = policy
        self.reminders = reminders
        self.state = dict.fromkeys(NAMES, State.ACTIVE)
        self.changes = dict.fromkeys(NAMES, 0)
        self.asked: dict[str, set[str]] = {name: set() for name in NAMES}
        self.broke: dict[str, list[str]] = {name: [] for name in NAMES}
        """Who broke the glass in the quarantine that stands."""
        self.is_broken = dict.fromkeys(NAMES, False)
        self.reminded = dict.fromkeys(NAMES, 0)
        self.glasses = 0

    def take(self, link: AuditEntry) -> None:
        name = link.subject.removeprefix("m1/")
        match link.action.partition("."):
            case "transition", _, event:
                self._change(link, name, Event(event))
            case "release", _, _:
                assert self.state[name] is State.UNDER_REVIEW
                self.asked[name].add(link.actor)
                assert not self._enough(name), "asked for, with enough people, and not released"
            case "quarantine", _, "break_glass":
                assert self.state[name] in HELD
                assert link.actor != DANA
                assert not self.is_broken[name], "broken while it is broken"
                assert link.actor not in self.broke[name], "twice by one person"
                self.broke[name].append(link.actor)
                self.is_broken[name] = True
                self.glasses += 1
            case "quarantine", _, "glass_over":
                assert self.is_broken[name]
                self.is_broken[name] = False
            case "review", _, "assign":
                assert self.state[name] is State.UNDER_REVIEW
                self.reminded[name] = 0
            case "review", _, "overdue":
                assert self.state[name] is State.UNDER_REVIEW
                self.reminded[name] += 1
                assert self.reminded[name] <= self.reminders
            case _:
                pass

    def _change(self, link: AuditEntry, name: str, event: Event) -> None:
        before = self.state[name]
        after = TRANSITIONS[before, event]
        if event is Event.RELEASE:
            self.asked[name].add(link.actor)
            assert self._enough(name), f"released by {self.asked[name]}"
        if event is Event.QUARANTINE:
            self.broke[name] = []
            assert not self.is_broken[name], "a glass of an earlier quarantine"
            if link.actor == SYSTEM:
                self._is_capped(name)
        self.state[name] = after
        self.changes[name] += 1
        self.asked[name].clear()
        self.reminded[name] = 0

    def _enough(self, name: str) -> bool:
        people = self.asked[name]
        return len(people) >= self.policy.reviewers and people != {DANA}

    def _is_capped(self, name: str) -> None:
        in_service = [one for one in NAMES if self.state[one] not in OUT]
        serving = [one for one in in_service if self.state[one] in SERVING]
        assert len(in_service) == 1 or serving != [name], "the last healthy version was taken"
        held = len(in_service) - len(serving) + 1
        assert len(in_service) < VERSIONS or held <= CAP.fleet_share * len(in_service), "more than the share was taken"

    def _version(self, name: str) -> Version:
        found = self.store.read.version("m1", name)
        assert found is not None
        return found

    def agrees_with_the_tables(self) -> None:
        reviews = self.store.reviews
        opened = {one.version_id: one for one in reviews.glasses_open()}
        total = 0
        for name in NAMES:
            version = self._version(name)
            assert (version.state, version.lock) == (self.state[name], self.changes[name])
            known = reviews.glasses(version.id, LINKS)
            total += len(known)
            assert (version.id in opened) == self.is_broken[name]
            assert all(one.until_us - one.opened_us == 600_000_000 for one in known)
            assert all(one.opened_us <= (one.ended_us or one.until_us) <= one.until_us for one in known)
            for one in reviews.proposals(version.id, LINKS):
                if one.status is ProposalStatus.ACCEPTED:
                    assert len(set(one.signed_by)) == len(one.signed_by) >= max(2, self.policy.reviewers)
        assert total == self.glasses
