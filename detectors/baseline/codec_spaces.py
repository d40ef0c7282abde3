"""The part of a baseline's bytes that holds spaces.

In the header, ``spaces`` is a list: name, inputs, which of them are categorical, number of raw values, number of
coordinates (0 when raw values are coordinates themselves), seed, and of each fitted score its name, number of
components, exponent, and whether it has amplitudes; and ``tilts``, null or the numbers of parts, statistics, scales and
rows, and whether there is a standard; and ``line``, where there is one, the numbers of blocks, lines, scales, rows and
tied rows. After the arrays of the last column, for each space: centres and inverse
deviations of the raw values (float64), the same of the projection if there is one, and for each score weights (int32,
``components * coordinates``), offsets (int64), amplitudes (int32); then of the tilts centres and inverse deviations of
the standard if there is one, statistics (int32, two each), and float64: slopes, means, variances, variances between
blocks, inflation; and of the line, float64: radius, square and unrest, centre, blocks,
tied lines, inflation of those and of the rest.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detectors.errors import BaselineError, DetectorError
from detectors.exact import COMPONENTS_MAX, DIMENSIONS_MAX, Fitted
from detectors.registry import FITTED
from detectors.spaces import Line, Space, Standard, Tilts
from detectors.spaces.line import BLOCKS, LINES_MAX
from detectors.spaces.space import INPUTS_MAX
from detectors.spaces.tilts import STATISTICS_MAX, WAYS
from detectors.stretches import SCALES_MAX

SPACES_MAX = 256
"""A baseline has at most so many spaces: one of the features, the others of embeddings."""
ROWS_MAX = 2**53
Take = Callable[[np.dtype[Any], int, str], NDArray[Any]]


def describe_space(space: Space) -> dict[str, Any]:
    """Return what the header says of a space.

    Parameters
    ----------
    space : Space
        Of a baseline.

    Returns
    -------
    dict
        Of texts, numbers and lists.
    """
    described: dict[str, Any] = {
        "name": space.name,
        "inputs": list(space.inputs),
        "categorical": list(space.categorical),
        "raw": len(space.standard.centre),
        "projected": 0 if space.projected is None else space.dimensions,
        "seed": space.seed,
        "scores": [
            {
                "name": name,
                "components": len(fitted.weights),
                "exponent": fitted.exponent,
                "weighted": bool(len(fitted.amplitudes)),
            }
            for name, fitted in space.fits.items()
        ],
        "tilts": None if space.tilts is None else _describe_tilts(space.tilts),
    }
    if space.line is not None:
        described["line"] = _describe_line(space.line)
    return described


def _describe_tilts(tilts: Tilts) -> dict[str, Any]:
    return {
        "parts": tilts.parts,
        "statistics": len(tilts.statistics),
        "scales": tilts.inflation.shape[1],
        "rows": tilts.rows,
        "standard": tilts.standard is not None,
    }


def _describe_line(line: Line) -> dict[str, Any]:
    return {
        "blocks": len(line.blocks),
        "lines": len(line.tied_lines),
        "scales": line.rest.shape[1],
        "rows": line.rows,
        "tied": line.tied,
    }


def arrays_of_space(space: Space) -> list[NDArray[Any]]:
    """Return the arrays of a space, in the order in which they are written.

    Parameters
    ----------
    space : Space
        Of a baseline.

    Returns
    -------
    list of ndarray
        Not copied.
    """
    arrays: list[NDArray[Any]] = [space.standard.centre, space.standard.inverse]
    if space.projected is not None:
        arrays += [space.projected.centre, space.projected.inverse]
    for fitted in space.fits.values():
        arrays += [fitted.weights, fitted.offsets, fitted.amplitudes]
    tilts = space.tilts
    if tilts is not None:
        if tilts.standard is not None:
            arrays += [tilts.standard.centre, tilts.standard.inverse]
        arrays += [tilts.statistics, tilts.slopes, tilts.log_means, tilts.variances, tilts.between, tilts.inflation]
    line = space.line
    if line is not None:
        arrays += [np.array([line.radius, line.square, line.unrest]), line.centre]
        arrays += [line.blocks, line.tied_lines, line.inflation, line.rest]
    return arrays


def read_spaces(described: Any, take: Take) -> tuple[Space, ...]:
    """Read the spaces that a header describes.

    Parameters
    ----------
    described : object
        What the header has under ``spaces``; anybody may have written it.
    take : callable
        Returns the next array, given its type, length and place.

    Returns
    -------
    tuple of Space
        With read-only arrays.

    Raises
    ------
    BaselineError
        When anything is wrong; the message names the place.
    """
    if not isinstance(described, list) or len(described) > SPACES_MAX:
        raise BaselineError(f"header: spaces must be a list of at most {SPACES_MAX}")
    found = []
    for i, entry in enumerate(described):
        place = f"spaces[{i}]"
        try:
            found.append(_space(entry, take, place))
        except (KeyError, TypeError) as error:
            raise BaselineError(f"{place}: {type(error).__name__}: {error}") from error
        except DetectorError as error:
            raise error if isinstance(error, BaselineError) else BaselineError(f"{place}: {error}") from error
    if len({space.name for space in found}) != len(found):
        raise BaselineError("header: two spaces have the same name")
    return tuple(found)


def _space(entry: Any, take: Take, place: str) -> Space:
    raw = _whole(entry["raw"], INPUTS_MAX, place)
    size = _whole(entry["projected"], DIMENSIONS_MAX, place)
    standard = _standard(raw, take, place)
    projected = _standard(size, take, place) if size else None
    scores = entry["scores"]
    if not isinstance(scores, list) or len(scores) > len(FITTED):
        raise BaselineError(f"{place}: scores must be a list of at most {len(FITTED)}")
    fits = {_text(score["name"], place): _fitted(score, size or raw, take, place) for score in scores}
    return Space(
        name=_text(entry["name"], place),
        inputs=tuple(_text(name, place) for name in _listed(entry["inputs"], place)),
        categorical=tuple(kind is True for kind in _listed(entry["categorical"], place)),
        seed=_text(entry["seed"], place),
        standard=standard,
        projected=projected,
        fits=fits,
        tilts=None if entry["tilts"] is None else _tilts(entry["tilts"], take, place),
        line=None if "line" not in entry else _line(entry["line"], size or raw, take, place),
    )


def _tilts(entry: Any, take: Take, place: str) -> Tilts:
    parts = _whole(entry["parts"], COMPONENTS_MAX, place, low=1)
    number = _whole(entry["statistics"], STATISTICS_MAX, place, low=1)
    scales = _whole(entry["scales"], SCALES_MAX, place)
    real = np.dtype(np.float64)
    standard = _standard(parts, take, place) if entry["standard"] is True else None
    statistics = take(np.dtype(np.int32), 2 * number, place).reshape(number, 2)
    slopes = take(real, 2 * number * WAYS, place).reshape(number, WAYS, 2)
    log_means, variances, between = (take(real, number * WAYS, place).reshape(number, WAYS) for _ in range(3))
    return Tilts(
        standard=standard,
        parts=parts,
        statistics=statistics,
        slopes=slopes,
        log_means=log_means,
        variances=variances,
        between=between,
        inflation=take(real, (number + 1) * scales, place).reshape(number + 1, scales),
        rows=_whole(entry["rows"], ROWS_MAX, place, low=1),
    )


def _line(entry: Any, size: int, take: Take, place: str) -> Line:
    blocks = _whole(entry["blocks"], BLOCKS, place, low=1)
    lines = _whole(entry["lines"], LINES_MAX, place)
    scales = _whole(entry["scales"], SCALES_MAX, place)
    if size > DIMENSIONS_MAX:
        raise BaselineError(f"{place}: a line of {size} coordinates; at most {DIMENSIONS_MAX} are possible")
    real = np.dtype(np.float64)
    radius, square, unrest = take(real, 3, place).tolist()
    return Line(
        radius=radius,
        square=square,
        unrest=unrest,
        centre=take(real, size, place),
        blocks=take(real, blocks * size, place).reshape(blocks, size),
        tied_lines=take(real, lines * size, place).reshape(lines, size),
        inflation=take(real, lines * scales, place).reshape(lines, scales),
        rest=take(real, (lines + 1) * scales, place).reshape(lines + 1, scales),
        rows=_whole(entry["rows"], ROWS_MAX, place, low=1),
        tied=_whole(entry["tied"], ROWS_MAX, place),
    )


def _standard(size: int, take: Take, place: str) -> Standard:
    kind = np.dtype(np.float64)
    return Standard(centre=take(kind, size, place), inverse=take(kind, size, place))


def _fitted(entry: Any, coordinates: int, take: Take, place: str) -> Fitted:
    components = _whole(entry["components"], COMPONENTS_MAX, place)
    if coordinates > DIMENSIONS_MAX:
        raise BaselineError(f"{place}: {coordinates} coordinates; at most {DIMENSIONS_MAX} are possible")
    weights = take(np.dtype(np.int32), components * coordinates, place)
    return Fitted(
        weights=weights.reshape(components, coordinates),
        offsets=take(np.dtype(np.int64), components, place),
        exponent=_whole(entry["exponent"], 64, place, low=-64),
        amplitudes=take(np.dtype(np.int32), components if entry["weighted"] is True else 0, place),
    )


def _listed(value: Any, place: str) -> Sequence[Any]:
    if not isinstance(value, list) or len(value) > INPUTS_MAX:
        raise BaselineError(f"{place}: a list of at most {INPUTS_MAX} is needed")
    return value


def _text(value: Any, place: str) -> str:
    if not isinstance(value, str):
        raise BaselineError(f"{place}: a text is needed")
    return value


def _whole(value: Any, high: int, place: str, low: int = 0) -> int:
    if type(value) is not int or not low <= value <= high:
        raise BaselineError(f"{place}: an integer from {low} to {high} is needed")
    return value
