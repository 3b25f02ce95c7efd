#include "pipeline/run/shell_text.h"

namespace tessera {
namespace {

/// An argument quoted for a shell.
std::string shell_quoted(const std::string& argument) {
  const bool plain = !argument.empty() && argument.find_first_not_of(
                                              "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                              "0123456789_-+=:,./%@") == std::string::npos;
  if (plain) return argument;
  std::string quoted = "'";
  for (const char c : argument)
    quoted += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return quoted + "'";
}

}  // namespace

std::string shell_text(const std::vector<std::string>& command) {
  std::string line;
  for (const std::string& argument : command)
    line += (line.empty() ? "" : " ") + shell_quoted(argument);
  return line;
}

}  // namespace tessera
