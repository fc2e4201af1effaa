"""Questions with images or a video: from verl's parquet, VLMEvalKit's TSV, JSONL and Hugging Face datasets."""

from eval.sources._clips import Clip, ClipReader
from eval.sources._images import ImageStore, StoredImages
from eval.sources._reader import locate, read_items
from eval.sources.item import Item

__all__ = ["Clip", "ClipReader", "ImageStore", "Item", "StoredImages", "locate", "read_items"]
