"""The hybrid model: retrieve from several sources, rank with the fusion network.

Q queries, P products, N candidates.
"""

import json
from collections.abc import Collection
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from pydantic import Field
from safetensors.torch import load_file, save_file
from torch import Tensor

from recsys_kedro import columns as c
from recsys_kedro.features.options import EncoderOptions
from recsys_kedro.models.base import Recommender, TrainingData
from recsys_kedro.models.hybrid_encoders import HybridEncoders, history_tensors
from recsys_kedro.models.network import (
    HistoryTensors,
    HybridNetwork,
    NetworkOptions,
    ProductTensors,
    RequestTensors,
    Sizes,
    UserVectors,
)
from recsys_kedro.models.training import TrainingOptions
from recsys_kedro.options import Options
from recsys_kedro.queries import Queries
from recsys_kedro.ranking.candidates import SOURCES, CandidateOptions, Candidates, propose
from recsys_kedro.ranking.pair_features import pair_features
from recsys_kedro.ranking.scorers import TAKEN
from recsys_kedro.ranking.shelves import Shelves
from recsys_kedro.ranking.snapshot import Snapshot
from recsys_kedro.sampling import NegativeOptions
from recsys_kedro.seasons import WeightedSeason

RANKED_AT_ONCE = 65_536
CONTENT_FILE = "content.safetensors"


class HybridOptions(Options):
    """All of the hybrid model."""

    network: NetworkOptions = NetworkOptions()
    training: TrainingOptions = TrainingOptions()
    encoders: EncoderOptions = EncoderOptions()
    snapshots: int = Field(12, ge=1, description="latest snapshots to learn from")
    lists: int = Field(0, ge=0, description="of more snapshots where those have fewer lists")
    list_size: int = Field(96, ge=2, description="products ranked per training list")
    new_weight: float = Field(1.0, ge=0, description="loss of ranking new products, against all")
    top_weight: float = Field(1.0, ge=0, description="loss of a list's top, against all of it")
    retrieval_weight: float = Field(0.1, ge=0, description="loss of retrieval, against ranking")
    retrieval_negatives: int = Field(256, ge=1, description="products that a batch shares")
    negatives: NegativeOptions = NegativeOptions()
    season: WeightedSeason | None = Field(
        None, description="of any year, learned from beside the latest snapshots; empty: none"
    )


@dataclass(frozen=True)
class Retrieved:
    """What is ranked for a batch of queries.

    Attributes:
        candidates: N candidates.
        taken: (N,) whether the user has taken it.
        pairs: (N, F) pair features.
        users: the network's user vectors.
    """

    candidates: Candidates
    taken: NDArray[np.bool_]
    pairs: NDArray[np.float32]
    users: UserVectors


@dataclass(eq=False)
class Hybrid(Recommender):
    """Collaborative, content and context parts over strong simple scorers.

    Attributes:
        options: as fitted; ``training.stop_after`` is the epoch that validation chose.
        snapshot: scorers and products as of the cut.
        candidate_options: quotas of the sources.
        encoders: tables to tensors.
        products: the products' content as of the cut.
        network: the learned part.
        epochs: losses, figures and seconds of each epoch.
        vectors_P2D: the network's view of all products, once its weights are final.
    """

    name = "hybrid"
    options_type: ClassVar[type[Options]] = HybridOptions

    options: HybridOptions
    snapshot: Snapshot
    candidate_options: CandidateOptions
    encoders: HybridEncoders
    products: ProductTensors
    network: HybridNetwork
    epochs: list[dict[str, float]] = field(default_factory=list)
    vectors_P2D: Tensor | None = None
    _laid_out: Tensor | None = field(default=None, init=False, repr=False)

    @classmethod
    def fit(cls, data: TrainingData, options: HybridOptions, seed: int) -> Self:
        """See :meth:`Recommender.fit`.

        Raises:
            ValueError: if the data has no training lists or no product snapshot at the cut.
        """
        # Fitting knows the model, so it is imported when a model is fitted, not when it serves.
        from recsys_kedro.models.hybrid_training import fit_hybrid

        return fit_hybrid(cls, data, options, seed)

    def recommend(self, queries: Queries, k: int, *, exclude_seen: bool) -> pl.DataFrame:
        """See :meth:`Recommender.recommend`; the column ``source`` says what proposed each."""
        parts = []
        batches = list(queries.batches_over(len(self.snapshot.vocabulary)))
        for start, batch in batches or [(0, queries)]:  # no query: an empty table
            retrieved = self.retrieve(batch)
            best = self.best(retrieved, self.rank(retrieved), k, exclude_seen=exclude_seen)
            parts.append(best.with_columns(pl.col(c.QUERY) + start))
        return pl.concat(parts)

    def score(self, queries: Queries, candidates: pl.DataFrame) -> NDArray[np.float32]:
        """See :meth:`Recommender.score`."""
        product = self.snapshot.vocabulary.encode(candidates[c.PRODUCT_ID])
        query = candidates[c.QUERY].to_numpy()
        result = np.full(candidates.height, -np.inf, np.float32)
        for start, batch in queries.batches_over(len(self.snapshot.vocabulary)):
            rows = query - start
            here = np.flatnonzero((rows >= 0) & (rows < len(batch)) & (product >= 0))
            here = here[np.lexsort((product[here], rows[here]))]
            offsets = np.searchsorted(rows[here], np.arange(len(batch) + 1))
            sources = np.zeros(len(here), np.int8)
            asked = Candidates(rows[here], product[here], sources, offsets)
            result[here] = self.rank(self.retrieve(batch, asked))
        return result

    def retrieve(
        self, queries: Queries, asked: Candidates | None = None, *, use_network: bool = True
    ) -> Retrieved:
        """Candidates with all that ranking needs.

        Args:
            queries: a batch.
            asked: rank these; None: what the sources propose.
            use_network: whether the network's own retrieval is one of the sources.

        Raises:
            ValueError: if the model was fitted with other pair features than there are now.
        """
        vocabulary, scorers = self.snapshot.vocabulary, self.snapshot.scorers
        scores = scorers.catalogue_scores(queries, vocabulary)
        taken = queries.seen(vocabulary, self.taken_types)
        users = self.user_vectors(queries)
        if asked is None:
            own = self.retrieval_scores(users) if use_network else None
            asked = propose(scores, self.shelves, taken, self.candidate_options, own)
        pairs = pair_features(queries, asked, scores, self.snapshot).values
        if pairs.shape[1] != self.network.sizes.pair_features:
            msg = (
                f"hybrid: fitted with {self.network.sizes.pair_features} pair features, but this "
                f"version of the project has {pairs.shape[1]}. Fit it anew, or use it with the "
                f"version that fitted it: a registered model carries its code."
            )
            raise ValueError(msg)
        return Retrieved(asked, taken[asked.query, asked.product], pairs, users)

    @property
    def taken_types(self) -> Collection[str]:
        """The event types that count as taken."""
        return self.snapshot.scorers.weights[TAKEN]

    @cached_property
    def shelves(self) -> Shelves:
        """The catalogue in order, made once."""
        return Shelves.of(self.snapshot, self.candidate_options.new_days)

    def every_product_vector(self) -> Tensor:
        """(P, 2D) the network's view of all products."""
        if self.vectors_P2D is not None:
            return self.vectors_P2D
        every = torch.arange(len(self.products.category), device=self.products.category.device)
        return self.network.product_vectors(self.products, every)

    @property
    def _product_columns(self) -> Tensor:
        """All product vectors as columns; once the weights are final, laid out as such."""
        if self.vectors_P2D is None:
            return self.every_product_vector().T
        if self._laid_out is None:
            self._laid_out = self.vectors_P2D.T.contiguous()
        return self._laid_out

    def product_vectors(self, index_N: Tensor) -> Tensor:
        """(N, 2D) the network's view of some products."""
        if self.vectors_P2D is not None:
            return self.vectors_P2D[index_N]
        distinct, position = torch.unique(index_N, return_inverse=True)
        return self.network.product_vectors(self.products, distinct)[position]

    @torch.inference_mode()
    def content_vectors(self) -> NDArray[np.float32]:
        """(P, D) what the network makes of the products' content, without their ids."""
        content_PD = self.every_product_vector().chunk(2, dim=1)[1]
        return content_PD.float().cpu().numpy()

    @torch.inference_mode()
    def user_vectors(self, queries: Queries) -> UserVectors:
        """The network's view of the users of a batch."""
        most, device = self.options.network.max_history, self.products.category.device
        history = history_tensors(queries, self.snapshot.vocabulary, most)
        history = HistoryTensors(*(tensor.to(device) for tensor in history))
        requests = self.encoders.request_tensors(queries.requests)
        requests = RequestTensors(*(tensor.to(device) for tensor in requests))
        vector_E2D = self.product_vectors(history.product)
        return self.network.user_vectors(requests, history, vector_E2D)

    @torch.inference_mode()
    def retrieval_scores(self, users: UserVectors) -> NDArray[np.float32]:
        """(Q, P) the network's own retrieval; only the order counts."""
        logits = self.network.retrieve_all(users, self._product_columns)
        return logits.float().cpu().numpy()

    @torch.inference_mode()
    def rank(self, retrieved: Retrieved) -> NDArray[np.float32]:
        """(N,) the fusion network's score of each candidate, by the weights as they are."""
        device = self.products.category.device
        parts = []
        for start in range(0, len(retrieved.pairs), RANKED_AT_ONCE):
            some = slice(start, start + RANKED_AT_ONCE)
            query = torch.from_numpy(retrieved.candidates.query[some]).to(device)
            product = torch.from_numpy(retrieved.candidates.product[some]).to(device)
            pairs = torch.from_numpy(retrieved.pairs[some]).to(device)
            users = UserVectors(*(vector[query] for vector in retrieved.users))
            vectors_N2D = self.product_vectors(product)
            parts.append(self.network.rank(users, vectors_N2D[:, None], pairs[:, None]))
        ranked: Tensor = torch.cat(parts) if parts else torch.zeros(0, 1)
        return ranked[:, 0].float().cpu().numpy()

    def best(
        self, retrieved: Retrieved, score: NDArray[np.float32], k: int, *, exclude_seen: bool
    ) -> pl.DataFrame:
        """``query, product_id, rank, score, source`` of the ``k`` best candidates per query."""
        keep = ~retrieved.taken if exclude_seen else np.ones(len(score), bool)
        candidates, score = retrieved.candidates.where(keep), score[keep]
        order = np.lexsort((candidates.product, -score, candidates.query))
        place = np.arange(len(order)) - candidates.offsets[candidates.query]
        order, place = order[place < k], place[place < k]
        return pl.DataFrame(
            {
                c.QUERY: candidates.query[order],
                c.PRODUCT_ID: self.snapshot.vocabulary.decode(candidates.product[order]),
                c.RANK: place + 1,
                c.SCORE: score[order].astype(np.float64),
                c.SOURCE: np.array(SOURCES)[candidates.source[order]],
            }
        )

    def save(self, folder: Path) -> None:
        """See :meth:`Recommender.save`."""
        folder.mkdir(parents=True, exist_ok=True)
        self.snapshot.save(folder)
        self.encoders.save(folder / "encoders")
        save_file(self.network.state_dict(), folder / "network.safetensors")
        content = {name: tensor.contiguous() for name, tensor in self.products._asdict().items()}
        save_file(content, folder / CONTENT_FILE)
        about = {
            "model": self.name,
            "options": self.options.model_dump(mode="json"),
            "candidates": self.candidate_options.model_dump(mode="json"),
            "sizes": self.network.sizes._asdict(),
            "epochs": self.epochs,
        }
        (folder / "model.json").write_text(json.dumps(about, indent=2), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """See :meth:`Recommender.load`.

        Raises:
            ValueError: if the model was fitted by a version with another network.
        """
        about = json.loads((folder / "model.json").read_text(encoding="utf-8"))
        options = HybridOptions.model_validate(about["options"])
        with torch.device("meta"):
            network = HybridNetwork(Sizes(**about["sizes"]), options.network)
        weights = load_file(folder / "network.safetensors")
        try:
            network.load_state_dict(weights, assign=True)
        except RuntimeError as error:
            msg = f"hybrid: {folder} was fitted by a version with another network. Fit it anew."
            raise ValueError(msg) from error
        network, products = network.eval(), ProductTensors(**load_file(folder / CONTENT_FILE))
        model = cls(
            options=options,
            snapshot=Snapshot.load(folder),
            candidate_options=CandidateOptions.model_validate(about["candidates"]),
            encoders=HybridEncoders.load(folder / "encoders"),
            products=products,
            network=network,
            epochs=about["epochs"],
        )
        with torch.inference_mode():
            model.vectors_P2D = model.every_product_vector()
        return model
