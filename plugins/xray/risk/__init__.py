"""The risk of pneumonia in an image: the model, its comparison with another, and its reviews."""

from xray.risk.model import Prediction, RiskModel, default_directory, preprocess, shared_model

__all__ = ["Prediction", "RiskModel", "default_directory", "preprocess", "shared_model"]
