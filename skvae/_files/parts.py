"""Parts of a table that lies in many files: of a folder or a pattern, by their names in it."""

import os
import warnings
from glob import glob, has_magic
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote

from .formats import FORMATS, STREAM, format_of

__all__ = ["Part", "folder_of", "is_many", "keys_of", "parts_of"]


BESIDE = (".", "_")  # begins what other writers leave beside their parts, such as _SUCCESS
NO_KEY = "__HIVE_DEFAULT_PARTITION__"


class Part(NamedTuple):
    """A file of a table.

    Attributes
    ----------
    name : str
        Its path below the folder that all parts lie in, by slashes.
    path : str
        Where it is.
    """

    name: str
    path: str


def is_many(source):
    """Whether a path stands for many files: a folder, or a pattern such as ``data/*.csv``."""
    return os.path.isdir(source) or (has_magic(str(source)) and not os.path.exists(source))


def folder_of(source):
    """Folder that the names of the parts begin below: up to a pattern's first sign.

    Examples
    --------
    >>> str(folder_of("data/2026-*/*.csv"))
    'data'
    """
    path = Path(source)
    if os.path.isdir(path):
        return path
    if not is_many(source):
        return path.parent
    places = [place for place, name in enumerate(path.parts) if has_magic(name)]
    return Path(*path.parts[: places[0]])


def parts_of(source, format_name=None):
    """Files of a table, in the order of their names.

    Parameters
    ----------
    source : str or path-like
        A file, "-" for standard input; a folder, with all that is below it; or a pattern of files
        and folders in which ``*``, ``?``, ``[...]`` and ``**`` stand for others.
    format_name : {"csv", "parquet", "jsonl"} or None
        By default what the suffixes say, and files of a folder that have none of these are
        left out. So is what is below a name that begins with "." or "_".

    Returns
    -------
    parts : list of Part

    Raises
    ------
    FileNotFoundError
        If there is no such file, or no table in the folder.

    Warns
    -----
    UserWarning
        If files of a folder are left out.
    """
    source = os.fspath(source)
    if source == STREAM:
        return [Part(STREAM, STREAM)]
    if not is_many(source):
        os.stat(source)  # which says what is wrong with it
        return [Part(Path(source).name, source)]
    found = [source] if os.path.isdir(source) else sorted(glob(source, recursive=True))
    folder = folder_of(source)
    files = {file for path in found for file in _files_of(path, folder, format_name)}
    if not files:
        raise FileNotFoundError(
            f"{source}: there is no table. Their suffixes are .{', .'.join(FORMATS)}, or else "
            "name their format."
        )
    return sorted(Part(Path(file).relative_to(folder).as_posix(), file) for file in files)


def _files_of(path, folder, format_name):
    """Tables of a folder; of a file itself, whatever it is called."""
    if not os.path.isdir(path):
        return {path} - _beside({path}, folder)
    files = set(_walked(path))
    files -= _beside(files, folder)
    others = sorted(file for file in files if not _is_table(file, format_name))
    if others:
        warnings.warn(
            f"{path}: {len(others)} of {len(files)} files are no tables by their suffix, such as "
            f"{os.path.relpath(others[0], path)}, and left out.",
            stacklevel=4,
        )
    return files - set(others)


def _walked(path):
    """Yield all files below a folder, and below folders that links lead to, each once."""
    seen = set()
    for below, folders, names in os.walk(path, followlinks=True):
        real = os.path.realpath(below)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        yield from (os.path.join(below, name) for name in names)


def _beside(files, folder):
    """Files that other writers leave beside their parts."""
    parts = {file: Path(file).relative_to(folder).parts for file in files}
    return {file for file, names in parts.items() if any(n.startswith(BESIDE) for n in names)}


def _is_table(path, format_name):
    try:
        format_of(path, format_name)
    except ValueError:
        return False
    return True


def keys_of(name):
    """Cells that the folders of a part give to all its rows, as in ``year=2026/part.parquet``.

    Parameters
    ----------
    name : str
        As that of a `Part`.

    Returns
    -------
    keys : dict of {str: int, str or None}
        Digits are whole numbers; None stands for a hole.

    Examples
    --------
    >>> keys_of("year=2026/month=01/ward=A%20B/part-0.parquet")
    {'year': 2026, 'month': 1, 'ward': 'A B'}
    """
    pairs = [folder.partition("=") for folder in name.split("/")[:-1]]
    return {key: _cell(unquote(text)) for key, equals, text in pairs if key and equals}


def _cell(text):
    if text == NO_KEY:
        return None
    try:
        return int(text) if text.removeprefix("-").isdecimal() else text
    except ValueError:  # more digits than Python reads
        return text
