"""What `import` reads of image files: each kind against the array it was made of, or the message that refuses it."""

import os
import struct
import unittest
import zlib

import numpy as np

from harness import Case, run_tessera
from image_files import grey_tags, png_bytes, tiff_bytes

try:
    import tifffile
    from PIL import Image
except ImportError as error:
    raise unittest.SkipTest(f"{error} (Debian: python3-tifffile python3-pil)")

STACK = np.random.default_rng(1).integers(0, 256, (4, 21, 35)).astype(np.uint8)
TWO = np.stack([STACK, 255 - STACK])  # (channel or time, z, y, x)
USAGE, FAILED = 2, 1


class Images(Case):

    def imported(self, file, *options):
        self.tessera(["import", file, "out.h5:/raw", "--overwrite", *options])
        return self.read("out.h5:/raw")

    def assert_read(self, file, expected, *options):
        with self.subTest(file=str(file), options=options):
            self.assert_same_voxels(self.imported(file, *options), np.ascontiguousarray(expected), str(file))

    def refuse(self, file, code, patterns, *options):
        with self.subTest(file=str(file), options=options):
            (self.folder / "none.h5").unlink(missing_ok=True)
            result = run_tessera(["import", file, "none.h5:/raw", *options], cwd=self.folder)
            self.assert_one_error(result, code, patterns)
            self.assertFalse((self.folder / "none.h5").exists())

    def write(self, name, data, **options):
        with tifffile.TiffWriter(self.folder / name, **{k: options.pop(k) for k in ("imagej", "ome", "bigtiff", "byteorder") if k in options}) as out:
            out.write(data, **options)
        return name

    def test_sample_types(self):
        grey = {"photometric": "minisblack"}
        values = (np.arange(4 * 21 * 35).reshape(4, 21, 35) * 7919) % 30011
        for kind, stored in (("u2", "u2"), ("u4", "u4"), ("u8", "u8"), ("f4", "f4"), ("f2", "f4"), ("f8", "f4"), ("i2", "u2"), ("i4", "u4"), ("i8", "u8")):
            made = (values if kind != "f2" else values % 2048).astype(kind)
            made.flat[:2] = [0, 1]
            for order in "<>":
                file = self.write(f"{kind}_{'lb'[order == '>']}.tif", made, byteorder=order, bigtiff=order == ">", **grey)
                if order == "<" or kind in ("u2", "f2", "f8", "i4"):
                    self.assert_read(file, made.astype(stored))
        self.assert_read(self.write("i1.tif", (STACK // 2).astype("i1"), **grey), STACK // 2)
        self.assert_read(self.write("predictor.tif", values.astype("u2"), compression="zlib", predictor=True, **grey), values.astype("u2"))
        self.refuse(self.write("negative.tif", np.array([[[1, -5]]], "i2"), **grey), FAILED, ["negative value -5"])
        self.refuse(self.write("label.tif", np.array([[[1, 2.0 ** 24 + 1]]], "f8"), **grey), FAILED, ["float32 cannot hold", "16777217"])
        self.refuse(self.write("complex.tif", np.ones((1, 2, 2), "c8"), **grey), FAILED, ["complex"])

    def test_packed_bits(self):
        for bits in (1, 2, 4, 6, 10, 12, 14):
            values = np.random.default_rng(bits).integers(0, 1 << bits, (5, 9))
            rows = b""
            for row in values:
                text = "".join(f"{v:0{bits}b}" for v in row)
                rows += bytes(int(text[i:i + 8].ljust(8, "0"), 2) for i in range(0, len(text), 8))
            (self.folder / f"bits{bits}.tif").write_bytes(tiff_bytes(rows, grey_tags(5, 9, bits)))
            self.assert_read(f"bits{bits}.tif", values[None].astype("u1" if bits <= 8 else "u2"))
            if bits == 1:
                turned = bytes(int(f"{b:08b}"[::-1], 2) for b in rows)
                (self.folder / "lsb.tif").write_bytes(tiff_bytes(turned, grey_tags(5, 9, 1, lsb_first=True)))
                self.assert_read("lsb.tif", values[None].astype("u1"))
        (self.folder / "b24.tif").write_bytes(tiff_bytes(bytes(30), grey_tags(2, 5, 24)))
        self.refuse("b24.tif", FAILED, ["24-bit unsigned", "can be read"])

    def test_compressions(self):
        for name in ("tiff_lzw", "tiff_deflate", "tiff_adobe_deflate", "packbits", "tiff_jpeg", "zstd"):
            try:
                Image.fromarray(STACK[0]).save(self.folder / f"{name}.tif", compression=name)
            except (OSError, KeyError, ValueError):
                continue  # this Pillow lacks it
            self.assert_read(f"{name}.tif", np.asarray(Image.open(self.folder / f"{name}.tif"))[None])
        Image.fromarray(STACK[0] > 99).save(self.folder / "group4.tif", compression="group4")
        stored = np.asarray(Image.open(self.folder / "group4.tif"))
        self.assert_read("group4.tif", stored[None].astype("u1"))

    def test_white_is_zero(self):
        file = self.write("white.tif", STACK, photometric="miniswhite")
        self.refuse(file, USAGE, ["0 is white", "--white-is-zero keep", "--white-is-zero invert"])
        self.assert_read(file, STACK, "--white-is-zero", "keep")
        self.assert_read(file, 255 - STACK, "--white-is-zero", "invert")
        self.refuse(file, USAGE, ["keep or invert"], "--white-is-zero", "maybe")
        mask = self.write("mask.tif", STACK > 99)  # tifffile writes masks as white-is-zero
        self.assert_read(mask, (STACK > 99).astype("u1"), "--white-is-zero", "keep")

    def test_palettes(self):
        colours = np.random.default_rng(2).integers(0, 65536, (3, 256)).astype("u2")
        file = self.write("lut.tif", STACK, photometric="palette", colormap=colours)
        self.refuse(file, USAGE, ["palette", "--indices", "labels"])
        self.assert_read(file, STACK, "--indices")
        ramp = np.repeat((np.arange(256) * 257)[None], 3, 0).astype("u2")
        self.assert_read(self.write("ramp.tif", STACK, photometric="palette", colormap=ramp), STACK)
        image = Image.fromarray(STACK[0] % 7, mode="P")
        image.putpalette(list(np.random.default_rng(3).integers(0, 256, 768)))
        image.save(self.folder / "p.png", bits=4)
        self.refuse("p.png", USAGE, ["palette", "--indices"])
        self.assert_read("p.png", STACK[:1] % 7, "--indices")
        image.save(self.folder / "t.png", transparency=0)
        self.assert_read("t.png", STACK[:1] % 7, "--indices")

    def test_png(self):
        values = STACK[0, :8, :8] % 16
        rows = b"".join(b"\0" + bytes(int(a) << 4 | int(b) for a, b in row.reshape(-1, 2)) for row in values)
        (self.folder / "four.png").write_bytes(png_bytes((8, 8), 4, 0, rows))
        self.assert_read("four.png", values[None] * 17)
        self.assert_read("four.png", values[None], "--indices")
        square = STACK[0, :8, :8]
        passes = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))
        adam7 = b"".join(b"\0" + row.tobytes() for y, x, v, u in passes for row in square[y::v, x::u])
        (self.folder / "interlaced.png").write_bytes(png_bytes((8, 8), 8, 0, adam7, interlace=1))
        self.assert_same_voxels(np.asarray(Image.open(self.folder / "interlaced.png")), square)
        self.assert_read("interlaced.png", square[None])
        level = struct.pack(">I", 2) + b"tRNS\0\5" + struct.pack(">I", zlib.crc32(b"tRNS\0\5"))
        flat = b"".join(b"\0" + row.tobytes() for row in square)
        (self.folder / "level.png").write_bytes(png_bytes((8, 8), 8, 0, flat, level))
        self.refuse("level.png", USAGE, ["transparent", "--indices"])
        for mode, count in (("LA", 2), ("RGB", 3), ("RGBA", 4)):
            pixels = np.random.default_rng(4).integers(0, 256, (6, 7, count)).astype("u1")
            Image.fromarray(pixels, mode=mode).save(self.folder / f"{mode}.png")
            self.refuse(f"{mode}.png", USAGE, [f"{count} channels", "--channel 0 to"])
            self.assert_read(f"{mode}.png", pixels[None, :, :, count - 1], "--channel", count - 1)
        frames = [Image.fromarray(s) for s in STACK]
        frames[0].save(self.folder / "moving.png", save_all=True, append_images=frames[1:])
        self.refuse("moving.png", FAILED, ["animation"])

    def test_channels_and_times(self):
        by_channel = {  # file: how it is written; channel 1 is asked for
            "ij_zc.tif": (np.moveaxis(TWO, 0, 1), {"imagej": True, "metadata": {"axes": "ZCYX"}}),
            "cz.ome.tif": (TWO, {"ome": True, "metadata": {"axes": "CZYX"}, "photometric": "minisblack"}),
            "zc.ome.tif": (np.moveaxis(TWO, 0, 1), {"ome": True, "metadata": {"axes": "ZCYX"}, "photometric": "minisblack"}),
            "shaped.tif": (TWO, {"photometric": "minisblack"}),
            "axes.tif": (np.moveaxis(TWO, 0, 1), {"metadata": {"axes": "ZCYX"}, "photometric": "minisblack"}),
            "contig.tif": (np.moveaxis(TWO, 0, 3), {"photometric": "minisblack", "planarconfig": "contig"}),
        }
        for file, (data, options) in by_channel.items():
            self.write(file, data, **options)
            self.refuse(file, USAGE, ["has 2 channels of 4 section", "--channel 0 to 1"])
            self.assert_read(file, TWO[1], "--channel", 1)
        self.refuse("ij_zc.tif", USAGE, ["--channel 2", "2 channels"], "--channel", 2)
        self.refuse("ij_zc.tif", USAGE, ["all", "4 sections"], "--channel", "all")
        for file, options in (("ij_tz.tif", {"imagej": True, "metadata": {"axes": "TZYX"}}),
                              ("tz.ome.tif", {"ome": True, "metadata": {"axes": "TZYX"}, "photometric": "minisblack"})):
            self.write(file, TWO, **options)
            self.refuse(file, USAGE, ["2 time points", "--time 0 to 1"])
            self.assert_read(file, TWO[1], "--time", 1)
        # tifffile calls the sections channels when no axes are given.
        self.refuse(self.write("unnamed.tif", STACK, imagej=True), USAGE, ["--channel all"])
        self.assert_read("unnamed.tif", STACK, "--channel", "all")
        five = np.stack([TWO, TWO // 2])
        self.write("tzc.tif", np.moveaxis(five, 1, 2), imagej=True, metadata={"axes": "TZCYX"})
        self.assert_read("tzc.tif", five[1, 0], "--time", 1, "--channel", 0)
        for separate in ("contig", "separate"):
            pixels = STACK[:3] if separate == "separate" else np.moveaxis(STACK[:3], 0, 2)
            file = self.write(f"rgb_{separate}.tif", pixels, photometric="rgb", planarconfig=separate, tile=(16, 16))
            self.refuse(file, USAGE, ["3 channels"])
            self.assert_read(file, STACK[2:3], "--channel", 2)
            self.assert_read(file, STACK[:3], "--channel", "all")
        self.refuse(self.write("cmyk.tif", np.moveaxis(STACK, 0, 2), photometric="separated"), FAILED, ["CMYK", "labels must not"])

    def test_one_directory_of_many_planes(self):
        wide = STACK.astype("u2") * 257
        grey = {"photometric": "minisblack"}
        self.assert_read(self.write("truncated.tif", wide, truncate=True, **grey), wide)
        self.assert_read(self.write("truncated_big.tif", wide, truncate=True, byteorder=">", **grey), wide)
        for order in "<>":
            file = self.write("imagej.tif", wide, imagej=True, truncate=True, byteorder=order, metadata={"axes": "ZYX"})
            self.assert_read(file, wide)
        self.assert_read(self.write("depth.tif", wide, volumetric=True, **grey), wide)
        self.refuse(self.write("depth_zip.tif", wide, volumetric=True, tile=(2, 16, 16), compression="zlib", **grey), FAILED, ["several sections"])
        self.assert_read(self.write("depth_tiles.tif", wide, volumetric=True, tile=(2, 16, 16), **grey), wide)
        data = (self.folder / "imagej.tif").read_bytes()
        (self.folder / "short.tif").write_bytes(data[:-20])
        self.refuse("short.tif", FAILED, ["4 planes", "room for 3"])
        planes = bytearray(tiff_bytes(STACK.tobytes(), grey_tags(21, 35, 8) | {279: (4, 21 * 35)}))
        (at,) = struct.unpack_from("<I", planes, 4)
        (count,) = struct.unpack_from("<H", planes, at)
        planes[at:at + 2] = struct.pack("<H", count + 1)
        planes[-4:] = struct.pack("<HHII", 33629, 5, 4, 8) + bytes(4)
        (self.folder / "meta.stk").write_bytes(planes)
        self.assert_read("meta.stk", STACK)

    def test_orientation(self):
        image = STACK[0]
        expected = {1: image, 2: image[:, ::-1], 3: image[::-1, ::-1], 4: image[::-1], 5: image.T, 6: np.rot90(image, -1),
                    7: image[::-1, ::-1].T, 8: np.rot90(image)}
        for tag, turned in expected.items():
            (self.folder / f"o{tag}.tif").write_bytes(tiff_bytes(image.tobytes(), grey_tags(*image.shape, 8, orientation=tag)))
            result = run_tessera(["import", f"o{tag}.tif", "out.h5:/raw", "--overwrite"], cwd=self.folder)
            self.assertEqual((result.code, len(result.warnings())), (0, int(tag > 1)), result)
            self.assert_same_voxels(self.read("out.h5:/raw"), np.ascontiguousarray(turned[None]), f"orientation {tag}")

    def test_pages_that_are_not_alike(self):
        with tifffile.TiffWriter(self.folder / "thumb.tif") as out:
            out.write(STACK[:2], photometric="minisblack", metadata=None)
            out.write(STACK[0, ::2, ::2], photometric="minisblack", subfiletype=1, metadata=None)
        self.assert_read("thumb.tif", STACK[:2])
        with tifffile.TiffWriter(self.folder / "pyramid.tif") as out:
            out.write(STACK[0], subifds=1, photometric="minisblack", tile=(16, 16))
            out.write(STACK[0, ::2, ::2], subfiletype=1, photometric="minisblack", tile=(16, 16))
        self.assert_read("pyramid.tif", STACK[:1])
        for name, second in (("sizes", STACK[1, :9]), ("types", STACK[1].astype("u2"))):
            with tifffile.TiffWriter(self.folder / f"{name}.tif") as out:
                out.write(STACK[0], photometric="minisblack", metadata=None)
                out.write(second, photometric="minisblack", metadata=None)
            self.refuse(f"{name}.tif", FAILED, ["page 1", "must be alike"])

    def test_damage(self):
        file = self.folder / self.write("whole.tif", STACK, photometric="minisblack", metadata=None)
        data = file.read_bytes()
        with tifffile.TiffFile(file) as tiff:
            second = tiff.pages[1].offset
        count = struct.unpack_from("<H", data, second)[0]
        (self.folder / "cut.tif").write_bytes(data[:second + 2 + 12 * count + 2])  # inside the offset of the next page
        self.refuse("cut.tif", FAILED, [r"cut\.tif", "too early|amaged"])
        tags = grey_tags(16, 16, 8)
        del tags[278]
        (self.folder / "tile.tif").write_bytes(tiff_bytes(bytes(64), tags | {
            322: (4, 1 << 17), 323: (4, 1 << 17), 324: (4, 8), 325: (4, 64), 256: (4, 1 << 17), 257: (4, 1 << 17)}))
        result = run_tessera(["import", "tile.tif", "none.h5:/raw"], cwd=self.folder, prefix=["prlimit", "--as=4000000000"])
        self.assert_one_error(result, FAILED, [r"tile\.tif", "far too small|not possible"])
        os.mkfifo(self.folder / "pipe.tif")
        self.refuse("pipe.tif", FAILED, ["no regular file"])

    def sections(self, name, numbers, pattern="s{:03}.tif"):
        folder = self.folder / name
        folder.mkdir()
        for i in numbers:
            tifffile.imwrite(folder / pattern.format(i), np.full((8, 9), i, "u1"), metadata=None)
        return folder

    def values(self, folder, *options):
        return self.imported(folder, *options)[:, 0, 0].tolist()

    def test_folders(self):
        links = self.sections("links", (0, 1, 2))
        (links / "s001.tif").unlink()
        (links / "s001.tif").symlink_to("/offline/s001.tif")
        self.refuse("links", FAILED, [r"links/s001\.tif", "link to /offline/s001"])
        gap = self.sections("gap", (1, 2, 4, 5, 9))
        self.refuse("gap", USAGE, [r"4 section\(s\) missing", "3 between s002.tif and s004.tif", "6 to 8 between", "--missing black"])
        self.assertEqual(self.values(gap, "--missing", "black"), [1, 2, 0, 4, 5, 0, 0, 0, 9])
        self.assertEqual(self.values(gap, "--missing", "repeat"), [1, 2, 2, 4, 5, 5, 5, 5, 9])
        self.assertEqual(self.values(gap, "--missing", "skip"), [1, 2, 4, 5, 9])
        self.assertEqual(self.values(self.sections("tens", (10, 20, 30), "s{}.tiff")), [10, 20, 30])
        mixed = self.sections("mixed", (0, 1))
        Image.fromarray(np.zeros((8, 9), "u1")).save(mixed / "s001.png")
        self.refuse("mixed", USAGE, [r"s001\.(png|tif) and s001\.(png|tif) are the same section"])
        hidden = self.sections("hidden", (0, 1, 2), "z{}.TIF")
        (hidden / "._z0.TIF").write_bytes(b"\0\5\x16\7 Mac OS X")
        result = run_tessera(["import", "hidden", "out.h5:/raw", "--overwrite"], cwd=self.folder)
        self.assertEqual((result.code, result.warnings()), (0, ["hidden: 1 file passed over, hidden or neither PNG nor TIFF by name"]))
        wafers = self.sections("wafers", ())
        for wafer in (1, 2):
            for i in (1, 2, 3):
                tifffile.imwrite(wafers / f"w{wafer}_s{i}.tif", np.full((8, 9), 10 * wafer + i, "u1"), metadata=None)
        self.assertEqual(self.values(wafers), [11, 12, 13, 21, 22, 23])
        odd = self.sections("odd [1]*\n", (0, 1), "s{}" + "x" * 240 + "[*].tif")
        self.assertEqual(self.values(odd), [0, 1])
        raw = os.fsencode(self.folder) + b"/caf\xe9"
        os.mkdir(raw)
        tifffile.imwrite(os.fsdecode(raw + b"/s1\xff.tif"), STACK[0], photometric="minisblack", metadata=None)
        self.assert_read(os.fsdecode(raw), STACK[:1])

    def test_export_refuses_names_of_other_formats(self):
        for name in ("x.PNG", "x.Jpeg", "x.H5", "x.mrc"):
            result = run_tessera(["export", "stack.h5:/volumes/raw", name], cwd=self.folder)
            self.assert_one_error(result, USAGE, ["cannot export to", r"\.tif file"])
            self.assertFalse((self.folder / name).exists())


if __name__ == "__main__":
    unittest.main()
