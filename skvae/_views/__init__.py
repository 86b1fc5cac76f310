"""Displays and the report: what people look at."""

from .explanation import ExplanationDisplay
from .heatmap import ExplanationHeatmapDisplay
from .latent import LatentSpaceDisplay
from .latent_report import LatentReportDisplay
from .page import report
from .reconstruction import ReconstructionDisplay
from .scores import ScoreDistributionDisplay
from .training import TrainingCurveDisplay

__all__ = [
    "ExplanationDisplay",
    "ExplanationHeatmapDisplay",
    "LatentReportDisplay",
    "LatentSpaceDisplay",
    "ReconstructionDisplay",
    "ScoreDistributionDisplay",
    "TrainingCurveDisplay",
    "report",
]
