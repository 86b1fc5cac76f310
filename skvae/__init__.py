"""Variational autoencoders for anomaly detection in scikit-learn pipelines."""

from ._estimators import (
    CalibrationWarning,
    VAEAnomalyDetector,
    VAETransformer,
    anomaly_average_precision,
)
from ._files import load, save
from ._onnx import export_onnx, register_onnx
from ._views import (
    ExplanationDisplay,
    ExplanationHeatmapDisplay,
    LatentSpaceDisplay,
    ReconstructionDisplay,
    ScoreDistributionDisplay,
    TrainingCurveDisplay,
    report,
)

__version__ = "0.1.0"

__all__ = [
    "CalibrationWarning",
    "ExplanationDisplay",
    "ExplanationHeatmapDisplay",
    "LatentSpaceDisplay",
    "ReconstructionDisplay",
    "ScoreDistributionDisplay",
    "TrainingCurveDisplay",
    "VAEAnomalyDetector",
    "VAETransformer",
    "anomaly_average_precision",
    "export_onnx",
    "load",
    "register_onnx",
    "report",
    "save",
]
