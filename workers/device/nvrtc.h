#pragma once

#include <initializer_list>
#include <string>

namespace tessera {

/// Machine code of CUDA C++ for devices of a compute capability (90: 9.0), by NVRTC, which is looked for
/// where the program runs; `alone`: with what no other capability has (sm_90a). Errors: c10::Error, with the
/// compiler's words.
std::string compiled_for_cuda(const char* source, int capability, bool alone = false);

/// NVRTC's version: 12 of CUDA 12. Errors: c10::Error.
int nvrtc_version();

/// A C library that is loaded already, or that the system finds, by the first of its names that does; null:
/// none.
void* loaded_library(std::initializer_list<const char*> names);

}  // namespace tessera
