"""The engine: encoded tables in, weights and scores out."""

from .checkpoint import Checkpoint, NoCheckpoint
from .clusters import is_told_apart, responsibilities, tell_apart
from .density import CHUNK_ROWS, Density, by_chunk, drawn
from .latent import information, traverse
from .members import Member, as_frame, chosen, kept, unseen
from .monitor import EVALUATION_SIZE, check_convergence
from .plain import Reader, Writer
from .recipe import (
    AUTO_PRIOR,
    CANDIDATES,
    ROBUST,
    SETTINGS,
    Recipe,
    automatic,
    candidate_recipes,
    robust_recipe,
)
from .score import draws, latent_moments, reconstruct, verdicts
from .surroundings import untouched
from .threads import one_thread
from .trainee import Trained, Trainee, TrainingRows, at_rest, tensors

__all__ = [
    "AUTO_PRIOR",
    "CANDIDATES",
    "CHUNK_ROWS",
    "EVALUATION_SIZE",
    "ROBUST",
    "SETTINGS",
    "Checkpoint",
    "Density",
    "Member",
    "NoCheckpoint",
    "Reader",
    "Recipe",
    "Trained",
    "Trainee",
    "TrainingRows",
    "Writer",
    "as_frame",
    "at_rest",
    "automatic",
    "by_chunk",
    "candidate_recipes",
    "check_convergence",
    "chosen",
    "drawn",
    "draws",
    "information",
    "is_told_apart",
    "kept",
    "latent_moments",
    "one_thread",
    "reconstruct",
    "responsibilities",
    "robust_recipe",
    "tell_apart",
    "tensors",
    "traverse",
    "unseen",
    "untouched",
    "verdicts",
]
