"""Training of SoundCLR models (Nasiri & Hu, 2021) for the street-sound node, honest evaluation, export of bundles."""
