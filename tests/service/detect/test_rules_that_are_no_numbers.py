"""TOML knows numbers that are none: a rule with such an end is refused, and nothing falls over it."""

import math

import msgspec

from service.domain.requests import Requests, bad_requests


def test_an_end_that_is_no_number_is_named() -> None:
    told = {
        "rules": [
            {"kind": "range", "columns": ["a"], "low": math.nan, "high": 1.0},
            {"kind": "integer", "columns": ["a"]},
        ]
    }
    found = {place.at: place.reason for place in bad_requests(msgspec.convert(told, Requests), "requests.")}
    assert found == {"requests.rules[0].low": "is no number"}
