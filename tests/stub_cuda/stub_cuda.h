#pragma once

// The interface between the stub libraries and the dry run, in one process. It is C, so that the dry run
// finds the functions by name.

extern "C" {

/// From now on, a call that waits for the device or takes memory from the driver is a mistake, or is not.
void stub_cuda_forbid_waiting(bool forbidden);
/// The number of mistakes so far. Each was printed with its place.
long stub_cuda_mistakes();
/// The number of kernels started so far, those of graphs included.
long stub_cuda_launches();
/// From now on, taking memory of this device is a mistake; -1: of no device.
void stub_cuda_forbid_device(int device);
/// Starts a library's kernel on a stream.
void stub_cuda_launch(const char* name, void* stream);
}
