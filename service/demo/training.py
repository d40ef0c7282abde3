"""The training job: fit a classifier, and write what a deployment needs.

``python -m service.demo.training OUT`` writes ``model.joblib`` for the model server and ``reference.arrow``, the
reference data that the monitor's baseline is compiled from: what the model saw and answered on images that it was not
trained on. Its rows are grouped by image, so that each contiguous block of it holds different images and the monitor
learns how much the figures move when only the images change.
"""

import argparse
from pathlib import Path

import numpy as np
import pyarrow as pa

from service.demo.classifier import Classifier
from service.demo.world import CLASSES, FEATURES, Camera, Digits, measure, split_digits

PICTURES_PER_IMAGE = 40
"""How often each image is photographed, for training and for the reference data alike."""


def train(digits: Digits, seed: int) -> Classifier:
    """Fit the classifier on many photographs of each training image."""
    rng = np.random.default_rng([seed, 1])
    classifier = Classifier(seed)
    images = np.repeat(digits.images, PICTURES_PER_IMAGE, axis=0)
    classifier.fit(Camera().photograph(images, rng), np.repeat(digits.labels, PICTURES_PER_IMAGE))
    return classifier


def reference(classifier: Classifier, digits: Digits, seed: int) -> pa.Table:
    """Photograph the baseline images, image after image, and record what the model server would report."""
    rng = np.random.default_rng([seed, 2])
    pictures = Camera().photograph(np.repeat(digits.images, PICTURES_PER_IMAGE, axis=0), rng)
    features, probabilities = measure(pictures), classifier.probabilities(pictures)
    columns = {f"features.{name}": features[:, place] for place, name in enumerate(FEATURES)}
    columns["prediction"] = np.asarray(CLASSES)[probabilities.argmax(axis=1)]
    columns |= {f"probabilities.{name}": probabilities[:, place] for place, name in enumerate(CLASSES)}
    return pa.table(columns)


def main() -> None:
    """Run the job."""
    import joblib

    parser = argparse.ArgumentParser(description="Train the demo's classifier and write its reference data.")
    parser.add_argument("out", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    split = split_digits(arguments.seed)
    classifier = train(split.training, arguments.seed)
    joblib.dump(classifier, arguments.out / "model.joblib")
    table = reference(classifier, split.baseline, arguments.seed)
    with (
        pa.OSFile(str(arguments.out / "reference.arrow"), "wb") as sink,
        pa.ipc.new_stream(sink, table.schema) as writer,
    ):
        writer.write_table(table)


if __name__ == "__main__":
    main()
