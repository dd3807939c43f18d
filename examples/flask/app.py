"""A model behind Flask, as any: POST /run_model with a text gives its class. It knows nothing of Berth."""

from flask import Flask, request

from classifier import Classifier, read_messages

app = Flask(__name__)
model = Classifier(read_messages())


@app.post("/run_model")
def run_model():
    text = request.get_data(as_text=True)
    if not text.strip():
        return {"error": "the body is the text to classify"}, 400
    label, probability = model.classify(text)
    return {"label": label, "probability": round(probability, 4)}


@app.get("/health")
def health():
    return {"status": "ok"}
