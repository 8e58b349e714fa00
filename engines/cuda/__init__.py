"""The log-mel front end on an NVIDIA device, through PyCUDA. Nothing here is loaded where no GPU serves."""
