"""What is wrong with a network that is to be decoded."""


class DecoderError(ValueError):
    """A network that can't be decoded a token at a time: the message names its node and the reason."""
