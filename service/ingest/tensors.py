"""Payloads of model servers, reduced to one form: named tensors, or a list of instances.

Understood: V1 (``instances``, ``predictions``), the Open Inference Protocol V2 (``inputs``, ``outputs``) with its
binary tensor extension, Seldon's ``data``, and MLflow's ``dataframe_split`` and ``dataframe_records``.
"""

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from service.domain.errors import Place, TooLarge, Unprocessable
from service.ingest.guard import check_nesting, first_value_end
from service.ingest.lenient import parse_json
from service.ingest.limits import Limits

_TYPES: Mapping[str, np.dtype[Any]] = {
    "BOOL": np.dtype("?"),
    **{f"INT{8 * size}": np.dtype(f"<i{size}") for size in (1, 2, 4, 8)},
    **{f"UINT{8 * size}": np.dtype(f"<u{size}") for size in (1, 2, 4, 8)},
    **{f"FP{8 * size}": np.dtype(f"<f{size}") for size in (2, 4, 8)},
}


@dataclass(frozen=True, slots=True)
class Tensor:
    """One tensor: its values row by row."""

    name: str
    shape: tuple[int, ...]
    values: list[Any]

    @property
    def rows(self) -> int:
        """The length of the first axis; 1 for a scalar."""
        return self.shape[0] if self.shape else 1

    @property
    def width(self) -> int:
        """Values of one row."""
        return prod(self.shape[1:])

    def row(self, i: int) -> list[Any]:
        """Return the values of one row."""
        return self.values[i * self.width : (i + 1) * self.width]


@dataclass(frozen=True, slots=True)
class Instances:
    """Rows as the client wrote them: objects, lists or single values, with the names of list positions if given."""

    rows: Sequence[Any]
    names: tuple[str, ...] | None = None


def parse_payload(payload: bytes, json_bytes: int | None, limits: Limits) -> list[Tensor] | Instances:
    """Return the tensors or instances of a request's or a response's payload.

    Raises
    ------
    BadRequest
        If its JSON is malformed.
    TooLarge
        Over a limit.
    Unprocessable
        If it is of no known form, or its tensors do not have the size that they claim.
    """
    end = first_value_end(payload) if json_bytes is None else json_bytes
    head, tail = payload[:end], payload[end:]
    check_nesting(head, limits)
    top = parse_json(head, limits)
    if not isinstance(top, dict):
        raise _unknown("must be an object")
    for key in ("inputs", "outputs"):
        if isinstance(top.get(key), list) and all(isinstance(each, dict) and "shape" in each for each in top[key]):
            return _tensors(key, top[key], tail, limits)
    if tail.strip():
        raise _unknown("has more bytes after its JSON, but no tensors")
    return _instances(top, limits)


def _unknown(reason: str) -> Unprocessable:
    known = "instances, predictions, inputs, outputs, data, dataframe_split, dataframe_records"
    return Unprocessable(f"the payload {reason}; known forms: {known}", places=[Place("data", reason)])


def _instances(top: Mapping[str, Any], limits: Limits) -> Instances:
    for key in ("instances", "predictions", "dataframe_records", "inputs"):
        if isinstance(top.get(key), list):
            return Instances(top[key])
    split, data = top.get("dataframe_split"), top.get("data")
    if isinstance(split, dict) and isinstance(split.get("data"), list):
        return Instances(split["data"], _names(split.get("columns")))
    if isinstance(data, dict) and isinstance(data.get("ndarray"), list):
        return Instances(data["ndarray"], _names(data.get("names")))
    if isinstance(data, dict) and isinstance(data.get("tensor"), dict):
        tensor = data["tensor"]
        shape, values = check_shape("data.tensor", tensor.get("shape"), limits), tensor.get("values")
        if not isinstance(values, list) or len(values) != prod(shape):
            raise _unknown("has a tensor whose values do not fill its shape")
        whole = Tensor("", shape, values)
        return Instances([whole.row(i) for i in range(whole.rows)], _names(data.get("names")))
    raise _unknown("is of no known form")


def _names(value: object) -> tuple[str, ...] | None:
    return tuple(map(str, value)) if isinstance(value, list) and value else None


def check_shape(at: str, value: object, limits: Limits) -> tuple[int, ...]:
    """Return a tensor's shape.

    Raises
    ------
    TooLarge, Unprocessable
        If it is over a limit or no shape.
    """
    if not isinstance(value, list) or not all(type(each) is int and each >= 0 for each in value):
        raise Unprocessable(f"{at}.shape is not a shape", places=[Place(f"{at}.shape", "must be a list of integers")])
    if value and value[0] > limits.rows_max:
        raise TooLarge(f"{at} has {value[0]} rows; limit {limits.rows_setting}: {limits.rows_max}")
    if prod(value) > limits.cells_max:
        raise TooLarge(f"{at} has {prod(value)} values; at most {limits.cells_max}")
    return tuple(value)


def _tensors(key: str, values: Sequence[Mapping[str, Any]], tail: bytes, limits: Limits) -> list[Tensor]:
    tensors, start = [], 0
    for i, value in enumerate(values):
        at = f"{key}[{i}]"
        shape = check_shape(at, value.get("shape"), limits)
        parameters = value.get("parameters")
        size = parameters.get("binary_data_size") if isinstance(parameters, dict) else None
        if size is None:
            flat = _flat(value.get("data"), limits)
        else:
            flat = read_binary(at, str(value.get("datatype")), shape, tail[start:], size)
            start += size
        if len(flat) != prod(shape):
            reason = f"has {len(flat)} values; its shape {list(shape)} needs {prod(shape)}"
            raise Unprocessable(f"{at} {reason}", places=[Place(at, reason)])
        tensors.append(Tensor(str(value.get("name", "")), shape, flat))
    if start != len(tail):
        reason = f"{len(tail) - start} bytes follow the last tensor"
        raise Unprocessable(reason, places=[Place(key, reason)])
    return tensors


def _flat(data: object, limits: Limits) -> list[Any]:
    """Return the values of nested lists in row order."""
    flat = data if isinstance(data, list) else [data]
    for _ in range(limits.json_depth_max):
        if not any(isinstance(each, list) for each in flat):
            break
        flat = [inner for each in flat for inner in (each if isinstance(each, list) else [each])]
    return flat


def read_binary(at: str, datatype: str, shape: tuple[int, ...], tail: bytes, size: object) -> list[Any]:
    """Return the values of a tensor written little-endian, row by row, at the start of ``tail``.

    Raises
    ------
    Unprocessable
        If its size is not that of its shape.
    """
    if type(size) is not int or not 0 <= size <= len(tail):
        reason = f"needs {size} bytes; {len(tail)} are left"
        raise Unprocessable(f"{at} {reason}", places=[Place(f"{at}.parameters.binary_data_size", reason)])
    if datatype == "BYTES":
        return _texts(at, tail[:size])
    kind = _TYPES.get(datatype)
    if kind is None or prod(shape) * kind.itemsize != size:
        reason = f"{size} bytes are not {list(shape)} of {datatype}"
        if kind is None:
            reason = f"{datatype[:20]!r} is not a datatype"
        raise Unprocessable(f"{at}: {reason}", places=[Place(at, reason)])
    values: list[Any] = np.frombuffer(tail, kind, prod(shape)).tolist()
    return values


def _texts(at: str, data: bytes) -> list[Any]:
    """Return the elements of a BYTES tensor: each is preceded by its length. What is not UTF-8 is invalid."""
    texts: list[Any] = []
    start = 0
    while start < len(data):
        try:
            (length,) = struct.unpack_from("<I", data, start)
        except struct.error:
            length = len(data)
        if start + 4 + length > len(data):
            raise Unprocessable(f"{at} is cut short", places=[Place(at, "an element is longer than the tensor")])
        piece = data[start + 4 : start + 4 + length]
        try:
            texts.append(piece.decode())
        except UnicodeDecodeError:
            texts.append([])
        start += 4 + length
    return texts
