"""berth-worker: the Open Inference Protocol V2."""

import json
import struct

import pytest

from worker import Worker, binary_outputs


@pytest.fixture(scope="module")
def workers():
    """workers(model) is a worker that serves it, one for all tests of this file."""
    running = {}

    def get(model):
        if model not in running:
            running[model] = Worker(model).start()
        return running[model]
    yield get
    for one in running.values():
        one.stop()


@pytest.fixture
def add(workers):
    return workers("add")


def tensor(name, data, datatype="FP32", shape=(1, 3), **parameters):
    made = {"name": name, "shape": list(shape), "datatype": datatype, "parameters": parameters}
    return made if data is None else {**made, "data": data}


A, B = tensor("a", [1, 2, 3]), tensor("b", [10, 20.5, 30])

# ---- about the server and the model ----


def test_server(add):
    assert add.get("/v2").json == {"name": "berth-worker", "version": add.get("/v2").json["version"],
                                   "extensions": ["binary_tensor_data"]}
    assert add.get("/v2/health/live").json == {"live": True}
    assert add.get("/v2/health/ready").json == {"ready": True}


@pytest.mark.parametrize("path", ["/v2/models/add", "/v2/models/add/versions/1"])
def test_metadata(add, path):
    assert add.get(path).json == {
        "name": "add", "versions": ["1"], "platform": "onnx_onnxv1",
        "inputs": [{"name": "a", "datatype": "FP32", "shape": [-1, 3]},
                   {"name": "b", "datatype": "FP32", "shape": [-1, 3]}],
        "outputs": [{"name": "sum", "datatype": "FP32", "shape": [-1, 3]},
                    {"name": "difference", "datatype": "FP32", "shape": [-1, 3]}],
    }
    assert add.get(path + "/ready").json == {"name": "add", "ready": True}


@pytest.mark.parametrize("method, path, status", [
    ("GET", "/v2/models/other", 404),
    ("GET", "/v2/models/other/ready", 404),
    ("POST", "/v2/models/other/infer", 404),
    ("POST", "/v2/models/add/versions/2/infer", 404),
    ("GET", "/v2/nothing", 404),
    ("GET", "/v2/models", 404),
    ("GET", "/v2/models/add/infer", 405),
    ("POST", "/v2/models/add", 405),
    ("POST", "/v2/health/live", 405),
])
def test_errors_have_the_protocols_form(add, method, path, status):
    answer = add.request(method, path, b"{}" if method == "POST" else None)
    assert answer.status == status and answer.headers["Content-Type"] == "application/json"
    assert list(answer.json) == ["error"] and answer.json["error"]
    if status == 405:
        assert answer.headers["Allow"]


# ---- inference with JSON ----

def test_infer(add):
    answer = add.infer([A, B], id="four-two")
    assert answer.status == 200 and answer.headers["Content-Type"] == "application/json"
    assert "Inference-Header-Content-Length" not in answer.headers
    assert answer.json == {
        "model_name": "add", "model_version": "1", "id": "four-two",
        "outputs": [{"name": "sum", "datatype": "FP32", "shape": [1, 3], "data": [11, 22.5, 33]},
                    {"name": "difference", "datatype": "FP32", "shape": [1, 3], "data": [-9, -18.5, -27]}]}
    assert "id" not in add.infer([B, A]).json


def test_outputs_are_selected(add):
    outputs = add.infer([A, B], outputs=[{"name": "difference", "parameters": {"classification": 0}}]).json["outputs"]
    assert [o["name"] for o in outputs] == ["difference"]
    outputs = add.infer([A, B], outputs=[{"name": "difference"}, {"name": "sum"}]).json["outputs"]
    assert [o["name"] for o in outputs] == ["difference", "sum"]


def test_batches_and_nesting(add):
    flat = [1, 2, 3, 4, 5, 6]
    nested = [[1, 2, 3], [4, 5, 6]]
    answer = add.infer([tensor("a", flat, shape=(2, 3)), tensor("b", nested, shape=(2, 3))])
    assert answer.json["outputs"][0] == {"name": "sum", "datatype": "FP32", "shape": [2, 3],
                                         "data": [2, 4, 6, 8, 10, 12]}
    empty = add.infer([tensor("a", [], shape=(0, 3)), tensor("b", [], shape=(0, 3))])
    assert empty.json["outputs"][0]["data"] == [] and empty.json["outputs"][0]["shape"] == [0, 3]


VALUES = {
    "BOOL": [True, False], "UINT8": [0, 255], "UINT16": [0, 65535], "UINT32": [0, 2**32 - 1],
    "UINT64": [0, 2**63 - 1], "INT8": [-128, 127], "INT16": [-32768, 32767], "INT32": [-2**31, 2**31 - 1],
    "INT64": [-2**63, 2**63 - 1], "FP16": [0.5, -65504], "BF16": [0.5, -3.140625], "FP32": [0.1, -3e38],
    "FP64": [0.1, -1e300], "BYTES": ["café \"\n", ""],
}
PACK = {
    "BOOL": "??", "UINT8": "BB", "UINT16": "HH", "UINT32": "II", "UINT64": "QQ", "INT8": "bb", "INT16": "hh",
    "INT32": "ii", "INT64": "qq", "FP16": "ee", "FP32": "ff", "FP64": "dd",
}


def pack(datatype, values):
    if datatype == "BYTES":
        return b"".join(struct.pack("<I", len(v.encode())) + v.encode() for v in values)
    if datatype == "BF16":
        return b"".join(struct.pack("<f", v)[2:] for v in values)
    return struct.pack("<" + PACK[datatype], *values)


@pytest.mark.parametrize("datatype", VALUES)
def test_each_type_in_json(workers, datatype):
    one = workers(f"identity_{datatype.lower()}")
    answer = one.infer([tensor("x", VALUES[datatype], datatype, (2, 1))])
    assert answer.status == 200, answer.text
    assert answer.json["outputs"] == [{"name": "y", "datatype": datatype, "shape": [2, 1], "data": VALUES[datatype]}]


@pytest.mark.parametrize("datatype", VALUES)
def test_each_type_in_binary(workers, datatype):
    one = workers(f"identity_{datatype.lower()}")
    data = pack(datatype, VALUES[datatype])
    answer = one.infer_binary([tensor("x", None, datatype, (1, 2), binary_data_size=len(data))], data,
                              parameters={"binary_data_output": True})
    assert answer.status == 200, answer.text
    assert answer.headers["Content-Type"] == "application/octet-stream"
    head, found = binary_outputs(answer)
    assert head["outputs"] == [{"name": "y", "datatype": datatype, "shape": [1, 2],
                                "parameters": {"binary_data_size": len(data)}}]
    assert found == {"y": data}


def test_the_largest_unsigned(workers):
    """JSON integers end at 2^63 - 1 on the way in; binary tensor data do not."""
    one = workers("identity_uint64")
    answer = one.infer([tensor("x", [2**64 - 1, 0], "UINT64", (1, 2))])
    assert answer.status == 400 and "binary" in answer.json["error"]
    data = struct.pack("<QQ", 2**64 - 1, 2**63)
    answer = one.infer_binary([tensor("x", None, "UINT64", (1, 2), binary_data_size=16)], data)
    assert answer.json["outputs"][0]["data"] == [2**64 - 1, 2**63]


def test_not_finite(workers):
    one = workers("identity_fp32")
    data = struct.pack("<ff", float("nan"), float("inf"))
    x = tensor("x", None, shape=(1, 2), binary_data_size=8)
    assert one.infer_binary([x], data).json["outputs"][0]["data"] == [None, None]
    _, found = binary_outputs(one.infer_binary([x], data, outputs=[{"name": "y", "parameters": {"binary_data": True}}]))
    assert found == {"y": data}


# ---- mixtures of JSON and binary ----

def test_mixed(add):
    """One input and one output in binary, the others in JSON; the binary part is not aligned."""
    data = struct.pack("<fff", 1, 2, 3)
    for padding in range(4):
        answer = add.infer_binary([tensor("a", None, binary_data_size=12), B], data, id="." * padding,
                                  outputs=[{"name": "sum", "parameters": {"binary_data": True}}, {"name": "difference"}])
        head, found = binary_outputs(answer)
        assert struct.unpack("<fff", found["sum"]) == (11, 22.5, 33)
        assert head["outputs"][1]["data"] == [-9, -18.5, -27]


def test_binary_parts_follow_the_order_of_the_inputs(add):
    data = struct.pack("<ffffff", 10, 20, 30, 1, 2, 3)
    answer = add.infer_binary([tensor("b", None, binary_data_size=12), tensor("a", None, binary_data_size=12)], data)
    assert answer.json["outputs"][1]["data"] == [-9, -18, -27]


@pytest.mark.parametrize("length, says", [
    ("9999", "Inference-Header-Content-Length is 9999, and the body has 2 bytes"),
    ("x", "no number of bytes"),
    ("-1", "no number of bytes"),
    ("0", "not JSON"),
    ("1", "not JSON"),
])
def test_wrong_header_length(add, length, says):
    answer = add.post("/v2/models/add/infer", b"{}", headers={"Inference-Header-Content-Length": length})
    assert answer.status == 400 and says in answer.json["error"]


# ---- what is wrong is said ----

@pytest.mark.parametrize("body, says", [
    (b"", "not JSON"),
    (b"[]", "must be a JSON object"),
    (b'{"inputs": []}', 'input "a" is missing'),
    (b"\xff", "not JSON"),
])
def test_wrong_bodies(add, body, says):
    answer = add.post("/v2/models/add/infer", body)
    assert answer.status == 400 and list(answer.json) == ["error"] and says in answer.json["error"]


@pytest.mark.parametrize("inputs, says", [
    ([A, tensor("b", [1, 2])], '"data" has 2 elements'),
    ([A, tensor("b", [1, 2, 3], shape=(3,))], "the model takes FP32 [-1,3], where -1 is any size, and this is FP32 [3]"),
    ([A, tensor("b", [1, 2, 3], "FP64")], "the model takes FP32, and this is FP64"),
    ([A, tensor("b", [1, 2, "3"])], "element 2 is no FP32"),
    ([A, A], 'input "a" is given twice'),
    ([A, B, tensor("c", [1])], 'no input "c"'),
    # ONNX Runtime itself says this one.
    ([A, tensor("b", [1] * 6, shape=(2, 3)), ], None),
])
def test_wrong_tensors(add, inputs, says):
    answer = add.infer(inputs)
    if says is None:
        assert answer.status == 200  # it is broadcast
    else:
        assert answer.status == 400 and says in answer.json["error"]


def test_what_the_model_itself_refuses(add):
    answer = add.infer([tensor("a", [1] * 9, shape=(3, 3)), tensor("b", [1] * 6, shape=(2, 3))])
    assert answer.status in (400, 500) and answer.json["error"].startswith("the model failed on this input: ")
    assert add.infer([A, B]).status == 200


def test_outputs_that_are_no_tensors(workers):
    one = workers("parts")
    assert [o["name"] for o in one.get("/v2/models/parts").json["outputs"]] == ["y"]
    x = tensor("x", [1, 2], shape=(2,))
    assert [o["name"] for o in one.infer([x]).json["outputs"]] == ["y"]
    answer = one.infer([x], outputs=[{"name": "pieces"}])
    assert answer.status == 400 and '"pieces" is no tensor' in answer.json["error"]


def test_too_much_json(add):
    body = json.dumps({"inputs": [tensor("a", [0] * 6_000_000, shape=(2_000_000, 3))]}).encode()
    assert len(body) > 16 * 1024 * 1024
    answer = add.post("/v2/models/add/infer", body)
    assert answer.status == 413 and "binary" in answer.json["error"]


def test_an_image(workers):
    """A tensor of some size, by both roads."""
    one = workers("image")
    numbers = [(i % 251) / 8 for i in range(3 * 224 * 224)]
    by_json = one.infer([tensor("image", numbers, shape=(1, 3, 224, 224))]).json["outputs"][0]["data"]
    data = struct.pack(f"<{len(numbers)}f", *numbers)
    answer = one.infer_binary([tensor("image", None, shape=(1, 3, 224, 224), binary_data_size=len(data))], data)
    assert answer.json["outputs"][0]["data"] == by_json
    plane = 224 * 224
    for channel, mean in enumerate(by_json):
        assert mean == pytest.approx(sum(numbers[channel * plane:(channel + 1) * plane]) / plane, rel=1e-4)
