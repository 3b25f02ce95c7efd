#include "io/images/png.h"

#include <fmt/format.h>
#include <png.h>

#include <array>
#include <bit>
#include <cassert>
#include <cerrno>
#include <csetjmp>
#include <cstdio>
#include <cstring>
#include <memory>

#include "io/base/error.h"
#include "io/base/staged_file.h"

namespace tessera {
namespace {

namespace fs = std::filesystem;

/// Deflate expands one byte to at most this many (8 times as many for samples of one bit). A small file can
/// so never cause a huge allocation.
constexpr std::uint64_t kMostCompressed = 1100;

struct CloseFile {
  void operator()(std::FILE* file) const { std::fclose(file); }
};
using OpenFile = std::unique_ptr<std::FILE, CloseFile>;

/// The library reports errors by longjmp, which skips destructors. So everything with a destructor is here,
/// not in the functions that call the library, and the reason is in a plain array.
struct Session {
  png_structp png = nullptr;
  png_infop info = nullptr;
  bool writes = false;
  std::array<char, 200> reason{};

  explicit Session(bool write) : writes(write) {
    png = writes ? png_create_write_struct(PNG_LIBPNG_VER_STRING, this, keep_error, ignore_warning)
                 : png_create_read_struct(PNG_LIBPNG_VER_STRING, this, keep_error, ignore_warning);
    if (png != nullptr) info = png_create_info_struct(png);
    if (info == nullptr) throw Error("cannot start libpng (out of memory, or not the version of build time)");
  }
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;
  ~Session() {
    if (writes)
      png_destroy_write_struct(&png, &info);
    else
      png_destroy_read_struct(&png, &info, nullptr);
  }

  [[noreturn]] static void keep_error(png_structp png, png_const_charp text) {
    auto* session = static_cast<Session*>(png_get_error_ptr(png));
    std::snprintf(session->reason.data(), session->reason.size(), "%s", text);
    png_longjmp(png, 1);
  }
  static void ignore_warning(png_structp, png_const_charp) {}
};

struct Header {
  png_uint_32 width = 0, height = 0;
  int bits = 0, colour = 0;
};

bool read_header(Session& session, std::FILE* file, Header& header) {
  if (setjmp(png_jmpbuf(session.png)) != 0) return false;
  png_init_io(session.png, file);
  static constexpr std::array<png_byte, 5> kAnimation{'a', 'c', 'T', 'L', 0};
  png_set_keep_unknown_chunks(session.png, PNG_HANDLE_CHUNK_ALWAYS, kAnimation.data(), 1);
  png_read_info(session.png, session.info);
  png_get_IHDR(session.png, session.info, &header.width, &header.height, &header.bits, &header.colour,
               nullptr, nullptr, nullptr);
  return true;
}

/// What the file has beside the samples, asked after read_header().
struct Extras {
  bool has_transparency = false, is_animated = false, is_grey_ramp = false;
};

bool read_extras(Session& session, const Header& header, Extras& extras) {
  if (setjmp(png_jmpbuf(session.png)) != 0) return false;
  extras.has_transparency = png_get_valid(session.png, session.info, PNG_INFO_tRNS) != 0;
  png_unknown_chunkp unknown = nullptr;
  const int count = png_get_unknown_chunks(session.png, session.info, &unknown);
  for (int i = 0; i < count; ++i)
    extras.is_animated = extras.is_animated || std::memcmp(unknown[i].name, "acTL", 4) == 0;
  png_colorp colours = nullptr;
  int entries = 0;
  if (header.bits == 8 && png_get_PLTE(session.png, session.info, &colours, &entries) != 0) {
    extras.is_grey_ramp = true;
    for (int i = 0; i < entries; ++i) {
      extras.is_grey_ramp =
          extras.is_grey_ramp && colours[i].red == i && colours[i].green == i && colours[i].blue == i;
    }
  }
  return true;
}

bool read_pixels(Session& session, png_bytepp rows, std::size_t row_bytes, const Header& header,
                 bool scales) {
  if (setjmp(png_jmpbuf(session.png)) != 0) return false;
  if (header.bits < 8) {
    if (scales)
      png_set_expand_gray_1_2_4_to_8(session.png);
    else
      png_set_packing(session.png);
  }
  if (header.bits == 16 && std::endian::native == std::endian::little) png_set_swap(session.png);
  png_set_interlace_handling(session.png);
  png_read_update_info(session.png, session.info);
  if (png_get_rowbytes(session.png, session.info) != row_bytes) png_error(session.png, "unexpected row size");
  png_read_image(session.png, rows);
  png_read_end(session.png, nullptr);
  return true;
}

/// The samples of a pixel in the file.
int samples_of(int colour) {
  return colour == PNG_COLOR_TYPE_RGB          ? 3
         : colour == PNG_COLOR_TYPE_RGB_ALPHA  ? 4
         : colour == PNG_COLOR_TYPE_GRAY_ALPHA ? 2
                                               : 1;
}

void require_readable(const std::string& name, const Header& header, const Extras& extras,
                      const ImageOptions& options) {
  if (extras.is_animated)
    throw Error(name + " is an animation of several images: save each section as an image of its own");
  const int samples = samples_of(header.colour);
  if (header.colour == PNG_COLOR_TYPE_PALETTE) {
    if (!options.indices && (!extras.is_grey_ramp || extras.has_transparency)) {
      throw UsageError(fmt::format(
          "{} is a palette image: pass --indices to read the indices (right for labels); save a raw image as "
          "grey first (that would change the ids of labels)",
          name));
    }
  } else if (extras.has_transparency && !options.indices) {
    throw UsageError(
        name +
        " has a transparent grey level or colour: pass --indices to read the stored numbers all the same");
  }
  if (!options.channel && samples > 1) {
    throw UsageError(fmt::format("{} is a {} image with {} channels: choose one with --channel 0 to {}", name,
                                 samples == 2 ? "grey-and-transparency" : "colour", samples, samples - 1));
  }
  if (options.channel.value_or(0) >= samples)
    throw UsageError(
        fmt::format("--channel {}: {} has {} channel(s), counted from 0", *options.channel, name, samples));
  if (options.time.value_or(0) > 0)
    throw UsageError(fmt::format("--time {}: {} has one time point", *options.time, name));
}

/// Called by the library, which an exception must not cross.
void append_bytes(png_structp png, png_bytep bytes, std::size_t size) {
  auto& to = *static_cast<std::vector<std::byte>*>(png_get_io_ptr(png));
  bool fits = true;
  try {
    const auto* begin = reinterpret_cast<const std::byte*>(bytes);
    to.insert(to.end(), begin, begin + size);
  } catch (const std::exception&) {
    fits = false;
  }
  if (!fits) png_error(png, "out of memory");
}

bool write_pixels(Session& session, std::vector<std::byte>& to, const Header& header, png_bytepp rows) {
  if (setjmp(png_jmpbuf(session.png)) != 0) return false;
  png_set_write_fn(session.png, &to, append_bytes, nullptr);
  png_set_IHDR(session.png, session.info, header.width, header.height, header.bits, header.colour,
               PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
  png_write_info(session.png, session.info);
  if (header.bits == 16 && std::endian::native == std::endian::little) png_set_swap(session.png);
  png_write_image(session.png, rows);
  png_write_end(session.png, session.info);
  return true;
}

std::vector<std::byte> encoded(const Header& header, std::size_t row_bytes, const std::byte* pixels) {
  std::vector<png_bytep> rows(header.height);
  for (std::size_t y = 0; y < rows.size(); ++y) {
    // The library only reads, although its interface lacks the const.
    rows[y] = reinterpret_cast<png_bytep>(const_cast<std::byte*>(pixels + y * row_bytes));
  }
  std::vector<std::byte> bytes;
  Session session(true);
  if (!write_pixels(session, bytes, header, rows.data()))
    throw Error(fmt::format("cannot make a PNG image: {}", session.reason.data()));
  return bytes;
}

Header header_for(std::int64_t height, std::int64_t width, int channels, int bits) {
  constexpr std::int64_t kLargestSide = 1'000'000;  // the default limit of libpng for readers
  if (height < 1 || width < 1 || height > kLargestSide || width > kLargestSide) {
    throw Error(fmt::format("cannot make a PNG image of {} x {} pixels: its sides are 1 to {}", height, width,
                            kLargestSide));
  }
  return {static_cast<png_uint_32>(width), static_cast<png_uint_32>(height), bits,
          channels == 3 ? PNG_COLOR_TYPE_RGB : PNG_COLOR_TYPE_GRAY};
}

}  // namespace

std::vector<std::byte> png_bytes(std::int64_t height, std::int64_t width, int channels,
                                 std::span<const std::uint8_t> pixels) {
  assert(channels == 1 || channels == 3);
  const Header header = header_for(height, width, channels, 8);
  assert(std::ssize(pixels) == height * width * channels);
  return encoded(header, static_cast<std::size_t>(width * channels), std::as_bytes(pixels).data());
}

std::vector<std::byte> png_bytes(std::int64_t height, std::int64_t width,
                                 std::span<const std::uint16_t> pixels) {
  const Header header = header_for(height, width, 1, 16);
  assert(std::ssize(pixels) == height * width);
  return encoded(header, static_cast<std::size_t>(2 * width), std::as_bytes(pixels).data());
}

void write_png(const fs::path& file, std::int64_t height, std::int64_t width, int channels,
               std::span<const std::uint8_t> pixels) {
  replace_file(file, png_bytes(height, width, channels, pixels));
}

PngImage read_png(const fs::path& file, const ImageOptions& options) {
  const std::string name = file.string();
  if (fs::is_directory(file))
    throw Error(fmt::format("cannot read {}: it is a folder, not a PNG image", name));
  OpenFile opened(std::fopen(file.c_str(), "rb"));
  if (!opened) throw Error(fmt::format("cannot open {}: {}", name, errno_text(errno)));
  std::array<png_byte, 8> signature{};
  const std::size_t got = std::fread(signature.data(), 1, signature.size(), opened.get());
  if (got == 0) throw Error(fmt::format("{} is empty: no PNG image", name));
  if (got < signature.size() || png_sig_cmp(signature.data(), 0, signature.size()) != 0) {
    throw Error(fmt::format("{} is not a PNG image", name));
  }
  std::rewind(opened.get());

  Session session(false);
  const auto damaged = [&] {
    return Error(
        fmt::format("cannot read {}: {} (is the file damaged or truncated?)", name, session.reason.data()));
  };
  Header header;
  if (!read_header(session, opened.get(), header)) throw damaged();
  Extras extras;
  if (!read_extras(session, header, extras)) throw damaged();
  require_readable(name, header, extras, options);
  const auto samples = static_cast<std::size_t>(samples_of(header.colour));
  const std::uint64_t claimed =
      std::uint64_t{header.width} * header.height * samples * (header.bits == 16 ? 2 : 1);
  if (claimed / kMostCompressed / 8 > fs::file_size(file)) {
    throw Error(fmt::format("{} declares {} x {} pixels but is far too small for them (is the file damaged?)",
                            name, header.height, header.width));
  }
  PngImage image;
  image.height = header.height;
  image.width = header.width;
  image.bits = header.bits == 16 ? 16 : 8;
  const auto sample_bytes = static_cast<std::size_t>(image.bits / 8);
  const std::size_t row_bytes = std::size_t{header.width} * samples * sample_bytes;
  image.bytes.resize(row_bytes * header.height);
  std::vector<png_bytep> rows(header.height);
  for (std::size_t y = 0; y < rows.size(); ++y) {
    rows[y] = reinterpret_cast<png_bytep>(image.bytes.data() + y * row_bytes);
  }
  const bool scales = !options.indices && header.colour == PNG_COLOR_TYPE_GRAY;
  if (!read_pixels(session, rows.data(), row_bytes, header, scales)) throw damaged();
  if (samples > 1) {
    const auto channel = static_cast<std::size_t>(options.channel.value_or(0));
    const std::size_t pixels = std::size_t{header.width} * header.height;
    for (std::size_t i = 0; i < pixels; ++i)
      std::memmove(image.bytes.data() + i * sample_bytes,
                   image.bytes.data() + (i * samples + channel) * sample_bytes, sample_bytes);
    image.bytes.resize(pixels * sample_bytes);
  }
  return image;
}

}  // namespace tessera
