"""What happened, epoch by epoch: a local journal that is the truth, and MLflow as its mirror.

Read on in the order in which a fact travels: ``tracker`` (what the stages call), ``provenance`` (where a run came
from), ``journal`` (the truth, on disk), ``system`` (what the machine did), ``mirror`` (a thread that hands lines on),
``delivery`` (a line to MLflow's calls), ``store`` (the MLflow of the moment), ``registry`` (versions, candidate and
champion), ``packaging`` (the model as MLflow keeps it) and ``served_model`` (what ``mlflow models serve`` runs).
"""

from faceseg.tracking.delivery import sync
from faceseg.tracking.provenance import cache_datasets, flatten, repository_root, run_tags
from faceseg.tracking.tracker import Evaluated, Tracker

__all__ = ["Evaluated", "Tracker", "cache_datasets", "flatten", "repository_root", "run_tags", "sync"]
