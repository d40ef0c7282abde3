"""What is told of a victim's requests, fingerprints among it."""

import numpy as np
import pyarrow as pa
import pytest

from detectors.principals.fingerprint import Fingerprinter, salt_tag, take_apart
from redteam.plan import Plan, read_plan
from redteam.problems import Refused
from redteam.telemetry import FINGERPRINT, LATENCY, arrow_of, beside, maker_of, salt_of, salts_of
from tests.redteam.toys import toy_victim

VICTIM = toy_victim((8, 8), low=0.25, high=0.75, count=30)
HTTP = (
    'attacks = ["zoo"]\n[victim.http]\nurl = "http://127.0.0.1:1/"\ndata = "x.npz"\nlow = 0\nhigh = 1\n'
    'budget = 1\nbudget_linf = 1\ngrain = 1\nsalt_env = "SALT"\n'
)


def table_of(content: bytes) -> pa.Table:
    return pa.ipc.open_stream(content).read_all()


def test_fingerprints_are_those_that_a_model_server_with_the_secret_makes() -> None:
    salt, inputs = salt_of("digits", 3), VICTIM.reference[0][:5]
    more = beside(inputs, np.arange(5, dtype=np.float32), maker_of(VICTIM, salt))
    content = arrow_of(VICTIM, inputs, VICTIM.predict(inputs), [str(i) for i in range(5)], ["a"] * 5, more)
    table = table_of(content)
    assert table.column(LATENCY).to_pylist() == [0, 1, 2, 3, 4]
    told = np.frombuffer(b"".join(table.column(FINGERPRINT).to_pylist()), np.uint8).reshape(5, -1)
    served = Fingerprinter(salt, 64, low=0.25, high=0.75).of(inputs.astype(np.float32).astype(np.float64))
    np.testing.assert_array_equal(told, served)
    assert take_apart(told, salt_tag(salt)).valid.all()


def test_a_deployment_without_a_secret_tells_no_fingerprints() -> None:
    inputs = VICTIM.reference[0][:5]
    assert beside(inputs, None, None) == {}
    assert FINGERPRINT not in table_of(arrow_of(VICTIM, inputs, VICTIM.predict(inputs))).column_names


def test_secrets_differ_by_victim_and_seed_and_are_the_same_again() -> None:
    plan = read_plan('victims = ["digits", "cancer-forest"]\nattacks = ["zoo"]\nfingerprints = true')
    found = salts_of(plan)
    assert set(found) == {"digits", "cancer-forest"}
    assert len({*found.values(), *salts_of(plan.seeded(1)).values()}) == 4
    assert salts_of(plan) == found
    assert salts_of(read_plan('victims = ["digits"]\nattacks = ["zoo"]')) == {}
    with pytest.raises(Refused, match="fingerprints: must be true or false"):
        read_plan('victims = ["digits"]\nattacks = ["zoo"]\nfingerprints = 1')


def test_the_secret_of_an_endpoint_comes_from_the_environment_and_is_refused_when_it_is_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plan: Plan = read_plan(HTTP)
    monkeypatch.setenv("SALT", "0f" * 16)
    assert salts_of(plan) == {"http": b"\x0f" * 16}
    for odd in (None, "", "0f" * 15, "not hexadecimal, but long enough"):
        if odd is None:
            monkeypatch.delenv("SALT")
        else:
            monkeypatch.setenv("SALT", odd)
        with pytest.raises(Refused, match=r"victim\.http\.salt_env: \$SALT must be at least 32 hexadecimal digits"):
            salts_of(plan)
