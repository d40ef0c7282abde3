"""When two frames are the same."""

import dataclasses

import numpy as np

from service.frames import Coded, Frame, Texts


def same(a: Frame, b: Frame) -> None:
    """Assert that two frames hold the same, NaN included."""
    for field in dataclasses.fields(Frame):
        np.testing.assert_equal(plain(getattr(a, field.name)), plain(getattr(b, field.name)))


def plain(value: object) -> object:
    """Turn coded columns into the text that they mean, so that equal columns compare equal."""
    if isinstance(value, Coded):
        named = (*value.labels, "<invalid>", "<missing>")
        return [named[code] for code in value.codes.tolist()]
    if isinstance(value, dict):
        return {key: plain(each) for key, each in value.items()}
    if isinstance(value, tuple | Texts):
        return [plain(each) for each in value]
    return value
