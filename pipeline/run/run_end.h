#pragma once

#include "io/base/enum_names.h"

namespace tessera {

/// How a training or a block run ended, as its record in the run folder says. `running`: it runs, or was
/// killed.
enum class RunEnd { running, done, stopped, failed };
constexpr auto enum_names(RunEnd) {
  return std::to_array<EnumName<RunEnd>>({{RunEnd::running, "running"},
                                          {RunEnd::done, "done"},
                                          {RunEnd::stopped, "stopped"},
                                          {RunEnd::failed, "failed"}});
}

}  // namespace tessera
