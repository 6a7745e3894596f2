"""Makes the clips beside this file: `python make.py`, with PyAV and numpy.

Frame `t` of each is `[20 + 10t + x/4, 60 + x, 200 - 8t]` at column `x`, in the colours that the file says (BT.601 where it says nothing), unless a line below says
otherwise. Files are a few KB each.
"""

import struct
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

HERE = Path(__file__).parent
WIDTH, HEIGHT = 64, 48
BT601, BT709 = (0.299, 0.114), (0.2126, 0.0722)


def rgb(t, width=WIDTH, height=HEIGHT):
    x = np.arange(width)
    row = np.stack([20 + 10 * t + x // 4, 60 + x, np.full(width, 200 - 8 * t)], -1)
    return np.broadcast_to(row, (height, width, 3)).astype(np.float64)


def yuv420(picture, weights=BT601, full=False):
    """Planes by the standards' own formula, as one array that PyAV takes."""
    red, blue = weights
    r, g, b = np.moveaxis(picture / 255, -1, 0)
    y = red * r + (1 - red - blue) * g + blue * b
    u, v = (b - y) / (2 - 2 * blue), (r - y) / (2 - 2 * red)
    half = lambda plane: plane[: plane.shape[0] // 2 * 2, : plane.shape[1] // 2 * 2].reshape(
        plane.shape[0] // 2, 2, plane.shape[1] // 2, 2
    ).mean((1, 3))
    luma, chroma, black = (255, 255, 0) if full else (219, 224, 16)
    planes = [black + luma * y, 128 + chroma * half(u), 128 + chroma * half(v)]
    return [np.clip(np.round(plane), 0, 255).astype(np.uint8) for plane in planes]


def frame_of(planes):
    height, width = planes[0].shape
    frame = av.VideoFrame(width, height, "yuv420p")
    for plane, values in zip(frame.planes, planes):
        padded = np.zeros((values.shape[0], plane.line_size), np.uint8)
        padded[:, : values.shape[1]] = values
        plane.update(padded.tobytes())
    return frame


def video(container, codec="libx264", rate=24, options=None, size=(WIDTH, HEIGHT)):
    stream = container.add_stream(codec, rate=rate, options=options or {})
    stream.width, stream.height = size
    stream.pix_fmt = "yuv420p"
    return stream


X264 = {"preset": "slow", "crf": "12", "x264-params": "keyint=250:scenecut=0"}


def write(name, times=None, count=20, rate=24, codec="libx264", options=None, prepare=None, planes=None, mux=None, frame=None):
    with av.open(str(HERE / name), "w", options=mux or {}) as container:
        stream = video(container, codec, rate, X264 if options is None else options)
        if times:
            stream.codec_context.time_base = Fraction(1, 1000)
        if prepare:
            prepare(stream)
        for index in range(count):
            picture = frame(index) if frame else frame_of((planes or (lambda t: yuv420(rgb(t))))(index))
            picture.pts = times[index] if times else index
            picture.time_base = Fraction(1, 1000) if times else Fraction(1, rate)
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))


def patch_matrix(name, matrix):
    """Sets `[a, b, c, d]` of the first track's display matrix."""
    data = bytearray((HERE / name).read_bytes())
    at = data.index(b"tkhd") + 4 + 40
    for place, value in zip((0, 4, 12, 16), matrix):
        data[at + place : at + place + 4] = struct.pack(">i", value << 16)
    (HERE / name).write_bytes(data)


def without_ftyp(name):
    """What QuickTime wrote before `ftyp`: the index first, and no name of the format."""
    data = bytearray((HERE / name).read_bytes())
    size = struct.unpack(">I", data[:4])[0]
    assert data[4:8] == b"ftyp" and data[size + 4 : size + 8] == b"moov"
    at = data.index(b"stco") + 8
    count = struct.unpack(">I", data[at : at + 4])[0]
    for entry in range(at + 4, at + 4 + 4 * count, 4):
        offset = struct.unpack(">I", data[entry : entry + 4])[0]
        data[entry : entry + 4] = struct.pack(">I", offset - size)
    (HERE / name).write_bytes(data[size:])


def with_sound():
    """Pictures from 0.5 s on, 20 frames of 24 in a second; AAC from 0 to 1.5 s: 440 Hz, in the last half second 880 Hz."""
    rate = 48000
    with av.open(str(HERE / "sound.mov"), "w") as container:
        stream = video(container, options=X264)
        sound = container.add_stream("aac", rate=rate, options={"b": "32000"})
        sound.layout = "mono"
        at = np.arange(3 * rate // 2) / rate
        wave = np.where(at < 1, np.sin(2 * np.pi * 440 * at), np.sin(2 * np.pi * 880 * at)) / 4
        for start in range(0, len(wave), 1024):
            part = wave[start : start + 1024].astype(np.float32)[None]
            piece = av.AudioFrame.from_ndarray(part, format="fltp", layout="mono")
            piece.sample_rate, piece.pts, piece.time_base = rate, start, Fraction(1, rate)
            container.mux(sound.encode(piece))
        container.mux(sound.encode(None))
        for index in range(20):
            picture = frame_of(yuv420(rgb(index)))
            picture.pts, picture.time_base = index + 12, Fraction(1, 24)
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))


def ten_bits(t):
    """Grey in HLG: 0.05 · (t + 1) of the range, limited, BT.2020."""
    frame = av.VideoFrame(WIDTH, HEIGHT, "yuv420p10le")
    for plane, value in zip(frame.planes, (64 + round(876 * 0.05 * (t + 1)), 512, 512)):
        words = np.full(plane.line_size // 2 * plane.height, value, "<u2")
        plane.update(words.tobytes())
    return frame


def hlg(stream):
    stream.pix_fmt = "yuv420p10le"
    context = stream.codec_context
    context.color_primaries, context.color_trc, context.colorspace, context.color_range = 9, 18, 9, 1


def main():
    write("rotated.mov")
    patch_matrix("rotated.mov", (0, 1, -1, 0))
    write("mirrored.mp4")
    patch_matrix("mirrored.mp4", (-1, 0, 0, 1))

    def wide709(stream):
        context = stream.codec_context
        context.sample_aspect_ratio, context.colorspace = Fraction(4, 3), 1

    write("anamorphic.mp4", prepare=wide709, planes=lambda t: yuv420(rgb(t), BT709))
    # Milliseconds, as phones record in the dark.
    steps = [0, 40, 100, 180, 200, 320, 360, 500, 520, 540, 700, 740]
    write("variable.mp4", times=steps, count=12, rate=25, mux={"video_track_timescale": "1000"})
    write("old.mov", mux={"movflags": "faststart"})
    without_ftyp("old.mov")
    write("keys.mp4", count=40, rate=10, planes=lambda t: yuv420(rgb(t % 20)),
          options=X264 | {"x264-params": "keyint=8:scenecut=0:bframes=2"})
    write("open_gop.mp4", count=40, rate=10, planes=lambda t: yuv420(rgb(t % 20)),
          options=X264 | {"x264-params": "keyint=8:scenecut=0:bframes=2:open-gop=1"})

    def full601(stream):
        context = stream.codec_context
        context.colorspace, context.color_range = 6, 2

    write("full_601.mp4", prepare=full601, planes=lambda t: yuv420(rgb(t), BT601, full=True))
    write("fragmented.mp4", mux={"movflags": "frag_keyframe+empty_moov"})
    with_sound()
    write("hlg.mp4", codec="libx265", count=10, prepare=hlg, frame=ten_bits,
          options={"preset": "medium", "crf": "8", "x265-params": "log-level=none", "tag": "hvc1"})
    write("interlaced.mp4", options=X264 | {"x264-params": "tff=1"})

    def odd(stream):
        stream.width, stream.height = 63, 47
        stream.codec_context.colorspace = 1

    write("odd.webm", codec="libvpx-vp9", options={"crf": "10", "b:v": "0"}, prepare=odd, frame=lambda t: odd_frame(t))


def odd_frame(t):
    frame = av.VideoFrame(63, 47, "yuv420p")
    for plane, values in zip(frame.planes, yuv420(rgb(t, 64, 48), BT709)):
        padded = np.zeros((plane.height, plane.line_size), np.uint8)
        part = values[: plane.height, : plane.line_size]
        padded[:, : part.shape[1]] = part
        plane.update(padded.tobytes())
    return frame


if __name__ == "__main__":
    main()
