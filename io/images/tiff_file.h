#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>

struct tiff;

namespace tessera {

/// A file that is open through libtiff. Tessera's own read and write functions remember the first failure,
/// because the library takes some failed reads for the end of the file. Only the thread that opened it may
/// use it.
class TiffFile {
 public:
  enum class Access {
    read,
    write,          ///< creates or truncates the file
    write_bigtiff,  ///< the same, with 64-bit offsets
  };
  /// Errors: Error with the file when it cannot be opened, is no regular file, or is not a TIFF file.
  TiffFile(const std::filesystem::path& file, Access access);
  TiffFile(TiffFile&&) noexcept;
  TiffFile& operator=(TiffFile&&) noexcept;
  ~TiffFile();

  tiff* get() const;
  /// Forgets the library's messages so far.
  void clear_message();
  /// Why the last call of the library failed.
  std::string reason() const;
  /// Errors: Error "`what`: reason" when any read or write of the file has failed so far.
  void require_sound(const std::string& what) const;

  /// The file's size when it was opened.
  std::uint64_t bytes() const;
  bool is_big_endian() const;
  bool is_bigtiff() const;
  /// Reads `to.size()` bytes at `offset`. Errors: Error that begins with `what`.
  void read_at(std::uint64_t offset, std::span<std::byte> to, const std::string& what) const;

  /// Writes what the library still holds and closes the file. Errors: Error that begins with `what`.
  void close(const std::string& what);

 private:
  struct Stream;

  std::unique_ptr<Stream> stream_;
  tiff* handle_ = nullptr;
};

}  // namespace tessera
