"""The order of the house: which room may include which, what belongs in one room only, and how long functions are."""

import pathlib
import re
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

from sources import SOURCE, STOREYS, code_of, functions_of, includes_of, room_of, source_files  # noqa: E402

# The rooms that a room may include, beside itself. Arrows go down only.
ROOMS = {
    "io/base": "",
    "io/geometry": "io/base",
    "io/volume": "io/base io/geometry",
    "io/graph": "io/base io/geometry",
    "io/hdf5": "io/base io/geometry io/volume",
    "io/images": "io/base io/geometry",
    "io/stores": "io/base io/geometry io/volume io/hdf5",

    "workers/mpi": "io/base",
    "workers/numbers": "",
    "workers/device": "io/base workers/mpi",
    "workers/kernels": "io/base io/geometry workers/device",
    "workers/blocks": "io/base io/geometry io/volume io/stores workers/mpi",
    "workers/results": "io/base io/geometry io/volume io/hdf5 workers/blocks",
    "workers/segment": "io/base io/geometry io/graph io/hdf5 io/volume io/stores workers/agglomerate workers/blocks workers/mpi workers/numbers",
    "workers/metrics": "io/base workers/mpi workers/numbers",
    "workers/agglomerate": "io/base workers/metrics workers/mpi workers/numbers",
    "workers/synthetic": "io/base io/geometry workers/numbers",
    "workers/network": "io/base io/geometry io/hdf5 workers/device workers/kernels workers/numbers",
    "workers/samples": "io/base io/geometry io/volume io/stores workers/device workers/metrics workers/network workers/numbers",
    "workers/gradients": "io/base io/geometry workers/device workers/kernels workers/mpi workers/network workers/samples",
    "workers/infer": "io/base io/geometry io/volume io/stores workers/blocks workers/device workers/mpi workers/network "
                     "workers/numbers",
    "workers/train": "io/base io/geometry io/volume io/hdf5 io/stores workers/device workers/gradients workers/infer workers/metrics workers/mpi "
                     "workers/network workers/samples",

    "pipeline/run": "io/base io/geometry io/volume io/hdf5 io/stores workers/metrics workers/mpi",
    "pipeline/blocks": "io/base io/geometry io/volume io/hdf5 io/stores workers/blocks workers/mpi workers/results pipeline/run",
    "pipeline/evaluate": "io/base io/geometry io/volume io/hdf5 io/stores io/images workers/agglomerate workers/metrics workers/mpi workers/samples pipeline/run",
    "pipeline/config": "io/base io/geometry io/volume io/stores io/images workers/device workers/gradients workers/infer workers/mpi workers/network "
                       "workers/samples workers/segment workers/train pipeline/evaluate pipeline/run",
    "pipeline/train": "io/base io/geometry io/volume io/hdf5 io/stores io/images workers/device workers/gradients workers/infer "
                      "workers/mpi workers/network workers/samples workers/train pipeline/config pipeline/run",
    "pipeline/infer": "io/base io/geometry io/volume io/hdf5 io/stores workers/blocks workers/device workers/infer workers/mpi "
                      "workers/network pipeline/blocks pipeline/config pipeline/run",
    "pipeline/segment": "io/base io/geometry io/graph io/hdf5 io/volume io/stores workers/agglomerate workers/blocks workers/device workers/metrics workers/mpi workers/segment "
                        "pipeline/blocks pipeline/config pipeline/evaluate pipeline/run",
    "pipeline/report": "io/base io/geometry io/volume io/hdf5 io/stores pipeline/config pipeline/evaluate pipeline/run",
    "pipeline/cluster": "io/base io/volume io/stores workers/device pipeline/config pipeline/run",
    "pipeline/inputs": "io/base io/geometry io/volume io/hdf5 io/images io/stores workers/device workers/mpi pipeline/config pipeline/run",
    "pipeline/start": "io/base io/geometry io/volume io/hdf5 io/stores io/images workers/device workers/infer workers/metrics workers/mpi "
                      "workers/network workers/samples workers/train pipeline/cluster pipeline/config pipeline/infer pipeline/inputs "
                      "pipeline/report pipeline/run pipeline/segment pipeline/train",
    "pipeline/commands": "io/base io/geometry io/volume io/hdf5 io/stores io/images workers/blocks workers/device workers/infer "
                         "workers/mpi workers/network workers/samples workers/synthetic pipeline/blocks pipeline/cluster pipeline/config "
                         "pipeline/evaluate pipeline/infer pipeline/inputs pipeline/report pipeline/run pipeline/segment pipeline/start pipeline/train",
    "pipeline": "io/base io/hdf5 workers/mpi pipeline/commands pipeline/run",
}
LOOSE_FILES = {"pipeline/main.cpp"}
# The kernels of one GPU architecture have their own folder, so that they can be deleted.
FOLDERS_IN_ROOMS = {"workers/kernels/hopper"}

MPI, TORCH, YAML = r"mpi\.h|mpi-ext\.h", r"(torch|ATen|c10|caffe2)/.*", r"yaml-cpp/.*"
FORBIDDEN = {"io": [MPI, TORCH, YAML], "workers": [YAML], "pipeline": []}

# Words of the code (comments aside) that stay in some rooms, or out of some.
HDF5 = re.compile(r"\bhid_t\b|\bhsize_t\b|\bH5[A-Z]\w*|\bhdf5\.h\b")
NVRTC = re.compile(r"nvrtc", re.IGNORECASE)
UNET = re.compile(r"unet", re.IGNORECASE)
PREDICTION = re.compile(r"inference|predict", re.IGNORECASE)
ONLY_IN = {HDF5: {"io/hdf5"}, NVRTC: {"workers/device", "workers/kernels"}, UNET: {"workers/network"}}
NOT_IN = {PREDICTION: {"workers/blocks", "workers/results", "pipeline/blocks"}}
EXEMPT = {UNET: re.compile(r"pipeline/config/model_config\.(h|cpp)")}  # the section of the network itself

LONGEST_FUNCTION = 80
# What a kernel does with its registers cannot be parted into functions.
LONG_FUNCTIONS = {"workers/kernels/hopper/hopper_kernels.cu: convolve_patches"}


def wrong_includes(root=SOURCE):
    wrong = []
    for file in source_files(root):
        room = room_of(file)
        allowed = {room, *ROOMS.get(room, "").split()}
        for name in includes_of(file, root):
            inside = name.split("/")[0] in STOREYS + ("tests",)
            forbidden = any(re.fullmatch(one, name) for one in FORBIDDEN[file.parts[0]])
            # A name without a folder is one of the including file's own room.
            if name.startswith(".") or forbidden or (inside and room_of(name) not in allowed):
                wrong.append(f"{file} includes {name}")
    return wrong


def wrong_places(root=SOURCE):
    """Rooms that the table lacks, and files that are in no room."""
    wrong = []
    for file in source_files(root):
        if len(file.parts) == 2 and str(file) not in LOOSE_FILES:
            wrong.append(f"{file} is in no room")
        elif room_of(file) not in ROOMS:
            wrong.append(f"{file}: the table of rooms lacks {room_of(file)}")
        elif len(file.parts) > 3 and str(file.parent) not in FOLDERS_IN_ROOMS:
            wrong.append(f"{file} is in a room within a room")
    return wrong


def misplaced_words(root=SOURCE):
    wrong = []
    for file in source_files(root):
        code, room = code_of(file, root), room_of(file)
        for word in (*ONLY_IN, *NOT_IN):
            here = room in ONLY_IN.get(word, {room}) and room not in NOT_IN.get(word, ())
            exempt = word in EXEMPT and EXEMPT[word].fullmatch(str(file))
            if not here and not exempt and (found := word.search(code)):
                wrong.append(f"{file} has {found[0]}")
    return wrong


def cycles(rooms):
    """The rooms that remain when rooms without arrows to remaining rooms are taken away, one after the other."""
    left = {room: set(allowed.split()) for room, allowed in rooms.items()}
    while free := [room for room, allowed in left.items() if not allowed & left.keys()]:
        for room in free:
            del left[room]
    return sorted(left)


def long_functions(root=SOURCE):
    return [f"{file}: {name}" for file in source_files(root)
            for name, lines in functions_of((root / file).read_text()) if lines > LONGEST_FUNCTION]


def sources_with_another_header_first(root=SOURCE):
    """Sources that have a header of their name and include another one before it: such a header need not compile alone."""
    wrong = []
    for file in source_files(root):
        header = str(pathlib.PurePath(file).with_suffix(".h"))
        if str(file).endswith(".cpp") and (root / header).is_file() and includes_of(file, root)[:1] != [header]:
            wrong.append(str(file))
    return sorted(wrong)


class Rooms(unittest.TestCase):

    def test_arrows_go_down(self):
        self.assertGreater(len(source_files()), 300, "nothing found to look at")
        self.assertEqual(wrong_includes(), [])

    def test_every_file_is_in_a_room(self):
        self.assertEqual(wrong_places(), [])
        self.assertEqual([room for room in ROOMS if not (SOURCE / room).is_dir()], [], "rooms that do not exist")

    def test_the_table_has_no_cycle(self):
        self.assertEqual(cycles(ROOMS), [])
        self.assertEqual([one for allowed in ROOMS.values() for one in allowed.split() if one not in ROOMS], [])
        rank = {storey: i for i, storey in enumerate(STOREYS)}
        upwards = [f"{room} -> {one}" for room, allowed in ROOMS.items() for one in allowed.split()
                   if rank[one.split("/")[0]] > rank[room.split("/")[0]]]
        self.assertEqual(upwards, [])

    def test_libraries_and_networks_stay_in_their_rooms(self):
        self.assertEqual(misplaced_words(), [])
        for word, rooms in ONLY_IN.items():
            self.assertTrue(any(word.search(code_of(file)) for file in source_files() if room_of(file) in rooms), word)

    def test_sources_include_their_header_first(self):
        self.assertEqual(sources_with_another_header_first(), [])


class Functions(unittest.TestCase):

    def test_are_short(self):
        self.assertGreater(sum(len(functions_of((SOURCE / file).read_text())) for file in source_files()), 1000)
        self.assertEqual(sorted(set(long_functions()) - LONG_FUNCTIONS), [])
        self.assertEqual(sorted(LONG_FUNCTIONS - set(long_functions())), [], "exceptions that are none any more")


class TheTestItself(unittest.TestCase):
    """Each check finds what it is there for, in a small tree."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = pathlib.Path(folder.name)

    def write(self, name, text):
        (self.root / name).parent.mkdir(parents=True, exist_ok=True)
        (self.root / name).write_text(text)

    def test_finds_wrong_arrows(self):
        bad = {"io/volume/a.cpp": ["workers/mpi/agreement.h", "mpi.h", "torch/torch.h", "ATen/Functions.h", "yaml-cpp/yaml.h",
                                   "../x.h", "io/hdf5/volume_reader.h", "io/stores/open_volume.h"],
               "io/base/a.h": ["io/geometry/tile_grid.h"],
               "workers/network/b.h": ["pipeline/run/run_folder.h", "yaml-cpp/yaml.h", "workers/infer/tile_predictor.h"],
               "pipeline/blocks/a.cpp": ["tests/unit/error_message.h", "pipeline/infer/inference_plan.h"]}
        for name, lines in bad.items():
            good = ["vector", "io/base/error.h", f"{room_of(name)}/other.h"]
            self.write(name, "".join(f'#include "{one}"\n' for one in [*good, *lines]))
        self.assertEqual(sorted(wrong_includes(self.root)),
                         sorted(f"{name} includes {one}" for name, lines in bad.items() for one in lines))

    def test_finds_files_outside_the_rooms(self):
        for name in ("io/loose.cpp", "workers/cellar/a.h", "pipeline/run/corner/a.cpp", "pipeline/main.cpp", "io/base/log.h"):
            self.write(name, "")
        self.assertEqual([one.split(" ")[0].rstrip(":") for one in wrong_places(self.root)],
                         ["io/loose.cpp", "workers/cellar/a.h", "pipeline/run/corner/a.cpp"])

    def test_finds_cycles(self):
        self.assertEqual(cycles({"a": "b", "b": "c", "c": "b", "d": ""}), ["a", "b", "c"])
        self.assertEqual(cycles({"a": "b", "b": ""}), [])

    def test_finds_misplaced_words(self):
        comment = "// hid_t, nvrtc and UNetImpl may stand here\n"
        bad = {"io/volume/a.h": "hid_t file;", "workers/mpi/a.cpp": "H5Fclose(file);", "workers/network/a.cpp": "nvrtcCompile(p);",
               "workers/blocks/a.h": "class UNetImpl;",
               "pipeline/blocks/a.cpp": "void predict_block();", "pipeline/config/train_config.cpp": '#include "workers/network/unet_options.h"'}
        good = {"io/hdf5/a.h": "hid_t file;", "workers/kernels/a.cpp": "nvrtcCompile(p);", "pipeline/run/a.cpp": 'print("H5Fclose");',
                "pipeline/config/model_config.h": "UNetOptions network;"}
        for name, text in {**bad, **good}.items():
            self.write(name, comment + text + "\n")
        self.assertEqual(sorted(one.split(" ")[0] for one in misplaced_words(self.root)), sorted(bad))

    def test_finds_headers_that_come_second(self):
        for name in ("a.h", "b.h", "c.h"):
            self.write(f"io/base/{name}", "")
        self.write("io/base/a.cpp", '#include "io/base/a.h"\n\n#include <vector>\n')
        self.write("io/base/b.cpp", '#include <vector>\n\n#include "io/base/b.h"\n')
        self.write("io/base/c.cpp", "int c;\n")
        self.write("io/base/d.cpp", "#include <vector>\n")
        self.assertEqual(sources_with_another_header_first(self.root), ["io/base/b.cpp", "io/base/c.cpp"])

    def test_finds_long_functions(self):
        def body(lines):
            return "  step();\n" * lines
        self.write("io/base/a.cpp",
                   "namespace tessera {\nnamespace {\n\nstruct Table {\n" + "  int a;\n" * 100 + "};\n\n"
                   "constexpr int kTable[] = {\n" + "    1,\n" * 100 + "};\n\n"
                   "int fits(int a,\n         int b) {\n" + body(77) + "}\n\n"
                   "int too_long(int a,\n             int b) {\n" + body(78) + "}\n\n"
                   "class Reader {\n public:\n  Reader(int a)\n      : a_(a),\n        b_(a) {\n" + body(77) + "  }\n\n"
                   "  void read() {\n    if (a_) {\n" + body(90) + "    }\n  }\n};\n\n}  // namespace\n}  // namespace tessera\n")
        self.assertEqual(long_functions(self.root), ["io/base/a.cpp: too_long", "io/base/a.cpp: Reader", "io/base/a.cpp: read"])


if __name__ == "__main__":
    unittest.main()
