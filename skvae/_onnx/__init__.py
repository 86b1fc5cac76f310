"""Fitted estimators as ONNX graphs."""

from .export import export_onnx, register_onnx

__all__ = ["export_onnx", "register_onnx"]
