#pragma once

namespace tessera {

/// Sets the number of threads that LibTorch computes with, for calls from this thread. LibTorch's pool waits
/// for ever when the system starts fewer threads than it asks for, so as many are started and ended before.
/// `count`: at least 1. One thread calls it at a time. Errors: Error when they cannot be started, with what
/// to try.
void set_torch_threads(int count);

}  // namespace tessera
