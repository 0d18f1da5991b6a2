"""In which order operations run, where their tensors lie in the scratchpad, and which of them leave it in between."""
