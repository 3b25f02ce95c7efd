#include <algorithm>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "io/base/log.h"
#include "workers/device/cuda_runtime.h"
#include "workers/device/nvrtc.h"
#include "workers/device/out_of_memory.h"

#ifdef TESSERA_CUDA
#include <c10/cuda/CUDAStream.h>
#include <c10/util/Exception.h>
#include <dlfcn.h>
#endif

namespace tessera {

#ifdef TESSERA_CUDA

// The sources of workers/kernels as text (workers/CMakeLists.txt joins the files).
extern const char* const kDeviceKernels;
extern const char* const kConvolutionKernels;
#ifdef TESSERA_HOPPER_KERNELS
extern const char* const kHopperBfloat16Kernels;
extern const char* const kHopperFloat16Kernels;
#endif

namespace {

/// CUDA's driver, by its documented C interface: LibTorch does not link with it. Functions return 0 on
/// success.
struct Driver {
  using Handle = void*;
  int (*get_context)(Handle*);
  int (*get_device)(int*);
  int (*get_attribute)(int*, int attribute, int device);
  int (*load)(Handle* module, const void* code);
  int (*get_function)(Handle* function, Handle module, const char* name);
  int (*set_function_attribute)(Handle function, int attribute, int value);
  int (*get_blocks)(int*, Handle function, int threads, std::size_t shared_bytes);
  int (*launch)(Handle function, unsigned int blocks_x, unsigned int blocks_y, unsigned int blocks_z,
                unsigned int threads_x, unsigned int threads_y, unsigned int threads_z,
                unsigned int shared_bytes, Handle stream, void** arguments, void** extra);
  int (*get_error)(int error, const char** text);
  int (*make_context)(void*);  ///< cudaFree, which makes the device's context this thread's

  Driver() {
    void* const library = loaded_library({"libcuda.so.1"});
    TORCH_CHECK(library != nullptr, "CUDA's driver (libcuda.so.1) is not found");
    const auto find = [](void* in, auto& function, const char* name) {
      function = reinterpret_cast<std::remove_reference_t<decltype(function)>>(dlsym(in, name));
      TORCH_CHECK(function != nullptr, "CUDA has no ", name);
    };
    find(library, get_context, "cuCtxGetCurrent");
    find(library, get_device, "cuCtxGetDevice");
    find(library, get_attribute, "cuDeviceGetAttribute");
    find(library, load, "cuModuleLoadData");
    find(library, get_function, "cuModuleGetFunction");
    find(library, set_function_attribute, "cuFuncSetAttribute");
    find(library, get_blocks, "cuOccupancyMaxActiveBlocksPerMultiprocessor");
    find(library, launch, "cuLaunchKernel");
    find(library, get_error, "cuGetErrorString");
    find(RTLD_DEFAULT, make_context, "cudaFree");
  }

  void check(int result, const std::string& what) const {
    if (result == 0) return;
    const char* text = nullptr;
    get_error(result, &text);
    TORCH_CHECK(false, what, " failed: ", text != nullptr ? text : "unknown error", " (", result, ")");
  }

  /// The current device's number. A thread that has only reused LibTorch's memory may lack a context.
  int device() const {
    Handle context = nullptr;
    check(get_context(&context), "cuCtxGetCurrent");
    if (context == nullptr) TORCH_CHECK(make_context(nullptr) == 0, "cudaFree failed");
    int number = 0;
    check(get_device(&number), "cuCtxGetDevice");
    return number;
  }

  int attribute(int which, int device) const {
    int found = 0;
    check(get_attribute(&found, which, device), "cuDeviceGetAttribute");
    return found;
  }

  /// Compute capability: 90 is 9.0.
  int capability(int device) const {
    constexpr int kMajor = 75, kMinor = 76;  // CUdevice_attribute
    return 10 * attribute(kMajor, device) + attribute(kMinor, device);
  }
};

#ifdef TESSERA_HOPPER_KERNELS
constexpr int kHopperCapability = 90;
#endif

/// Kernels that are compiled together, when the first of them is started.
struct KernelGroup {
  const char* source;
  int capability;  ///< compute capability that a device needs: 90 is 9.0
  bool exact;      ///< exactly this capability, because of features of its architecture only (sm_90a)
  std::vector<const char*> names;
};

const std::vector<KernelGroup>& kernel_groups() {
  static const std::vector<KernelGroup> groups = {
      {kDeviceKernels,
       0,
       false,
       {"tessera_pool", "tessera_join", "tessera_first_convolution", "tessera_classes", "tessera_bend_input",
        "tessera_bend_targets"}},
      {kConvolutionKernels,
       80,
       false,
       {"tessera_convolve_bfloat16_large", "tessera_convolve_bfloat16_narrow",
        "tessera_convolve_bfloat16_small", "tessera_convolve_float16_large",
        "tessera_convolve_float16_narrow", "tessera_convolve_float16_small", "tessera_convolve_float32_large",
        "tessera_convolve_float32_narrow", "tessera_convolve_float32_small"}},
#ifdef TESSERA_HOPPER_KERNELS
      {kHopperBfloat16Kernels,
       kHopperCapability,
       true,
       {"tessera_hopper_bfloat16_lines_64", "tessera_hopper_bfloat16_lines_128",
        "tessera_hopper_bfloat16_lines_128_deep", "tessera_hopper_bfloat16_patches_64",
        "tessera_hopper_bfloat16_patches_64_deep", "tessera_hopper_bfloat16_patches_128"}},
      {kHopperFloat16Kernels,
       kHopperCapability,
       true,
       {"tessera_hopper_float16_lines_64", "tessera_hopper_float16_lines_128",
        "tessera_hopper_float16_lines_128_deep", "tessera_hopper_float16_patches_64",
        "tessera_hopper_float16_patches_64_deep", "tessera_hopper_float16_patches_128"}},
#endif
  };
  return groups;
}

/// The number of a kernel's group.
std::size_t group_of(const char* name) {
  const auto contains = [name](const KernelGroup& group) {
    return std::ranges::any_of(group.names,
                               [name](const char* one) { return std::string_view(one) == name; });
  };
  const auto group = std::ranges::find_if(kernel_groups(), contains);
  TORCH_CHECK(group != kernel_groups().end(), "no kernel ", name);
  return static_cast<std::size_t>(group - kernel_groups().begin());
}

/// A group's kernels, compiled for one device. They stay loaded until the program ends.
class DeviceKernels {
 public:
  DeviceKernels(const Driver& driver, const KernelGroup& group, int device) : driver_(driver) {
    constexpr int kProcessors = 16;  // CUdevice_attribute
    processors_ = driver_.attribute(kProcessors, device);
    const int capability = driver_.capability(device);
    TORCH_CHECK(group.exact ? capability == group.capability : capability >= group.capability,
                "compute capability ", group.capability / 10, ".", group.capability % 10,
                " is needed, this device has ", capability / 10, ".", capability % 10);
    const std::string code = compiled_for_cuda(group.source, capability, group.exact);
    driver_.check(driver_.load(&module_, code.data()), "cuModuleLoadData");
    for (const char* name : group.names) {
      Function& function = functions_[name];
      driver_.check(driver_.get_function(&function.handle, module_, name),
                    std::string("cuModuleGetFunction of ") + name);
      driver_.check(driver_.get_blocks(&function.blocks, function.handle, kKernelThreads, 0),
                    std::string("the occupancy of ") + name);
    }
  }

  void launch(const KernelStart& start, void** arguments) const {
    const Function& function = functions_.at(start.name);
    const std::int64_t at_once = std::int64_t{processors_} * std::max(1, function.blocks);
    const std::int64_t blocks = start.loops ? std::min(start.blocks_x, at_once) : start.blocks_x;
    const c10::cuda::CUDAStream stream = c10::cuda::getCurrentCUDAStream();
    const auto shared_bytes = static_cast<unsigned int>(start.shared_bytes);
    constexpr int kMostSharedBytes = 8;  // CUfunction_attribute; what is more than 48 KiB must be asked for
    if (shared_bytes > 0) {
      driver_.check(
          driver_.set_function_attribute(function.handle, kMostSharedBytes, static_cast<int>(shared_bytes)),
          std::string("shared memory for ") + start.name);
    }
    driver_.check(driver_.launch(function.handle, static_cast<unsigned int>(blocks),
                                 static_cast<unsigned int>(start.blocks_y), 1, kKernelThreads, 1, 1,
                                 shared_bytes, stream.stream(), arguments, nullptr),
                  std::string("cuLaunchKernel of ") + start.name);
  }

 private:
  struct Function {
    Driver::Handle handle = nullptr;
    int blocks = 0;  ///< that run at once on a multiprocessor
  };
  const Driver& driver_;
  Driver::Handle module_ = nullptr;
  int processors_ = 0;
  std::map<std::string, Function> functions_;
};

/// The kernels of all devices that have used them.
class CudaLauncher {
 public:
  void launch(const KernelStart& start, void** arguments) {
    const std::size_t group = group_of(start.name);
    const DeviceKernels* kernels = nullptr;
    {
      const std::lock_guard lock(mutex_);
      made(driver_, [] { return std::make_unique<Driver>(); });
      const int device = driver_.value->device();
      kernels = &made(groups_[{device, group}], [&] {
        return std::make_unique<DeviceKernels>(*driver_.value, kernel_groups()[group], device);
      });
    }
    kernels->launch(start, arguments);
  }

#ifdef TESSERA_HOPPER_KERNELS
  bool has_hopper_kernels(int device) {
    constexpr int kFirstVersion = 12;  // of NVRTC that knows them
    const std::lock_guard lock(mutex_);
    try {
      const Driver& driver = made(driver_, [] { return std::make_unique<Driver>(); });
      if (driver.capability(device) != kHopperCapability) return false;
      const int version = nvrtc_version();
      if (version < kFirstVersion)
        spdlog::warn(
            "NVRTC {} cannot compile the Hopper kernels: layers with a fixed reduction order use slower "
            "kernels",
            version);
      return version >= kFirstVersion;
    } catch (const c10::Error&) {
      return false;
    }
  }
#endif

 private:
  /// A value that is made once, or the reason why it cannot be made.
  template <class Value>
  struct Once {
    std::unique_ptr<Value> value;
    std::string failure;
  };

  template <class Value, class Make>
  static const Value& made(Once<Value>& once, const Make& make) {
    TORCH_CHECK(once.failure.empty(), once.failure);
    try {
      if (!once.value) once.value = make();
      return *once.value;
    } catch (const c10::Error& error) {
      if (says_out_of_memory(error)) throw;  // the next attempt may find memory
      once.failure = std::string("custom CUDA kernels are not available: ") + error.what_without_backtrace();
      spdlog::warn("{}. LibTorch's operators are used.", once.failure);
      throw;
    }
  }

  std::mutex mutex_;
  Once<Driver> driver_;
  std::map<std::pair<int, std::size_t>, Once<DeviceKernels>> groups_;  ///< by device and number
};

/// One for the program, because compiling takes seconds. It is never destroyed: CUDA may have ended before.
CudaLauncher& the_launcher() {
  static CudaLauncher& launcher = *new CudaLauncher;
  return launcher;
}
}  // namespace

KernelLauncher cuda_launcher() {
  return [](const KernelStart& start, std::span<void*> arguments) {
    the_launcher().launch(start, arguments.data());
  };
}

#else

KernelLauncher cuda_launcher() {
  return {};
}

#endif

bool has_hopper_kernels([[maybe_unused]] int index) {
#if defined(TESSERA_CUDA) && defined(TESSERA_HOPPER_KERNELS)
  return the_launcher().has_hopper_kernels(index);
#else
  return false;
#endif
}

}  // namespace tessera
