"""What an operator vouches for, over HTTP and the command line; and a second baseline is compared with the first."""

import csv
import json
from pathlib import Path

import httpx
import numpy as np

from tests.integration.http.conftest import Served, register, run

DIGEST = "ab" * 32


def test_what_is_vouched_for_is_put_shown_and_refused_with_places(
    served: Served, client: httpx.Client, tmp_path: Path
) -> None:
    register(client, "vouched")
    path = "/v1/models/vouched/versions/1/vouched"
    assert client.get(path).json() == {"artefact": None, "canaries": [], "from_position": 0}
    wanted = {"artefact": f"sha256:{DIGEST}", "canaries": [{"key": "c1", "prediction": "fraud"}]}
    answer = client.put(path, json=wanted)
    assert answer.status_code == 200, answer.text
    assert answer.json()["artefact"] == DIGEST
    assert client.get(path).json() == answer.json()
    for body, at in (
        ({"artefact": "latest"}, "artefact"),
        ({"canaries": [{"key": "", "prediction": "fraud"}]}, "canaries[0].key"),
        ({"canaries": [{"key": "a", "prediction": "no class"}]}, "canaries[0].prediction"),
        ({"from_position": 0}, "from_position"),
    ):
        refused = client.put(path, json=body)
        assert refused.status_code == 422, refused.text
        assert at in [place["at"] for place in refused.json()["errors"]]
    file = tmp_path / "vouched.json"
    words = ("vouch", str(file), "--model", "vouched", "--version", "1", "--url", served.url)
    file.write_text(json.dumps({"canaries": []}))
    key = client.headers["authorization"].removeprefix("Bearer ")
    assert "any artefact and 0 canaries" in run(*words, "--key", key)
    file.write_text(json.dumps({"artefact": "latest"}))
    assert "no SHA-256" in run(*words, "--key", key, expect=1)
    assert "scope admin" in run(*words, expect=1)
    assert "cannot read" in run("vouch", str(tmp_path / "none"), *words[2:], "--key", key, expect=1)


def test_a_second_baseline_is_compared_with_the_first(client: httpx.Client, tmp_path: Path) -> None:
    register(client, "again")
    rng = np.random.default_rng(0)

    def put(moved: float) -> tuple[int, list[str]]:
        file = tmp_path / "reference.csv"
        with file.open("w", newline="") as content:
            writer = csv.writer(content)
            writer.writerow(["age", "country", "prediction"])
            writer.writerows([f"{rng.normal(40 + moved, 10):.3f}", "DE", "ok"] for _ in range(2_000))
        answer = client.put(
            "/v1/models/again/versions/1/baseline", content=file.read_bytes(), headers={"content-type": "text/csv"}
        )
        assert answer.is_success, answer.text
        warnings = answer.json()["warnings"]
        return answer.status_code, [warning["column"] for warning in warnings if warning["code"] == "moved"]

    assert put(0.0) == (200, [])
    assert put(0.0) == (200, [])
    assert put(20.0) == (202, ["age"])
