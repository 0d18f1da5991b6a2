"""Quantize digits.onnx to digits_qdq.onnx: `python -m examples.digits.quantize` in the checkout. Needs no PyTorch."""

from pathlib import Path

import numpy as np
from celosia.sw.quantize.runtime import session

from ..qdq import quantize
from .data import load_split

HERE = Path(__file__).parent
FLOAT_MODEL = HERE / "digits.onnx"
QDQ_MODEL = HERE / "digits_qdq.onnx"


def accuracy(path: Path) -> float:
    """Share of the test split that ONNX Runtime classifies rightly."""
    network = session(path)
    images, labels = load_split("test")
    logits = [np.asarray(network.run(["logits"], {"image": image[None]})[0]) for image in images]
    return float((np.concatenate(logits).argmax(axis=1) == labels).mean())


def main() -> None:
    quantize(FLOAT_MODEL, QDQ_MODEL, "image", load_split("calibration")[0])
    print(f"test accuracy: float {accuracy(FLOAT_MODEL):.2%}, QDQ {accuracy(QDQ_MODEL):.2%}")


if __name__ == "__main__":
    main()
