"""Whether the file at a path is still the one that was loaded: what is opened later must not mix with another."""

import os

from .errors import EdgeError


class FileIdentity:
    """The file at `path` as it is now."""

    def __init__(self, path):
        """Notes it.

        Raises:
          EdgeError: there is none.
        """
        self._path = path
        self._noted = self._look()

    def require_same(self):
        """EdgeError where the file has gone, or another is in its place."""
        if self._look() != self._noted:
            raise EdgeError(f"{self._path} is no longer the file that was loaded")

    def _look(self):
        try:
            status = os.stat(self._path)
        except OSError as error:
            raise EdgeError(f"{self._path} cannot be read: {error.strerror}") from error
        return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
