#include "workers/device/nvrtc.h"

#include <c10/util/Exception.h>
#include <dlfcn.h>

#include <array>
#include <cstddef>
#include <type_traits>

namespace tessera {
namespace {

constexpr std::initializer_list<const char*> kNames = {"libnvrtc.so.13", "libnvrtc.so.12",
                                                       "libnvrtc.so.11.2"};

/// Searches beside CUDA's runtime: PyTorch's Python package has each of NVIDIA's libraries in its own folder.
void* beside_the_runtime() {
  Dl_info runtime{};
  void* const function = dlsym(RTLD_DEFAULT, "cudaMemGetInfo");
  if (function == nullptr || dladdr(function, &runtime) == 0 || runtime.dli_fname == nullptr) return nullptr;
  const std::string path = runtime.dli_fname, folder = path.substr(0, path.rfind('/') + 1);
  for (const char* where : {"", "../../cuda_nvrtc/lib/"}) {
    for (const char* name : kNames) {
      if (void* const library = dlopen((folder + where + name).c_str(), RTLD_NOW)) return library;
    }
  }
  return nullptr;
}

/// NVRTC's documented C interface. Functions return 0 on success.
struct Nvrtc {
  using Program = void*;
  int (*version)(int* major, int* minor);
  int (*create)(Program*, const char* source, const char* name, int headers, const char* const*,
                const char* const*);
  int (*destroy)(Program*);
  int (*compile)(Program, int count, const char* const* options);
  int (*log_size)(Program, std::size_t*);
  int (*log)(Program, char*);
  int (*code_size)(Program, std::size_t*);
  int (*code)(Program, char*);

  Nvrtc() {
    void* library = loaded_library(kNames);
    if (library == nullptr) library = beside_the_runtime();
    TORCH_CHECK(library != nullptr, "NVRTC (libnvrtc.so.13, .12 or .11.2) is not found");
    const auto find = [library](auto& function, const char* name) {
      function = reinterpret_cast<std::remove_reference_t<decltype(function)>>(dlsym(library, name));
      TORCH_CHECK(function != nullptr, "this NVRTC has no ", name);
    };
    find(version, "nvrtcVersion");
    find(create, "nvrtcCreateProgram");
    find(destroy, "nvrtcDestroyProgram");
    find(compile, "nvrtcCompileProgram");
    find(log_size, "nvrtcGetProgramLogSize");
    find(log, "nvrtcGetProgramLog");
    find(code_size, "nvrtcGetCUBINSize");
    find(code, "nvrtcGetCUBIN");
  }
};

/// Owns an NVRTC program of one source.
class Program {
 public:
  Program(const Nvrtc& nvrtc, const char* source) : nvrtc_(nvrtc) {
    TORCH_CHECK(nvrtc_.create(&program_, source, "tessera.cu", 0, nullptr, nullptr) == 0,
                "nvrtcCreateProgram failed");
  }
  ~Program() { nvrtc_.destroy(&program_); }
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;

  std::string code_for(int capability, bool exact) const {
    const std::string architecture =
        "--gpu-architecture=sm_" + std::to_string(capability) + (exact ? "a" : "");
    const std::array options = {architecture.c_str(), "--std=c++17"};
    const int result = nvrtc_.compile(program_, static_cast<int>(options.size()), options.data());
    TORCH_CHECK(result == 0, "nvrtcCompileProgram failed for ", architecture, " with ", result, ": ",
                text(nvrtc_.log_size, nvrtc_.log).c_str());  // a C string, its end included
    const std::string code = text(nvrtc_.code_size, nvrtc_.code);
    TORCH_CHECK(!code.empty(), "nvrtcGetCUBIN gave nothing for ", architecture);
    return code;
  }

 private:
  std::string text(int (*size_of)(Nvrtc::Program, std::size_t*), int (*get)(Nvrtc::Program, char*)) const {
    std::size_t size = 0;
    if (size_of(program_, &size) != 0) return {};
    std::string all(size, '\0');
    return get(program_, all.data()) == 0 ? all : std::string();
  }

  const Nvrtc& nvrtc_;
  Nvrtc::Program program_ = nullptr;
};

}  // namespace

void* loaded_library(std::initializer_list<const char*> names) {
  for (const int how : {RTLD_NOW | RTLD_NOLOAD, RTLD_NOW}) {
    for (const char* name : names) {
      if (void* const library = dlopen(name, how)) return library;
    }
  }
  return nullptr;
}

std::string compiled_for_cuda(const char* source, int capability, bool exact) {
  const Nvrtc nvrtc;
  return Program(nvrtc, source).code_for(capability, exact);
}

int nvrtc_version() {
  int major = 0, minor = 0;
  TORCH_CHECK(Nvrtc().version(&major, &minor) == 0, "nvrtcVersion failed");
  return major;
}

}  // namespace tessera
