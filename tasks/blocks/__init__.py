"""Credentials and addresses as Prefect blocks, loaded by name at the call that needs them."""

from tasks.blocks.loading import BlockMissing, load_block
from tasks.blocks.mingyan import MingyanCredentials
from tasks.blocks.storage import S3Storage, load_store
from tasks.blocks.topview import TopViewCredentials
from tasks.blocks.zego import ZegoCredentials

__all__ = [
    "BlockMissing",
    "MingyanCredentials",
    "S3Storage",
    "TopViewCredentials",
    "ZegoCredentials",
    "load_block",
    "load_store",
]
