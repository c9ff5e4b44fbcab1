"""A sequence encoder: what is likely next, from the order in which a user took products.

P products, E packed past events, B users, D width, K heads. The events of a user are pooled by
attention that forgets at learned rates; a product is as likely next as the angle between its
vector and the pool is small. How it learns: ``sequence_training``.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from recsys_kedro.models.interactions import StepsBack
from recsys_kedro.models.network import packed_softmax, packed_sum, rows_of
from recsys_kedro.options import Options

FORGETTING = 1.5  # at first, of the head in the middle, per ln(1 + steps)
NEVER = -1e4  # a logit that leaves nothing of its event
OF_POOLING: Final = "pooling."


class SequenceOptions(Options):
    """How the sequence encoder is built and how it learns."""

    width: int = Field(64, ge=1, description="size of the vectors of products and users")
    heads: int = Field(4, ge=1, description="ways of pooling what was taken")
    longest: int = Field(50, ge=1, description="newest events of a user that are read")
    dropout: float = Field(0.3, ge=0, lt=1, description="share of activations left out in training")
    event_dropout: float = Field(0.2, ge=0, lt=1, description="the same of past events")
    temperature: float = Field(0.07, gt=0, description="at first; what a cosine is divided by")
    negatives: int = Field(1024, ge=1, description="products that a batch shares")
    popularity_exponent: float = Field(0.75, ge=0, le=1, description="of drawing them")
    epochs: int = Field(10, ge=1, description="passes over the steps")
    steps: int = Field(250_000, ge=1, description="learned from per epoch; of more a sample")
    batch_size: int = Field(1024, ge=1, description="steps at once")
    learning_rate: float = Field(3e-3, gt=0, description="peak of the schedule")
    weight_decay: float = Field(1e-2, ge=0, description="of all weights but the products' bias")


class Randomness:
    """Numbers of a stream of its own: fits in several threads do not disturb each other."""

    def __init__(self, seed: int) -> None:
        self.generator = torch.Generator().manual_seed(seed)

    def weights(self, *shape: int, deviation: float) -> nn.Parameter:
        """Normally distributed."""
        return nn.Parameter(torch.randn(shape, generator=self.generator) * deviation)

    def kept(self, shape: torch.Size, dropout: float) -> Tensor:
        """Which are not dropped."""
        return torch.rand(shape, generator=self.generator) >= dropout

    def drop(self, values: Tensor, dropout: float) -> Tensor:
        """The values, some 0 and the others larger by as much."""
        return values * self.kept(values.shape, dropout) / (1 - dropout)


class Pooling(nn.Module):
    """Past events to the vector of a user."""

    def __init__(self, options: SequenceOptions, random: Randomness) -> None:
        super().__init__()
        self.options = options
        width, heads = options.width, options.heads

        def layer(inputs: int, outputs: int) -> nn.Parameter:
            return random.weights(inputs, outputs, deviation=(3 * inputs) ** -0.5)

        self.step = random.weights(options.longest, width, deviation=0.02)
        self.attend = layer(width, heads)
        self.forget = nn.Parameter(torch.linspace(-2.0, 2.0, heads))
        self.widen, self.join = layer(heads * width, 2 * width), layer(2 * width, width)
        self.widen_bias = nn.Parameter(torch.zeros(2 * width))
        self.join_bias = nn.Parameter(torch.zeros(width))
        self.skip = nn.Parameter(torch.ones(1))

    def forward(
        self,
        vector_ED: Tensor,
        step_E: Tensor,
        row_E: Tensor,
        size: int,
        random: Randomness | None = None,
    ) -> Tensor:
        """(size, D) users; ``random`` drops some of it, in training only."""
        options = self.options
        step_E = step_E.clamp(max=options.longest - 1)
        event_ED = vector_ED + rows_of(self.step, step_E)
        if random is not None:
            event_ED = random.drop(event_ED, options.dropout)
        fading_EK = step_E.float().log1p()[:, None] * functional.softplus(self.forget)
        logit_EK = torch.tanh(event_ED) @ self.attend - FORGETTING * fading_EK
        if random is not None:
            alone_E = torch.bincount(row_E, minlength=size)[row_E] == 1
            kept_E = random.kept(row_E.shape, options.event_dropout) | alone_E
            logit_EK = logit_EK + NEVER * ~kept_E[:, None]
        weight_EK = packed_softmax(logit_EK, row_E, size)
        pooled_BKD = packed_sum(weight_EK, event_ED, row_E, size)
        hidden_BH = functional.gelu(pooled_BKD.flatten(1) @ self.widen + self.widen_bias)
        if random is not None:
            hidden_BH = random.drop(hidden_BH, options.dropout)
        return hidden_BH @ self.join + self.join_bias + self.skip * pooled_BKD.mean(1)


@dataclass(frozen=True)
class SequenceEncoder:
    """A fitted encoder over P products.

    Attributes:
        vector_PD: of the products, as events.
        bias_P: of the products' logits.
        scale: of the cosine of a user and a product.
        pooling: events to users.
    """

    vector_PD: Tensor
    bias_P: Tensor
    scale: float
    pooling: Pooling

    @torch.inference_mode()
    def lifts(self, past: StepsBack, size: int) -> NDArray[np.float32]:
        """(size, P) how much likelier each product is next than if all were alike.

        Args:
            past: what ``size`` users took, see ``newest_steps``.
            size: how many users there are; one without a past has a list like everybody's.
        """
        row_E, product_E, step_E = (torch.from_numpy(each) for each in past)
        user_BD = self.pooling(self.vector_PD[product_E], step_E, row_E, size)
        logit_BP = self.scale * functional.normalize(user_BD) @ self._direction_DP + self.bias_P
        lifts: NDArray[np.float32] = (logit_BP.softmax(dim=1) * len(self.bias_P)).numpy()
        return lifts

    @cached_property
    def _direction_DP(self) -> Tensor:
        return functional.normalize(self.vector_PD).T.contiguous()

    def arrays(self) -> dict[str, NDArray[Any]]:
        """All that :meth:`of_arrays` needs beside the options."""
        weights = {OF_POOLING + name: value for name, value in self.pooling.state_dict().items()}
        weights |= {"vectors": self.vector_PD, "bias": self.bias_P}
        weights |= {"scale": torch.tensor([self.scale])}
        return {name: value.numpy() for name, value in weights.items()}

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, NDArray[Any]], options: SequenceOptions) -> Self:
        """What :meth:`arrays` gave."""
        tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
        pooling = Pooling(options, Randomness(0))
        weights = {
            name.removeprefix(OF_POOLING): tensor
            for name, tensor in tensors.items()
            if name.startswith(OF_POOLING)
        }
        pooling.load_state_dict(weights)
        pooling.requires_grad_(requires_grad=False)
        return cls(tensors["vectors"], tensors["bias"], float(tensors["scale"]), pooling)
