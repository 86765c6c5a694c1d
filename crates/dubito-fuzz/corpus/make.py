"""Makes the binary inputs of the corpus that no program of ours writes: python make.py (Python 3.11, nothing else)."""
import io
import json
import struct
import zipfile

VERSION = 2  # of a clip


def npy(descr, shape, data):
    header = repr({"descr": descr, "fortran_order": False, "shape": shape}).encode()
    header += b" " * (-(len(header) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + data


def npz(name, arrays, compression):
    with zipfile.ZipFile(name, "w", compression) as file:
        for key, array in arrays.items():
            file.writestr(zipfile.ZipInfo(key + ".npy"), array, compression)


def safetensors(name, tensors, metadata=None):
    header, data = ({"__metadata__": metadata} if metadata else {}), io.BytesIO()
    for key, (kind, shape, values) in tensors.items():
        begin = data.tell()
        data.write(values)
        header[key] = {"dtype": kind, "shape": shape, "data_offsets": [begin, data.tell()]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(name, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + data.getvalue())


labels = npy("<i8", (4,), struct.pack("<4q", 0, 1, 0, 1))
scores = npy("<f8", (4,), struct.pack("<4d", 0.1, 0.9, 0.4, 0.6))
npz("npz/stored.npz", {"label": labels, "p_fake": scores}, zipfile.ZIP_STORED)
npz("npz/deflated.npz", {"label": npy("<U4", (2,), "realfake".encode("utf-32-le")), "p_fake": npy("<f4", (2,), struct.pack("<2f", 0.2, 0.8))}, zipfile.ZIP_DEFLATED)
safetensors("safetensors/two.safetensors", {"a.weight": ("F32", [2, 3], bytes(24)), "a.bias": ("F16", [2], bytes(4))}, {"format": "pt"})

meta = {"version": VERSION, "video": "a", "blake3": "0" * 64, "decoder": "x", "decoder_version": "1", "exact": True, "track": 0, "size": 4, "margin": 0.3}
floats = lambda *values: struct.pack(f"<{len(values)}f", *values)
clip = {
    "frames": ("U8", [1, 4, 4, 3], bytes(48)),
    "landmarks": ("F32", [1, 468, 3], floats(*[1.5] * (468 * 3))),
    "timestamps": ("F64", [1], struct.pack("<d", 0.5)),
    "frame_index": ("U64", [1], struct.pack("<Q", 3)),
    "boxes": ("F32", [1, 4], floats(0, 0, 10, 10)),
    "transforms": ("F32", [1, 2, 3], floats(1, 0, 0, 0, 1, 0)),
    "presence": ("F32", [1], floats(1)),
    "windows": ("U32", [1], bytes(4)),
}
safetensors("clip/one.safetensors", clip, {"dubito": json.dumps(meta)})
