import av
import numpy as np
import pytest

CODECS = {".mp4": "libx264", ".mov": "mpeg4", ".webm": "libvpx-vp9", ".mkv": "libx264", ".gif": "gif", ".avi": "mpeg4"}


@pytest.fixture(scope="session")
def write_clip():
    """Write a real video: frame i is a plain grey of value(i)."""

    def write(path, frames=40, size=(112, 56), fps=10, value=lambda i: 6 * i % 256, key_every=12):
        codec = CODECS[path.suffix]
        with av.open(str(path), "w") as container:
            stream = container.add_stream(codec, rate=fps)
            stream.width, stream.height = size
            stream.pix_fmt = "rgb8" if codec == "gif" else "yuv420p"
            if codec != "gif":
                stream.gop_size = key_every
            for i in range(frames):
                picture = np.full((size[1], size[0], 3), value(i), np.uint8)
                for packet in stream.encode(av.VideoFrame.from_ndarray(picture, "rgb24")):
                    container.mux(packet)
            for packet in stream.encode():
                container.mux(packet)
        return path

    return write
