"""Writes PNG and TIFF files byte by byte, from their specifications alone."""

import struct
import zlib


def png_chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png_bytes(shape, bits, colour, rows, before=b"", interlace=0):
    """A PNG of (height, width). rows: each with its filter byte first. before: chunks before the pixels."""
    head = struct.pack(">IIBBBBB", shape[1], shape[0], bits, colour, 0, 0, interlace)
    return (b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", head) + before + png_chunk(b"IDAT", zlib.compress(rows))
            + png_chunk(b"IEND", b""))


def tiff_bytes(rows, tags, description=""):
    """A little-endian TIFF of one strip of bytes and these {tag: (type, value)}, beside the tags of the strip.
    description: the text of the tag ImageDescription."""
    text = description.encode() + b"\0" if description else b""
    body = rows + b"\0" * (len(rows) % 2) + text + b"\0" * (len(text) % 2)
    tags = {273: (4, 8), 279: (4, len(rows)), **tags}
    entries = {tag: struct.pack("<HHII", tag, kind, 1, value) for tag, (kind, value) in tags.items()}
    if text:
        entries[270] = struct.pack("<HHII", 270, 2, len(text), 8 + len(rows) + len(rows) % 2)
    return (b"II*\0" + struct.pack("<I", 8 + len(body)) + body
            + struct.pack("<H", len(entries)) + b"".join(entries[tag] for tag in sorted(entries)) + struct.pack("<I", 0))


def grey_tags(height, width, bits, **more):
    return {256: (3, width), 257: (3, height), 258: (3, bits), 259: (3, 1), 262: (3, more.get("photometric", 1)),
            277: (3, 1), 278: (3, height), **({266: (3, 2)} if more.get("lsb_first") else {}),
            **({274: (3, more["orientation"])} if "orientation" in more else {})}
