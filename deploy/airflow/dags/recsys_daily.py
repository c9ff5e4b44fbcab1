"""Once a day: learn anew, and let the better model serve."""

from airflow.sdk import DAG  # Airflow reads only files that name both
from recsys_runs import chain_of_runs

recsys_daily: DAG = chain_of_runs(
    "recsys_daily",
    "0 3 * * *",
    {
        "ingest": "--pipelines=ingestion",
        "build_features": "--pipelines=feature_engineering",
        "retrain": "--pipelines=sampling,training",
        "evaluate": "--pipelines=evaluation",
        "gate": "--to-nodes=decide_promotion --pipelines=deployment",
        "promote": "--nodes=fit_on_everything,choose_onboarding_quiz,register_model",
        "refresh_online_store": "--pipelines=online_store",
    },
)
