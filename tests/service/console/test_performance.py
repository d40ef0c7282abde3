"""What the page of a version says of labels: figures beside the reference's, and whose labels were lost."""

from dataclasses import replace

import msgspec

from service.console.performance import PerformanceSection, performance_section
from service.domain.performance import ClassSeen, FiguresSeen, PerformanceSeen, WindowSeen
from tests.service.console.seeding import busy_fleet
from tests.service.console.test_read_models import facts_of


def figures(answers: int, wrong: float, classes: int = 2) -> FiguresSeen:
    row = ClassSeen(name="<b>a</b>", support=10, answered=10, recall=(0.5, 0.2, 0.8), precision=(0.5, 0.2, 0.8))
    names = [row, *(msgspec.structs.replace(row, name=f"c{i}") for i in range(1, classes))]
    table = tuple(tuple(int(i == j) * 4 + 1 for j in range(classes + 1)) for i in range(classes + 1))
    limits = (wrong, wrong - 0.01, wrong + 0.01)
    return FiguresSeen(answers=answers, wrong=limits, log_loss=0.3, classes=tuple(names), confusion=table)


def window(answers: int, wrong: float, classes: int = 2) -> WindowSeen:
    return WindowSeen(
        start_us=0,
        end_us=1,
        figures=figures(answers, wrong, classes),
        delay_median_seconds=7_200.0,
        delay_p95_seconds=86_400.0,
    )


def found(seen: PerformanceSeen | None) -> PerformanceSection | None:
    facts = facts_of(busy_fleet(), "digits", "1")
    return performance_section(replace(facts, status=msgspec.structs.replace(facts.status, performance=seen)))


def section_of(seen: PerformanceSeen) -> PerformanceSection:
    section = found(seen)
    assert section is not None
    return section


def test_there_is_no_section_while_no_label_has_come() -> None:
    assert found(None) is None
    assert found(PerformanceSeen(kind="class", remembered=100)) is None


def test_where_the_reference_has_labels_the_page_says_that_they_are_awaited() -> None:
    section = section_of(PerformanceSeen(kind="class", capacity=50_000, baseline=figures(900, 0.05)))
    assert section.text.startswith("No label has come yet. The reference has labels")
    assert [(row.name, row.values, row.baseline, row.worse) for row in section.rows] == [
        ("Wrong answers", (), ("5.0%", "4.0% to 6.0%"), False)
    ]
    assert (section.notes, section.windows, section.confusion) == ((), (), ())


def test_figures_stand_beside_those_of_the_reference_and_worse_ones_are_marked() -> None:
    windows = {"1h": window(5, 0.2), "1d": window(50, 0.2), "7d": window(90, 0.1), "total": window(90, 0.1)}
    seen = PerformanceSeen(
        kind="class", joined=90, remembered=180, labelled=45, late=3, windows=windows, baseline=figures(900, 0.05)
    )
    section = section_of(seen)
    assert section.windows == ("last day: 50", "last 7 days: 90")
    wrong = section.rows[0]
    assert (wrong.name, wrong.worse) == ("Wrong answers", True)
    assert wrong.baseline == ("5.0%", "4.0% to 6.0%")
    assert wrong.values == (("20.0%", "19.0% to 21.0%"), ("10.0%", "9.0% to 11.0%"))
    assert "25.0% have one" in section.text
    assert "2 hours after its answer (median); 95 of 100 within 1 day" in section.text
    assert section.notes == ("Of other labels 3 came after their answer was forgotten.",)


def test_many_classes_are_one_more_row_and_no_answer_is_lost() -> None:
    windows = {"1d": window(500, 0.2, 9)}
    section = section_of(PerformanceSeen(kind="class", joined=500, windows=windows))
    assert section.classes[-1] == "other"
    assert len(section.classes) == len(section.confusion) == 7
    whole = sum(int(number) for row in section.confusion for number, _, _ in row.cells)
    assert whole == 10 * 10 + 4 * 10
    assert not any(right for _, _, right in section.confusion[-1].cells)


def test_labels_that_met_nothing_are_told_too() -> None:
    section = section_of(PerformanceSeen(kind="number", unknown=2, unfit=1, lacking="there is no baseline"))
    assert (section.rows, section.confusion) == ((), ())
    assert "none of them met an answer" in section.text
    assert section.notes[0] == "Not bet on: there is no baseline."
