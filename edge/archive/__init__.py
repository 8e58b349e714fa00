"""`soundclr-edge classify --output`: months of recordings, heard by several processes or machines, into tables.

recordings   which files are meant
reels        consecutive files of one recorder, heard in one go by one process
hearing      one reel through the daemon's own pipeline -> one part (bytes)
processes, cluster      engines that hear many reels and survive what is killed
journal      the output folder: finished parts, known again by what they were made of
chronicle    parts in the order of time, joined where a reel was cut -> rows
tables, picture         rows -> CSV, JSON lines, Parquet; a day as PNG
"""
