#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "io/base/durable_file.h"

namespace tessera {

/// The file `tables` in the folder of a segmentation's graph: for each block, the ids of the objects that its
/// clusters are part of. One process creates the file, several write the blocks, one puts it in place.
class ObjectTableFile {
 public:
  /// Creates the file under another name. `digest`: 64 digits that name the job. `clusters`: of each block.
  /// Errors: Error.
  static void create(const std::filesystem::path& file, const std::string& digest,
                     std::span<const std::int64_t> clusters);
  /// Opens the file that create() made, to write blocks. Errors: Error.
  ObjectTableFile(const std::filesystem::path& file, std::span<const std::int64_t> clusters);
  void write(std::int64_t block, std::span<const std::uint64_t> ids);
  void sync();
  /// After all have synced: the file appears under its name. Errors: Error.
  static void put_in_place(const std::filesystem::path& file);

 private:
  std::filesystem::path path_;
  std::vector<std::int64_t> offsets_;
  FileDescriptor file_;
};

/// For the process that calls create() and put_in_place(), around both: removes the file of tables that did
/// not come to their place.
class UnfinishedTables {
 public:
  explicit UnfinishedTables(const std::filesystem::path& file);
  UnfinishedTables(const UnfinishedTables&) = delete;
  UnfinishedTables& operator=(const UnfinishedTables&) = delete;
  ~UnfinishedTables();

 private:
  std::filesystem::path staged_;
};

/// The object tables for reading.
class ObjectTables {
 public:
  /// Errors: Error when the file is missing or damaged.
  explicit ObjectTables(const std::filesystem::path& file);
  const std::string& digest() const { return digest_; }
  std::int64_t blocks() const { return static_cast<std::int64_t>(clusters_.size()); }
  std::int64_t clusters(std::int64_t block) const { return clusters_.at(static_cast<std::size_t>(block)); }
  /// Errors: Error when the block's table is damaged.
  std::vector<std::uint64_t> read(std::int64_t block) const;

 private:
  std::filesystem::path path_;
  FileDescriptor file_;
  std::string digest_;
  std::vector<std::int64_t> clusters_, offsets_;
};

}  // namespace tessera
