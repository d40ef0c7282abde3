"""The story on the terminal."""

import io

from rich.console import Console

from service.demo.scene import Scene
from service.demo.view import draw, sparkline


def drawn(scene: Scene) -> str:
    console = Console(file=io.StringIO(), width=120, color_system=None)
    console.print(draw(scene))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_the_empty_scene_can_be_drawn() -> None:
    assert "no evidence yet" in drawn(Scene())


def test_the_scene_shows_gate_state_evidence_and_where_to_look() -> None:
    scene = Scene(chapter="the camera is failing", sent=20_480, right=37, judged=40, gate=403, state="under_review")
    scene.evidence, scene.threshold, scene.events = 9.3, 6.4, 20_000
    scene.columns, scene.console = [("grain", 9.1), ("ink", -2.0)], "http://127.0.0.1:1"
    scene.history.extend([-1.0, 2.0, 9.3])
    scene.say("The gate answers 403.")
    text = drawn(scene)
    for expected in (
        "403",
        "under review",
        "20,480",
        "92%",
        "10^9.3 of 10^6.4",
        "grain 10^9.1",
        "http://127.0.0.1:1",
        "answers 403",
    ):
        assert expected in text
    assert "ink" not in text


def test_the_log_keeps_only_the_latest_lines() -> None:
    scene = Scene()
    for number in range(100):
        scene.say(f"line {number}.")
    text = drawn(scene)
    assert "line 99." in text
    assert "line 50." not in text


def test_a_sparkline_fills_a_block_at_the_threshold() -> None:
    assert sparkline([-3.0, 0.0, 3.2, 6.4, 99.0], 6.4) == "  ▄██"
