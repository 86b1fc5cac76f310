"""Estimators: what users call."""

from .base import BaseVAE
from .calibrated import offsets_of, p_values_of
from .calibration import CalibrationWarning, anomaly_average_precision, warn_of_detection
from .checks import integer, real
from .classifier import VAEClassifier
from .clusterer import VAEClusterer
from .conformal import discoveries, largest_discovery, p_values, threshold
from .detector import VAEAnomalyDetector
from .joined import A_MODEL, check_classes, clone_for, with_class
from .keys import texts_are_levels
from .latent import LatentReport
from .queries import as_random_state, seed_from
from .settings import check_settings
from .state import undone_if_it_fails
from .transformer import VAETransformer

__all__ = [
    "A_MODEL",
    "BaseVAE",
    "CalibrationWarning",
    "LatentReport",
    "VAEAnomalyDetector",
    "VAEClassifier",
    "VAEClusterer",
    "VAETransformer",
    "anomaly_average_precision",
    "as_random_state",
    "check_classes",
    "check_settings",
    "clone_for",
    "discoveries",
    "integer",
    "largest_discovery",
    "offsets_of",
    "p_values",
    "p_values_of",
    "real",
    "seed_from",
    "texts_are_levels",
    "threshold",
    "undone_if_it_fails",
    "warn_of_detection",
    "with_class",
]
