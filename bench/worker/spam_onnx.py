"""Reads models/spam/model.onnx back into the scikit-learn pipeline that it was written from.

An ONNX file is a protocol buffer; the few fields that are needed are picked out here, so that the comparison needs
neither the corpus nor the onnx package.
"""

import struct

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

# Field numbers of onnx.proto.
MODEL_GRAPH, GRAPH_NODE, NODE_OP_TYPE, NODE_ATTRIBUTE = 7, 1, 4, 5
ATTRIBUTE_NAME, ATTRIBUTE_FLOATS, ATTRIBUTE_INTS, ATTRIBUTE_STRINGS = 1, 7, 8, 9


def _varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7


def fields(data):
    """Yields (field number, value): an int, or the bytes of what has a length."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        kind = key & 7
        if kind == 0:
            value, at = _varint(data, at)
        elif kind == 2:
            size, at = _varint(data, at)
            value, at = data[at:at + size], at + size
        else:
            size = {1: 8, 5: 4}[kind]
            value, at = data[at:at + size], at + size
        yield key >> 3, value


def _packed_ints(data):
    at, values = 0, []
    while at < len(data):
        value, at = _varint(data, at)
        values.append(value)
    return values


def attributes(path):
    """Operator → attribute → values, for the attributes that are lists."""
    graph = next(value for number, value in fields(path.read_bytes()) if number == MODEL_GRAPH)
    found = {}
    for number, node in fields(graph):
        if number != GRAPH_NODE:
            continue
        parts = list(fields(node))
        operator = next(value for number, value in parts if number == NODE_OP_TYPE).decode()
        for attribute in (list(fields(value)) for number, value in parts if number == NODE_ATTRIBUTE):
            name = next(value for number, value in attribute if number == ATTRIBUTE_NAME).decode()
            values = []
            for number, value in attribute:
                if number == ATTRIBUTE_FLOATS:
                    values += struct.unpack(f"<{len(value) // 4}f", value)
                elif number == ATTRIBUTE_INTS:
                    values += [value] if isinstance(value, int) else _packed_ints(value)
                elif number == ATTRIBUTE_STRINGS:
                    values.append(value.decode())
            found.setdefault(operator, {})[name] = values
    return found


def load(path):
    """(vectorizer, classifier), fitted."""
    read = attributes(path)
    words, first_pair = read["TfIdfVectorizer"]["pool_strings"], read["TfIdfVectorizer"]["ngram_counts"][1]
    pairs = words[first_pair:]
    terms = words[:first_pair] + [" ".join(pair) for pair in zip(pairs[::2], pairs[1::2])]
    vectorizer = TfidfVectorizer(preprocessor=lambda text: text.encode().lower().decode(), token_pattern=r"(?a:\w\w+)",
                                 ngram_range=(1, 2), binary=True, vocabulary=terms)
    vectorizer.idf_ = np.array(read["TfIdfVectorizer"]["weights"])
    classifier = LogisticRegression(fit_intercept=False)
    classifier.classes_ = np.array([0, 1])
    classifier.coef_ = np.array([read["LinearRegressor"]["coefficients"][:len(terms)]])
    classifier.intercept_ = np.zeros(1)
    return vectorizer, classifier
