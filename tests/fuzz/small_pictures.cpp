// In place of pipeline/report/section_pictures.cpp and object_pictures.cpp: the harnesses have no volumes.
// The first sections have a small picture that this file makes; others cannot be read.

#include <algorithm>

#include "io/base/error.h"
#include "pipeline/report/object_pictures.h"
#include "pipeline/report/section_pictures.h"

namespace tessera {
namespace {

constexpr std::int64_t kHeight = 6, kWidth = 5, kSections = 20;

RgbImage image_of(std::size_t grey) {
  return {kHeight, kWidth, std::vector<std::uint8_t>(3 * kHeight * kWidth, static_cast<std::uint8_t>(grey))};
}

}  // namespace

DrawnSection draw_section(const RunRecord&, std::int64_t section) {
  if (section < 0 || section >= kSections) throw Error("no volume here");
  return {{image_of(0), image_of(100), image_of(200)}, 0.5};
}

ReadSection read_section(const RunRecord&, std::int64_t section) {
  if (section < 0 || section >= kSections) throw Error("no volume here");
  ReadSection read{{kHeight, kWidth, {}, section % 2 == 0, {}, {}}, 0.5};
  for (std::int64_t i = 0; i < kHeight * kWidth; ++i) {
    read.layers.raw.push_back(static_cast<float>(i));
    read.layers.truth.push_back(static_cast<std::uint8_t>(i % 2));
    read.layers.probability.push_back(static_cast<double>(i % 11) / 10);
  }
  return read;
}

std::vector<ObjectPicture> object_planes(const RunRecord&) {
  return {{"xy plane, z = 1", image_of(50)}};
}

std::vector<ObjectPicture> worst_object_pictures(const RunRecord&) {
  return {{"Object 1", image_of(60)}};
}

std::vector<std::byte> png_of(const RgbImage& image) {
  return std::vector<std::byte>(std::min<std::size_t>(image.pixels.size(), 100));
}

std::vector<std::byte> png_of_grey(std::span<const std::uint8_t> pixels, std::int64_t, std::int64_t) {
  return std::vector<std::byte>(std::min<std::size_t>(pixels.size(), 100));
}

std::vector<std::byte> png_of_overlay(std::span<const OverlayClass> pixels, std::int64_t, std::int64_t) {
  return std::vector<std::byte>(std::min<std::size_t>(pixels.size(), 100));
}

RgbImage read_rgb(const std::filesystem::path& file) {
  throw Error(file.string() + ": no picture here");
}

}  // namespace tessera
