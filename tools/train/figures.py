"""The figures of the model card: measured on the held-out mails, kept as figures.json, shown as a table."""

from collections.abc import Callable

import numpy as np
from sklearn.metrics import roc_auc_score

from corpus import Dataset
from spam_model import beginning

BEGINNING_WORDS = 30
DECIMALS = 4

Predict = Callable[[list[str]], np.ndarray]  # N texts to probabilities [N, 2]


def count(data: Dataset) -> dict:
    return {
        "mails": len(data.texts),
        "spam": int(data.is_spam.sum()),
        "near_duplicate_groups": len(np.unique(data.groups)),
    }


def variants(texts: list[str]) -> dict[str, list[str]]:
    """What is measured: whole mails, and their beginnings, which are as short as what people type."""
    return {
        "whole mails": texts,
        f"first {BEGINNING_WORDS} words": [beginning(text, BEGINNING_WORDS) for text in texts],
    }


def measure(predict: Predict, held_out: Dataset) -> dict:
    """{variant: figures}"""
    return {
        variant: score(held_out.is_spam, predict(texts)[:, 1])
        for variant, texts in variants(held_out.texts).items()
    }


def score(is_spam: np.ndarray, p_spam: np.ndarray) -> dict:
    """Both [N]. Spam is what has more than one half."""
    said_spam = p_spam > 0.5
    right_spam = int(np.sum(said_spam & is_spam))
    false_spam = int(np.sum(said_spam & ~is_spam))
    missed_spam = int(np.sum(~said_spam & is_spam))
    right_ham = int(np.sum(~said_spam & ~is_spam))
    return {
        "accuracy": round((right_ham + right_spam) / len(is_spam), DECIMALS),
        "f1": round(2 * right_spam / (2 * right_spam + false_spam + missed_spam), DECIMALS),
        "auc": round(float(roc_auc_score(is_spam, p_spam)), DECIMALS),
        "ham_as_ham": right_ham,
        "ham_as_spam": false_spam,
        "spam_as_ham": missed_spam,
        "spam_as_spam": right_spam,
    }


def table(held_out: dict) -> str:
    """held_out: {split: {variant: figures}}, as figures.json has it. Markdown."""
    lines = [
        "| split | text | accuracy | F1, spam | AUC | ham as ham | ham as spam | spam as ham | spam as spam |",
        "| --- | --- | --: | --: | --: | --: | --: | --: | --: |",
    ]
    for split, rows in held_out.items():
        for variant, row in rows.items():
            ratios = [f"{row[key]:.{DECIMALS}f}" for key in ("accuracy", "f1", "auc")]
            counts = [str(row[key]) for key in ("ham_as_ham", "ham_as_spam", "spam_as_ham", "spam_as_spam")]
            lines.append("| " + " | ".join([split, variant, *ratios, *counts]) + " |")
    return "\n".join(lines)
