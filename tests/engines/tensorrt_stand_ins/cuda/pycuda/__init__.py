"""Stand-in for PyCUDA."""

VERSION = (2022, 1)
