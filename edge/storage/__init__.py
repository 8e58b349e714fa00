"""The store on a disk: SQLite behind `edge.store.Store`."""

from pathlib import Path

from edge.config import StoreConfig
from edge.storage.sqlite_store import SqliteStore
from edge.store import MemoryStore, Store

__all__ = ["SqliteStore", "open_store"]


def open_store(config: StoreConfig, directory: Path) -> Store:
    """The store that the configuration wants.  Raises ConfigError: another process uses the directory."""
    return MemoryStore() if config.kind == "memory" else SqliteStore(directory, config).open()
