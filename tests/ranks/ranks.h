#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <string>

#include "workers/mpi/communicator.h"

namespace tessera::testing {

/// All ranks of the test program.
extern const Communicator* world_of_tests;
inline const Communicator& world() {
  return *world_of_tests;
}

/// Prints failures on ranks that print nothing else.
class FailurePrinter : public ::testing::EmptyTestEventListener {
 public:
  explicit FailurePrinter(int rank) : rank_(rank) {}
  void OnTestPartResult(const ::testing::TestPartResult& result) override {
    if (result.failed())
      std::printf("[rank %d] %s:%d: %s\n", rank_, result.file_name(), result.line_number(), result.summary());
  }

 private:
  int rank_;
};

/// One folder that all ranks share; the root removes it.
class SharedFolder {
 public:
  SharedFolder() {
    std::string name;
    if (world_of_tests->is_root()) {
      name = (std::filesystem::temp_directory_path() / "tessera-ranks-XXXXXX").string();
      name = mkdtemp(name.data());
    }
    world_of_tests->broadcast(name);
    path_ = name;
  }
  SharedFolder(const SharedFolder&) = delete;
  SharedFolder& operator=(const SharedFolder&) = delete;
  ~SharedFolder() {
    world_of_tests->barrier();
    std::error_code ignored;
    if (world_of_tests->is_root()) std::filesystem::remove_all(path_, ignored);
  }
  std::filesystem::path operator/(const std::string& name) const { return path_ / name; }

 private:
  std::filesystem::path path_;
};

}  // namespace tessera::testing
