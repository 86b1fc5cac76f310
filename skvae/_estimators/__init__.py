"""Estimators: what users call."""

from .base import BaseVAE
from .calibration import CalibrationWarning, anomaly_average_precision
from .checks import integer
from .conformal import discoveries, p_values, threshold
from .detector import VAEAnomalyDetector
from .settings import check_settings
from .transformer import VAETransformer

__all__ = [
    "BaseVAE",
    "CalibrationWarning",
    "VAEAnomalyDetector",
    "VAETransformer",
    "anomaly_average_precision",
    "check_settings",
    "discoveries",
    "integer",
    "p_values",
    "threshold",
]
