"""Every hour but the one of the daily run: what shoppers have done since reaches the servers."""

from airflow.sdk import DAG  # Airflow reads only files that name both
from recsys_runs import chain_of_runs

recsys_hourly: DAG = chain_of_runs(
    "recsys_hourly",
    "0 0-2,4-23 * * *",
    {
        "ingest": "--pipelines=ingestion",
        "build_features": "--pipelines=feature_engineering",
        "refresh_online_store": "--pipelines=online_store",
    },
)
