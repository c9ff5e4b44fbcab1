"""The hybrid network: collaborative, content and context parts, joined by a fusion network.

Shapes: B queries of a batch, E past events (packed, no padding), C candidates per list,
U distinct products of the batch, D width, K heads, F pair features.

A user is not looked up but computed from what the user did: attention over the past
events, once over their id embeddings (collaborative) and once over their content. How well
each candidate matches that user is joined by the context and the pair features in a fusion
network.
"""

from typing import NamedTuple

import torch
from pydantic import Field
from torch import Tensor, nn

from recsys_kedro.columns import EVENT_TYPES
from recsys_kedro.options import Options


class NetworkOptions(Options):
    """Sizes and regularisation of the hybrid network."""

    width: int = Field(16, ge=1, description="size of the id, content and context vectors")
    heads: int = Field(4, ge=1, description="ways of pooling a history")
    hidden: int = Field(64, ge=2, description="first layer of the fusion network; then half of it")
    dropout: float = Field(0.1, ge=0, lt=1, description="share of activations dropped in training")
    id_dropout: float = Field(
        0.5, ge=0, lt=1, description="share of products whose id is hidden in a training step"
    )
    max_history: int = Field(200, ge=1, description="newest events of a history that are read")


TIME_NUMBERS = 7  # of a request, beside the holidays
# Deviations at which a pair feature is cut. Where few candidates were taken before, all that is
# said of those is many deviations from the mean: cut at 5, the best customers' and the newest
# customers' own products looked alike.
FAR = 30.0


class Sizes(NamedTuple):
    """What the data decides: how many of each there are."""

    products: int
    categories: int
    subcategories: int
    brands: int
    text_buckets: int
    product_numbers: int
    devices: int
    profile_numbers: int
    pair_features: int
    time_numbers: int = TIME_NUMBERS


class ProductTensors(NamedTuple):
    """The content of P products, as of the fit."""

    category: Tensor  # (P,)
    subcategory: Tensor  # (P,)
    brand: Tensor  # (P,)
    numbers: Tensor  # (P, N) standardised
    tokens: Tensor  # (T,) hashed words of all names, packed
    token_offsets: Tensor  # (P + 1,)


class RequestTensors(NamedTuple):
    """Context and profile of B queries."""

    time: Tensor  # (B, 7 + 2H) see hybrid_encoders.time_numbers
    device: Tensor  # (B,)
    category: Tensor  # (B,) category of the page or search
    profile: Tensor  # (B, M) standardised user features


class HistoryTensors(NamedTuple):
    """E past events of B queries, packed."""

    product: Tensor  # (E,) product index
    event_type: Tensor  # (E,)
    log_age: Tensor  # (E,) ln(1 + days)
    row: Tensor  # (E,) the query of each


class UserVectors(NamedTuple):
    """What the fusion network sees of a user."""

    collaborative: Tensor  # (B, D)
    content: Tensor  # (B, D)
    context: Tensor  # (B, D)


class ContentEncoder(nn.Module):
    """Category, subcategory, brand, price, age and the words of the name, as one vector."""

    def __init__(self, sizes: Sizes, options: NetworkOptions) -> None:
        super().__init__()
        width = options.width
        self.category = nn.Embedding(sizes.categories, width)
        self.subcategory = nn.Embedding(sizes.subcategories, width)
        self.brand = nn.Embedding(sizes.brands, width)
        self.words = nn.EmbeddingBag(sizes.text_buckets, width, mode="mean")
        self.mix = nn.Sequential(
            nn.Linear(4 * width + sizes.product_numbers, 2 * width),
            nn.GELU(),
            nn.Dropout(options.dropout),
            nn.Linear(2 * width, width),
        )

    def forward(self, products: ProductTensors, index_U: Tensor) -> Tensor:
        """(U, D) the content vectors of some products."""
        tokens, offsets = take_packed(products.tokens, products.token_offsets, index_U)
        parts = (
            self.category(products.category[index_U]),
            self.subcategory(products.subcategory[index_U]),
            self.brand(products.brand[index_U]),
            self.words(tokens, offsets),
            products.numbers[index_U],
        )
        mixed: Tensor = self.mix(torch.cat(parts, dim=1))
        return mixed


class HistoryEncoder(nn.Module):
    """Attention over packed past events, with K heads that forget at learned rates."""

    def __init__(self, options: NetworkOptions) -> None:
        super().__init__()
        width, heads = options.width, options.heads
        self.event_type = nn.Embedding(len(EVENT_TYPES), 2 * width)
        self.attend = nn.Linear(2 * width, heads)
        self.forget = nn.Parameter(torch.linspace(-2.0, 1.0, heads))
        self.join = nn.Linear(heads * 2 * width, 2 * width)
        self.nobody = nn.Parameter(torch.zeros(2 * width))

    def forward(self, vector_E2D: Tensor, history: HistoryTensors, size: int) -> Tensor:
        """(B, 2D) collaborative and content vectors of ``size`` users."""
        event_E2D = vector_E2D + self.event_type(history.event_type)
        fading_EK = history.log_age[:, None] * nn.functional.softplus(self.forget)
        weight_EK = packed_softmax(
            self.attend(torch.tanh(event_E2D)) - fading_EK, history.row, size
        )
        pooled_BK2D = packed_sum(weight_EK, event_E2D, history.row, size)
        events_B = torch.bincount(history.row, minlength=size)
        return torch.where((events_B > 0)[:, None], self.join(pooled_BK2D.flatten(1)), self.nobody)


class ListDropout(nn.Dropout):
    """Dropout of (B, C, H) that leaves out the same for all C candidates of a list.

    What is compared with each other is thinned alike, and few random numbers are drawn.
    """

    def forward(self, hidden_BCH: Tensor) -> Tensor:
        """(B, C, H); in training with some of H set to 0 per list, the others larger."""
        if not self.training:
            return hidden_BCH
        kept_B1H = torch.rand_like(hidden_BCH[:, :1]) >= self.p
        return hidden_BCH * (kept_B1H / (1 - self.p))


class HybridNetwork(nn.Module):
    """Scores candidates (the ranker) and the whole catalogue (its own retrieval)."""

    mean: Tensor
    scale: Tensor

    def __init__(self, sizes: Sizes, options: NetworkOptions) -> None:
        super().__init__()
        self.sizes = sizes
        self.id_dropout = options.id_dropout
        width = options.width
        self.product = nn.Embedding(sizes.products, width, sparse=True)
        self.content = ContentEncoder(sizes, options)
        self.history = HistoryEncoder(options)
        self.profile = nn.Linear(sizes.profile_numbers, 2 * width)
        self.device = nn.Embedding(sizes.devices, width)
        self.context = nn.Sequential(
            nn.Linear(sizes.time_numbers + 2 * width, 2 * width),
            nn.GELU(),
            nn.Linear(2 * width, width),
        )
        self.bias = nn.Embedding(sizes.products, 1, sparse=True)
        fusion_inputs = width + 2 + sizes.pair_features
        self.fusion = nn.Sequential(
            nn.Linear(fusion_inputs, options.hidden),
            nn.GELU(),
            ListDropout(options.dropout),
            nn.Linear(options.hidden, options.hidden // 2),
            nn.GELU(),
            ListDropout(options.dropout),
            nn.Linear(options.hidden // 2, 1),
        )
        self.shortcut = nn.Linear(sizes.pair_features, 1)
        # A listwise loss does not see a constant, so these would drift with rounding errors.
        self.fusion[-1].register_parameter("bias", None)
        self.shortcut.register_parameter("bias", None)
        self.register_buffer("mean", torch.zeros(sizes.pair_features))
        self.register_buffer("scale", torch.ones(sizes.pair_features))
        nn.init.normal_(self.product.weight, std=0.05)
        nn.init.zeros_(self.bias.weight)

    def product_vectors(self, products: ProductTensors, index_U: Tensor) -> Tensor:
        """(U, 2D) id embedding and content of some products.

        In training the ids of some products are hidden, so that content has to speak for new
        products too: Volkovs et al. (2017), "DropoutNet".
        """
        id_UD = self.product(index_U)
        if self.training:
            kept_U1 = torch.rand(len(index_U), 1, device=id_UD.device) >= self.id_dropout
            id_UD = id_UD * kept_U1
        return torch.cat([id_UD, self.content(products, index_U)], dim=1)

    def user_vectors(
        self, requests: RequestTensors, history: HistoryTensors, vector_E2D: Tensor
    ) -> UserVectors:
        """The users of a batch, from the product vectors of their past events."""
        history_B2D = self.history(vector_E2D, history, len(requests.device))
        user_B2D = history_B2D + self.profile(requests.profile)
        page_BD = self.content.category(requests.category)
        context_BD = self.context(
            torch.cat([requests.time, self.device(requests.device), page_BD], dim=1)
        )
        collaborative_BD, content_BD = user_B2D.chunk(2, dim=1)
        return UserVectors(collaborative_BD, content_BD, context_BD)

    def rank(self, users: UserVectors, product_BC2D: Tensor, pair_BCF: Tensor) -> Tensor:
        """(B, C) the fusion network's scores of candidates.

        Its inputs are the context, how well candidate and user match (one inner product of their
        collaborative, one of their content vectors), and the pair features. The vectors learn by
        retrieval alone: taught by ranking, which meets the same users week after week, they
        learned those by heart.
        """
        with torch.no_grad():
            user_B2D = torch.cat([users.collaborative, users.content], dim=1)
            both_BC2D = product_BC2D * user_B2D[:, None]
            match_BC2 = both_BC2D.view(*both_BC2D.shape[:2], 2, -1).sum(dim=3)
        pair_BCF = ((pair_BCF - self.mean) * self.scale).clamp(-FAR, FAR)
        # Joining the inputs would copy all of them; each is multiplied by its part of the weights.
        weight, bias = self.fusion[0].get_parameter("weight"), self.fusion[0].get_parameter("bias")
        of_context, of_match, of_pairs = torch.split(
            weight, [users.context.shape[1], 2, self.sizes.pair_features], dim=1
        )
        hidden_BCH = (
            nn.functional.linear(pair_BCF, of_pairs)
            + nn.functional.linear(match_BC2, of_match)
            + nn.functional.linear(users.context, of_context, bias)[:, None]
        )
        score_BC1: Tensor = self.fusion[1:](hidden_BCH) + self.shortcut(pair_BCF)
        return score_BC1.squeeze(2)

    def retrieve(self, users: UserVectors, product_U2D: Tensor, index_U: Tensor) -> Tensor:
        """(B, U) inner products of users and products, plus the products' bias."""
        user_B2D = torch.cat([users.collaborative, users.content], dim=1)
        bias_U1: Tensor = self.bias(index_U)
        return user_B2D @ product_U2D.T + bias_U1.squeeze(1)

    def retrieve_all(self, users: UserVectors, product_DP: Tensor) -> Tensor:
        """(B, P) :meth:`retrieve` of the whole catalogue, in the order of the ids."""
        user_B2D = torch.cat([users.collaborative, users.content], dim=1)
        bias_P: Tensor = self.bias.weight.squeeze(1)
        return torch.addmm(bias_P, user_B2D, product_DP)


def packed_softmax(logit_EK: Tensor, row_E: Tensor, size: int) -> Tensor:
    """(E, K) a softmax over the events of each of ``size`` queries."""
    index_EK = row_E[:, None].expand_as(logit_EK)
    top_BK = logit_EK.new_full((size, logit_EK.shape[1]), -torch.inf)
    top_BK = top_BK.scatter_reduce(0, index_EK, logit_EK.detach(), "amax")
    power_EK = torch.exp(logit_EK - top_BK[row_E])
    total_BK = power_EK.new_zeros(top_BK.shape).index_add(0, row_E, power_EK)
    return power_EK / rows_of(total_BK, row_E)


def packed_sum(weight_EK: Tensor, vector_ED: Tensor, row_E: Tensor, size: int) -> Tensor:
    """(B, K, D) each query's K weighted sums of its events' vectors.

    Args:
        weight_EK: K weights of each event.
        vector_ED: of the events.
        row_E: the query of each, ascending.
        size: B.
    """
    events_B = torch.bincount(row_E, minlength=size)
    longest = int(events_B.max()) if len(row_E) else 0
    # As one product of small matrices per query: a tenth of the memory of (E, K, D) products.
    start_B = events_B.cumsum(0) - events_B
    place_E = torch.arange(len(row_E), device=row_E.device) - start_B[row_E]
    cell_E = row_E * longest + place_E
    padded_BLD, padded_BLK = (
        values.new_zeros(size * longest, values.shape[1])
        .index_copy(0, cell_E, values)
        .view(size, longest, values.shape[1])
        for values in (vector_ED, weight_EK)
    )
    return padded_BLK.transpose(1, 2) @ padded_BLD


def rows_of(values: Tensor, index: Tensor) -> Tensor:
    """``values[index]`` whose gradient is summed in a fixed order, on several threads too."""
    return values.index_select(0, index.flatten()).reshape(*index.shape, *values.shape[1:])


def take_packed(values: Tensor, offsets: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
    """Some runs of a packed array: their values, and where each run starts."""
    start, length = offsets[index], offsets[index + 1] - offsets[index]
    stop = torch.cumsum(length, 0)
    within = torch.arange(int(stop[-1]) if len(stop) else 0, device=values.device)
    shift = torch.repeat_interleave(start - (stop - length), length)
    return values[within + shift], stop - length
