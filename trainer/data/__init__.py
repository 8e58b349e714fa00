"""Data sets in their official layouts, and their clips in memory."""
