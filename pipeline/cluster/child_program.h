#pragma once

#include <map>
#include <string>
#include <vector>

namespace tessera {

/// How a program ended and what it said.
struct ProgramEnd {
  int exit_code = 0;  ///< 128 + the signal that killed it, as shells say
  std::string output, errors;
};

/// Runs a program to its end, without a shell: `command` is found in PATH and gets the other arguments as
/// they are. Its standard input is empty; `environment` is set besides this process's own. After `limit_s`
/// seconds it is killed. Errors: Error when it cannot be started or takes longer. Not for ranks under MPI
/// that use the network: it forks.
ProgramEnd run_program(const std::vector<std::string>& command, double limit_s,
                       const std::map<std::string, std::string>& environment = {});

/// Whether PATH has such a program.
bool program_exists(const std::string& name);

}  // namespace tessera
