"""The judged window as a table for the terminal."""

from rich.table import Table

from recsys_kedro.monitoring.alerts import MonitoringAlerts, Status
from recsys_kedro.monitoring.figures import in_words


def monitoring_table(alerts: MonitoringAlerts) -> Table:
    """One row per warning and alert, worst first; the caption counts the others."""
    start, end = alerts.window_start, alerts.window_end
    others = [
        f"{alerts.count(status)} {status.value}" for status in (Status.NOT_ENOUGH_DATA, Status.FINE)
    ]
    table = Table(
        title=f"{alerts.shop}, {start:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M} UTC: {alerts.status}",
        caption=", ".join(others),
    )
    table.add_column("status")
    table.add_column("figure", overflow="fold")
    table.add_column("value", justify="right")
    table.add_column("usual", justify="right")
    table.add_column("why")
    for each in alerts.alarming:
        value, usual = (in_words(each.figure, amount) for amount in (each.value, each.reference))
        style = "bold" if each.status is Status.ALERT else None
        table.add_row(each.status.value, each.subject, value, usual, each.reason, style=style)
    return table
