"""What the store drops: the oldest, when it is too old or there is too much."""

import logging
import threading

from edge.clock import UtcTime
from edge.config import StoreConfig
from edge.storage.database import Database
from edge.storage.ledger import Ledger

_LOGGER = logging.getLogger(__name__)
_SHARE = 50  # the oldest fiftieth goes at once: the fewer times, the less is written
_MOST_STEPS = 200
_DAY_S = 86400.0
_KEEPSAKES = 4 * 1440  # of each owner: minutes of four days, of which an hour, a day and a night's level are made
_BYTES_A_KEEPSAKE = 1000  # of the store's: it has 250, so all together have a quarter


def drop_old(
    database: Database, config: StoreConfig, ledger: Ledger, condition: threading.Condition, now: UtcTime
) -> None:
    """Drop by age, where the time is known, and by size.

    Args:
        condition: held around the uses of the ledger, not around those of the disk.
    """
    dropped = 0
    if now.synced:
        last_id = database.last_id_put_before(int(1000 * (now.epoch_s - config.max_age_days * _DAY_S)))
        if last_id is not None:
            dropped += _drop_through(last_id, database, ledger, condition)
    for _ in range(_MOST_STEPS):
        ends = database.first_and_last_id()
        if ends is None or database.used_bytes() <= config.max_bytes:
            break
        dropped += _drop_through(ends[0] + (ends[1] - ends[0]) // _SHARE, database, ledger, condition)
    database.keepsakes.drop_old(_KEEPSAKES, config.max_bytes // _BYTES_A_KEEPSAKE)
    if dropped:
        _LOGGER.warning("store: %d messages that no broker ever had are dropped, too old or too many", dropped)


def _drop_through(last_id: int, database: Database, ledger: Ledger, condition: threading.Condition) -> int:
    with condition:
        dropped = ledger.note_deleted(last_id)
        bookmark = ledger.bookmark_after([])
    database.delete_through(last_id, bookmark)
    return dropped
