"""What a version's entries say of cost, of labels, and of what an operator vouches for.

Like what is known of principals it is memory of the worker: in no snapshot, and begun anew when the worker starts.
"""

from service.detect.costs import CostWatch
from service.detect.labelled import LabelWatch
from service.detect.rations import Ration
from service.detect.vouched import NAMED, VouchedWatch
from service.domain.adversarial import Following
from service.domain.evaluation import UseFound
from service.domain.ids import Micros, Position, VersionId
from service.domain.principals import ModelFinding, PrincipalFinding
from service.domain.vouched import Vouched
from service.frames import Frame, FrameError, decode_frame
from service.frames.labels import LabelsError, read_labels
from service.ports import LogEntry


class Conduct:
    """Looks at the entries of one version, as far as a policy or an operator asks for it."""

    def __init__(self, version_id: VersionId, following: Following | None = None, key: bytes = b"") -> None:
        self._version_id = version_id
        self._follows = following is not None
        if following is not None:
            self._ration = Ration(following, key)
            self._costs, self._labels = CostWatch(following), LabelWatch(following)
        self._vouched = VouchedWatch()
        self._found: list[UseFound] = []

    def take(self, entry: LogEntry, vouched: Vouched | None) -> None:
        """Look at the events of an entry."""
        if vouched is not None and (vouched.empty or entry.position <= vouched.from_position):
            vouched = None
        if not self._follows and (vouched is None or not _names(entry)):
            return
        try:
            frame = decode_frame(entry.body)
        except FrameError:
            # Who counts it says so.
            return
        principals = self._follow(frame, entry.arrival_us) if self._follows else []
        model = [] if vouched is None else self._vouched.check(frame, vouched, entry.arrival_us)
        self._tell(entry.position, entry.arrival_us, principals, model)

    def take_labels(self, entry: LogEntry) -> None:
        """Look at the labels of an entry."""
        if not self._follows:
            return
        try:
            labels = read_labels(entry.body)
        except LabelsError:
            return
        self._tell(entry.position, entry.arrival_us, [], self._labels.report(labels, entry.arrival_us))

    def take_found(self) -> list[UseFound]:
        """Return what was found since the last call."""
        found, self._found = self._found, []
        return found

    def status(self) -> dict[str, object]:
        """Return what the status says of it."""
        told: dict[str, object] = {
            "canaries_checked": self._vouched.checked,
            "canaries_wrong": self._vouched.wrong,
            "vouched_odd": self._vouched.odd,
        }
        if self._follows:
            told["cost_rounds"] = self._costs.costs.rounds
            told["labels_joined"] = self._labels.feedback.joined
            told["labels_unknown"] = self._labels.feedback.unknown
        return told

    def _follow(self, frame: Frame, at_us: Micros) -> list[PrincipalFinding]:
        found = self._costs.close_due(at_us)
        if frame.principals is not None:
            rows, names = self._ration.choose(frame.principals, at_us)
            self._costs.take(frame, rows, names)
            self._labels.take(frame, rows.tolist(), names)
        return found

    def _tell(
        self, position: Position, at_us: Micros, principals: list[PrincipalFinding], model: list[ModelFinding]
    ) -> None:
        if principals or model:
            found = UseFound(
                version_id=self._version_id,
                position=position,
                at_us=at_us,
                principals=tuple(principals),
                model=tuple(model),
            )
            self._found.append(found)


def _names(entry: LogEntry) -> bool:
    """Tell whether an entry may hold what is vouched for: the names of segments stand in it as they are."""
    body = bytes(entry.body)
    return any(name in body for name in NAMED)
