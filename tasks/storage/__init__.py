"""The object store in plain S3 calls. Nothing outside this package knows the SDK behind it."""

from tasks.storage.facts import FetchedObject, ObjectFacts
from tasks.storage.failures import ObjectChanged, ObjectMissing
from tasks.storage.store import ObjectStore

__all__ = ["FetchedObject", "ObjectChanged", "ObjectFacts", "ObjectMissing", "ObjectStore"]
