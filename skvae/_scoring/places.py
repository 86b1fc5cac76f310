"""Where outputs may lie: nowhere that an input lies, or would be found as one the next time."""

import os
from collections import Counter
from pathlib import Path

__all__ = ["check_outputs"]


def check_outputs(source, folder, outputs, model):
    """Raise before anything is written where an output would take the place of something else.

    Parameters
    ----------
    source : str or path-like
        As `parts_of` takes it.
    folder : str
        To write into.
    outputs : dict of {str: Path}
        Of each input.
    model : str
        File of the model, which may be gone.

    Raises
    ------
    NotADirectoryError
        If the folder is a file.
    ValueError
        If the folder lies in that of the inputs, or an input in it, by whatever path or link,
        or if two inputs have one output.
    """
    if os.path.exists(folder) and not os.path.isdir(folder):
        raise NotADirectoryError(f"{folder} is no folder: name one to write the outputs into.")
    real = Path(folder).resolve()
    if os.path.isdir(source) and real.is_relative_to(Path(source).resolve()):
        raise ValueError(
            f"The output folder {folder} lies in the input {source}: its files would be inputs "
            "the next time. Name another."
        )
    _check_apart(folder, real, outputs, model)
    name, n = Counter(outputs.values()).most_common(1)[0]
    if n > 1:
        both = [path for path, output in outputs.items() if output == name]
        raise ValueError(f"{' and '.join(both)} would have one output, {name}. Rename one.")


def _check_apart(folder, real, outputs, model):
    inputs = {_identity(path): path for path in [*outputs, model] if os.path.exists(path)}
    for path, output in outputs.items():
        if Path(path).resolve().is_relative_to(real):
            raise ValueError(f"The input {path} lies in the output folder {folder}: name another.")
        taken = inputs.get(_identity(output)) if output.exists() else None
        if taken is not None:
            raise ValueError(f"The output {output} is the input {taken}: name another folder.")


def _identity(path):
    status = os.stat(path)
    return status.st_dev, status.st_ino
