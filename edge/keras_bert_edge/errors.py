"""The one error that this package raises for what a user can cause."""


class EdgeError(ValueError):
    """A file that cannot be run or input that cannot be read; the message says what was expected and what came."""
