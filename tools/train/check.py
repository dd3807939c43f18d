#!/usr/bin/python3
"""Holds the committed model against its making: `make model-check`.

The model is trained anew. Then berth-worker, with the committed model.onnx, must give scikit-learn's
probabilities for the held-out mails and for some odd texts, one by one (/run_model) and in batches (Open
Inference Protocol), and the figures of the model card must come out again.
"""

import argparse
import hashlib
import http.client
import json
import pathlib
import re
import subprocess
import sys
import tarfile
import tempfile
import time

import numpy as np

import corpus
import figures
import spam_model
from train import AT_RANDOM, BY_GROUP, CROSS_VALIDATION, MODEL, cross_validate, measure_random_split

TOLERANCE = 1e-5  # of a probability
RATIO_TOLERANCE = 2e-4  # of a figure: the last of the decimals that are kept may differ
MODEL_MAX_BYTES = 1_000_000
BATCH = 16
START_SECONDS = 10
ANSWER_SECONDS = 30

# Where two implementations of "lower-case words" could part: no word at all, letters beyond ASCII whose lower
# case is or is not ASCII, characters that some take for spaces or word characters, and great lengths.
ODD_TEXTS = [
    "",
    " ",
    "!!!",
    "a",
    "FREE MONEY",
    "À LA CARTE: naïve Café, ÉTÉ, größte",
    "İstanbul ıssız FREE",
    "\u212a1ngs \u017fale \uff46\uff52\uff45\uff45",
    "free\u00a0money\u2028click\u200bhere x\u0301free",
    "日本語のmoneyテキスト free",
    "🙂 free 🙂 money",
    "click\there\r\nnow\f!",
    "under_score 100% $5,000.00 e-mail",
    '"quoted" \\ back \\u0041 </script>',
    "free " * 20_000,
    "x" * 100_000,
]


class Worker:
    """A berth-worker on a port that the kernel chooses; `with` ends it."""

    def __init__(self, program: pathlib.Path, model: pathlib.Path) -> None:
        self.log = tempfile.TemporaryFile("w+")
        command = [program, "--model", model, "--listen", "127.0.0.1:0"]
        self.process = subprocess.Popen(command, stdout=self.log, stderr=subprocess.STDOUT)

    def __enter__(self) -> "Worker":
        try:
            self.connection = http.client.HTTPConnection(self._address(), timeout=ANSWER_SECONDS)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        self.log.close()

    def _address(self) -> str:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            self.log.seek(0)
            said = self.log.read()
            listening = re.search(r"listening on (127\.0\.0\.1:\d+)\b", said)
            if listening:
                return listening[1]
            if self.process.poll() is not None:
                break
            time.sleep(0.01)
        raise RuntimeError(f"berth-worker did not start: {said.strip() or 'no word from it'}")

    def _post(self, path: str, request: dict) -> dict:
        self.connection.request("POST", path, json.dumps(request), {"Content-Type": "application/json"})
        answer = self.connection.getresponse()
        body = answer.read()
        if answer.status != 200:
            raise RuntimeError(f"POST {path}: {answer.status} {body[:200].decode(errors='replace')}")
        return json.loads(body)

    def run_model(self, text: str) -> dict:
        return self._post("/run_model", {"text": text})

    def _infer(self, texts: list[str]) -> tuple[np.ndarray, np.ndarray]:
        tensor = {"name": "text", "datatype": "BYTES", "shape": [len(texts)], "data": texts}
        outputs = self._post("/v2/models/spam/infer", {"inputs": [tensor]})["outputs"]
        by_name = {output["name"]: np.array(output["data"]).reshape(output["shape"]) for output in outputs}
        return by_name["probabilities"], by_name["label"]

    def infer(self, texts: list[str]) -> tuple[np.ndarray, np.ndarray]:
        """Probabilities [N, 2] and labels [N], asked for in batches."""
        answers = [self._infer(texts[at : at + BATCH]) for at in range(0, len(texts), BATCH)]
        probabilities, labels = zip(*answers)
        return np.concatenate(probabilities), np.concatenate(labels)

    def predict(self, texts: list[str]) -> np.ndarray:
        return self.infer(texts)[0]


class Report:
    failed = 0

    def expect(self, condition: bool, what: str) -> None:
        print(f"model-check: {'ok' if condition else 'FAILED'}: {what}", flush=True)
        self.failed += not condition


def main() -> int:
    parser = argparse.ArgumentParser(description="Holds the committed model against its making.")
    parser.add_argument("archive", type=pathlib.Path, help="the corpus: what tools/train/fetch-corpus prints")
    parser.add_argument("--model", type=pathlib.Path, default=MODEL, help="its directory (models/spam)")
    parser.add_argument("--worker", type=pathlib.Path, required=True, help="the program berth-worker")
    options = parser.parse_args()
    report = Report()
    try:
        check_files(options.model, report)
        data = corpus.load(options.archive)
        with Worker(options.worker, options.model) as worker:
            check_model(options.model, data, worker, report)
    except (OSError, tarfile.TarError, ValueError, RuntimeError, http.client.HTTPException) as error:
        print(f"model-check: {error}", file=sys.stderr)
        return 2
    return 1 if report.failed else 0


def check_files(model: pathlib.Path, report: Report) -> None:
    """What is committed fits together."""
    graph = (model / "model.onnx").read_bytes()
    manifest = json.loads((model / "model.json").read_text())
    samples = json.loads((model / manifest["samples"]).read_text())
    stated = json.loads((model / "figures.json").read_text())
    card = (model / "README.md").read_text()
    report.expect(len(graph) <= MODEL_MAX_BYTES, f"model.onnx is small: {len(graph)} bytes")
    digest = hashlib.sha256(graph).hexdigest()
    report.expect(digest == manifest["sha256"], "model.json has the digest of model.onnx")
    report.expect(manifest["labels"] == spam_model.LABELS, "model.json names the labels in the model's order")
    are_texts = len(samples) > 0 and all(isinstance(text, str) and text for text in samples)
    report.expect(are_texts, f"{len(samples)} samples are texts")
    report.expect(figures.table(stated["held_out"]) in card, "README.md shows the figures of figures.json")


def check_model(model: pathlib.Path, data: corpus.Dataset, worker: Worker, report: Report) -> None:
    learned, held_out = data.split()
    pipeline = spam_model.fit(learned.texts, learned.is_spam)
    same = spam_model.to_onnx(pipeline) == (model / "model.onnx").read_bytes()
    print(f"model-check: training gives {'the committed model.onnx again' if same else 'another model.onnx'}")
    check_equality(held_out.texts + ODD_TEXTS, pipeline.predict_proba, worker, report)

    stated = json.loads((model / "figures.json").read_text())
    measured = {
        BY_GROUP: figures.measure(worker.predict, held_out),
        AT_RANDOM: measure_random_split(data),
        CROSS_VALIDATION: cross_validate(data),
    }
    report.expect(stated["corpus"] == figures.count(data), "the corpus has the stated size")
    report.expect(stated["learned"] == figures.count(learned), "so has the part that is learned from")
    report.expect(stated["held_out"].keys() == measured.keys(), "the splits are the stated ones")
    for split, rows in measured.items():
        for variant, row in rows.items():
            again = row_equals(row, stated["held_out"][split][variant])
            report.expect(again, f"figures come out again: {split}, {variant}: accuracy {row['accuracy']}")


def check_equality(texts: list[str], predict: figures.Predict, worker: Worker, report: Report) -> None:
    expected = predict(texts)
    expected_labels = (expected[:, 1] > 0.5).astype(int)
    expected_names = [spam_model.LABELS[label] for label in expected_labels]

    probabilities, labels = worker.infer(texts)
    apart = np.abs(probabilities - expected).max()
    report.expect(apart <= TOLERANCE, f"{len(texts)} texts in batches equal scikit-learn's to {apart:.1e}")
    report.expect(np.array_equal(labels, expected_labels), "and so do their labels")

    answers = [worker.run_model(text) for text in texts]
    apart = np.abs(np.array([answer["probabilities"] for answer in answers]) - expected).max()
    report.expect(apart <= TOLERANCE, f"{len(texts)} texts by /run_model equal scikit-learn's to {apart:.1e}")
    report.expect([answer["label"] for answer in answers] == expected_names, "and so do their labels")
    report.expect([answer["input_text"] for answer in answers] == texts, "and the texts come back unchanged")


def row_equals(row: dict, stated: dict) -> bool:
    """Counts must be equal; ratios may differ by rounding."""
    return row.keys() == stated.keys() and all(
        abs(row[key] - stated[key]) <= (RATIO_TOLERANCE if isinstance(row[key], float) else 0) for key in row
    )


if __name__ == "__main__":
    sys.exit(main())
