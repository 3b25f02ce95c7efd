#pragma once

#include <algorithm>
#include <cstdint>
#include <string>

namespace tessera {

/// A position or a shape in a volume, in voxels; axes are always (z, y, x).
struct Index3 {
  std::int64_t z = 0, y = 0, x = 0;

  std::int64_t& operator[](int axis) { return axis == 0 ? z : axis == 1 ? y : x; }
  std::int64_t operator[](int axis) const { return axis == 0 ? z : axis == 1 ? y : x; }
  friend bool operator==(const Index3&, const Index3&) = default;
  friend Index3 operator+(Index3 a, Index3 b) { return {a.z + b.z, a.y + b.y, a.x + b.x}; }
  friend Index3 operator-(Index3 a, Index3 b) { return {a.z - b.z, a.y - b.y, a.x - b.x}; }
};

/// "(z, y, x)".
std::string to_string(const Index3& index);

/// z * y * x. Errors: Error when the product does not fit 63 bits.
std::int64_t volume_of(const Index3& shape);

constexpr std::int64_t ceil_div(std::int64_t a, std::int64_t b) {
  return (a + b - 1) / b;
}
constexpr std::int64_t round_up(std::int64_t a, std::int64_t multiple) {
  return ceil_div(a, multiple) * multiple;
}
constexpr std::int64_t round_down(std::int64_t a, std::int64_t multiple) {
  return a / multiple * multiple;
}

/// A half-open box [begin, end) of voxels.
struct Box {
  Index3 begin, end;

  static Box of_shape(const Index3& shape) { return {{0, 0, 0}, shape}; }
  Index3 shape() const { return end - begin; }
  bool empty() const { return end.z <= begin.z || end.y <= begin.y || end.x <= begin.x; }
  std::int64_t voxels() const { return empty() ? 0 : volume_of(shape()); }
  bool contains(const Box& inner) const;
  /// The box grown by `by` on both sides of every axis.
  Box grown(const Index3& by) const { return {begin - by, end + by}; }
  /// The box in coordinates relative to `origin`.
  Box relative_to(const Index3& origin) const { return {begin - origin, end - origin}; }
  friend bool operator==(const Box&, const Box&) = default;
};

/// The common part of two boxes; may be empty.
Box intersection(const Box& a, const Box& b);

/// "z [0, 4) y [0, 512) x [0, 512)".
std::string to_string(const Box& box);

}  // namespace tessera
