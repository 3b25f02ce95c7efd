#pragma once

// What the stub libraries and the dry run agree on. All in one process; C, so that the dry run finds it by
// name.

extern "C" {

/// Whether a call that waits for the device, or takes memory from the driver, is a mistake from now on.
void stub_cuda_forbid_waiting(bool forbidden);
/// Mistakes seen so far: each was printed with its place.
long stub_cuda_mistakes();
/// Kernels, and those of graphs, started so far.
long stub_cuda_launches();
/// Taking memory of this device is a mistake from now on; -1: of none.
void stub_cuda_forbid_device(int device);
/// A library's kernel, on a stream.
void stub_cuda_launch(const char* name, void* stream);
}
