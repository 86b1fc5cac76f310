"""Variational autoencoders for anomaly detection in scikit-learn pipelines."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ._estimators import (
        CalibrationWarning,
        LatentReport,
        VAEAnomalyDetector,
        VAEClassifier,
        VAEClusterer,
        VAETransformer,
        anomaly_average_precision,
    )
    from ._files import fit_files, load, save
    from ._onnx import export_onnx, register_onnx
    from ._scoring import BlockScorer, score_files
    from ._views import (
        ExplanationDisplay,
        ExplanationHeatmapDisplay,
        LatentReportDisplay,
        LatentSpaceDisplay,
        ReconstructionDisplay,
        ScoreDistributionDisplay,
        TrainingCurveDisplay,
        report,
    )

__version__ = "0.1.0"

__all__ = [
    "BlockScorer",
    "CalibrationWarning",
    "ExplanationDisplay",
    "ExplanationHeatmapDisplay",
    "LatentReport",
    "LatentReportDisplay",
    "LatentSpaceDisplay",
    "ReconstructionDisplay",
    "ScoreDistributionDisplay",
    "TrainingCurveDisplay",
    "VAEAnomalyDetector",
    "VAEClassifier",
    "VAEClusterer",
    "VAETransformer",
    "anomaly_average_precision",
    "export_onnx",
    "fit_files",
    "load",
    "register_onnx",
    "report",
    "save",
    "score_files",
]
_FOLDERS = {
    **dict.fromkeys(["fit_files", "load", "save"], "_files"),
    **dict.fromkeys(["BlockScorer", "score_files"], "_scoring"),
    **dict.fromkeys(["export_onnx", "register_onnx"], "_onnx"),
    **dict.fromkeys(["VAEAnomalyDetector", "VAEClassifier", "VAETransformer"], "_estimators"),
    **dict.fromkeys(
        ["CalibrationWarning", "LatentReport", "VAEClusterer", "anomaly_average_precision"],
        "_estimators",
    ),
}
_MODULES = ("datasets", "imbalance", "nn")


def __getattr__(name):
    """Import what is asked for: torch takes seconds, which ``skvae --help`` need not wait for."""
    if name in _MODULES:
        return import_module(f".{name}", __name__)
    if name in __all__:
        return getattr(import_module(f".{_FOLDERS.get(name, '_views')}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return sorted({*globals(), *__all__, *_MODULES})
