#!/usr/bin/python3
"""Trains the model in models/spam on the archive that tools/train/fetch-corpus brings in.

It writes model.onnx, its SHA-256 into model.json, the held-out figures into figures.json and, as a table,
into the model card README.md. The same archive gives the same bytes.

With --cross-validate it writes nothing: it prints what the constants in spam_model.py are chosen by, so that
the held-out mails stay unseen until all is chosen.
"""

import argparse
import hashlib
import json
import pathlib
import re
import sys
import tarfile

import numpy as np
from sklearn.model_selection import GroupKFold

import corpus
import figures
import spam_model

MODEL = pathlib.Path(__file__).resolve().parents[2] / "models" / "spam"
FOLDS = 5

# The rows of the table, by how the mails were split.
BY_GROUP = "near-duplicate groups, seed 0"
AT_RANDOM = "random, seed 0"
CROSS_VALIDATION = "cross-validation by groups"


def main() -> int:
    parser = argparse.ArgumentParser(description="Trains the demonstration model.")
    parser.add_argument("archive", type=pathlib.Path, help="the corpus: what tools/train/fetch-corpus prints")
    parser.add_argument(
        "--cross-validate", action="store_true", help="write nothing, print what to choose by"
    )
    options = parser.parse_args()
    try:
        data = corpus.load(options.archive)
    except (OSError, tarfile.TarError, ValueError) as error:
        print(f"train: {options.archive}: {error}", file=sys.stderr)
        return 2
    if options.cross_validate:
        print(figures.table({CROSS_VALIDATION: cross_validate(data)}))
    else:
        train(data)
    return 0


def train(data: corpus.Dataset) -> None:
    learned, held_out = data.split()
    pipeline = spam_model.fit(learned.texts, learned.is_spam)
    measured = {
        "corpus": figures.count(data),
        "learned": figures.count(learned),
        "held_out": {
            BY_GROUP: figures.measure(pipeline.predict_proba, held_out),
            AT_RANDOM: measure_random_split(data),
            CROSS_VALIDATION: cross_validate(data),
        },
    }
    write_model(spam_model.to_onnx(pipeline))
    (MODEL / "figures.json").write_text(json.dumps(measured, indent="\t") + "\n")
    write_card(figures.table(measured["held_out"]))


def measure_random_split(data: corpus.Dataset) -> dict:
    """What another model, made alike, reaches when campaigns and threads lie on both sides of the split."""
    learned, held_out = data.split(by_group=False)
    return figures.measure(spam_model.fit(learned.texts, learned.is_spam).predict_proba, held_out)


def cross_validate(data: corpus.Dataset) -> dict:
    """Five folds, whole groups, of the part that is learned from; the held-out part is not looked at."""
    learned, _ = data.split()
    variants = figures.variants(learned.texts)
    p_spam = {variant: np.empty(len(learned.texts)) for variant in variants}
    for rest, fold in GroupKFold(FOLDS).split(learned.texts, groups=learned.groups):
        pipeline = spam_model.fit([learned.texts[row] for row in rest], learned.is_spam[rest])
        for variant, texts in variants.items():
            p_spam[variant][fold] = pipeline.predict_proba([texts[row] for row in fold])[:, 1]
    return {variant: figures.score(learned.is_spam, p) for variant, p in p_spam.items()}


def write_model(graph: bytes) -> None:
    manifest = json.loads((MODEL / "model.json").read_text())
    manifest["sha256"] = hashlib.sha256(graph).hexdigest()
    (MODEL / "model.onnx").write_bytes(graph)
    (MODEL / "model.json").write_text(json.dumps(manifest, indent="\t") + "\n")
    print(f"train: model.onnx: {len(graph)} bytes, SHA-256 {manifest['sha256']}")


def write_card(table: str) -> None:
    """Puts the table between its two marks; check.py finds out if it is not there."""
    card = MODEL / "README.md"
    place = re.compile(r"(?<=<!-- figures -->\n).*?(?=\n<!-- /figures -->)", re.DOTALL)
    card.write_text(place.sub(table, card.read_text()))


if __name__ == "__main__":
    sys.exit(main())
