"""How the hybrid learns: its parts as of the cut, its batches, its losses, its validation."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import TypeVar

import numpy as np
import polars as pl
import torch
from torch import Tensor

from recsys_kedro import columns as c
from recsys_kedro.features import columns as f
from recsys_kedro.metrics.lists import ndcg_by_user
from recsys_kedro.models.base import TrainingData, Validation
from recsys_kedro.models.distributed import Peers
from recsys_kedro.models.hybrid import Hybrid, HybridOptions, Retrieved
from recsys_kedro.models.hybrid_batches import Batch, BatchMaker, EventArrays
from recsys_kedro.models.hybrid_encoders import HybridEncoders
from recsys_kedro.models.hybrid_lists import lists_to_learn_from
from recsys_kedro.models.network import HybridNetwork, ProductTensors, Sizes, rows_of
from recsys_kedro.models.ranking_losses import lambda_rank, listwise_softmax
from recsys_kedro.models.training import SCORE, Task, choose_device, train, train_in_processes
from recsys_kedro.models.warm_start import keep_weights, take_up_weights
from recsys_kedro.queries import Queries
from recsys_kedro.ranking.product_state import product_state
from recsys_kedro.ranking.scorers import behaviours, fit_scorers
from recsys_kedro.ranking.snapshot import Snapshot
from recsys_kedro.sampling import draw_probabilities
from recsys_kedro.training_lists import TrainingLists
from recsys_kedro.vocabulary import Vocabulary

HybridType = TypeVar("HybridType", bound=Hybrid)

METRIC_PLACES = 10
TOP = 20  # ranks of a list whose order LambdaRank's loss teaches


def fit_hybrid(
    kind: type[HybridType], data: TrainingData, options: HybridOptions, seed: int
) -> HybridType:
    """Fit a hybrid as of ``data.cut``; see ``Hybrid.fit``."""
    lists, features = _lists_and_features(data, options)
    model = _untrained(kind, data, lists, features, options, seed)
    weights_folder = options.training.weights_folder
    if weights_folder is not None:
        take_up_weights(model, weights_folder, data.cut)
    batches = _batch_maker(model, data, lists, features, seed)
    fingerprint = _fingerprint(data, lists, features, options)
    validation = data.validation
    if validation and options.training.processes > 1:
        validation = replace(validation, enough=None)  # it need not be picklable
    make_task = partial(_task, model, batches, validation, fingerprint)
    if options.training.processes == 1:
        alone = Peers(choose_device(options.training.device))
        progress = train(make_task(alone), options.training, seed)
    else:
        weights, progress = train_in_processes(make_task, options.training, seed)
        model.network.load_state_dict(weights)
    training = options.training.model_copy(update={"stop_after": progress.best_epoch})
    model.options = options.model_copy(update={"training": training})
    model.epochs = progress.epochs
    _move(model, torch.device("cpu"))
    if weights_folder is not None:
        keep_weights(model, weights_folder, data.cut)
    return model


def _task(
    model: Hybrid,
    batches: BatchMaker,
    validation: Validation | None,
    fingerprint: str,
    peers: Peers,
) -> Task:
    """What one process learns; the model goes to its device."""
    _move(model, peers.device)
    own = batches.on(peers)
    validate: Callable[[], Mapping[str, float]] | None = None
    if validation is not None:
        validate = _validator(model, validation) if peers.is_first else dict
    return Task(
        network=model.network,
        batches=own.batches,
        steps=own.steps,
        losses=partial(losses, model),
        validate=validate,
        fingerprint=fingerprint,
        enough=validation.enough if validation else None,
    )


def _lists_and_features(
    data: TrainingData, options: HybridOptions
) -> tuple[TrainingLists, pl.DataFrame]:
    """The lists that were known at the cut, and product features with names up to it."""
    if data.lists is None or data.product_snapshots is None:
        msg = "hybrid: needs training lists and product snapshots; run the sampling pipeline first."
        raise ValueError(msg)
    lists = lists_to_learn_from(data.lists, data.cut, options)
    names = data.products.select(c.PRODUCT_ID, c.NAME)
    features = data.product_snapshots.filter(pl.col(f.SNAPSHOT_TIME) <= data.cut)
    features = features.join(names, on=c.PRODUCT_ID, how="left", maintain_order="left")
    if lists.requests.is_empty() or features.filter(pl.col(f.SNAPSHOT_TIME) == data.cut).is_empty():
        msg = (
            f"hybrid: nothing to learn from at {data.cut:%Y-%m-%d %H:%M}: "
            f"{lists.requests.height} training lists end by then and {features.height} product "
            f"snapshots lie before it. Set a smaller split.horizon_days."
        )
        raise ValueError(msg)
    return lists, features


def _untrained(
    kind: type[HybridType],
    data: TrainingData,
    lists: TrainingLists,
    features: pl.DataFrame,
    options: HybridOptions,
    seed: int,
) -> HybridType:
    """The model with everything but learned weights."""
    now = features.filter(pl.col(f.SNAPSHOT_TIME) == data.cut).sort(c.PRODUCT_ID)
    vocabulary = Vocabulary(now[c.PRODUCT_ID].alias("id"))
    categories = Vocabulary.fit(now[c.CATEGORY])
    weights = behaviours(data.events, data.target_event_types, lists.options.scorers)
    snapshot = Snapshot(
        fit_scorers(
            data.events, data.products, vocabulary, data.cut, weights, lists.options.scorers
        ),
        product_state(now, vocabulary, categories),
        vocabulary,
        categories,
    )
    encoders = HybridEncoders.fit(now, lists.requests, options.encoders)
    products = encoders.product_tensors(now)
    torch.manual_seed(seed)
    network = HybridNetwork(_sizes(encoders, products, lists, options), options.network)
    _standardise(network, lists)
    return kind(options, snapshot, lists.options.candidates, encoders, products, network)


def _sizes(
    encoders: HybridEncoders,
    products: ProductTensors,
    lists: TrainingLists,
    options: HybridOptions,
) -> Sizes:
    return Sizes(
        products=len(products.category),
        categories=len(encoders.products.category),
        subcategories=len(encoders.products.subcategory),
        brands=len(encoders.products.brand),
        text_buckets=options.encoders.text_buckets,
        product_numbers=products.numbers.shape[1],
        devices=len(encoders.devices),
        profile_numbers=len(encoders.users.numbers.names),
        pair_features=len(lists.feature_names),
        time_numbers=encoders.time_numbers,
    )


def _standardise(network: HybridNetwork, lists: TrainingLists) -> None:
    """Let the network see pair features with mean 0 and deviation 1."""
    mean = lists.features.mean(axis=0, dtype=np.float64)
    deviation = lists.features.std(axis=0, dtype=np.float64)
    network.mean.copy_(torch.from_numpy(mean))
    network.scale.copy_(torch.from_numpy(1 / (deviation + 1e-3)))


def _move(model: Hybrid, device: torch.device) -> None:
    model.network.to(device).eval()
    model.products = ProductTensors(*(tensor.to(device) for tensor in model.products))


def _batch_maker(
    model: Hybrid, data: TrainingData, lists: TrainingLists, features: pl.DataFrame, seed: int
) -> BatchMaker:
    vocabulary, options = model.snapshot.vocabulary, model.options
    popularity = model.snapshot.scorers.popularity[:, -1]
    return BatchMaker(
        lists=lists,
        product_of=vocabulary.encode(lists.products.ids),
        requests=model.encoders.request_tensors(lists.requests),
        events=EventArrays.of(data.events, vocabulary),
        numbers=_numbers_by_time(model, features, lists),
        probabilities=draw_probabilities(popularity, options.negatives),
        batch_size=options.training.batch_size,
        list_size=options.list_size,
        negatives=options.retrieval_negatives,
        max_history=options.network.max_history,
        seed=seed,
        device=model.products.category.device,
    )


def _numbers_by_time(
    model: Hybrid, features: pl.DataFrame, lists: TrainingLists
) -> dict[datetime, Tensor]:
    """Per snapshot of the lists, (P, N) the product numbers as of then; 0 before a product."""
    result = {}
    for time in lists.requests[f.SNAPSHOT_TIME].unique().to_list():
        then = features.filter(pl.col(f.SNAPSHOT_TIME) == time)
        row = model.snapshot.vocabulary.encode(then[c.PRODUCT_ID])
        numbers = torch.zeros_like(model.products.numbers)
        encoded = torch.from_numpy(model.encoders.products.numbers.transform(then))
        numbers[torch.from_numpy(row)] = encoded.to(numbers.device)
        result[time] = numbers
    return result


def losses(model: Hybrid, batch: Batch) -> Mapping[str, Tensor]:
    """Ranking of all and of new products, and sampled softmax of retrieval.

    The two ranking losses are the two tasks; each is a listwise softmax, which teaches the whole
    list, and a LambdaRank loss, which teaches its top. Retrieval subtracts each product's log
    expected count among the shared negatives, and never counts what the user has already taken.
    """
    network, options = model.network, model.options
    products = model.products._replace(numbers=batch.numbers)
    vector_U2D = network.product_vectors(products, batch.distinct)
    vector_E2D = rows_of(vector_U2D, batch.history_position)
    users = network.user_vectors(batch.requests, batch.history, vector_E2D)
    score_BC = network.rank(users, rows_of(vector_U2D, batch.candidate), batch.pair).float()
    index_R = batch.distinct[batch.retrieved]
    logit_BR = network.retrieve(users, rows_of(vector_U2D, batch.retrieved), index_R).float()

    def ranking(valid_BC: Tensor) -> Tensor:
        whole = listwise_softmax(score_BC, batch.label, valid_BC)
        return whole + options.top_weight * lambda_rank(score_BC, batch.label, valid_BC, TOP)

    return {
        "all": ranking(batch.valid),
        "new": options.new_weight * ranking(batch.valid & ~batch.taken),
        "retrieval": options.retrieval_weight
        * listwise_softmax(logit_BR - batch.log_count, batch.wanted, ~batch.forbidden),
    }


def _validator(model: Hybrid, validation: Validation) -> Callable[[], Mapping[str, float]]:
    """Figures by the weights as they are, over candidates that were found once.

    The network's own retrieval, which changes with the weights, is not among their sources.
    """
    batches = validation.queries.batches_over(len(model.snapshot.vocabulary))
    found = [(batch, model.retrieve(batch, use_network=False)) for _, batch in batches]
    return partial(_validate, model, found, validation.truth)


def _validate(
    model: Hybrid, found: list[tuple[Queries, Retrieved]], truth: pl.DataFrame
) -> Mapping[str, float]:
    parts = []
    for queries, retrieved in found:
        fresh = replace(retrieved, users=model.user_vectors(queries))
        score = model.rank(fresh)
        users = queries.requests.select(c.USER_ID).with_row_index(c.QUERY)
        for task in c.TASKS:
            best = model.best(fresh, score, METRIC_PLACES, exclude_seen=task == c.TASK_NEW)
            named = best.join(users.cast({c.QUERY: pl.Int64}), on=c.QUERY)
            parts.append(named.with_columns(task=pl.lit(task), model=pl.lit(model.name)))
    by_user = ndcg_by_user(truth, pl.concat(parts), METRIC_PLACES)
    means = dict(by_user.group_by(c.TASK).agg(pl.col("ndcg").mean()).iter_rows())
    figures = {f"validation_{task}_ndcg@10": means.get(task, 0.0) for task in c.TASKS}
    return {**figures, SCORE: sum(figures.values()) / len(figures)}


def _fingerprint(
    data: TrainingData, lists: TrainingLists, features: pl.DataFrame, options: HybridOptions
) -> str:
    """Tells the checkpoint of one fit from that of another."""
    digest = hashlib.sha256(options.model_dump_json(exclude={"training"}).encode())
    digest.update(data.cut.isoformat().encode())
    for array in (lists.product, lists.features, lists.label, lists.taken, lists.proposed):
        digest.update(array.tobytes())
    frames = [data.events, features, lists.requests]
    if data.validation is not None:
        frames += [data.validation.truth, data.validation.queries.requests]
    for frame in frames:
        digest.update(frame.hash_rows().to_numpy().tobytes())
    return digest.hexdigest()
