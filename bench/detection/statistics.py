"""The statistics of the window-wise peers, computed by the peers themselves, one number per window."""

import contextlib
import os
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np

from bench.detection.peers import WINDOW, length
from bench.detection.streams import Floats, Table
from detectors.columns import Codes, Values

TINY = 1e-300
# Peers that tell their makers of each call would wait for the network.
os.environ |= {"NML_DISABLE_USAGE_LOGGING": "1", "DO_NOT_TRACK": "1"}
AUROC = 0.65
"""The upper limit that NannyML's domain classifier comes with."""


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Send what libraries print, from C too, nowhere."""
    with warnings.catch_warnings(), open(os.devnull, "w", encoding="utf-8") as nowhere:  # noqa: PTH123 - the device
        warnings.simplefilter("ignore")
        saved = os.dup(1), os.dup(2)
        try:
            os.dup2(nowhere.fileno(), 1)
            os.dup2(nowhere.fileno(), 2)
            with np.errstate(all="ignore"):
                yield
        finally:
            for copy, original in zip(saved, (1, 2), strict=True):
                os.dup2(copy, original)
                os.close(copy)


def scipy_surprise(reference: Values, parts: list[Values]) -> Floats:
    """Return -log p of scipy's two-sample Kolmogorov-Smirnov test; of the chi-square test for labels."""
    from scipy import stats

    found = []
    for part in parts:
        if isinstance(reference, Codes) and isinstance(part, Codes):
            size = len(reference.labels)
            table = np.array([np.bincount(v.codes[v.codes >= 0], minlength=size) for v in (reference, part)])
            table = table[:, table.sum(axis=0) > 0]
            p = stats.chi2_contingency(table).pvalue if table.shape[1] > 1 else 1.0
        else:
            one, two = (np.asarray(v, dtype=np.float64) for v in (reference, part))
            one, two = one[~np.isnan(one)], two[~np.isnan(two)]
            p = stats.ks_2samp(one, two).pvalue if len(one) and len(two) else 1.0
        found.append(-np.log(max(float(p), TINY)))
    return np.array(found)


def frame(table: Table, rows: slice = slice(None)) -> Any:
    """Return a data frame; labels become strings."""
    import pandas as pd

    columns: dict[str, Any] = {}
    for name, values in table.items():
        if isinstance(values, Codes):
            codes = values.codes[rows]
            texts = np.array(values.labels, dtype=object)[np.maximum(codes, 0)]
            texts[codes < 0] = None
            columns[name] = texts
        else:
            columns[name] = np.asarray(values[rows], dtype=np.float64)
    return pd.DataFrame(columns)


class EvidentlyReference:
    """A reference, wrapped once."""

    def __init__(self, reference: Table) -> None:
        with quiet():
            from evidently import DataDefinition, Dataset

        self._definition = DataDefinition(
            numerical_columns=[name for name, v in reference.items() if not isinstance(v, Codes)],
            categorical_columns=[name for name, v in reference.items() if isinstance(v, Codes)],
        )
        self._dataset = Dataset.from_pandas(frame(reference), data_definition=self._definition)

    def run(self, window: Table) -> dict[str, Any]:
        """Run the default data drift preset; return its metrics."""
        with quiet():
            from evidently import Dataset, Report
            from evidently.presets import DataDriftPreset

        data = Dataset.from_pandas(frame(window), data_definition=self._definition)
        with quiet():
            found: dict[str, Any] = Report([DataDriftPreset()]).run(data, self._dataset).dict()
        return found

    def share(self, window: Table) -> float:
        """Return the share of drifted columns."""
        value = self.run(window)["metrics"][0]["value"]
        return float(value["share"])


def evidently_distance(reference: Values, parts: list[Values]) -> Floats:
    """Return the distance that the preset chooses for one column, as a multiple of the preset's threshold.

    With more than 1,000 reference rows it is the Wasserstein distance in standard deviations, or the Jensen-Shannon
    distance of labels. With fewer it is a p-value, of which -log is returned, as a multiple of that of the threshold.
    """
    wrapped = EvidentlyReference({"x": reference})
    found = []
    for part in parts:
        metric = wrapped.run({"x": part})["metrics"][1]
        value, threshold = float(metric["value"]), float(metric["config"]["threshold"])
        is_p_value = "p_value" in metric["config"]["method"]
        found.append(np.log(max(value, TINY)) / np.log(threshold) if is_p_value else value / threshold)
    return np.array(found)


def nannyml_distance(reference: Values, parts: list[Values]) -> Floats:
    """Return the Jensen-Shannon distance of each window, as a multiple of NannyML's threshold."""
    whole = _whole(parts)
    if whole is None:
        return np.zeros(0)
    import nannyml

    treat = ["x"] if isinstance(reference, Codes) else []
    with quiet():
        calculator = nannyml.UnivariateDriftCalculator(
            column_names=["x"], treat_as_categorical=treat, chunk_size=WINDOW
        ).fit(frame({"x": reference}))
        table = calculator.calculate(frame({"x": whole})).filter(period="analysis").to_df()["x", "jensen_shannon"]
    return np.asarray(table["value"] / table["upper_threshold"], dtype=np.float64)[: len(parts)]


def _whole(parts: list[Values]) -> Values | None:
    if not parts:
        return None
    if isinstance(parts[0], Codes):
        return Codes(parts[0].labels, np.concatenate([part.codes for part in parts if isinstance(part, Codes)]))
    return np.concatenate([part for part in parts if not isinstance(part, Codes)])


class DomainClassifier:
    """NannyML's domain classifier on all columns; fitting it on the reference takes seconds, so it is kept."""

    def __init__(self, reference: Table) -> None:
        import nannyml
        from nannyml.drift.multivariate.domain_classifier.calculator import DEFAULT_LGBM_HYPERPARAMS

        # One thread, as for everybody else; otherwise the defaults.
        single = DEFAULT_LGBM_HYPERPARAMS | {"n_jobs": 1}
        treat = [name for name, v in reference.items() if isinstance(v, Codes)]
        with quiet():
            self._calculator = nannyml.DomainClassifierCalculator(
                feature_column_names=list(reference),
                treat_as_categorical=treat,
                chunk_size=WINDOW,
                hyperparameters=single,
            ).fit(frame(reference))

    def scores(self, stream: Table) -> Floats:
        """Return the area under the curve of each whole window."""
        rows = length(stream) // WINDOW * WINDOW
        with quiet():
            table = self._calculator.calculate(frame(stream, slice(0, rows))).filter(period="analysis").to_df()
        return np.asarray(table["domain_classifier_auroc", "value"], dtype=np.float64)
