// In place of pipeline/report/section_pictures.cpp and object_pictures.cpp: the harnesses have no volumes
// that a report could draw.

#include "io/base/error.h"
#include "pipeline/report/object_pictures.h"
#include "pipeline/report/section_pictures.h"

namespace tessera {

DrawnSection draw_section(const RunRecord&, std::int64_t) {
  throw Error("no volume here");
}

std::vector<ObjectPicture> object_planes(const RunRecord&) {
  throw Error("no volume here");
}

std::vector<ObjectPicture> worst_object_pictures(const RunRecord&) {
  throw Error("no volume here");
}

std::vector<std::byte> png_of(const RgbImage&) {
  return {};
}

}  // namespace tessera
