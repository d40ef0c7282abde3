"""What a run leaves in a Lazaretto that goes on."""

from collections.abc import Mapping
from typing import Any

from redteam.leaving import LIST_MAX, LOOKS_MAX, WAYS, leave, truth_of
from redteam.problems import Stopped
from redteam.session import Kind
from service.domain.states import Event, State, next_state


class Lazaretto:
    """Versions and incidents of one model."""

    def __init__(self, states: Mapping[str, State], incidents: Mapping[str, str]) -> None:
        self.states = dict(states)
        self.incidents = dict(incidents)
        """Open ones, with their version."""
        self.verdicts: dict[str, str] = {}
        self.refuses = False

    def ask(self, method: str, path: str, **given: Any) -> Any:
        if self.refuses:
            raise Stopped("away")
        if path == "/v1/models/redteam-x":
            return {"versions": [{"version": name, "state": str(state)} for name, state in self.states.items()]}
        if path == "/v1/incidents":
            which = given["params"]
            assert which["limit"] == LIST_MAX
            own = [one for one, version in self.incidents.items() if version == which["version"]]
            return {"incidents": [{"id": one} for one in own if which["status"] == "open"][:2]}
        if path.endswith("/resolve"):
            name = path.split("/")[3]
            del self.incidents[name]
            self.verdicts[name] = given["json"]["verdict"]
            return {}
        assert method == "POST"
        version = path.split("/")[5]
        self.states[version] = next_state(self.states[version], Event(given["json"]["event"]))
        return {}


def test_from_every_state_there_is_a_way_to_the_end() -> None:
    states = {f"v-{state}": state for state in State}
    service = Lazaretto(states, {})
    assert leave(service.ask, "redteam-x", {})
    assert set(service.states.values()) == {State.RETIRED}
    assert set(WAYS) == {str(state) for state in State} - {"retired"}


def test_every_open_incident_is_resolved_as_what_it_was() -> None:
    service = Lazaretto({"1": State.ACTIVE, "2": State.SUSPECT}, {f"i{n}": str(1 + n % 2) for n in range(9)})
    assert leave(service.ask, "redteam-x", {"i3": truth_of(Kind.EXPLANATION), "i4": truth_of(Kind.ATTACK)})
    assert service.incidents == {}
    assert service.verdicts.pop("i3") == "false alarm"
    assert set(service.verdicts.values()) == {"attack"}
    assert len(service.verdicts) == 8


def test_a_service_that_is_away_or_that_never_ends_breaks_no_run() -> None:
    service = Lazaretto({"1": State.ACTIVE}, {"i": "1"})
    service.refuses = True
    assert not leave(service.ask, "redteam-x", {})
    assert service.states == {"1": State.ACTIVE}
    service.refuses = False
    looks = []

    def endless(method: str, path: str, **given: Any) -> Any:
        if path == "/v1/incidents":
            looks.append(given)
            return {"incidents": [{"id": f"i{len(looks)}"}]}
        return {} if path.endswith("/resolve") else service.ask(method, path, **given)

    assert leave(endless, "redteam-x", {})
    assert len(looks) == 2 * LOOKS_MAX
    assert service.states == {"1": State.RETIRED}
