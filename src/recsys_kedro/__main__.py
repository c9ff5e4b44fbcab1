"""``python -m recsys_kedro`` is ``kedro run``."""

from typing import Any

from kedro.framework.cli.utils import find_run_command
from kedro.framework.project import configure_project


def main(*args: Any, **options: Any) -> Any:
    """Run the pipeline with the options of ``kedro run``."""
    configure_project("recsys_kedro")
    return find_run_command("recsys_kedro")(*args, **options)


if __name__ == "__main__":
    main()
