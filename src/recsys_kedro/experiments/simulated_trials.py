"""The same experiment many times, with known truth: do its intervals cover what is true?

Each trial splits the shoppers anew and gives them another life (another noise) of the same
weeks. It is judged as real ones are: by the salted hash of the assignment, and by Welch's
interval with CUPED.

Shapes: R trials, U users, N users who come, L positions of a list.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from recsys_kedro.experiments.assignment import choose_variant
from recsys_kedro.experiments.declarations import Experiment
from recsys_kedro.experiments.delta_method import cuped_slope
from recsys_kedro.experiments.effects import Effect, compare
from recsys_kedro.experiments.moments import Moments, moments_of_units
from recsys_kedro.simulation.memory import PurchaseMemory
from recsys_kedro.simulation.oracle import Tastes
from recsys_kedro.simulation.response import sessions_between
from recsys_kedro.simulation.response_choice import ResponseOptions, Sessions
from recsys_kedro.simulation.response_noise import Noise
from recsys_kedro.simulation.response_replay import Lives, replay


@dataclass(frozen=True)
class Trials:
    """One experiment on revenue per user, to be repeated.

    Attributes:
        tastes: the truth of the shop.
        memory: what was bought before the experiment.
        pre_revenue: (U,) of each user before it.
        control, treatment: (U, L) the list that each user gets in each of them, as products.
        experiment: as declared; its first two variants count.
        options: how shoppers answer.
    """

    tastes: Tastes
    memory: PurchaseMemory
    pre_revenue: NDArray[np.float64]
    control: NDArray[np.int32]
    treatment: NDArray[np.int32]
    experiment: Experiment
    options: ResponseOptions

    @cached_property
    def coming(self) -> NDArray[np.int64]:
        """(N,) who comes at all; the same in every life."""
        return np.unique(self._sessions(seed=0).user)

    def truth(self, seeds: Sequence[int]) -> tuple[float, float]:
        """What the treatment adds for those who come, and the standard error of that.

        The mean over lives in which everybody gets both, with common noise.
        """
        gains = [
            (self._life(self.treatment, seed).revenue - self._life(self.control, seed).revenue)[
                self.coming
            ].mean()
            for seed in seeds
        ]
        return float(np.mean(gains)), float(np.std(gains, ddof=1) / np.sqrt(len(gains)))

    def run(self, seeds: Sequence[int]) -> Effect:
        """(R,) the effects that the experiment finds, one per seed, with CUPED."""
        arms = [self._arms(seed) for seed in seeds]
        treatment, control = (_stacked([arm[part] for arm in arms]) for part in (0, 1))
        return compare(treatment, control, cuped_slope(treatment, control))

    def treated(self, seed: int) -> NDArray[np.bool_]:
        """(U,) who is in the treatment if the seed is the salt; who does not come is not."""
        experiment = self.experiment.model_copy(update={"salt": str(seed)})
        ids = self.tastes.world.shoppers.ids.gather(self.coming)
        treated = np.zeros(len(self.tastes.world.shoppers), bool)
        treated[self.coming] = [
            choose_variant("", experiment, unit) != experiment.control for unit in ids
        ]
        return treated

    def _arms(self, seed: int) -> tuple[Moments, Moments]:
        treated = self.treated(seed)
        lists = np.where(treated[:, None], self.treatment, self.control)
        revenue = self._life(lists, seed).revenue[self.coming]
        before, here = self.pre_revenue[self.coming], treated[self.coming]
        treatment, control = (
            moments_of_units(revenue[arm], pre_numerator=before[arm]) for arm in (here, ~here)
        )
        return treatment, control

    def _life(self, list_UL: NDArray[np.int32], seed: int) -> Lives:
        sessions = self._sessions(seed)
        return replay(self.tastes, self.memory, sessions, list_UL, self.options, Noise(seed))

    def _sessions(self, seed: int) -> Sessions:
        return sessions_between(self.tastes, self.experiment.start, self.experiment.end, seed)


def _stacked(parts: Sequence[Moments]) -> Moments:
    fields = ("count", "mean", "covariance")
    return Moments(*(np.stack([getattr(part, name) for part in parts]) for name in fields))
