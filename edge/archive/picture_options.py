"""What pictures are asked to say besides what was heard. Without matplotlib, unlike what draws them."""

from typing import NamedTuple


class PictureOptions(NamedTuple):
    """Of all pictures of a run."""

    site: str = ""  # for the title; the recorder's name where empty
    made_by: str = ""  # program and model, in small print
    time_zone: str = ""  # by whose clocks days and hours are told; UTC where empty
