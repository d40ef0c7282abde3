"""Several frames to one, so that many small batches cost a few numpy calls."""

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import replace
from itertools import accumulate, chain
from typing import Any

import numpy as np

from service.frames.model import INVALID, MISSING, Coded, Frame
from service.frames.prints import join_prints

_SPECIALS = -INVALID


def concat_frames(frames: Sequence[Frame]) -> list[Frame]:
    """Join frames that carry the same things into one each, so that many small batches cost a few numpy calls.

    Groups come in the order of their first frame; rows keep the order of ``frames`` within their group.
    """
    groups: dict[Hashable, list[Frame]] = {}
    for frame in frames:
        groups.setdefault(_carried(frame), []).append(frame)
    return [group[0] if len(group) == 1 else _join(group) for group in groups.values()]


def between(frame: Frame, start: int, stop: int) -> Frame:
    """Return some neighbouring events of a frame of ``decode_columns``, as copies: a view would keep all in memory."""
    return replace(
        frame,
        rows=stop - start,
        numeric=frame.numeric[:, start:stop].copy(),
        categorical=tuple([Coded(column.labels, column.codes[start:stop].copy()) for column in frame.categorical]),
        embeddings={name: values[start:stop].copy() for name, values in frame.embeddings.items()},
        segments={
            name: Coded(column.labels, column.codes[start:stop].copy()) for name, column in frame.segments.items()
        },
    )


def _carried(frame: Frame) -> Hashable:
    return (
        frame.numeric_names,
        frame.categorical_names,
        frame.numeric.dtype,
        tuple([(name, values.shape[1]) for name, values in frame.embeddings.items()]) if frame.embeddings else (),
        frame.principals is None,
        frame.event_ids is None,
        frame.timestamps_us is None,
        tuple(frame.segments),
        tuple(frame.attributions),
    )


def _join(group: Sequence[Frame]) -> Frame:
    first = group[0]
    rows = [frame.rows for frame in group]
    return Frame(
        rows=sum(rows),
        numeric_names=first.numeric_names,
        numeric=np.concatenate([frame.numeric for frame in group], axis=1),
        categorical_names=first.categorical_names,
        categorical=tuple(
            [_join_coded(columns, rows) for columns in zip(*[frame.categorical for frame in group], strict=True)]
        ),
        embeddings=_join_each(group, lambda frame: frame.embeddings, np.concatenate),
        principals=_join_coded([frame.principals for frame in group if frame.principals is not None], rows)
        if first.principals is not None
        else None,
        event_ids=tuple(chain.from_iterable([frame.event_ids or () for frame in group]))
        if first.event_ids is not None
        else None,
        timestamps_us=np.concatenate([frame.timestamps_us for frame in group if frame.timestamps_us is not None])
        if first.timestamps_us is not None
        else None,
        segments=_join_each(group, lambda frame: frame.segments, lambda columns: _join_coded(columns, rows)),
        attributions=_join_each(group, lambda frame: frame.attributions, np.concatenate),
        fingerprints=join_prints([(frame.fingerprints, frame.rows) for frame in group]),
    )


def _join_each(
    group: Sequence[Frame], part: Callable[[Frame], dict[str, Any]], join: Callable[[list[Any]], Any]
) -> dict[str, Any]:
    return {name: join([part(frame)[name] for frame in group]) for name in part(group[0])}


def _join_coded(columns: Iterable[Coded], rows: Sequence[int]) -> Coded:
    columns = list(columns)
    flat = list(chain.from_iterable([column.labels for column in columns]))
    index = {label: code for code, label in enumerate(dict.fromkeys(flat))}
    # Old codes, made unique over all frames by an offset, look up their new code; special values look up themselves.
    table = np.fromiter(chain((INVALID, MISSING), map(index.__getitem__, flat)), np.int32, len(flat) + _SPECIALS)
    offsets = np.fromiter(accumulate([len(column.labels) for column in columns], initial=0), np.int32, len(columns) + 1)
    codes = np.concatenate([column.codes for column in columns])
    spread = np.repeat(offsets[:-1], rows)
    return Coded(tuple(index), table[np.where(codes < 0, codes, codes + spread) + _SPECIALS])
