"""Variational autoencoders for anomaly detection in scikit-learn pipelines."""

from ._detector import VAEAnomalyDetector, anomaly_average_precision
from ._display import (
    ExplanationDisplay,
    ExplanationHeatmapDisplay,
    LatentSpaceDisplay,
    ReconstructionDisplay,
    ScoreDistributionDisplay,
    TrainingCurveDisplay,
)
from ._io import load, save
from ._onnx import export_onnx, register_onnx
from ._report import report
from ._transformer import VAETransformer

__version__ = "0.1.0"

__all__ = [
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
