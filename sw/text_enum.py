"""Enumerations of texts."""

import enum


class TextEnum(str, enum.Enum):
    """As enum.StrEnum, which Python 3.10 has not: a member is its text."""

    __str__ = str.__str__
