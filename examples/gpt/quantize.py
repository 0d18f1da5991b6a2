"""Quantize gpt.onnx to gpt_qdq.onnx: `python -m examples.gpt.quantize` in the checkout."""

from ..qdq import quantize
from .text import HERE, read_part, windows

FLOAT_MODEL = HERE / "gpt.onnx"
QDQ_MODEL = HERE / "gpt_qdq.onnx"
CONTEXT = 128  # tokens of a window


def main() -> None:
    quantize(FLOAT_MODEL, QDQ_MODEL, "tokens", windows(read_part("calibration"), CONTEXT))
    print(f"{QDQ_MODEL} written: {QDQ_MODEL.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
