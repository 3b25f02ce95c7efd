#include "io/images/png.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <png.h>

#include <cstring>
#include <fstream>
#include <numeric>

#include "io/base/error.h"
#include "io/base/staged_file.h"
#include "tests/unit/temporary_folder.h"

namespace tessera {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

std::string message_of_png(const std::filesystem::path& file) {
  try {
    read_png(file);
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

TEST(Png, EightBitsComeBack) {
  const testing::TemporaryFolder folder;
  std::vector<std::uint8_t> pixels(7 * 5);
  std::iota(pixels.begin(), pixels.end(), std::uint8_t{200});  // wraps around
  write_png(folder / "a.png", 7, 5, 1, pixels);
  const PngImage image = read_png(folder / "a.png");
  EXPECT_EQ(image.height, 7);
  EXPECT_EQ(image.width, 5);
  EXPECT_EQ(image.channels, 1);
  EXPECT_EQ(image.bits, 8);
  ASSERT_EQ(image.bytes.size(), pixels.size());
  EXPECT_EQ(std::memcmp(image.bytes.data(), pixels.data(), pixels.size()), 0);
}

TEST(Png, SixteenBitsComeBackInTheMachinesOrder) {
  const testing::TemporaryFolder folder;
  const std::vector<std::uint16_t> pixels{0, 1, 256, 0x1234, 40000, 65535};
  create_file(folder / "a.png", png_bytes(2, 3, pixels));
  const PngImage image = read_png(folder / "a.png");
  EXPECT_EQ(image.bits, 16);
  ASSERT_EQ(image.bytes.size(), 12U);
  EXPECT_EQ(std::memcmp(image.bytes.data(), pixels.data(), 12), 0);
}

TEST(Png, ColourIsWrittenButRejectedAsASection) {
  const testing::TemporaryFolder folder;
  write_png(folder / "rgb.png", 2, 2, 3, std::vector<std::uint8_t>(12, 9));
  EXPECT_THAT(message_of_png(folder / "rgb.png"),
              AllOf(HasSubstr("rgb.png"), HasSubstr("colour"), HasSubstr("--channel 0 to 2")));
}

TEST(Png, PaletteIsReadAsIndicesOnRequest) {
  const testing::TemporaryFolder folder;
  png_image described{};
  described.version = PNG_IMAGE_VERSION;
  described.width = described.height = 2;
  described.format = PNG_FORMAT_RGB_COLORMAP;
  described.colormap_entries = 2;
  const std::uint8_t indices[4] = {0, 1, 1, 0}, colours[6] = {0, 0, 0, 9, 8, 7};
  ASSERT_NE(png_image_write_to_file(&described, (folder / "p.png").c_str(), 0, indices, 0, colours), 0);
  EXPECT_THAT(message_of_png(folder / "p.png"), AllOf(HasSubstr("palette"), HasSubstr("--indices")));
  ImageOptions options;
  options.indices = true;
  const PngImage image = read_png(folder / "p.png", options);
  ASSERT_EQ(image.bytes.size(), 4U);
  EXPECT_EQ(std::memcmp(image.bytes.data(), indices, 4), 0);
}

TEST(Png, FilesThatAreNoImageAreReported) {
  const testing::TemporaryFolder folder;
  EXPECT_THAT(message_of_png(folder / "none.png"), AllOf(HasSubstr("none.png"), HasSubstr("No such file")));
  std::ofstream(folder / "text.png") << "this is a text and no image at all";
  EXPECT_THAT(message_of_png(folder / "text.png"), HasSubstr("is not a PNG image"));
  std::ofstream(folder / "short.png") << "abc";
  EXPECT_THAT(message_of_png(folder / "short.png"), HasSubstr("is not a PNG image"));
  std::ofstream(folder / "empty.png");
  EXPECT_THAT(message_of_png(folder / "empty.png"), HasSubstr("is empty"));
  EXPECT_THAT(message_of_png(folder.path()), HasSubstr("it is a folder"));
}

TEST(Png, TruncationAtAnyByteIsReported) {
  const testing::TemporaryFolder folder;
  std::vector<std::uint8_t> pixels(100 * 100);
  for (std::size_t i = 0; i < pixels.size(); ++i)
    pixels[i] = static_cast<std::uint8_t>(i * i * 31 >> 4);
  write_png(folder / "whole.png", 100, 100, 1, pixels);
  const auto size = std::filesystem::file_size(folder / "whole.png");
  for (const auto kept : {std::uintmax_t{20}, std::uintmax_t{40}, size / 2, size - 6}) {
    std::filesystem::copy_file(folder / "whole.png", folder / "cut.png",
                               std::filesystem::copy_options::overwrite_existing);
    std::filesystem::resize_file(folder / "cut.png", kept);
    EXPECT_THAT(message_of_png(folder / "cut.png"), AllOf(HasSubstr("cut.png"), HasSubstr("truncated")))
        << kept;
  }
}

TEST(Png, AFailedWriteIsReportedAndLeavesNoFile) {
  const testing::TemporaryFolder folder;
  const std::vector<std::uint8_t> pixels(4);
  std::ofstream(folder / "file") << "no folder";
  EXPECT_THROW(write_png(folder / "file" / "a.png", 2, 2, 1, pixels), Error);
  EXPECT_THROW(write_png(folder / "a.png", 0, 2, 1, {}), Error);
  EXPECT_FALSE(std::filesystem::exists(folder / "a.png"));
}

}  // namespace
}  // namespace tessera
