"""Files that take the place of others once they are complete."""

import errno
import os
import time
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

__all__ = ["check_folder", "check_output", "remove_abandoned", "replacing"]


TEMPORARY = ".skvae-"  # begins the names of files that are not complete


def check_folder(path):
    """Raise FileNotFoundError or IsADirectoryError where no file can have this path."""
    path = Path(path)
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder: name a file in it.")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"There is no folder {path.parent} for {path.name}.")


def check_output(path, inputs):
    """Raise for an output that no file can be, or that is one of the inputs.

    Parameters
    ----------
    path : str
        "-" for standard output.
    inputs : sequence of str
        "-" for standard input.

    Raises
    ------
    FileNotFoundError, IsADirectoryError
        As `check_folder`.
    ValueError
        If it is the file of an input, by whatever path or link.
    """
    if path == "-":
        return
    check_folder(path)
    for other in inputs:
        both_exist = other != "-" and os.path.exists(path) and os.path.exists(other)
        if both_exist and os.path.samefile(path, other):
            raise ValueError(f"The output {path} is the input {other}: name another file.")


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
    try:
        target = Path(path).resolve()
    except RuntimeError as error:  # what Python below 3.13 raises
        raise OSError(errno.ELOOP, "Links lead in a circle", str(path)) from error
    if target.exists() and not target.is_file():
        yield str(target)
        return
    # Not by the target's name, which may be as long as a name can be.
    temporary = target.with_name(f"{TEMPORARY}{uuid4().hex}")
    try:
        yield str(temporary)
        temporary.replace(target)
    except OSError as error:
        is_nameless = error.filename is None and error.errno is not None  # as on a full disk
        if is_nameless or error.filename == str(temporary):
            raise type(error)(error.errno, error.strerror, str(path)) from error
        raise
    finally:
        temporary.unlink(missing_ok=True)


def remove_abandoned(folder, seconds=3600):
    """Remove what writers that were killed have left below a folder, and not touched for so long.

    Parameters
    ----------
    folder : Path
    seconds : float, default=3600
        A writer at work adds to its file after each block.
    """
    for path in folder.rglob(f"{TEMPORARY}*"):
        if path.is_file() and time.time() - path.stat().st_mtime > seconds:
            path.unlink(missing_ok=True)
