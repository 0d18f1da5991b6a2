"""A perceptron for the smallest boards: `python -m examples.digits.perceptron` in the checkout writes perceptron_qdq.onnx.

Trained by scikit-learn, in seconds, on the images that the transformer is trained on.
"""

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from sklearn.neural_network import MLPClassifier

from ..qdq import quantize
from .data import load_split
from .quantize import accuracy

MODEL = Path(__file__).with_name("perceptron_qdq.onnx")
HIDDEN, SEED = 32, 1


def network(trained: MLPClassifier) -> onnx.ModelProto:
    """[1, 1, 8, 8] "image" to [1, 10] "logits"."""
    weights = {f"weights{i}": array.astype(np.float32) for i, array in enumerate(trained.coefs_)}
    biases = {f"bias{i}": array.astype(np.float32) for i, array in enumerate(trained.intercepts_)}
    constants = {"flat": np.array([1, 64]), **weights, **biases}
    nodes = [
        helper.make_node("Reshape", ["image", "flat"], ["pixels"], "reshape"),
        helper.make_node("Gemm", ["pixels", "weights0", "bias0"], ["sums"], "hidden"),
        helper.make_node("Relu", ["sums"], ["features"], "relu"),
        helper.make_node("Gemm", ["features", "weights1", "bias1"], ["logits"], "classes"),
    ]
    graph = helper.make_graph(
        nodes,
        "perceptron",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, (1, 1, 8, 8))],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, (1, 10))],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


def main() -> None:
    images, labels = load_split("train")
    trained = MLPClassifier((HIDDEN,), max_iter=500, random_state=SEED).fit(images.reshape(len(images), -1), labels)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "perceptron.onnx"
        onnx.save(network(trained), path)
        quantize(path, MODEL, "image", load_split("calibration")[0])
        print(f"test accuracy: float {accuracy(path):.2%}, QDQ {accuracy(MODEL):.2%}")


if __name__ == "__main__":
    main()
