from spack.package import *


class Tessera(CMakePackage):
    """Trains U-Nets on electron-microscopy sections and predicts whole serial-section stacks, on one machine or, by MPI and
    Slurm, on many."""

    license("BSD-3-Clause")

    # The sources are this checkout: `spack dev-build tessera@0.1.0`, or `spack develop --path CHECKOUT tessera@0.1.0`.
    version("0.1.0")

    variant("cuda", default=False, description="Run on NVIDIA GPUs")
    variant("tests", default=False, description="Build the tests")

    depends_on("c", type="build")
    depends_on("cxx", type="build")
    depends_on("cmake@3.25:", type="build")
    depends_on("pkgconfig", type="build")
    depends_on("py-torch@1.13: ~cuda", when="~cuda")
    depends_on("py-torch@1.13: +cuda", when="+cuda")
    depends_on("mpi")
    depends_on("hdf5@1.10.8: ~mpi")
    depends_on("hwloc")
    depends_on("zlib-api")
    depends_on("libdeflate")
    depends_on("libtiff")
    depends_on("libpng")
    depends_on("openssl")
    depends_on("yaml-cpp@0.7:")
    depends_on("boost@1.74: +program_options")
    depends_on("spdlog@1.10: +fmt_external")
    depends_on("fmt@9:")
    depends_on("nlohmann-json@3.11:")
    depends_on("googletest +gmock", when="+tests")

    conflicts("%gcc@:11", msg="Tessera is C++20: GCC 12 or later")

    def cmake_args(self):
        return [self.define_from_variant("TESSERA_TESTS", "tests")]
