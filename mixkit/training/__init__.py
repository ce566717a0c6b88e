"""Training and evaluation: a loop that yields records, predictions, and how predictions bear noise and attacks."""

from mixkit.training.evaluation import predict_logits, robustness
from mixkit.training.loop import Epoch, train, training_fabric

__all__ = ["Epoch", "predict_logits", "robustness", "train", "training_fabric"]
