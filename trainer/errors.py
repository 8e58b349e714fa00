"""Errors of the trainer. Each message says what was given, what was expected and how to mend it."""


class TrainerError(Exception):
    """Bad input: a data set, a recipe, a checkpoint or a file that cannot be used."""
