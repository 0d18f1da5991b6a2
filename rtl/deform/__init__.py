"""The deformable convolution engine."""
