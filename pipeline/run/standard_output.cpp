#include "pipeline/run/standard_output.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <iostream>

#include "io/base/error.h"

namespace tessera {

void keep_standard_streams_open() {
  for (const int stream : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (::fcntl(stream, F_GETFD) >= 0 || errno != EBADF) continue;
    // The lowest free number is this stream. Reading standard input and writing standard output fail.
    const int flags = stream == STDIN_FILENO ? O_WRONLY : stream == STDOUT_FILENO ? O_RDONLY : O_RDWR;
    if (::open("/dev/null", flags) != stream) return;
  }
}

void require_output_written() {
  std::cout.flush();
  errno = 0;
  const bool flushed = std::fflush(stdout) == 0;
  const int reason = errno;
  if (flushed && std::cout.good() && std::ferror(stdout) == 0) return;
  throw Error(fmt::format("cannot write to standard output{}: what was printed is not whole",
                          reason == 0 ? std::string() : ": " + errno_text(reason)));
}

}  // namespace tessera
