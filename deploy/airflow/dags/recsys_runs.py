"""Airflow tasks that are Kedro runs, as of the time that the schedule asks about.

The scheduler imports neither Kedro nor the project: each task is a command in the project's own
environment. What a task reads and writes is in the project's catalog.
"""

import os
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path

from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG

PROJECT = Path(os.environ.get("RECSYS_PROJECT", Path(__file__).resolve().parents[3]))
KEDRO = os.environ.get("RECSYS_KEDRO", f"{PROJECT}/.venv/bin/kedro")
ENVIRONMENT = os.environ.get("RECSYS_ENV", "production")
FIRST_DAY = datetime.fromisoformat(os.environ.get("RECSYS_FIRST_DAY", "2026-01-01T00:00:00+00:00"))
AS_OF = "{{ (logical_date or dag_run.run_after).strftime('%Y-%m-%dT%H:%M:%S+00:00') }}"


def chain_of_runs(dag_id: str, schedule: str, what_to_run: Mapping[str, str]) -> DAG:
    """One task after the other; missed times are caught up, one at a time and in order.

    Args:
        dag_id: the name in Airflow.
        schedule: cron, UTC.
        what_to_run: by task, the options of its ``kedro run``.
    """
    with DAG(
        dag_id,
        schedule=schedule,
        start_date=FIRST_DAY,
        catchup=True,
        max_active_runs=1,
        default_args={"retries": 2, "retry_delay": timedelta(minutes=5)},
        tags=["recsys_kedro"],
    ) as dag:
        previous = None
        for task_id, options in what_to_run.items():
            command = f"{KEDRO} run --env={ENVIRONMENT} {options} --params=as_of={AS_OF}"
            task = BashOperator(
                task_id=task_id, bash_command=command, cwd=str(PROJECT), append_env=True
            )
            if previous is not None:
                previous >> task
            previous = task
    return dag
