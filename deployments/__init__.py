"""Deployments, schedules, automations and the `studio` command line."""
