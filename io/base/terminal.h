#pragma once

#include <string>

namespace tessera {

/// The terminal on which a person reads what this process writes to standard error. Under mpirun standard
/// error is a pipe to mpirun, which copies it to its own standard error: then the terminal of mpirun counts,
/// unless mpirun labels the lines. Nothing is known of a terminal on another node.
class Terminal {
 public:
  /// Looks for the terminal of this process.
  static Terminal of_standard_error();
  /// No terminal: a file, a pipe, a batch job.
  Terminal() = default;
  /// `device`: such as /dev/pts/3.
  explicit Terminal(std::string device) : device_(std::move(device)) {}

  bool exists() const { return !device_.empty(); }
  /// Whether a line can be redrawn in place: not on a terminal with TERM=dumb.
  bool redraws() const;
  /// Whether colours are wanted: as redraws(), and NO_COLOR is empty or not set.
  bool has_colours() const;
  /// The columns of the window, which may change at any time; else COLUMNS, else 80. At least 20.
  int columns() const;

 private:
  std::string device_;
};

}  // namespace tessera
