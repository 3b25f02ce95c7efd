#pragma once

#include <initializer_list>
#include <string>

namespace tessera {

/// Compiles CUDA C++ to machine code for a compute capability (90 is 9.0). NVRTC is searched at run time.
/// `exact`: with the features of this architecture only (sm_90a). Errors: c10::Error with the compiler's log.
std::string compiled_for_cuda(const char* source, int capability, bool exact = false);

/// NVRTC's major version: 12 for CUDA 12. Errors: c10::Error.
int nvrtc_version();

/// A C library that is loaded already, or else that the system finds, by the first name that succeeds; null
/// if none does.
void* loaded_library(std::initializer_list<const char*> names);

}  // namespace tessera
