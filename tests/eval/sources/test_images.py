import pickle
import threading

import pytest

from eval.sources import ImageStore, Item, StoredImages
from lipo.common import LipoError


def test_equal_images_are_kept_once():
    store = ImageStore()
    assert [store.add(b"a"), store.add(b"b"), store.add(b"a")] == [0, 1, 0]
    images = StoredImages(store, [1, 0, 1])
    assert list(images) == [b"b", b"a", b"b"] and len(images) == 3
    assert images[0] == b"b" and list(images[:2]) == [b"b", b"a"] and list(images.reordered([1])) == [b"a"]


def test_what_exceeds_the_limit_is_read_from_disk_by_any_thread():
    store = ImageStore(in_memory=10)
    data = [bytes([i]) * 1000 for i in range(50)]
    numbers = [store.add(image) for image in data]
    assert sum(isinstance(place, bytes) for place in store._places) == 0
    wrong = []

    def read():
        wrong.extend(n for n in numbers if store.read(n) != data[n])

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_full_disk_is_no_fault_of_the_image(monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.pwrite", full)
    with pytest.raises(LipoError, match="cannot keep images on disk"):
        ImageStore(in_memory=0).add(b"x")


def test_they_cross_process_borders_as_bytes():
    images = StoredImages(store := ImageStore(), [store.add(b"x")])
    assert pickle.loads(pickle.dumps(images)) == (b"x",)


def test_where_images_are_kept_does_not_change_what_a_question_is():
    store = ImageStore()
    stored = Item(0, (("user", "<image>?"),), StoredImages(store, [store.add(b"x")]), "2")
    plain = Item(7, (("user", "<image>?"),), (b"x",), "2")
    assert (stored.content_hash, stored.cluster) == (plain.content_hash, plain.cluster)
    assert stored.images == plain.images
    assert Item(1, (("user", "?"),), (), "2").cluster != Item(2, (("user", "?"),), (), "2").cluster
