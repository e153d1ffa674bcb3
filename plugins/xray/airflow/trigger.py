"""The path of the listener's trigger in version 0.1.0, in the rows of listeners that wait."""

from xray.airflow.listener.trigger import NotificationTrigger

__all__ = ["NotificationTrigger"]
