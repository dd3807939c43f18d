"""The classifier: scikit-learn learns it, and the same sums are written down as an ONNX graph.

Both read a text alike: A to Z are lowered, a word is two or more of [0-9A-Za-z_], and every other character
only separates words. That is what the graph's operators can do (RE2's \\w is ASCII), so Python is held to it
as well.
"""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline

LABELS = ["ham", "spam"]
WORD = r"\w\w+"
FEATURES = 20_000
INVERSE_REGULARISATION = 30.0
WEIGHT_DECIMALS = 4

# What people type is shorter than mails, so the beginnings of the mails are learned from too.
BEGINNINGS_WORDS = (60, 30, 15)


def beginning(text: str, words: int) -> str:
    return " ".join(text.split()[:words])


def fit(texts: list[str], is_spam: np.ndarray) -> Pipeline:
    """A pipeline from texts to probabilities [N, 2]; is_spam: [N] bool. The same input gives the same bits:
    the solver's rounding errors, which differ between processors, lie far below the decimals that are kept.
    """
    # binary: how often a word stands in a text does not count, only that it does.
    vectorizer = TfidfVectorizer(
        preprocessor=_lower_ascii,
        token_pattern=f"(?a:{WORD})",
        ngram_range=(1, 2),
        min_df=2,
        max_features=FEATURES,
        binary=True,
    )
    # The share of spam in this corpus says nothing about its share elsewhere: hence "balanced", and no
    # intercept, so that a text without a known word gets one half.
    classifier = LogisticRegression(
        solver="newton-cg", C=INVERSE_REGULARISATION, class_weight="balanced", fit_intercept=False
    )
    pipeline = make_pipeline(vectorizer, classifier)
    beginnings = [beginning(text, words) for words in BEGINNINGS_WORDS for text in texts]
    pipeline.fit(texts + beginnings, np.tile(is_spam, 1 + len(BEGINNINGS_WORDS)))
    classifier.coef_ = classifier.coef_.round(WEIGHT_DECIMALS)
    return pipeline


def _lower_ascii(text: str) -> str:
    return text.encode().lower().decode()  # bytes.lower() leaves all but A to Z alone


def to_onnx(pipeline: Pipeline) -> bytes:
    """The pipeline as an ONNX model: text, string [N]; probabilities, float32 [N, 2]; label, int64 [N]."""
    node = helper.make_node
    nodes = [
        node("StringNormalizer", ["text"], ["lowered"], case_change_action="LOWER", locale="C"),
        node(
            "Tokenizer",
            ["lowered"],
            ["words"],
            domain="com.microsoft",
            tokenexp=WORD,
            mark=0,
            mincharnum=1,
            pad_value="#",
        ),
        _term_weighting(pipeline[0], "words", "terms"),
        _sums(pipeline, "terms", "sums"),
        node("Split", ["sums"], ["score", "squared_length"], axis=1),
        node("Max", ["squared_length", "least"], ["positive"]),  # a text without a known word has length 0
        node("Sqrt", ["positive"], ["length"]),
        node("Div", ["score", "length"], ["z"]),
        node("Mul", ["z", "halves"], ["scores"]),
        node("Softmax", ["scores"], ["probabilities"], axis=1),
        node("ArgMax", ["probabilities"], ["label"], axis=1, keepdims=0),
    ]
    graph = helper.make_graph(
        nodes,
        "spam",
        inputs=[helper.make_tensor_value_info("text", TensorProto.STRING, ["N"])],
        outputs=[
            helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["N", len(LABELS)]),
            helper.make_tensor_value_info("label", TensorProto.INT64, ["N"]),
        ],
        initializer=[
            numpy_helper.from_array(np.array([[-0.5, 0.5]], np.float32), "halves"),
            numpy_helper.from_array(np.array([1e-12], np.float32), "least"),
        ],
    )
    model = helper.make_model(
        graph,
        ir_version=7,
        opset_imports=[
            helper.make_opsetid("", 13),
            helper.make_opsetid("ai.onnx.ml", 1),
            helper.make_opsetid("com.microsoft", 1),
        ],
        producer_name="berth",
        model_version=1,
        doc_string="Ham or spam: probabilities[:, 0] is ham's, probabilities[:, 1] is spam's.",
    )
    onnx.checker.check_model(model)
    return model.SerializeToString(deterministic=True)


def _columns(vectorizer: TfidfVectorizer) -> tuple[list[str], np.ndarray]:
    """The terms in the order that TfIdfVectorizer wants, all words before all pairs, and scikit-learn's
    column of each."""
    terms = vectorizer.get_feature_names_out()
    order = np.array(sorted(range(len(terms)), key=lambda column: (" " in terms[column], column)))
    return list(terms[order]), order


def _term_weighting(vectorizer: TfidfVectorizer, source: str, target: str) -> onnx.NodeProto:
    terms, order = _columns(vectorizer)
    first_pair = sum(" " not in term for term in terms)
    return helper.make_node(
        "TfIdfVectorizer",
        [source],
        [target],
        mode="IDF",
        min_gram_length=1,
        max_gram_length=2,
        max_skip_count=0,
        pool_strings=[word for term in terms for word in term.split()],
        ngram_counts=[0, first_pair],
        ngram_indexes=list(range(len(terms))),
        weights=vectorizer.idf_[order].astype(np.float32),
    )


def _sums(pipeline: Pipeline, source: str, target: str) -> onnx.NodeProto:
    """Two sums over the terms: the score, and the squared length that scikit-learn would have divided the terms
    by before. A term is its idf or 0, so its square is itself times its idf, and one pass over the terms gives
    both. LinearRegressor takes the weights by rows, as they lie; a Gemm would have its two columns padded to
    sixteen and take three times as long as all the rest.

    Softmax over (-z/2, z/2), which follows, is the logistic function of z."""
    vectorizer, classifier = pipeline
    _, order = _columns(vectorizer)
    rows = np.concatenate([classifier.coef_[0][order], vectorizer.idf_[order]])
    return helper.make_node(
        "LinearRegressor",
        [source],
        [target],
        domain="ai.onnx.ml",
        coefficients=rows.astype(np.float32),
        targets=2,
    )
