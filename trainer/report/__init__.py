"""The report of a run: figures, pictures, one page."""
