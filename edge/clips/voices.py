"""Which classes of sound are made of people's voices. No clips are kept of them, whatever a detector of speech says.

A detector misses some speech, and it is less good at shouts and song than at talk. That is bearable where a voice is
by chance in the clip of a siren; it is not where the voice is what was asked for.
"""

import re
from typing import List, Sequence

# words of labels; UrbanSound8K's children_playing and street_music among them, and AudioSet's and SONYC's kin
_WORD = re.compile(
    "applause|baby|busker|chatter|cheer|cheering|child|children|choir|conversation|crowd|crying|dialogue|human|infant|"
    "kid|kids|laugh|laughing|laughter|man|megaphone|music|musician|people|person|playground|scream|screaming|shout|"
    "shouting|sing|singer|singing|sob|song|speaker|speech|talk|talking|vocal|vocals|voice|voices|whisper|woman|yell|yelling"
)


def labels_of_voices(labels: Sequence[str]) -> List[str]:
    """Those of the labels whose own sound is voices."""
    return [label for label in labels if any(map(_WORD.fullmatch, re.split("[^a-z]+", label)))]
