"""Bit-exact numpy models of the hardware blocks. One function and one frozen dataclass of run-time integers per block."""
