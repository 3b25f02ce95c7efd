#include "pipeline/run/job_end.h"

#include <fmt/format.h>

#include <cstdlib>
#include <filesystem>

#include "io/base/error.h"
#include "io/base/file_bytes.h"
#include "io/base/log.h"

namespace tessera {

void tell_job_end(int exit_code) {
  const char* file = std::getenv("TESSERA_END_FILE");
  if (file == nullptr || *file == 0) return;
  try {
    write_text_file(std::filesystem::path(file), fmt::format("{}\n", exit_code));
  } catch (const Error& error) {
    spdlog::warn("cannot tell the job script how the job ended: {}", error.what());
  }
}

}  // namespace tessera
