"""SASRec and BERT4Rec of RecTools, in the peers' environment.

``python -m accuracy_peers.fit_rectools job.json``. Settings: ``events`` (targets or all), ``every``
(epochs between two looks at the lists), ``patience`` (looks without a better one); the rest
are arguments of the package's class. Ids only: no features of products or users. Returns are
left out.
"""

import logging
import sys
import warnings
from pathlib import Path
from time import perf_counter
from typing import Any

import pandas as pd
import torch
from pytorch_lightning import Callback, Trainer, seed_everything
from rectools import Columns
from rectools.dataset import Dataset
from rectools.models import BERT4RecModel, SASRecModel

from accuracy_peers import job as peer

KINDS = {"rectools_sasrec": SASRecModel, "rectools_bert4rec": BERT4RecModel}
OWN = ("events", "every", "patience")


class AfterEpoch(Callback):
    """Hands each epoch to the watch. RecTools copies its trainer; this one stays itself."""

    def __init__(self, watch: peer.Watch, lists: Any) -> None:
        self.watch, self.lists = watch, lists

    def __deepcopy__(self, memo: dict[int, Any]) -> "AfterEpoch":
        return self

    def on_train_epoch_end(self, trainer: Trainer, pl_module: Any) -> None:
        random = torch.get_rng_state()
        if self.watch.after(trainer.current_epoch + 1, self.lists):
            trainer.should_stop = True
        torch.set_rng_state(random)
        pl_module.train()


def make_dataset(events: pd.DataFrame) -> Dataset:
    """The package's data set; rows of one time stay in their order."""
    return Dataset.construct(
        pd.DataFrame(
            {
                Columns.User: events["user_id"].to_numpy(),
                Columns.Item: events["product_id"].to_numpy(),
                Columns.Weight: 1.0,
                Columns.Datetime: events["timestamp"].dt.tz_localize(None).to_numpy(),
            }
        )
    )


def lists_of(model: Any, dataset: Dataset, job: peer.Job, taken: pd.DataFrame) -> pd.DataFrame:
    """The lists of those of the asked who have a sequence."""
    known = dataset.user_id_map.external_ids
    asked = job.table("asked")["user_id"]
    asked = asked[asked.isin(known)].to_numpy()
    parts = [_recommend(model, dataset, asked, peer.PLACES, filter_viewed=False)]
    if job.settings.get("events") == "all":
        # What was only looked at may be recommended as new, so the filter is ours.
        taken = taken[taken["user_id"].isin(asked)]
        most = int(taken.groupby("user_id").size().max()) if len(taken) else 0
        found = _recommend(model, dataset, asked, peer.PLACES + most, filter_viewed=False)
        key = ["user_id", "product_id"]
        found = found.merge(taken.assign(out=True), on=key, how="left")
        found = found[found["out"].isna()].sort_values(["user_id", "rank"])
        found["rank"] = found.groupby("user_id").cumcount() + 1
        parts.append(found[found["rank"] <= peer.PLACES])
    else:
        parts.append(_recommend(model, dataset, asked, peer.PLACES, filter_viewed=True))
    return pd.concat(
        part.assign(task=task)[peer.COLUMNS] for task, part in zip(peer.TASKS, parts, strict=True)
    )


def _recommend(
    model: Any, dataset: Dataset, asked: Any, k: int, *, filter_viewed: bool
) -> pd.DataFrame:
    fitted, model.is_fitted = model.is_fitted, True  # it is asked between epochs too
    k = min(k, len(dataset.item_id_map.external_ids))
    found = model.recommend(asked, dataset, k, filter_viewed, on_unsupported_targets="ignore")
    model.is_fitted = fitted
    names = {Columns.User: "user_id", Columns.Item: "product_id", Columns.Rank: "rank"}
    table: pd.DataFrame = found.rename(columns=names)[list(names.values())]
    return table


def main(path: Path) -> None:
    job = peer.Job.read(path)
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="pytorch_lightning")
    torch.set_num_threads(job.threads)
    seed_everything(job.seed)
    began = perf_counter()
    dataset, taken = make_dataset(peer.learned_from(job)), peer.taken_before(job)
    report = peer.Report(seconds_features=perf_counter() - began)
    arguments = {name: value for name, value in job.settings.items() if name not in OWN}

    def lists() -> pd.DataFrame:
        return peer.with_popular(job, lists_of(model, dataset, job, taken))

    every, patience = job.settings.get("every", 1), job.settings.get("patience", 3)
    watch = peer.Watch(job, every, patience)

    def trainer() -> Trainer:
        return Trainer(
            max_epochs=job.settings["epochs"],
            min_epochs=1,
            devices=1,
            logger=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            enable_checkpointing=False,
            callbacks=[AfterEpoch(watch, lists)],
        )

    model = KINDS[job.model](**arguments, get_trainer_func=trainer)
    watch.stopwatch = peer.Stopwatch()
    model.fit(dataset)
    report.seconds_fit = watch.stopwatch.pause()
    began = perf_counter()
    lists().to_parquet(job.out / "lists.parquet", index=False)
    report.seconds_recommend = perf_counter() - began
    torch.save(model.torch_model.state_dict(), job.out / "model.pt")
    report.model_bytes = peer.size_of(job.out / "model.pt")
    report.settings, report.steps = job.settings, watch.steps
    watch.write(job.out)
    report.write(job.out)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
