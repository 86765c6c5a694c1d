"""Makes the inputs beside it: python3 make.py (needs Pillow and FFmpeg; pictures without a face, a few KB each)."""
import io
import struct
import subprocess
import zlib

from PIL import Image

W, H = 48, 32
FRAMES = [Image.new("RGB", (W, H), (30 * i, 200 - 20 * i, 90)) for i in range(8)]


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def find(data, path):
    start, end = 0, len(data)
    for name in path.split("/"):
        while True:
            length, kind = struct.unpack(">I4s", data[start : start + 8])
            if kind == name.encode():
                break
            start += length
        place, end, start = start, start + length, start + 8
    return place


def patch(name, data, *edits):
    data = bytearray(data)
    for path, offset, value in edits:
        struct.pack_into(">I", data, find(data, path) + offset, value)
    open(name, "wb").write(data)


words = "-f lavfi -i testsrc=size=64x48:rate=25:duration=2.4 -c:v libx264 -bf 0 -g 20 -crf 40 -pix_fmt yuv420p -movflags +faststart -fflags +bitexact"
subprocess.run(["ffmpeg", "-v", "error", "-y", *words.split(), "good.mp4"], check=True)
good = open("good.mp4", "rb").read()
clock, tables = "moov/trak/mdia/mdhd", "moov/trak/mdia/minf/stbl/"
patch("second_ticks.mp4", good, (clock, 20, 1))
patch("fast_ticks.mp4", good, (clock, 20, 100_000_000), ("moov/trak/edts/elst", 16, 0xFFFFFFFF))
patch("one_shown.mp4", good, ("moov/trak/edts/elst", 16, 1))
patch("no_steps.mp4", good, (tables + "stts", 20, 0))
patch("outside.mp4", good, (tables + "stco", 16, 0x7FFFFFFF))
data = find(good, "mdat")
open("cut_long_before.mp4", "wb").write(good[: data + (len(good) - data) * 4 // 10])
open("cut_at_the_end.mp4", "wb").write(good[: data + (len(good) - data) * 9 // 10])
patch("one_consistent.mp4", good, (tables + "stsz", 16, 1), (tables + "stts", 16, 1), (clock, 24, 512), ("moov/mvhd", 24, 40), ("moov/trak/edts/elst", 16, 40))

FRAMES[0].save("still.png")
png = open("still.png", "rb").read()
packer = zlib.compressobj(9)
zeros = packer.compress(bytes(64 << 20)) + packer.flush()
open("profile.png", "wb").write(png[:33] + chunk(b"iCCP", b"x\0\0" + zeros) + png[33:])
open("large.png", "wb").write(png[:8] + chunk(b"IHDR", struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0)) + png[33:])
FRAMES[0].save("animated.webp", save_all=True, append_images=FRAMES[1:], duration=80, lossless=True)
FRAMES[0].save("animated.gif", save_all=True, append_images=FRAMES[1:], duration=80)
FRAMES[0].save("still.bmp")
FRAMES[0].save("still.tif")
FRAMES[0].save("pages.tif", save_all=True, append_images=FRAMES[1:3])
jpeg = io.BytesIO()
FRAMES[0].save(jpeg, "JPEG", quality=90)
open("picture.mp4", "wb").write(jpeg.getvalue())
open("cut.jpg", "wb").write(jpeg.getvalue()[: len(jpeg.getvalue()) - 40])
open("video.jpg", "wb").write(good)
open("page.mp4", "wb").write(b"<!DOCTYPE html><html><body>404 Not Found</body></html>\n")
open("pointer.mp4", "wb").write(b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n")
open("photo.heic", "wb").write(struct.pack(">I", 24) + b"ftypheic\0\0\0\0mif1heic" + bytes(64))
