#pragma once

#include <map>
#include <string>
#include <vector>

namespace tessera {

/// The exit code and the output of a program.
struct ProgramEnd {
  int exit_code = 0;  ///< 128 + the number of the signal that killed it
  std::string output, errors;
};

/// Runs a program to its end, without a shell. `command` is the program, which is looked up in PATH, and its
/// arguments. Standard input is empty; `environment` is added to this process's own. After `limit_s` seconds
/// the program is killed. Errors: Error when it cannot be started or takes longer. It forks: not for ranks
/// whose MPI uses a network that forbids this.
ProgramEnd run_program(const std::vector<std::string>& command, double limit_s,
                       const std::map<std::string, std::string>& environment = {});

/// Whether PATH has an executable of this name.
bool program_exists(const std::string& name);

}  // namespace tessera
