"""When a run may write, and what its time is."""

from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

from kedro.framework.context import KedroContext
from kedro.framework.hooks import hook_impl
from kedro.pipeline import Pipeline

from recsys_kedro.run_lock import locked


class RunLock:
    """Keeps two runs from writing the same dataset at once, where the data is on a disk."""

    def __init__(self) -> None:
        """Start with no lock."""
        self._folder: Path | None = None
        self._held = ExitStack()

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Remember where the data lies."""
        data = str(context.config_loader["globals"]["data"])
        self._folder = None if "://" in data else context.project_path / data

    @hook_impl
    def before_pipeline_run(self, pipeline: Pipeline) -> None:
        """Lock all that the run will write.

        Raises:
            RuntimeError: another run writes some of it.
        """
        self._held.close()
        if self._folder is None:
            return
        with ExitStack() as locks:
            for name in sorted(pipeline.all_outputs()):
                locks.enter_context(locked(self._folder, name))
            self._held = locks.pop_all()

    @hook_impl
    def after_pipeline_run(self) -> None:
        """Let others in."""
        self._held.close()

    @hook_impl
    def on_pipeline_error(self) -> None:
        """Let others in."""
        self._held.close()


class RunTime:
    """Gives ``params:run_time`` the start of the run, UTC, unless it is configured."""

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Fill the empty parameter before anything reads it."""
        parameters = context.config_loader["parameters"]
        if parameters["run_time"] is None:
            now = datetime.now(UTC).isoformat(timespec="seconds")
            context.config_loader["parameters"] = {**parameters, "run_time": now}
