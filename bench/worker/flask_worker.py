"""What a team writes without Berth: the same model with scikit-learn behind Flask, one request at a time.

    flask_worker.py PORT                                                      Flask's own server, as a script has it
    gunicorn --workers 1 --threads 1 --worker-class gthread flask_worker:app
"""

import json
import os
import pathlib
import random
import sys

import flask

import spam_onnx

MODEL = pathlib.Path(os.environ["MODEL"])

vectorizer, classifier = spam_onnx.load(MODEL / "model.onnx")
manifest = json.loads((MODEL / "model.json").read_text())
samples = json.loads((MODEL / manifest["samples"]).read_text())
app = flask.Flask(__name__)


@app.route("/run_model", methods=["GET", "POST"])
def run_model():
    text = (flask.request.get_json(silent=True) or {}).get("text") or random.choice(samples)
    probabilities = classifier.predict_proba(vectorizer.transform([text]))[0]
    label = manifest["labels"][int(probabilities[1] > 0.5)]
    return flask.jsonify(input_text=text, probabilities=probabilities.tolist(), label=label)


@app.route("/health")
def health():
    return flask.jsonify(status="ok")


if __name__ == "__main__":
    app.run(port=int(sys.argv[1]))
