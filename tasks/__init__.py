"""Reusable steps: each a Prefect task around a plain async function."""
