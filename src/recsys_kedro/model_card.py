"""What a reader has to know of a registered model, as a page of text."""

import json
from typing import Any

from recsys_kedro import columns as c
from recsys_kedro.fitting import CHOSEN_AT, SCORE
from recsys_kedro.options import Options
from recsys_kedro.promotion import Promotion
from recsys_kedro.report_pages import is_made_up
from recsys_kedro.splits import TimeSplit

LIMITS = """Ranks the products of this shop for its users. Users without any event get popular
products. It knows nothing that happened after its data; recent events may come with a request.
Not meant for decisions about people."""


class ModelCard(Options):
    """Where a model comes from and how good its recipe is.

    Attributes:
        shop: whose data it was fitted on.
        split: the windows.
        promotion: what the gate decided.
        evaluation: the figures of the test window, as in ``evaluation.json``.
    """

    shop: str
    split: TimeSplit
    promotion: Promotion
    evaluation: dict[str, Any]

    def as_markdown(self, origin: dict[str, str]) -> str:
        """The card as text.

        Args:
            origin: what the model was made from: numbers of rows, digests, commit.
        """
        recipe = self.promotion.recipe
        is_real = not is_made_up(self.shop)
        data = "as it was ingested" if is_real else "simulated, not of real shoppers"
        return "\n".join(
            [
                f"# {recipe.model} for {self.shop}",
                "",
                "## Data",
                f"Data of the shop `{self.shop}`: {data}. "
                f"Fitted on all events before {self.split.as_of.isoformat()}.",
                "",
                *(f"- {name}: {value}" for name, value in origin.items()),
                "",
                "## Figures",
                *self._figures(),
                "",
                "Full ranking over the catalogue. The figures are those of the same recipe, fitted "
                "before each window; the model itself has seen all of the data.",
                "",
                "## Why it was chosen",
                *(f"- {reason}" for reason in self.promotion.reasons),
                "",
                "## Use and limits",
                LIMITS,
                "",
                "## Settings",
                f"```json\n{json.dumps(recipe.settings, indent=2)}\n```",
            ]
        )

    def _figures(self) -> list[str]:
        """A line per window and task."""
        model, split = self.promotion.recipe.model, self.split
        metric = f"ndcg@{CHOSEN_AT}"
        validation = self.promotion.figures[model]
        lines = [
            f"- Validation, {split.validation_start:%Y-%m-%d} to {split.test_start:%Y-%m-%d}: "
            f"mean NDCG@{CHOSEN_AT} {validation[SCORE]:.4f}"
            + "".join(f", {task} {validation[f'{task}_{metric}']:.4f}" for task in c.TASKS)
        ]
        for task, result in self.evaluation["tasks"].items():
            value = result["models"][model][metric]
            lines.append(
                f"- Test, {split.test_start:%Y-%m-%d} to {split.end:%Y-%m-%d}, task {task}: "
                f"NDCG@{CHOSEN_AT} {value['value']:.4f} ({value['low']:.4f} to {value['high']:.4f})"
            )
        return lines
