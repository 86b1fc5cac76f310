"""Displays and the report: what people look at."""

from .explanation import ExplanationDisplay
from .heatmap import ExplanationHeatmapDisplay
from .latent import LatentSpaceDisplay
from .page import report
from .reconstruction import ReconstructionDisplay
from .scores import ScoreDistributionDisplay
from .training import TrainingCurveDisplay

__all__ = [
    "ExplanationDisplay",
    "ExplanationHeatmapDisplay",
    "LatentSpaceDisplay",
    "ReconstructionDisplay",
    "ScoreDistributionDisplay",
    "TrainingCurveDisplay",
    "report",
]
