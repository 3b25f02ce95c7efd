#include "io/images/image_stack.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <tiffio.h>

#include <cstring>
#include <fstream>
#include <functional>

#include "io/base/error.h"
#include "io/base/staged_file.h"
#include "io/images/png.h"
#include "io/images/section_files.h"
#include "tests/unit/error_message.h"
#include "tests/unit/temporary_folder.h"

namespace tessera {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
namespace fs = std::filesystem;

constexpr int kPages = 3, kHeight = 37, kWidth = 50;

/// Properties of a TIFF file of a test.
struct TiffKind {
  const char* name;
  const char* mode;
  int bits, format, compression;
  bool tiled;
};

double value_at(int z, int y, int x) {
  return (z * 1000 + y * kWidth + x) % 251;
}

template <class T>
std::vector<T> page_of(int z) {
  std::vector<T> values;
  for (int y = 0; y < kHeight; ++y) {
    // Beyond 8 bits the byte order matters.
    for (int x = 0; x < kWidth; ++x)
      values.push_back(static_cast<T>(value_at(z, y, x) * (sizeof(T) > 1 ? 257 : 1)));
  }
  return values;
}

void set_page(TIFF* file, int height, int width, int bits, int format, int compression) {
  TIFFSetField(file, TIFFTAG_IMAGEWIDTH, width);
  TIFFSetField(file, TIFFTAG_IMAGELENGTH, height);
  TIFFSetField(file, TIFFTAG_BITSPERSAMPLE, bits);
  TIFFSetField(file, TIFFTAG_SAMPLESPERPIXEL, 1);
  TIFFSetField(file, TIFFTAG_SAMPLEFORMAT, format);
  TIFFSetField(file, TIFFTAG_PHOTOMETRIC, PHOTOMETRIC_MINISBLACK);
  TIFFSetField(file, TIFFTAG_COMPRESSION, compression);
  TIFFSetField(file, TIFFTAG_ROWSPERSTRIP, 8);
}

template <class T>
void write_pages(const fs::path& path, const TiffKind& kind) {
  TIFF* file = TIFFOpen(path.c_str(), kind.mode);
  ASSERT_NE(file, nullptr);
  for (int z = 0; z < kPages; ++z) {
    std::vector<T> page = page_of<T>(z);
    set_page(file, kHeight, kWidth, kind.bits, kind.format, kind.compression);
    if (kind.tiled) {
      TIFFSetField(file, TIFFTAG_TILEWIDTH, 32);
      TIFFSetField(file, TIFFTAG_TILELENGTH, 16);
      std::vector<T> tile(32 * 16);
      for (int y = 0; y < kHeight; y += 16) {
        for (int x = 0; x < kWidth; x += 32) {
          for (int v = 0; v < 16; ++v) {
            for (int u = 0; u < 32; ++u) {
              const bool in = y + v < kHeight && x + u < kWidth;
              tile[static_cast<std::size_t>(v * 32 + u)] =
                  in ? page[static_cast<std::size_t>((y + v) * kWidth + x + u)] : T{};
            }
          }
          ASSERT_GT(TIFFWriteTile(file, tile.data(), static_cast<std::uint32_t>(x),
                                  static_cast<std::uint32_t>(y), 0, 0),
                    0);
        }
      }
    } else {
      for (int y = 0; y < kHeight; ++y) {
        ASSERT_EQ(TIFFWriteScanline(file, page.data() + y * kWidth, static_cast<std::uint32_t>(y), 0), 1);
      }
    }
    ASSERT_EQ(TIFFWriteDirectory(file), 1);
  }
  TIFFClose(file);
}

using testing::message_of;

std::string message_of_reading(const fs::path& path) {
  return message_of([&] {
    ImageStackReader stack(path);
    for (std::int64_t z = 0; z < stack.shape().z; ++z)
      stack.read_section(z);
  });
}

class EveryTiff : public ::testing::TestWithParam<TiffKind> {};

TEST_P(EveryTiff, IsReadInAnyOrder) {
  const testing::TemporaryFolder folder;
  const TiffKind& kind = GetParam();
  const auto check = [&](auto zero) {
    using T = decltype(zero);
    write_pages<T>(folder / "stack.tif", kind);
    ImageStackReader stack(folder / "stack.tif");
    EXPECT_EQ(stack.type(), voxel_type_of<T>());
    ASSERT_EQ(stack.shape(), (Index3{kPages, kHeight, kWidth}));
    for (const int z : {0, 1, 2, 2, 0, 1}) {
      const VoxelBuffer section = stack.read_section(z);
      EXPECT_EQ(section.shape, (Index3{1, kHeight, kWidth}));
      const std::vector<T> expected = page_of<T>(z);
      ASSERT_EQ(section.bytes.size(), expected.size() * sizeof(T));
      EXPECT_EQ(std::memcmp(section.bytes.data(), expected.data(), section.bytes.size()), 0)
          << "section " << z;
    }
  };
  if (kind.format == SAMPLEFORMAT_IEEEFP)
    check(float{});
  else if (kind.bits == 8)
    check(std::uint8_t{});
  else if (kind.bits == 16)
    check(std::uint16_t{});
  else
    check(std::uint32_t{});
}

INSTANTIATE_TEST_SUITE_P(
    ImageStack, EveryTiff,
    ::testing::Values(TiffKind{"little8", "wl", 8, SAMPLEFORMAT_UINT, COMPRESSION_NONE, false},
                      TiffKind{"lzw8", "wl", 8, SAMPLEFORMAT_UINT, COMPRESSION_LZW, false},
                      TiffKind{"tiled8", "wl", 8, SAMPLEFORMAT_UINT, COMPRESSION_LZW, true},
                      TiffKind{"big16", "wb", 16, SAMPLEFORMAT_UINT, COMPRESSION_NONE, false},
                      TiffKind{"bigtiled16", "wb", 16, SAMPLEFORMAT_UINT, COMPRESSION_ADOBE_DEFLATE, true},
                      TiffKind{"little32", "wl", 32, SAMPLEFORMAT_UINT, COMPRESSION_ADOBE_DEFLATE, false},
                      TiffKind{"float", "wb", 32, SAMPLEFORMAT_IEEEFP, COMPRESSION_LZW, false},
                      TiffKind{"bigtiff16", "w8", 16, SAMPLEFORMAT_UINT, COMPRESSION_NONE, true}),
    [](const auto& test) { return std::string(test.param.name); });

TEST(ImageStack, NaturalOrder) {
  EXPECT_TRUE(natural_less("s2.png", "s10.png"));
  EXPECT_FALSE(natural_less("s10.png", "s2.png"));
  EXPECT_TRUE(natural_less("s2a3", "s2a20"));
  EXPECT_TRUE(natural_less("s007", "s8"));
  EXPECT_TRUE(natural_less("a9", "b1"));
  EXPECT_TRUE(natural_less("s", "s1"));
  EXPECT_FALSE(natural_less("s1", "s1"));
  EXPECT_NE(natural_less("s01", "s1"), natural_less("s1", "s01")) << "an order, even for equal numbers";
}

TEST(ImageStack, AFolderIsReadInNaturalOrder) {
  const testing::TemporaryFolder folder;
  for (const int i : {10, 2, 1, 33}) {
    write_png(folder / ("s" + std::to_string(i) + ".png"), 2, 3, 1,
              std::vector<std::uint8_t>(6, static_cast<std::uint8_t>(i)));
  }
  std::ofstream(folder / "notes.txt") << "not an image";
  std::ofstream(folder / "._s1.png") << "hidden";
  EXPECT_THAT(message_of_reading(folder.path()),
              AllOf(HasSubstr("3 to 9 between s2.png and s10.png"), HasSubstr("--missing")));
  ImageOptions options;
  options.missing = MissingSections::skip;
  ImageStackReader stack(folder.path(), options);
  EXPECT_EQ(stack.ignored_files(), 2);
  ASSERT_EQ(stack.shape(), (Index3{4, 2, 3}));
  const std::vector<int> expected{1, 2, 10, 33};
  for (std::int64_t z = 0; z < 4; ++z) {
    EXPECT_EQ(stack.read_section(z).as<std::uint8_t>()[5], expected[static_cast<std::size_t>(z)]);
  }
}

TEST(ImageStack, SectionsMustBeAlike) {
  const testing::TemporaryFolder folder;
  write_png(folder / "a1.png", 2, 3, 1, std::vector<std::uint8_t>(6));
  write_png(folder / "a2.png", 3, 3, 1, std::vector<std::uint8_t>(9));
  EXPECT_THAT(message_of_reading(folder.path()),
              AllOf(HasSubstr("a2.png is 3 x 3"), HasSubstr("must be alike")));
  replace_file(folder / "a2.png", png_bytes(2, 3, std::vector<std::uint16_t>(6)));
  EXPECT_THAT(message_of_reading(folder.path()), AllOf(HasSubstr("a2.png"), HasSubstr("uint16")));
}

TEST(ImageStack, PagesMustBeAlike) {
  const testing::TemporaryFolder folder;
  TIFF* file = TIFFOpen((folder / "mixed.tif").c_str(), "w");
  const std::vector<std::uint8_t> row(10, 5);
  for (const int width : {10, 9}) {
    set_page(file, 1, width, 8, SAMPLEFORMAT_UINT, COMPRESSION_NONE);
    TIFFWriteScanline(file, const_cast<std::uint8_t*>(row.data()), 0, 0);
    TIFFWriteDirectory(file);
  }
  TIFFClose(file);
  EXPECT_THAT(message_of_reading(folder / "mixed.tif"),
              AllOf(HasSubstr("page 1"), HasSubstr("must be alike")));
}

TEST(ImageStack, UnfitSamplesAreReported) {
  const testing::TemporaryFolder folder;
  const auto write = [&](const std::string& name, int bits, int format, int samples) {
    TIFF* file = TIFFOpen((folder / name).c_str(), "w");
    std::vector<std::uint8_t> row(256, 1);
    set_page(file, 1, 4, bits, format, COMPRESSION_NONE);
    TIFFSetField(file, TIFFTAG_SAMPLESPERPIXEL, samples);
    if (samples == 3) TIFFSetField(file, TIFFTAG_PHOTOMETRIC, PHOTOMETRIC_RGB);
    TIFFSetField(file, TIFFTAG_PLANARCONFIG, PLANARCONFIG_CONTIG);
    TIFFWriteScanline(file, row.data(), 0, 0);
    TIFFClose(file);
    return message_of_reading(folder / name);
  };
  EXPECT_THAT(write("rgb.tif", 8, SAMPLEFORMAT_UINT, 3),
              AllOf(HasSubstr("3 channels"), HasSubstr("--channel 0 to 2")));
  EXPECT_THAT(write("signed.tif", 12, SAMPLEFORMAT_INT, 1), HasSubstr("12-bit signed"));
  EXPECT_THAT(write("wide.tif", 24, SAMPLEFORMAT_IEEEFP, 1), HasSubstr("24-bit floating"));
  EXPECT_THAT(write("complex.tif", 64, SAMPLEFORMAT_COMPLEXIEEEFP, 1), HasSubstr("complex"));
}

TEST(ImageStack, DamageIsReportedAndTheLibraryPrintsNothing) {
  const testing::TemporaryFolder folder;
  ::testing::internal::CaptureStderr();
  EXPECT_THAT(message_of_reading(folder / "none.tif"), HasSubstr("no such file or folder"));
  std::ofstream(folder / "empty.tif");
  EXPECT_THAT(message_of_reading(folder / "empty.tif"), HasSubstr("is empty"));
  std::ofstream(folder / "text.tif") << "this is a text and no image at all";
  EXPECT_THAT(message_of_reading(folder / "text.tif"), HasSubstr("is not a TIFF file"));
  fs::create_directory(folder / "bare");
  EXPECT_THAT(message_of_reading(folder / "bare"), HasSubstr("has no .png, .tif or .tiff"));
  write_pages<std::uint16_t>(folder / "whole.tif", {"", "wl", 16, SAMPLEFORMAT_UINT, COMPRESSION_LZW, false});
  const auto size = fs::file_size(folder / "whole.tif");
  for (const auto kept : {std::uintmax_t{6}, size / 5, size / 2, size * 9 / 10, size - 1}) {
    fs::copy_file(folder / "whole.tif", folder / "cut.tif", fs::copy_options::overwrite_existing);
    fs::resize_file(folder / "cut.tif", kept);
    EXPECT_THAT(message_of_reading(folder / "cut.tif"), AllOf(HasSubstr("cut.tif"), HasSubstr("amaged")))
        << kept;
  }
  EXPECT_EQ(::testing::internal::GetCapturedStderr(), "");
}

TEST(ImageStack, TiffComesBack) {
  const testing::TemporaryFolder folder;
  for (const VoxelType type : {VoxelType::uint8, VoxelType::uint16, VoxelType::uint32, VoxelType::float32}) {
    VoxelBuffer both(type, {2, 300, 400});
    with_voxel_type(type, [&](auto zero) {
      auto values = both.as<decltype(zero)>();
      for (std::size_t i = 0; i < values.size(); ++i)
        values[i] = static_cast<decltype(zero)>(i % 60013);
    });
    const fs::path file = folder / (std::string(name_of(type)) + ".tif");
    ImageStackWriter writer(file, type, {4, 300, 400});
    writer.write_sections(both);
    EXPECT_FALSE(fs::exists(file)) << "in place before it was finished";
    writer.write_sections(both);
    writer.finish();
    ImageStackReader reader(file);
    ASSERT_EQ(reader.shape(), (Index3{4, 300, 400}));
    ASSERT_EQ(reader.type(), type);
    const std::size_t half = both.bytes.size() / 2;
    for (std::int64_t z = 0; z < 4; ++z) {
      EXPECT_EQ(
          std::memcmp(reader.read_section(z).bytes.data(), both.bytes.data() + (z % 2 == 0 ? 0 : half), half),
          0);
    }
  }
}

TEST(ImageStack, WideLabelsBecomeNarrowOrAnError) {
  const testing::TemporaryFolder folder;
  VoxelBuffer labels(VoxelType::uint64, {1, 1, 2});
  labels.as<std::uint64_t>()[1] = 0xffffffffU;
  ImageStackWriter writer(folder / "l.tif", VoxelType::uint64, {1, 1, 2});
  writer.write_sections(labels);
  writer.finish();
  EXPECT_EQ(ImageStackReader(folder / "l.tif").read_section(0).as<std::uint32_t>()[1], 0xffffffffU);
  labels.as<std::uint64_t>()[1] += 1;
  ImageStackWriter refused(folder / "m.tif", VoxelType::uint64, {1, 1, 2});
  EXPECT_THAT(message_of([&] { refused.write_sections(labels); }), HasSubstr("4294967296"));
}

TEST(ImageStack, PngFolderComesBackAndReplacesTheOldOne) {
  const testing::TemporaryFolder folder;
  const auto write = [&](std::int64_t sections, std::uint8_t first) {
    VoxelBuffer voxels(VoxelType::uint8, {sections, 2, 2}, 2);
    for (std::size_t i = 0; i < voxels.bytes.size(); ++i)
      voxels.bytes[i] = std::byte(first + i);
    ImageStackWriter writer(folder / "out", VoxelType::uint8, {sections, 2, 2});
    writer.write_sections(voxels, 1);
    writer.finish();
  };
  write(3, 0);
  EXPECT_TRUE(fs::exists(folder / "out" / "section_0002.png"));
  EXPECT_EQ(ImageStackReader(folder / "out").read_section(1).as<std::uint8_t>()[3], 12 + 4 + 3);
  std::ofstream(folder / "out" / "notes.txt") << "mine";
  fs::create_directory(folder / "out" / "more");
  fs::create_symlink("nowhere", folder / "out" / "more" / "link");
  write(1, 100);
  ImageStackReader reader(folder / "out");
  EXPECT_EQ(reader.shape().z, 1) << "sections of the older, longer stack stayed";
  EXPECT_EQ(reader.read_section(0).as<std::uint8_t>()[0], 104);
  EXPECT_TRUE(fs::exists(folder / "out" / "notes.txt"));
  EXPECT_TRUE(fs::is_symlink(folder / "out" / "more" / "link"));
  EXPECT_EQ(folder.entries(), 1);
}

TEST(ImageStack, UnfinishedLeavesNothing) {
  const testing::TemporaryFolder folder;
  {
    ImageStackWriter tiff(folder / "a.tif", VoxelType::uint8, {2, 2, 2}),
        png(folder / "b", VoxelType::uint8, {2, 2, 2});
    tiff.write_sections(VoxelBuffer(VoxelType::uint8, {1, 2, 2}));
    png.write_sections(VoxelBuffer(VoxelType::uint8, {1, 2, 2}));
    EXPECT_THAT(message_of([&] { tiff.finish(); }), HasSubstr("1 of its 2"));
    EXPECT_THAT(message_of([&] { png.finish(); }), HasSubstr("1 of its 2"));
  }
  EXPECT_TRUE(fs::is_empty(folder.path()));
}

TEST(ImageStack, PngCannotHoldFloats) {
  const testing::TemporaryFolder folder;
  EXPECT_THAT(message_of([&] {
                ImageStackWriter(folder / "out", VoxelType::float32, {1, 2, 2});
              }),
              AllOf(HasSubstr("float32"), HasSubstr(".tif")));
}

}  // namespace
}  // namespace tessera
