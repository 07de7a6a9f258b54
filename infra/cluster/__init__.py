"""The studio on several processes or machines: what infra/compose.yaml starts, and a launcher that needs no Docker."""
