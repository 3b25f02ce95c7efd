"""Changes bytes of a file as damage and programs with errors do."""

import re
import struct

NUMBERS = ("0", "-1", "1e308", "-1e308", "5e-324", "nan", "inf", "-inf", "9223372036854775807", "-9223372036854775808",
           "18446744073709551616", "99999999999999999999999999", '""', "null", "true", "[]", "{}", "1e999", "0x10", "2147483648",
           "65536", "4294967295")
LINES = ("a: &x 1", "b: *x", "? [a]: b", "<<: {}", "- - -", "{[{[", '"', "'", "%YAML 1.2", "---", "...", "\t", "x: |\n  y", ": :", "#",
         "a" * 3000, "[" * 3000, "-1,-1,-1", ",,,,,,,")


def mutate(data, rng, text=False):
    """A copy of `data` with one to six changes."""
    out = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 3, 6))):
        change(out, rng)
    if text and rng.random() < 0.6:
        out = bytearray(change_text(bytes(out).decode("latin-1"), rng).encode("latin-1"))
    return bytes(out)


def place(size, rng):
    """Headers and directories are at the start and at the end of most formats."""
    if rng.random() < 0.5:
        return rng.randrange(size)
    near = rng.randrange(min(size, 2048))
    return near if rng.random() < 0.6 else size - 1 - near


def change(out, rng):
    if not out:
        out += rng.randbytes(8)
        return
    size = len(out)
    at, kind = place(size, rng), rng.randrange(11)
    length = rng.choice((1, 2, 4, 8, 32, 256, 512))
    other = rng.randrange(size)
    if kind == 0:
        out[at] ^= 1 << rng.randrange(8)
    elif kind == 1:
        out[at] = rng.choice((0, 255, 127, 128, 10, 32, 34))
    elif kind == 2:
        del out[at:]
    elif kind == 3:
        del out[at:at + length]
    elif kind == 4:
        out[at:at] = out[other:other + length]
    elif kind == 5:
        out[at:at + length] = out[other:other + length]
    elif kind in (6, 7) and size >= 8:
        code = rng.choice("HIQ")
        width = struct.calcsize(code)
        at, most = min(at, size - width), 1 << 8 * width
        value = struct.unpack_from("<" + code, out, at)[0] + rng.choice((1, -1, 16, -16, 256, -256))
        if kind == 6:
            value = rng.choice((0, 1, most - 1, most // 2, most // 2 - 1, rng.randrange(most), rng.randrange(70000)))
        struct.pack_into(rng.choice("<>") + code, out, at, value % most)
    elif kind == 8:
        out[at:at + length] = bytes(min(length, size - at))
    elif kind == 9:
        out[at:at] = rng.randbytes(rng.choice((1, 3, 17)))
    else:
        out[at:at + length], out[other:other + length] = out[other:other + length], out[at:at + length]


def change_text(text, rng):
    numbers = list(re.finditer(r"-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?", text))
    if numbers:
        one = rng.choice(numbers)
        text = text[:one.start()] + rng.choice(NUMBERS) + text[one.end():]
    if rng.random() < 0.3:
        lines = text.split("\n")
        kind = rng.randrange(4)
        if kind == 0:
            lines.insert(rng.randrange(len(lines) + 1), rng.choice(lines))
        elif kind == 1:
            lines.pop(rng.randrange(len(lines)))
        elif kind == 2:
            rng.shuffle(lines)
        else:
            lines.insert(rng.randrange(len(lines) + 1), rng.choice(LINES))
        text = "\n".join(lines)
    return text
