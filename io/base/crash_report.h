#pragma once

namespace tessera {

/// To be called once, by main(), before MPI starts. A crash (SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT) is
/// then reported on standard error: the signal, the library or program that it happened in, and the addresses
/// of the calls. After that the process ends by the signal, as it would without this.
void report_crashes();

}  // namespace tessera
