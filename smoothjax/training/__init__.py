"""Training: loss, optimiser, schedule, the pure step, sharding, checkpoints, logs and the one loop of all studies.

Nothing here knows a model or a data set. A study gives `fit` a loss function, an optimiser, an initial state and an
iterator of batches; parameters and state travel as pure nested dicts.

References:
  Wang and Ji, "Smoothed Dilated Convolutions for Improved Dense Prediction", KDD 2018: Eq. 5 (the rate) and Sec. 4.1
  (the optimiser).
"""

# Losses; the papers have cross entropy.
from ._loss import bce as bce
from ._loss import cross_entropy as cross_entropy
from ._loss import focal as focal
from ._loss import ohem as ohem
from ._loss_overlap import dice as dice
from ._loss_overlap import lovasz_softmax as lovasz_softmax
from ._loss_sum import LossTerm as LossTerm
from ._loss_sum import PixelLoss as PixelLoss
from ._loss_sum import parse_loss as parse_loss
from ._loss_sum import weighted_loss as weighted_loss

# isort: split
# Optimisers and learning rates; the paper has SGD and the poly rate (Wang & Ji, KDD 2018, Sec. 4.1).
from ._optimizer import adamw as adamw
from ._optimizer import label_parameters as label_parameters
from ._optimizer import sgd as sgd
from ._schedule import cosine_schedule as cosine_schedule
from ._schedule import one_cycle_schedule as one_cycle_schedule
from ._schedule import poly_schedule as poly_schedule

# isort: split
# State and step.
from ._state import TrainState as TrainState
from ._state import average_weights as average_weights
from ._state import averaged_state as averaged_state
from ._state import create_state as create_state
from ._step import LossFn as LossFn
from ._step import LossOutput as LossOutput
from ._step import Step as Step
from ._step import compile_step as compile_step
from ._step import train_step as train_step

# isort: split
# Devices.
from ._mesh import check_rows as check_rows
from ._mesh import data_mesh as data_mesh
from ._mesh import replicate as replicate
from ._mesh import shard_batch as shard_batch

# isort: split
# The loop, its checkpoints and its log.
from ._checkpoint import Checkpoints as Checkpoints
from ._checkpoint import Restored as Restored
from ._folder import check_folder as check_folder
from ._intervals import Intervals as Intervals
from ._intervals import LoopConfig as LoopConfig
from ._lock import lock_folder as lock_folder
from ._logging import Mirror as Mirror
from ._logging import RunLog as RunLog
from ._logging import say as say
from ._loop import Evaluation as Evaluation
from ._loop import Evaluator as Evaluator
from ._loop import FitResult as FitResult
from ._loop import Problem as Problem
from ._loop import fit as fit
from ._stop import Stopped as Stopped
