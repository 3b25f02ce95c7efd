#include "io/images/tiff_layout.h"

#include <fmt/format.h>
#include <tiffio.h>

#include <algorithm>
#include <cstring>

#include "io/base/error.h"
#include "io/images/tiff_directory.h"

namespace tessera {
namespace {

namespace fs = std::filesystem;

constexpr std::uint16_t kIndexed = 346, kMetaMorphPlanes = 33629, kZeissLsm = 34412, kFluoView = 34361;

std::string_view description_of(TIFF* file) {
  const char* text = nullptr;
  return TIFFGetField(file, TIFFTAG_IMAGEDESCRIPTION, &text) != 0 && text != nullptr ? text
                                                                                     : std::string_view();
}

std::uint32_t subfile_kind(TIFF* file) {
  std::uint32_t kind = 0;
  TIFFGetFieldDefaulted(file, TIFFTAG_SUBFILETYPE, &kind);
  return kind;
}

/// Whether the colour of each index is the grey level of that number, so that indices and grey are the same.
bool is_grey_ramp(TIFF* file, int bits) {
  std::uint16_t *red = nullptr, *green = nullptr, *blue = nullptr;
  if (bits != 8 || TIFFGetField(file, TIFFTAG_COLORMAP, &red, &green, &blue) == 0) return false;
  for (int i = 0; i < 256; ++i) {
    if (red[i] >> 8 != i || green[i] != red[i] || blue[i] != red[i]) return false;
  }
  return true;
}

std::string photometric_name(int photometric) {
  switch (photometric) {
    case PHOTOMETRIC_RGB:
      return "RGB";
    case PHOTOMETRIC_PALETTE:
      return "palette";
    case PHOTOMETRIC_MASK:
      return "transparency mask";
    case PHOTOMETRIC_SEPARATED:
      return "CMYK";
    case PHOTOMETRIC_YCBCR:
      return "YCbCr colour";
    case PHOTOMETRIC_CIELAB:
    case PHOTOMETRIC_ICCLAB:
    case PHOTOMETRIC_ITULAB:
      return "L*a*b* colour";
    case PHOTOMETRIC_CFA:
      return "colour filter array";
    case PHOTOMETRIC_LOGL:
    case PHOTOMETRIC_LOGLUV:
      return "logarithmic luminance";
    default:
      return photometric <= PHOTOMETRIC_MINISBLACK
                 ? "grey"
                 : fmt::format("photometric interpretation {}", photometric);
  }
}

}  // namespace

std::uint16_t tiff_tag(TIFF* file, std::uint32_t tag, std::uint16_t otherwise) {
  std::uint16_t value = 0;
  return TIFFGetFieldDefaulted(file, tag, &value) != 0 ? value : otherwise;
}

std::string TiffPage::text() const {
  return fmt::format("{} x {} {} {}{}", height, width, to_string(samples), photometric_name(photometric),
                     samples_per_pixel > 1 ? fmt::format(" of {} channels", samples_per_pixel) : "");
}

std::int64_t TiffPage::row_bytes() const {
  return (width * (separate ? 1 : samples_per_pixel) * samples.bits + 7) / 8;
}

TiffLayout::TiffLayout(TiffFile& file, const fs::path& path, const ImageOptions& options)
    : path_(path), options_(options), file_(file) {
  read_directories();
  find_dimensions();
  choose_sections();
}

TiffPage TiffLayout::describe_page(const std::string& what) const {
  TIFF* file = file_.get();
  std::uint32_t width = 0, height = 0, depth = 1;
  if (TIFFGetField(file, TIFFTAG_IMAGEWIDTH, &width) == 0 ||
      TIFFGetField(file, TIFFTAG_IMAGELENGTH, &height) == 0 || width == 0 || height == 0) {
    throw Error(what + " has no size (is the file damaged?)");
  }
  TIFFGetField(file, TIFFTAG_IMAGEDEPTH, &depth);
  TiffPage page;
  page.width = width;
  page.height = height;
  page.depth = std::max<std::int64_t>(depth, 1);
  page.samples_per_pixel = tiff_tag(file, TIFFTAG_SAMPLESPERPIXEL, 1);
  page.photometric = tiff_tag(file, TIFFTAG_PHOTOMETRIC, PHOTOMETRIC_MINISBLACK);
  page.orientation = tiff_tag(file, TIFFTAG_ORIENTATION, ORIENTATION_TOPLEFT);
  page.separate = page.samples_per_pixel > 1 &&
                  tiff_tag(file, TIFFTAG_PLANARCONFIG, PLANARCONFIG_CONTIG) == PLANARCONFIG_SEPARATE;
  page.samples.bits = tiff_tag(file, TIFFTAG_BITSPERSAMPLE, 1);
  const std::uint16_t format = tiff_tag(file, TIFFTAG_SAMPLEFORMAT, SAMPLEFORMAT_UINT);
  if (format == SAMPLEFORMAT_INT)
    page.samples.kind = StoredSamples::Kind::signed_integer;
  else if (format == SAMPLEFORMAT_IEEEFP)
    page.samples.kind = StoredSamples::Kind::floating_point;
  else if (format != SAMPLEFORMAT_UINT && format != SAMPLEFORMAT_VOID)
    throw Error(fmt::format("{} has complex or unknown samples (sample format {}), which cannot be read",
                            what, format));
  const std::uint16_t compression = tiff_tag(file, TIFFTAG_COMPRESSION, COMPRESSION_NONE);
  if (TIFFIsCODECConfigured(compression) == 0) {
    throw Error(
        fmt::format("{} is compressed by a scheme (number {}) that this libtiff does not know: save it with "
                    "LZW, deflate or no compression",
                    what, compression));
  }
  if (page.samples_per_pixel < 1 || page.orientation < 1 || page.orientation > 8)
    throw Error(what +
                " has an orientation or a number of channels that do not exist (is the file damaged?)");
  voxel_type_of(page.samples, what);
  return page;
}

void TiffLayout::require_grey(const TiffPage& page, const std::string& what) const {
  const TiffDirectory directory(file_, TIFFCurrentDirOffset(file_.get()), what);
  const auto indexed = directory.values(kIndexed);
  if (directory.has(kFluoView))
    throw Error(what +
                " is a FluoView file, whose dimensions Tessera does not know: save it as a plain TIFF stack");
  switch (page.photometric) {
    case PHOTOMETRIC_MINISBLACK:
    case PHOTOMETRIC_RGB:
      if (indexed.empty() || indexed[0] == 0) return;
      throw Error(what + " has indices of colours instead of grey: save it as a grey or palette image");
    case PHOTOMETRIC_PALETTE:
      if (options_.indices || is_grey_ramp(file_.get(), page.samples.bits)) return;
      throw UsageError(fmt::format(
          "{} is a palette image: pass --indices to read the indices (right for labels); save a raw image as "
          "grey first (that would change the ids of labels)",
          what));
    case PHOTOMETRIC_MINISWHITE:
      if (options_.white_is_zero == WhiteIsZero::ask) {
        throw UsageError(
            fmt::format("{} says that its value 0 is white: pass --white-is-zero keep to read the stored "
                        "numbers (right for labels and masks), or --white-is-zero invert to make 0 black",
                        what));
      }
      if (options_.white_is_zero == WhiteIsZero::keep ||
          page.samples.kind == StoredSamples::Kind::unsigned_integer)
        return;
      throw UsageError(fmt::format("{} has {} samples, which --white-is-zero invert cannot invert", what,
                                   to_string(page.samples)));
    default:
      throw Error(fmt::format(
          "{} is a {} image, not grey: save a raw image as grey first; labels must not be converted, "
          "because that changes their ids",
          what, photometric_name(page.photometric)));
  }
}

void TiffLayout::read_directories() {
  const std::string name = path_.string();
  file_.require_sound("cannot read " + name);
  TIFF* file = file_.get();
  std::int64_t number = 0;
  for (bool more = true; more; ++number) {
    const std::string what = fmt::format("page {} of {}", page_offsets_.size(), name);
    const std::uint32_t kind = subfile_kind(file);
    if ((kind & FILETYPE_MASK) != 0)
      throw Error(what + " is a transparency mask of another page: save the stack without transparency");
    if ((kind & FILETYPE_REDUCEDIMAGE) == 0) {
      const TiffPage page = describe_page(what);
      require_grey(page, what);
      if (page_offsets_.empty()) {
        page_ = page;
      } else if (!(page == page_)) {
        throw Error(fmt::format("{} is {}, the pages before it are {}: the pages of a stack must be alike",
                                what, page.text(), page_.text()));
      }
      page_offsets_.push_back(TIFFCurrentDirOffset(file));
      page_numbers_.push_back(number);
    }
    // The library takes an offset of the next directory that it cannot read for the end of the file.
    file_.require_sound(fmt::format("cannot read {} beyond its page {}", name, number));
    more = TIFFLastDirectory(file) == 0;
    file_.clear_message();
    if (more && TIFFReadDirectory(file) == 0) {
      throw Error(
          fmt::format("cannot read {} beyond its first {} page(s): {} (is the file damaged or truncated?)",
                      name, page_offsets_.size(), file_.reason()));
    }
    file_.require_sound(fmt::format("cannot read {} beyond its page {}", name, number));
  }
  if (page_offsets_.empty()) throw Error(name + " holds only reduced copies of images (thumbnails)");
  type_ = voxel_type_of(page_.samples, name);
  if (TIFFSetSubDirectory(file, page_offsets_.front()) == 0)
    throw Error(fmt::format("cannot read {}: {}", name, file_.reason()));
  const auto page_bytes = static_cast<std::uint64_t>(page_.height) *
                          static_cast<std::uint64_t>(std::max<std::int64_t>(page_.row_bytes(), 1));
  if (page_bytes / most_compressed() > file_.bytes()) {
    throw Error(
        fmt::format("{} declares pages of {} x {} but is far too small for them (is the file damaged?)", name,
                    page_.height, page_.width));
  }
}

std::uint64_t TiffLayout::most_compressed() const {
  switch (tiff_tag(file_.get(), TIFFTAG_COMPRESSION, COMPRESSION_NONE)) {
    case COMPRESSION_NONE:
      return 1;
    case COMPRESSION_LZW:
    case COMPRESSION_PACKBITS:
    case COMPRESSION_ADOBE_DEFLATE:
    case COMPRESSION_DEFLATE:
    case COMPRESSION_JPEG:
      return 4000;  // LZW compresses at most about 2700 bytes to one, deflate 1032
    default:
      return 200'000;  // blank rows of CCITT need one bit, blank blocks of Zstandard four bytes
  }
}

void TiffLayout::find_dimensions() {
  const std::string name = path_.string();
  const TiffDirectory directory(file_, page_offsets_.front(), "cannot read " + name);
  const auto directories = std::ssize(page_offsets_);
  const std::int64_t page_samples = page_.height * page_.width * page_.depth * page_.samples_per_pixel;
  dimensions_.sections = directories;
  if (directory.has(kMetaMorphPlanes) && directory.count(kMetaMorphPlanes) > 1) {
    dimensions_.source = "MetaMorph";
    dimensions_.sections = static_cast<std::int64_t>(directory.count(kMetaMorphPlanes));
  } else if (directory.has(kZeissLsm)) {
    const std::vector<std::byte> head = directory.bytes(kZeissLsm, 28);
    const auto number = [&](std::size_t at) {
      std::uint32_t value = 0;
      std::memcpy(&value, head.data() + at, sizeof(value));  // always little-endian
      return static_cast<std::int64_t>(value);
    };
    dimensions_.source = "Zeiss LSM";
    dimensions_.sections = std::max<std::int64_t>(number(16), 1);
    dimensions_.times = std::max<std::int64_t>(number(24), 1);
  } else if (const auto found =
                 described_dimensions(description_of(file_.get()), page_samples, page_.samples_per_pixel,
                                      path_.filename().string(), name)) {
    // Several arrays of one page each, one after another, are a stack.
    if (!(found->source == "tifffile" && found->planes() == 1)) dimensions_ = *found;
    note_ = found->note;
  }
  if (dimensions_.pages.empty() && dimensions_.planes() != directories) {
    if (directories != 1) {
      throw Error(fmt::format(
          "{}: its description ({}) says {} channel(s), {} section(s) and {} time point(s), but it has "
          "{} pages: save it again, or remove the description (tiffset -s 270 '' FILE)",
          name, dimensions_.source, dimensions_.channels, dimensions_.sections, dimensions_.times,
          directories));
    }
    find_planes_without_directories(dimensions_.planes(), dimensions_.source);
  }
  for (std::int64_t& page : dimensions_.pages) {
    const auto at = std::find(page_numbers_.begin(), page_numbers_.end(), page);
    if (at == page_numbers_.end())
      throw Error(
          fmt::format("{}: its description ({}) names page {}, which it lacks (is the file truncated?)", name,
                      dimensions_.source, page));
    page = at - page_numbers_.begin();
  }
  if (page_.depth > 1) {
    if (dimensions_.sections > 1)
      throw Error(name +
                  " has pages of several sections each, in several pages: save each section as a page");
    if (TIFFIsTiled(file_.get()) == 0) find_planes_without_directories(page_.depth, "image depth");
  }
}

void TiffLayout::find_planes_without_directories(std::int64_t planes, const std::string& source) {
  const std::string what =
      fmt::format("{} announces {} planes ({}) in one directory", path_.string(), planes, source);
  if (std::ssize(page_offsets_) != 1 || TIFFIsTiled(file_.get()) != 0 || page_.separate ||
      tiff_tag(file_.get(), TIFFTAG_COMPRESSION, COMPRESSION_NONE) != COMPRESSION_NONE) {
    throw Error(what + ", which can be read only without compression and tiles: save each section as a page");
  }
  const TiffDirectory directory(file_, page_offsets_.front(), what);
  const auto offsets = directory.values(TIFFTAG_STRIPOFFSETS),
             counts = directory.values(TIFFTAG_STRIPBYTECOUNTS);
  if (offsets.empty() || offsets.size() != counts.size())
    throw Error(what + ", but has no strips (is it damaged?)");
  for (std::size_t i = 1; i < offsets.size(); ++i) {
    if (offsets[i] != offsets[i - 1] + counts[i - 1])
      throw Error(what + ", but its strips have gaps between them: save each section as a page");
  }
  const auto plane_bytes = static_cast<std::uint64_t>(page_.height * page_.row_bytes());
  const std::uint64_t room = file_.bytes() > offsets[0] ? file_.bytes() - offsets[0] : 0;
  if (room / plane_bytes < static_cast<std::uint64_t>(planes)) {
    throw Error(fmt::format(
        "{}, but has room for {} only (is the file truncated, or its description of another file? "
        "tiffset -s 270 '' FILE removes that)",
        what, room / plane_bytes));
  }
  contiguous_at_ = offsets[0];
}

void TiffLayout::choose_sections() {
  const std::string name = path_.string();
  const std::int64_t depth = std::max(dimensions_.sections, page_.depth);
  const std::int64_t channels = dimensions_.channels * page_.samples_per_pixel;
  const auto choose = [&](std::optional<std::int64_t>& choice, std::int64_t count, const char* option,
                          const char* noun) {
    if (!choice && count > 1) {
      throw UsageError(fmt::format(
          "{} has {} {} of {} section(s){}: choose one with {} 0 to {}{}", name, count, noun, depth,
          dimensions_.source.empty() ? "" : " (" + dimensions_.source + ")", option, count - 1,
          depth == 1 ? fmt::format(", or {} all if they are the sections", option) : ""));
    }
    if (choice.value_or(0) >= count)
      throw UsageError(
          fmt::format("{} {}: {} has {} {}, counted from 0", option, *choice, name, count, noun));
    if (choice == ImageOptions::kAsSections && count > 1 && depth > 1)
      throw UsageError(
          fmt::format("{} all: {} has {} sections for each of its {}", option, name, depth, noun));
    if (choice == ImageOptions::kAsSections && count == 1) choice = 0;
  };
  choose(options_.channel, channels, "--channel", "channels");
  choose(options_.time, dimensions_.times, "--time", "time points");
  const bool by_channel = options_.channel == ImageOptions::kAsSections;
  const bool by_time = options_.time == ImageOptions::kAsSections;
  if (by_channel && by_time) throw UsageError("--channel all and --time all exclude each other");
  shape_ = {by_channel ? channels : by_time ? dimensions_.times : depth, page_.height, page_.width};
  if (page_.orientation > 4) std::swap(shape_.y, shape_.x);
  if (page_.orientation != 1) {
    if (!note_.empty()) note_ += "; ";
    note_ += fmt::format(
        "its orientation ({}) is applied: the first stored row is not the top row from left to right",
        page_.orientation);
  }
}

TiffLayout::Plane TiffLayout::plane_of(std::int64_t section) const {
  const bool by_channel = options_.channel == ImageOptions::kAsSections;
  const bool by_time = options_.time == ImageOptions::kAsSections;
  const std::int64_t channel = by_channel ? section : options_.channel.value_or(0);
  const std::int64_t time = by_time ? section : options_.time.value_or(0);
  const std::int64_t z = by_channel || by_time ? 0 : section;
  Plane plane;
  plane.sample = channel % page_.samples_per_pixel;
  plane.depth = page_.depth > 1 ? z : 0;
  plane.page = dimensions_.plane(channel / page_.samples_per_pixel, page_.depth > 1 ? 0 : z, time);
  if (!dimensions_.pages.empty()) plane.page = dimensions_.pages[static_cast<std::size_t>(plane.page)];
  return plane;
}

}  // namespace tessera
