#include "io/images/tiff_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <tiffio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <utility>

#include "io/base/durable_file.h"
#include "io/base/error.h"

namespace tessera {

/// What the functions that the library calls work on.
struct TiffFile::Stream {
  FileDescriptor file;
  std::uint64_t position = 0;
  std::uint64_t size_when_opened = 0;
  int error_number = 0;      ///< of the first read or write that failed
  bool ended_early = false;  ///< a read met the end of the file

  static Stream& of(thandle_t handle) { return *static_cast<Stream*>(handle); }

  tmsize_t read(std::byte* to, tmsize_t size) {
    tmsize_t done = 0;
    while (done < size) {
      const ssize_t got =
          pread(file.get(), to + done, static_cast<std::size_t>(size - done), static_cast<off_t>(position));
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) {
        if (error_number == 0) error_number = errno;
        return -1;
      }
      if (got == 0) {
        ended_early = true;
        break;
      }
      done += got;
      position += static_cast<std::uint64_t>(got);
    }
    return done;
  }

  tmsize_t write(const std::byte* from, tmsize_t size) {
    tmsize_t done = 0;
    while (done < size) {
      const ssize_t put = pwrite(file.get(), from + done, static_cast<std::size_t>(size - done),
                                 static_cast<off_t>(position));
      if (put < 0 && errno == EINTR) continue;
      if (put <= 0) {
        if (error_number == 0) error_number = put < 0 ? errno : ENOSPC;
        return -1;
      }
      done += put;
      position += static_cast<std::uint64_t>(put);
    }
    return done;
  }

  std::uint64_t size() {
    struct stat described {};
    if (fstat(file.get(), &described) != 0) {
      if (error_number == 0) error_number = errno;
      return 0;
    }
    return static_cast<std::uint64_t>(described.st_size);
  }

  std::uint64_t seek(std::uint64_t offset, int from) {
    if (from == SEEK_END)
      position = size() + offset;
    else if (from == SEEK_CUR)
      position += offset;
    else
      position = offset;
    return position;
  }
};

namespace {

namespace fs = std::filesystem;

/// The last message of the library on this thread, "" for none. The library passes messages to a plain
/// function, which must not throw.
thread_local std::array<char, 300> last_message{};

void keep_message(thandle_t, const char*, const char* format, va_list values) {
  std::vsnprintf(last_message.data(), last_message.size(), format, values);
}

bool has_message() {
  return last_message[0] != '\0';
}

void catch_messages() {
  TIFFSetErrorHandler(nullptr);
  TIFFSetWarningHandler(nullptr);
  TIFFSetErrorHandlerExt(keep_message);
  TIFFSetWarningHandlerExt(nullptr);
  last_message[0] = '\0';
}

}  // namespace

TiffFile::TiffFile(const fs::path& file, Access access) : stream_(std::make_unique<Stream>()) {
  const bool reads = access == Access::read;
  // O_NONBLOCK: opening a pipe must not wait for its writer.
  stream_->file = FileDescriptor(file, reads ? O_RDONLY | O_NONBLOCK : O_RDWR | O_CREAT | O_TRUNC);
  if (!fs::is_regular_file(file)) {
    throw Error(fmt::format("cannot {} {}: it is {}, not a TIFF file", reads ? "read" : "write",
                            file.string(), fs::is_directory(file) ? "a folder" : "no regular file"));
  }
  stream_->size_when_opened = stream_->size();
  if (reads && stream_->size_when_opened == 0) throw Error(file.string() + " is empty: no TIFF file");
  catch_messages();
  const char* const mode = reads ? "rm" : access == Access::write ? "w" : "w8";
  handle_ = TIFFClientOpen(
      file.c_str(), mode, stream_.get(),
      [](thandle_t s, void* to, tmsize_t size) {
        return Stream::of(s).read(static_cast<std::byte*>(to), size);
      },
      [](thandle_t s, void* from, tmsize_t size) {
        return Stream::of(s).write(static_cast<const std::byte*>(from), size);
      },
      [](thandle_t s, toff_t offset, int from) -> toff_t { return Stream::of(s).seek(offset, from); },
      [](thandle_t) { return 0; }, [](thandle_t s) -> toff_t { return Stream::of(s).size(); },
      [](thandle_t, void**, toff_t*) { return 0; }, [](thandle_t, void*, toff_t) {});
  if (handle_ == nullptr) {
    if (!reads) throw Error(fmt::format("cannot create {}: {}", file.string(), reason()));
    if (stream_->error_number != 0)
      throw Error(fmt::format("cannot read {}: {}", file.string(), errno_text(stream_->error_number)));
    throw Error(fmt::format("{} is not a TIFF file, or is damaged: {}", file.string(), reason()));
  }
}

TiffFile::TiffFile(TiffFile&& other) noexcept
    : stream_(std::move(other.stream_)), handle_(std::exchange(other.handle_, nullptr)) {}

TiffFile& TiffFile::operator=(TiffFile&& other) noexcept {
  std::swap(stream_, other.stream_);
  std::swap(handle_, other.handle_);
  return *this;
}

TiffFile::~TiffFile() {
  if (handle_ != nullptr) TIFFClose(handle_);
}

tiff* TiffFile::get() const {
  return handle_;
}

void TiffFile::clear_message() {
  catch_messages();
}

std::string TiffFile::reason() const {
  if (stream_->error_number != 0) return errno_text(stream_->error_number);
  return has_message() ? last_message.data() : "no reason given";
}

void TiffFile::require_sound(const std::string& what) const {
  if (stream_->error_number != 0) throw Error(fmt::format("{}: {}", what, errno_text(stream_->error_number)));
  if (stream_->ended_early)
    throw Error(fmt::format("{}: the file ends too early (is the file damaged or truncated?)", what));
}

std::uint64_t TiffFile::bytes() const {
  return stream_->size_when_opened;
}

bool TiffFile::is_big_endian() const {
  return TIFFIsBigEndian(handle_) != 0;
}

bool TiffFile::is_bigtiff() const {
  std::array<std::byte, 4> head{};
  read_at(0, head, "cannot read the head of a TIFF file");
  return head[is_big_endian() ? 3 : 2] == std::byte{43};
}

void TiffFile::read_at(std::uint64_t offset, std::span<std::byte> to, const std::string& what) const {
  stream_->position = offset;
  const tmsize_t got = stream_->read(to.data(), std::ssize(to));
  if (got == std::ssize(to)) return;
  if (got < 0) throw Error(fmt::format("{}: {}", what, errno_text(stream_->error_number)));
  throw Error(fmt::format("{}: the file ends at byte {} (is the file damaged or truncated?)", what,
                          stream_->size_when_opened));
}

void TiffFile::close(const std::string& what) {
  catch_messages();
  TIFFClose(std::exchange(handle_, nullptr));
  if (stream_->error_number != 0 || has_message()) throw Error(fmt::format("{}: {}", what, reason()));
  if (::fdatasync(stream_->file.get()) != 0) throw Error(fmt::format("{}: {}", what, errno_text(errno)));
}

}  // namespace tessera
