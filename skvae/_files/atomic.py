"""Files that take the place of others once they are complete."""

from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

__all__ = ["check_folder", "replacing"]


def check_folder(path):
    """Raise FileNotFoundError or IsADirectoryError where no file can have this path."""
    path = Path(path)
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder: name a file in it.")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"There is no folder {path.parent} for {path.name}.")


@contextmanager
def replacing(path):
    """Give a temporary path that takes the place of `path` when all went well.

    Parameters
    ----------
    path : str or path-like
        Links are followed. A device or a pipe is not replaced but written to.

    Yields
    ------
    temporary : str
        In the same folder; removed if anything is raised.

    Raises
    ------
    FileNotFoundError, IsADirectoryError
        As `check_folder`.
    """
    check_folder(path)
    target = Path(path).resolve()
    if target.exists() and not target.is_file():
        yield str(target)
        return
    temporary = target.with_name(f".{target.name}.{uuid4().hex}")
    try:
        yield str(temporary)
        temporary.replace(target)
    except OSError as error:
        if error.filename == str(temporary):
            raise type(error)(error.errno, error.strerror, str(path)) from error
        raise
    finally:
        temporary.unlink(missing_ok=True)
