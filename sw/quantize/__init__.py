"""From a float ONNX network and arrays of its inputs to the QDQ network that `celosia compile` takes.

`network.quantize_network` does all of it. What imports onnxruntime is imported only then.
"""
